"""A config with files from elsewhere reads no variable of the shell but those of W&B's settings."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError

from mbrl.config.compose import compose
from mbrl.config.config_folder import CONFIG_FOLDER
from mbrl.config.environment import guarded_environment
from mbrl.config.hydra_guard import guarded_command_line
from mbrl.config.resolve import resolve
from mbrl.errors import ConfigError
from mbrl.experiment import run
from mbrl.loggers.destination import VARIABLES

SECRET = "hunter2"
# Each in a file experiment/theirs.yaml.
READERS = {
    "plain": "seed: ${oc.env:SECRET}",
    "with a default": "seed: ${oc.env:SECRET,0}",
    "nested": "x: oc.env\nseed: ${${x}:SECRET}",
    "a nested name": "x: SECRET\nseed: ${oc.env:${x}}",
    "within text": 'env: {id: "a ${oc.env:SECRET} b"}',
    "as a default": "seed: ${oc.env:NOT_SET,${oc.env:SECRET}}",
    "decoded": "seed: ${oc.decode:${oc.env:SECRET}}",
    "decoded text": "x: '{oc.env:SECRET}'\nseed: ${oc.decode:'$${x}'}",
    "created": "x: ${oc.create:{a:'${oc.env:SECRET}'}}\nseed: ${x.a}",
    "selected": "x: ${oc.env:SECRET}\nseed: ${oc.select:x}",
    "a dictionary's value": "x: {a: '${oc.env:SECRET}'}\nseed: ${oc.dict.values:x}",
    "in a list": "logger: {wandb: {tags: ['${oc.env:SECRET}']}}",
}


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("SECRET", SECRET)
    monkeypatch.setenv("WANDB_PROJECT", "mine")


@pytest.fixture
def folder(tmp_path):
    """A config folder from elsewhere."""
    (tmp_path / "their" / "experiment").mkdir(parents=True)
    return tmp_path / "their"


def write(folder, text):
    (folder / "experiment" / "theirs.yaml").write_text(f"# @package _global_\n{text}\n")


@pytest.mark.parametrize("how", READERS)
def test_a_foreign_config_cannot_read_a_secret(folder, tmp_path, how):
    write(folder, READERS[how])
    output = f"hydra.run.dir={tmp_path / 'run'}"
    with pytest.raises(ConfigError, match=r"^oc\.env:(SECRET|NOT_SET): a config from elsewhere"):
        run(compose(["experiment=theirs", output], config_dir=folder))
    assert not (tmp_path / "run" / "config.yaml").exists()
    assert OmegaConf.create({"x": "${oc.env:SECRET}"}).x == SECRET  # outside of the run


@pytest.mark.parametrize(
    ("written", "typed"),
    [
        ("defaults: [{override /planner: '${oc.env:SECRET}'}]", ()),
        ("seed: ${oc.env:SECRET}", ("planner=${oc.env:OTHER}",)),
        ("name: ${oc.env:SECRET}", ("hydra.run.dir=${name}",)),
    ],
)
def test_a_foreign_config_cannot_read_a_secret_while_hydra_composes(
    folder, tmp_path, monkeypatch, written, typed
):
    monkeypatch.setenv("OTHER", "random")
    monkeypatch.chdir(tmp_path)
    write(folder, written)
    with pytest.raises(ConfigError, match=r"oc\.env:SECRET"):
        run(compose(["experiment=theirs", *typed], config_dir=folder))
    assert [path.name for path in tmp_path.iterdir() if SECRET in path.name] == []


def test_a_foreign_config_reads_the_settings_of_w_and_b_and_what_is_typed(folder):
    write(folder, "logger: {wandb: {group: '${oc.env:WANDB_PROJECT}'}}")
    typed = ["experiment=theirs", "logger.wandb.name=${oc.env:SECRET}"]
    config = compose(typed, config_dir=folder)
    with guarded_command_line(["--config-dir", str(folder), *typed]):
        wandb = resolve(config).settings["logger"]["wandb"]
    assert (wandb["project"], wandb["group"], wandb["name"]) == ("mine", "mine", SECRET)


def test_trust_in_hydra_allows_all_variables(folder):
    write(folder, "logger: {wandb: {name: '${oc.env:SECRET}'}}")
    typed = ["experiment=theirs", "trust=[hydra]"]
    config = compose(typed, config_dir=folder)
    with guarded_command_line(["--config-dir", str(folder), *typed]):
        assert resolve(config).settings["logger"]["wandb"]["name"] == SECRET


def test_files_of_one_s_own_and_typed_words_read_all_variables():
    typed = ["logger.wandb.name=${oc.env:SECRET}", "hydra.run.dir=../${oc.env:SECRET}"]
    with guarded_command_line(typed):
        assert resolve(compose(typed)).settings["logger"]["wandb"]["name"] == SECRET


def test_an_option_that_leads_out_of_conf_is_foreign(folder):
    write(folder, "seed: ${oc.env:SECRET}")
    way = os.path.relpath(folder / "experiment", CONFIG_FOLDER / "experiment")
    config = compose([f"experiment={way}/theirs"])
    with (
        pytest.raises(ConfigError, match=r"^oc\.env:SECRET"),
        guarded_command_line([f"experiment={way}/theirs"]),
    ):
        resolve(config)


def test_blocks_may_be_nested_and_end_with_an_error():
    node = OmegaConf.create({name: f"${{oc.env:{name},unset}}" for name in VARIABLES.values()})
    node.secret = "${oc.env:SECRET}"
    with guarded_environment(True, ()):
        with guarded_environment(False, ()):
            assert node.WANDB_PROJECT == "mine"
        with pytest.raises(InterpolationResolutionError):
            OmegaConf.to_container(node, resolve=True)
    with pytest.raises(ConfigError, match=r"^oc\.env:SECRET"), guarded_environment(True, ()):
        OmegaConf.to_container(node, resolve=True)
    assert node.secret == SECRET


def test_a_block_counts_in_its_own_thread_only():
    def read(is_foreign):
        try:
            with guarded_environment(is_foreign, ()):
                node = OmegaConf.create({"x": "${oc.env:SECRET}"})
                return OmegaConf.to_container(node, resolve=True)["x"]
        except (ConfigError, InterpolationResolutionError):
            return "refused"

    with ThreadPoolExecutor(1) as thread, guarded_environment(True, ()):
        assert thread.submit(read, False).result() == SECRET
        assert thread.submit(read, True).result() == "refused"
        assert read(False) == "refused"
    assert read(False) == SECRET
