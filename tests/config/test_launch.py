"""RunInfo of new and of saved runs."""

import json
import os
from pathlib import Path

import pytest

from mbrl.config.compose import compose
from mbrl.config.launch import (
    check_environment_id,
    check_no_empty_mapping,
    read_run,
    run_info_from_provenance,
)
from mbrl.config.resolve import resolve
from mbrl.errors import ConfigError
from mbrl.experiment import run
from tests.configs import new_run_info, options


@pytest.fixture
def saved(tmp_path) -> Path:
    """A run's folder with its config and the provenance of its start."""
    config = compose(["planner=random", "training=smoke"])
    (tmp_path / "config.yaml").write_text(resolve(config).to_yaml())
    provenance = new_run_info(config).to_provenance()
    (tmp_path / "provenance.json").write_text(json.dumps(provenance))
    return tmp_path


def test_a_saved_run_has_the_run_info_it_was_started_with(saved):
    first = new_run_info(compose(["planner=random", "training=smoke"]))
    config, provenance = read_run(saved, [])
    again = run_info_from_provenance(saved, provenance, [])
    assert config.planner._target_ == "mbrl.planners.random.RandomPlanner"
    assert (again.name, again.choices, again.overrides) == (
        first.name,
        first.choices,
        first.overrides,
    )
    assert again.run_id == provenance["run_id"]
    assert again.folder == saved.absolute()


@pytest.mark.parametrize("version", [None, 1, "2"])
def test_a_run_of_an_older_version_is_refused_by_its_commit(saved, version):
    provenance = json.loads((saved / "provenance.json").read_text())
    provenance |= {"format": version, "git": {"commit": "51cbecb0"}}
    if version is None:
        del provenance["format"]
    (saved / "provenance.json").write_text(json.dumps(provenance))
    with pytest.raises(ConfigError, match=r"older version of mbrl \(commit 51cbecb0\)") as caught:
        read_run(saved, [])
    assert "\n" not in str(caught.value)


def test_a_run_that_was_killed_before_it_wrote_its_provenance_can_be_read(saved):
    (saved / "provenance.json").unlink()
    config, provenance = read_run(saved, [])
    assert provenance == {}
    assert run_info_from_provenance(saved, provenance, ()).name == saved.name
    assert config.seed == 0


def test_a_variable_that_the_run_was_started_with_must_be_set(saved, monkeypatch):
    provenance = {"environment": {"MBRL_TEST_VARIABLE": "1"}}
    with pytest.raises(ConfigError, match="MBRL_TEST_VARIABLE"):
        run_info_from_provenance(saved, provenance, ())
    assert "MBRL_TEST_VARIABLE" not in os.environ
    monkeypatch.setenv("MBRL_TEST_VARIABLE", "1")
    assert run_info_from_provenance(saved, provenance, ()).environment == provenance["environment"]


def test_a_run_id_that_would_lead_elsewhere_is_replaced(saved):
    info = run_info_from_provenance(saved, {"run_id": "../../elsewhere"}, ())
    assert "/" not in info.run_id


def test_a_run_of_a_wandb_agent_keeps_the_agents_id(monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "ag3nt")
    monkeypatch.delenv("WANDB_SWEEP_ID", raising=False)
    # Without a sweep, the variable would give one id to all runs of a shell.
    assert new_run_info(compose()).run_id != "ag3nt"
    monkeypatch.setenv("WANDB_SWEEP_ID", "sw33p")
    assert new_run_info(compose()).to_provenance()["run_id"] == "ag3nt"


@pytest.mark.parametrize("choice", [name for name in options("env") if name != "gymnasium"])
def test_the_facts_of_one_environment_are_not_used_for_another(choice):
    with pytest.raises(ConfigError) as caught:
        check_environment_id("Walker-v9", choice)
    assert f"env.id=Walker-v9: env={choice} holds the facts of " in str(caught.value)
    assert "Give env=gymnasium env.id=Walker-v9, which" in str(caught.value)
    check_environment_id(compose([f"env={choice}"]).env.id, choice)


def test_the_option_that_has_the_id_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"Give env=acrobot, or env=gymnasium env\.id=Acrobot-v1"):
        run(compose(["env.id=Acrobot-v1", f"hydra.run.dir={tmp_path / 'run'}"]))


@pytest.mark.parametrize(
    ("override", "name"),
    [
        ("planner={}", "planner"),
        ("logger.files={}", "logger.files"),
        ("model={reward: {}}", "model.reward"),
        ("env.kwargs={}", "env.kwargs"),
    ],
)
def test_an_empty_mapping_that_is_merged_into_nothing_is_refused(tmp_path, override, name):
    config = compose(["env=point_mass", override, f"hydra.run.dir={tmp_path / 'run'}"])
    with pytest.raises(ConfigError, match=rf"^{name}={{}}: changes nothing.*~{name}\.KEY removes"):
        run(config)


@pytest.mark.parametrize("override", ["env.kwargs={}", "hydra.job.env_set={}", "~env.id"])
def test_an_empty_mapping_where_none_was_is_a_value(override):
    check_no_empty_mapping(compose(["env=cartpole", override]), [override])


@pytest.mark.parametrize("choice", ["gymnasium", "their_own"])
def test_any_id_fits_an_option_without_facts_and_one_from_elsewhere(choice):
    check_environment_id("Acrobot-v1", choice)
