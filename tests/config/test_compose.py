"""Composing in Python: config files of the user's own, refusals, and what Hydra keeps."""

import copy
import pickle
from pathlib import Path

import pytest
from hydra import version
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobRuntime
from omegaconf import DictConfig, OmegaConf

from mbrl.config.compose import compose, with_hydra
from mbrl.config.hydra_internals import use_own_plugins
from mbrl.errors import ConfigError


@pytest.fixture
def folder(tmp_path) -> Path:
    """A config folder with a planner and experiments, of which one sets a callback of Hydra."""
    files = {
        "planner/mine": "_target_: mbrl.planners.random.RandomPlanner",
        "experiment/mine": "# @package _global_\ndefaults: [{override /planner: mine}]\nseed: 7",
        "experiment/theirs": (
            "# @package _global_\nhydra: {callbacks: {hostile: {_target_: foreign.Callback}}}"
        ),
    }
    for name, text in files.items():
        path = tmp_path / "my conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "my conf"


def settings(config: DictConfig) -> DictConfig:
    """Hydra's settings of a composed config."""
    return with_hydra(config).hydra


@pytest.mark.parametrize("kind", [str, Path])
def test_files_of_a_config_folder_of_ones_own_can_be_chosen(folder, kind):
    config = compose(["experiment=mine"], config_dir=kind(folder))
    assert (config.seed, config.planner._target_) == (7, "mbrl.planners.random.RandomPlanner")
    assert settings(config).runtime.choices["planner"] == "mine"
    with pytest.raises(ConfigError, match=r"^planner=mine: no such option\."):
        compose(["planner=mine"])


def test_a_relative_config_folder_starts_at_the_working_directory(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert compose(["experiment=mine"], config_dir="my conf").seed == 7


def test_a_config_folder_may_set_no_more_than_on_the_command_line(folder):
    with pytest.raises(ConfigError, match=r"hydra\.callbacks\.hostile\._target_=foreign\.Callback"):
        compose(["experiment=theirs"], config_dir=folder)
    trusting = compose(["experiment=theirs", "trust=[hydra]"], config_dir=folder)
    assert "hostile" in settings(trusting).callbacks


def test_an_option_that_leads_out_of_conf_is_checked_too(folder):
    with pytest.raises(ConfigError):
        compose([f"experiment=../../../../../../..{folder}/experiment/theirs"])


@pytest.mark.parametrize("name", ["missing", "my conf/planner/mine.yaml"])
def test_a_config_folder_that_is_none_is_refused(folder, name):
    with pytest.raises(ConfigError, match=r"^config_dir=.*: not a folder\. Name one that holds"):
        compose(config_dir=folder.parent / name)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("seed=3", r'^overrides="seed=3": must be a list\. Write \["seed=3"\]\.$'),
        (["seed=0,1"], r"^seed=0,1: several values are a sweep"),
        (["seed=range(3)"], r"^seed=range\(3\): several values are a sweep"),
        (["planner=mtcs"], r"^planner=mtcs: no such option\. Did you mean 'mcts'\?"),
        (["sed=3"], r"^sed: not a setting of this config\. Did you mean 'seed'\?"),
        (["seed"], "^Error parsing override 'seed'"),
        (["planner=0"], r"^planner=0: no such option\."),
        (["planner={a: 1}"], r"^planner\.a: not a setting of this config\."),
        (["model={reward: {a: 1}}"], r"^model\.reward\.a: not a setting of this config\."),
        (["hydra.job.chdir=x"], r"^hydra\.job\.chdir=x: does not fit .* 'x' is not a valid bool"),
        (["hydra.mode=x"], r"^hydra\.mode=x: does not fit .* one of \[RUN, MULTIRUN\]\)"),
        (["hydra.callbacks=1"], r"^hydra\.callbacks=1: does not fit this config \("),
        (["hydra.sweeper.params={a: 1}"], r"^hydra\.sweeper\.params: cannot be composed \("),
        (["hydra.sweeper.params.seed={a: 1}"], r"^config: cannot be composed \("),
        (["hydra.sweeper=1"], r"^hydra\.sweeper=1: hydra\.sweeper must be a mapping"),
        (["hydra.launcher=null"], r"^hydra\.launcher=null: hydra\.launcher must be a mapping"),
        (["hydra={launcher: [1]}"], r"^hydra=\{.*: hydra\.launcher must be a mapping"),
        (["hydra=null"], r"^hydra=null: no such option\."),
        ([f"seed=[{'1,' * 5000}1]"], "has 10008 characters, and must have at most 5000"),
    ],
)
def test_overrides_that_cannot_be_composed_are_refused_in_a_sentence(overrides, message):
    with pytest.raises(ConfigError, match=message):
        compose(overrides)


def test_an_experiment_that_is_not_at_the_top_level_is_told_how_it_begins(folder):
    file = folder / "experiment" / "mine.yaml"
    file.write_text(f"# my own\n{file.read_text()}")
    with pytest.raises(ConfigError, match=r"^experiment/mine\.yaml: .* Begin the file"):
        compose(["experiment=mine"], config_dir=folder)


def test_a_file_that_is_not_yaml_is_refused_in_a_sentence(folder):
    (folder / "experiment" / "mine.yaml").write_text("seed: [1\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml\", line 2"):
        compose(["experiment=mine"], config_dir=folder)


TOO_DEEP = "a file includes itself, or is nested too deep"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("defaults: [mine]", TOO_DEEP),
        ("x: &a [*a]", TOO_DEEP),
        (f"x: {'[' * 3000}", TOO_DEEP),
        (f"x: {'{a: ' * 300}1{'}' * 300}", TOO_DEEP),
        ("# @package a b\nx: 1", r"cannot be composed \(Too many components"),
        ("# @package\nx: 1", r"cannot be composed \(Expected header format"),
        ("hydra: null", "cannot be composed"),
        ("hydra: []", r"cannot be composed \(Index 'searchpath'"),
        ("hydra: 1", "int is not a subclass of HydraConf"),
        ("defaults: 1", r"cannot be composed \(Invalid defaults list"),
        ("defaults: [{1: 2}]", "cannot be composed"),
        ("defaults: ['${x']", "no viable alternative"),
        ("x: {null: 1}", "NoneType"),
        (f"x: {'1' * 5000}", r"cannot be composed \(Exceeds the limit"),
        ("x: \udcff", r"cannot be composed \('utf-8' codec"),
    ],
)
def test_a_malformed_file_is_refused_in_a_sentence(folder, text, message):
    file = folder / "experiment" / "mine.yaml"
    file.write_bytes(f"# @package _global_\n{text}\n".encode(errors="surrogateescape"))
    if text.startswith("#"):
        file.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        compose(["experiment=mine"], config_dir=folder)
    assert len(str(caught.value).split()) > 3


def test_an_error_of_our_own_keeps_its_traceback(monkeypatch):
    monkeypatch.delattr("mbrl.config.compose._refuse_sweeps")
    with pytest.raises(NameError):
        compose()


@pytest.mark.parametrize(
    "change",
    [
        copy.copy,
        copy.deepcopy,
        lambda config: pickle.loads(pickle.dumps(config)),
        lambda config: OmegaConf.merge(config, {"discount": 0.5}),
    ],
    ids=["copy", "deepcopy", "pickle", "merge"],
)
def test_each_config_keeps_its_own_hydra_settings(change):
    use_own_plugins()  # as run.py does; the settings are then of a class of Hydra's plugins
    first = compose(["seed=1"])
    compose(["seed=2"])
    assert "hydra" not in first
    assert settings(change(first)).overrides.task == ["seed=1"]


def test_a_config_that_was_not_composed_has_no_hydra_settings():
    assert with_hydra(OmegaConf.create({"seed": 1})) is None


def test_hydra_of_an_application_that_composes_stays_as_it_is(monkeypatch):
    class Application:
        """What GlobalHydra holds while an application runs."""

    application, config = Application(), OmegaConf.create({"hydra": {"job": {"name": "theirs"}}})
    monkeypatch.setattr(GlobalHydra.instance(), "hydra", application)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", config)
    monkeypatch.setattr(version.VersionBase.instance(), "version_base", version.Version("1.2"))
    before = JobRuntime.instance().get("name")
    assert settings(compose(["seed=3"])).job.name == "run"
    with pytest.raises(ConfigError):
        compose(["seed"])
    assert GlobalHydra.instance().hydra is application
    assert HydraConfig.instance().cfg is config
    assert str(version.getbase()) == "1.2"
    assert JobRuntime.instance().get("name") == before
