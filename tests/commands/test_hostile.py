"""A saved run is untrusted: no command imports or runs what it names, or writes through links."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mbrl.__main__ import main
from mbrl.config.compose import compose
from mbrl.config.resolve import resolve
from mbrl.errors import ConfigError, CorruptRun
from mbrl.run_info import FORMAT
from tests.faults.runs import QUICK, ROOT

COMMANDS = ("resume", "reproduce")
TARGETS = {
    "os.system": {"command": "touch {canary}"},
    "urllib.request.urlretrieve": {"url": "file:///etc/hostname", "filename": "{canary}"},
    "jax.numpy.save": {"file": "{canary}", "arr": [1]},
    "mbrl.training.loop.jax.numpy.save": {"file": "{canary}", "arr": [1]},
    "mbrl.envs.gymnasium.np.save": {"file": "{canary}", "arr": [1]},
}
LINKED = ["metrics.jsonl", "summary.json", "provenance.json", "checkpoint", "run.log", ".lock"]
LINKED.append("learning_curve.png")
PLACES = ("model.dynamics", "model.fit_model.optimizer", "env.known_reward")


@pytest.fixture
def canary(tmp_path) -> Path:
    """A file that exists if something of the run was executed."""
    return tmp_path / "canary"


@pytest.fixture(scope="module")
def settings() -> dict:
    return resolve(compose(QUICK)).settings


@pytest.fixture
def saved(tmp_path, settings) -> Path:
    """A run of which only the config and one row of metrics are left."""
    folder = tmp_path / "run"
    folder.mkdir()
    write(folder, settings)
    (folder / "metrics.jsonl").write_text('{"env_steps": 20, "loss/dynamics": 0.5}\n')
    return folder


def write(folder: Path, settings: dict) -> None:
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))


def change(folder: Path, name: str, value) -> None:
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    *path, last = name.split(".")
    node = settings
    for key in path:
        node = node[key]
    node[last] = value
    write(folder, settings)


def refusal(command: str, saved: Path, *options: str) -> str:
    target = [f"--folder={saved.parent / 'again'}"] if command == "reproduce" else []
    with pytest.raises((ConfigError, CorruptRun)) as error:
        main([command, str(saved), *target, *options])
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("place", "target"),
    [*(("planner", target) for target in TARGETS), *((place, "os.system") for place in PLACES)],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_target_outside_the_project_is_not_run(saved, canary, command, place, target):
    arguments = json.dumps(TARGETS[target]).replace("{canary}", str(canary))
    change(saved, place, {"_target_": target} | json.loads(arguments))
    message = refusal(command, saved)
    assert f"_target_={target}" in message
    assert f"add trust=[{target.split('.')[0]}] to the command line" in message
    assert not canary.exists()


def test_a_saved_logger_outside_the_project_is_not_run(saved, canary):
    # A reproduction replaces the saved loggers.
    part = {"_target_": "os.system", "command": f"touch {canary}"}
    change(saved, "logger.files", part)
    assert "_target_=os.system" in refusal("resume", saved)
    assert not canary.exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_saved_trust_is_ignored(saved, canary, command):
    change(saved, "trust", ["os"])
    change(saved, "planner", {"_target_": "os.system", "command": f"touch {canary}"})
    assert "has trust=[os], which only counts on the command line" in refusal(command, saved)
    assert not canary.exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_an_environment_s_module_is_not_imported(saved, canary, tmp_path, monkeypatch, command):
    (tmp_path / "evil.py").write_text(f"open({str(canary)!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    change(saved, "env.id", "evil:CartPole-v1")
    message = refusal(command, saved)
    assert "env.id=evil:CartPole-v1" in message
    assert "trust=[evil]" in message
    assert not canary.exists()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("value", ["${oc.env:HOME}", "${now:%Y}", "\x24{seed}"])
def test_an_interpolation_in_a_saved_config_is_refused(saved, command, value):
    change(saved, "env.id", value)
    assert f"{value}: an interpolation" in refusal(command, saved)


def test_show_prints_without_trust_and_resolves_nothing(saved, canary, monkeypatch, capsys):
    monkeypatch.setenv("SECRET", "of this machine")
    change(saved, "trust", ["theirs"])
    change(saved, "planner", {"_target_": "os.system", "command": f"touch {canary}"})
    change(saved, "env.id", "theirs:${oc.env:SECRET}")
    change(saved, "model.num_members", r"\${oc.env:SECRET}")
    change(saved, "model.pessimism", r"\\${oc.env:SECRET}")
    for choices in ({"env": "theirs", "model": "theirs", "planner": "cem"}, {}):
        (saved / "provenance.json").write_text(json.dumps({"choices": choices}))
        assert main(["show", str(saved)]) == 0
        shown = capsys.readouterr().out
        assert "theirs:${oc.env:SECRET}" in shown
        assert "of this machine" not in shown
        assert ("os.system" in shown) is bool(choices)
    assert not canary.exists()


@pytest.mark.parametrize("command", [*COMMANDS, "show"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [1]\nb: *a\n", "it has a YAML anchor, alias or tag"),
        ("a: !!python/object/apply:os.system ['true']\n", "it has a YAML anchor, alias or tag"),
        ("seed: 0\n", "is not the saved config of a run (num_threads: Field required)"),
        ("[1, 2", "cannot be read: while parsing"),
    ],
)
def test_a_file_that_is_not_a_saved_config_is_refused(saved, command, text, message):
    (saved / "config.yaml").write_text(text)
    assert message in refusal(command, saved)


@pytest.mark.parametrize("command", [*COMMANDS, "show"])
@pytest.mark.parametrize("name", LINKED)
def test_nothing_is_written_through_a_link_out_of_the_folder(saved, tmp_path, command, name):
    outside = tmp_path / "outside"
    outside.write_text("precious")
    (saved / name).unlink(missing_ok=True)
    (saved / name).symlink_to(outside)
    message = refusal(command, saved)
    assert f"{saved / name} is a link to {outside}, which no run writes" in message
    assert outside.read_text() == "precious"


def test_a_provenance_cannot_set_paths_or_choices(saved, tmp_path, canary, monkeypatch):
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "__init__.py").write_text(f"open({str(canary)!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    provenance = {
        "format": FORMAT,
        "run_id": "../../../elsewhere",
        "name": "../../elsewhere",
        "choices": {"hydra.searchpath": "[pkg://evil]", "model": "[pkg://evil]", "env": "../../a"},
        "overrides": ["trust=[evil]", "hydra.run.dir=/elsewhere"],
        "devices": [{"platform": "../../etc", "kind": ""}],
    }
    (saved / "provenance.json").write_text(json.dumps(provenance))
    before = sorted(os.listdir(tmp_path))
    assert main(["show", str(saved)]) == 0
    assert main(["resume", str(saved)]) == 0
    provenance = json.loads((saved / "provenance.json").read_text())
    assert provenance["run_id"].isalnum()
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
def test_a_sweep_s_own_files_are_not_executed(tmp_path, canary, text):
    (tmp_path / "multirun.yaml").write_text(text.replace("{canary}", str(canary)))
    options = ["-m", "training=smoke", f"hydra.sweep.dir={tmp_path}"]
    command = [sys.executable, str(ROOT / "run.py"), *options]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert re.search("is damaged|cannot be read|already holds another sweep", result.stderr)
    assert "Traceback" not in result.stderr
    assert not canary.exists()
