"""A saved run is somebody else's: nothing that it names is run, imported or written to, whichever command reads it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mbrl.__main__ import main
from mbrl.config.compose import compose
from mbrl.config.resolve import resolve
from mbrl.errors import ConfigError
from mbrl.runs.reader import CorruptRun
from tests.faults.runs import ROOT

COMMANDS = ("resume", "reproduce")
PLACES = ("planner", "model.dynamics", "training.model_learner.optimizer", "env.known_reward")


@pytest.fixture
def canary(tmp_path) -> Path:
    """Is there once something of the run was executed."""
    return tmp_path / "canary"


@pytest.fixture
def saved(tmp_path) -> Path:
    """A run as its config alone."""
    folder = tmp_path / "run"
    folder.mkdir()
    write(folder, resolve(compose(["training=smoke", "logger=files", "planner=random"])))
    (folder / "metrics.jsonl").write_text('{"env_steps": 20, "loss/dynamics": 0.5}\n')
    return folder


def write(folder: Path, settings: dict) -> None:
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))


def changed(folder: Path, name: str, value) -> None:
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    *path, last = name.split(".")
    node = settings
    for key in path:
        node = node[key]
    node[last] = value
    write(folder, settings)


def refusal(command: str, saved: Path, *options: str) -> str:
    where = [f"--folder={saved.parent / 'again'}"] if command == "reproduce" else []
    with pytest.raises((ConfigError, CorruptRun)) as error:
        main([command, str(saved), *where, *options])
    sentence = str(error.value)
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    ("command", "place"),
    # A reproduction has loggers of its own, and builds none of the saved ones.
    [*((command, place) for command in COMMANDS for place in PLACES), ("resume", "logger.files")],
)
@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        ("os.system", {"command": "touch {canary}"}),
        ("urllib.request.urlretrieve", {"url": "file:///etc/hostname", "filename": "{canary}"}),
        ("jax.numpy.save", {"file": "{canary}", "arr": [1]}),
        ("mbrl.training.loop.jax.numpy.save", {"file": "{canary}", "arr": [1]}),
        ("mbrl.envs.gymnasium.np.save", {"file": "{canary}", "arr": [1]}),
    ],
)
def test_a_foreign_target_is_not_run(saved, canary, command, place, target, arguments):
    part = {
        "_target_": target,
        **{
            name: value.format(canary=canary) if isinstance(value, str) else value
            for name, value in arguments.items()
        },
    }
    changed(saved, place, part)
    sentence = refusal(command, saved)
    assert f"_target_={target}" in sentence
    assert f"say trust=[{target.split('.')[0]}] on the command line" in sentence
    assert not canary.exists()


@pytest.mark.parametrize("command", [*COMMANDS, "show"])
def test_a_saved_trust_does_not_count(saved, canary, command):
    changed(saved, "trust", ["os"])
    changed(saved, "planner", {"_target_": "os.system", "command": f"touch {canary}"})
    assert "says trust=[os], which counts from the command line only" in refusal(command, saved)
    assert not canary.exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_module_of_an_environment_is_not_imported(
    saved, canary, tmp_path, monkeypatch, command
):
    (tmp_path / "evil.py").write_text(f"open({str(canary)!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    changed(saved, "env.id", "evil:CartPole-v1")
    sentence = refusal(command, saved)
    assert "env.id=evil:CartPole-v1" in sentence
    assert "trust=[evil]" in sentence
    assert not canary.exists()


@pytest.mark.parametrize("command", [*COMMANDS, "show"])
@pytest.mark.parametrize("value", ["${oc.env:HOME}", "${now:%Y}", "\x24{seed}"])
def test_nothing_is_worked_out_in_a_saved_config(saved, command, value):
    changed(saved, "env.id", value)
    assert "is an interpolation" in refusal(command, saved)


@pytest.mark.parametrize("command", [*COMMANDS, "show"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [1]\nb: *a\n", "YAML anchor or alias"),
        ("a: !!python/object/apply:os.system ['true']\n", "YAML tag"),
        ("seed: 0\n", "is not the saved config of a run: it has no env"),
        ("[1, 2", "is not the YAML of a saved config"),
    ],
)
def test_what_is_no_saved_config_is_refused(saved, command, text, said):
    (saved / "config.yaml").write_text(text)
    assert said in refusal(command, saved)


@pytest.mark.parametrize("command", [*COMMANDS, "show"])
@pytest.mark.parametrize(
    "name",
    [
        "metrics.jsonl",
        "summary.json",
        "provenance.json",
        "checkpoint",
        "run.log",
        ".lock",
        "learning_curve.png",
    ],
)
def test_nothing_is_written_through_a_link_that_leads_out(saved, tmp_path, command, name):
    outside = tmp_path / "outside"
    outside.write_text("precious")
    (saved / name).unlink(missing_ok=True)
    (saved / name).symlink_to(outside)
    sentence = refusal(command, saved)
    assert f"{saved / name} leads out of the run's folder, to {outside}" in sentence
    assert outside.read_text() == "precious"


def test_a_provenance_does_not_choose_paths_or_choices(saved, tmp_path, canary, monkeypatch):
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "__init__.py").write_text(f"open({str(canary)!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    provenance = {
        "run_id": "../../../elsewhere",
        "name": "../../elsewhere",
        "choices": {
            "hydra.searchpath": "[pkg://evil]",
            "model": "[pkg://evil]",
            "env": "../../etc",
        },
        "devices": [{"platform": 3}],
        "packages": {"jax": [1]},
    }
    (saved / "provenance.json").write_text(json.dumps(provenance))
    before = sorted(os.listdir(tmp_path))
    assert main(["show", str(saved)]) == 0
    assert main(["resume", str(saved)]) == 0
    kept = json.loads((saved / "provenance.json").read_text())
    assert kept["run_id"].isalnum()
    assert sorted(os.listdir(tmp_path)) == before
    assert not canary.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "hydra: {overrides: {task: !!python/object/apply:os.system ['touch {canary}']}}",
        "hydra: {overrides: {task: ['training=smoke', 'planner._target_=os.system']}}",
        "hydra: 3",
        "a: &a [*a]",
    ],
)
def test_what_a_sweep_left_is_compared_and_never_run(tmp_path, canary, text):
    (tmp_path / "multirun.yaml").write_text(text.replace("{canary}", str(canary)))
    command = [
        sys.executable,
        str(ROOT / "run.py"),
        "-m",
        "training=smoke",
        f"hydra.sweep.dir={tmp_path}",
    ]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert "is damaged" in result.stderr or "already holds another sweep" in result.stderr
    assert "Traceback" not in result.stderr
    assert not canary.exists()
