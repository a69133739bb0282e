"""What a config that others may have written sends to W&B: nothing, unless the user says so."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import wandb

from mbrl.loggers.destination import (
    Destination,
    check_working_directory,
    permitted,
    warning,
)
from mbrl.loggers.wandb import WandbLogger
from mbrl.run_info import RunInfo
from tests.faults.wandb_server import WandbServer

ROOT = Path(__file__).parents[2]
INFO = {
    source: RunInfo(Path("/runs/one"), "one", config_source=source)
    for source in ("own", "foreign", "saved")
}
THEIRS = Destination("online", "them", "theirs")
NOWHERE = Destination("offline", None, "mbrl")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in os.environ:
        if name.startswith("WANDB_") and name != "WANDB_SERVICE":
            monkeypatch.delenv(name)


def test_a_config_of_one_s_own_counts_as_it_is():
    assert permitted(INFO["own"], THEIRS) == THEIRS
    assert warning(INFO["own"], THEIRS, THEIRS) is None


@pytest.mark.parametrize("source", ["foreign", "saved"])
@pytest.mark.parametrize(
    ("mode", "typed", "variable", "used"),
    [
        ("online", None, None, "offline"),
        ("online", None, "", "offline"),
        ("online", None, "offline", "offline"),
        ("online", None, "online", "online"),
        ("online", "online", None, "online"),
        ("online", "offline", "online", "offline"),
        ("online", "disabled", "online", "disabled"),
        ("offline", None, None, "offline"),
        ("offline", None, "online", "online"),
        ("offline", "online", "offline", "online"),
        ("disabled", None, None, "disabled"),
        ("disabled", None, "offline", "disabled"),
        ("disabled", None, "online", "online"),
        ("disabled", "dryrun", None, "offline"),
        ("onlin", None, None, "offline"),
    ],
)
def test_the_mode_is_typed_or_the_shell_s_or_offline(
    monkeypatch, source, mode, typed, variable, used
):
    if variable is not None:
        monkeypatch.setenv("WANDB_MODE", variable)
    info = INFO[source] if typed is None else typing(INFO[source], mode=typed)
    assert permitted(info, Destination(mode, None, "mbrl")).mode == used
    trusted = replace(info, trust=("wandb", "mine"))  # says nothing of the mode
    assert permitted(trusted, Destination(mode, None, "mbrl")).mode == used


def typing(info: RunInfo, **settings: str) -> RunInfo:
    given = {f"logger.wandb.{name}": value for name, value in settings.items()}
    return replace(info, typed={**info.typed, **given})


@pytest.mark.parametrize(
    ("typed", "trust", "entity", "project"),
    [
        ({}, (), None, "mbrl"),
        ({}, ("wandbox", "mine"), None, "mbrl"),
        ({}, ("wandb",), "them", "theirs"),
        ({"entity": "them"}, (), "them", "mbrl"),
        ({"project": "theirs"}, (), None, "theirs"),
        ({"entity": "them", "project": "theirs"}, (), "them", "theirs"),
        ({"entity": "me", "project": "mine"}, (), None, "mbrl"),  # typed for another logger
    ],
)
@pytest.mark.parametrize("mode", ["offline", "online"])
def test_entity_and_project_of_foreign_files_count_if_typed_or_trusted(
    mode, typed, trust, entity, project
):
    info = replace(typing(INFO["foreign"], mode=mode, **typed), trust=trust)
    assert permitted(info, THEIRS) == (mode, entity, project)


def test_the_shell_s_entity_and_project_replace_those_of_foreign_files(monkeypatch):
    monkeypatch.setenv("WANDB_ENTITY", "me")
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    assert permitted(INFO["foreign"], THEIRS) == ("offline", "me", "mine")
    monkeypatch.setenv("WANDB_ENTITY", "them")
    assert permitted(INFO["foreign"], THEIRS) == ("offline", "them", "mine")


def test_what_is_typed_for_one_logger_does_not_count_for_another():
    info = replace(typing(INFO["foreign"], **THEIRS._asdict()), logger_name="other")
    assert permitted(info, THEIRS) == NOWHERE


def test_a_saved_run_keeps_its_destination_while_it_is_offline():
    assert permitted(INFO["saved"], THEIRS) == THEIRS._replace(mode="offline")


@pytest.mark.parametrize(
    ("typed", "trust", "environment", "to_type"),
    [
        ({}, (), {}, "logger.wandb.entity=them logger.wandb.project=theirs"),
        ({"entity": "them"}, (), {}, "logger.wandb.project=theirs"),
        ({}, (), {"WANDB_PROJECT": "theirs"}, "logger.wandb.entity=them"),
        ({}, (), {"WANDB_ENTITY": "me"}, "logger.wandb.entity=them logger.wandb.project=theirs"),
        ({"entity": "them", "project": "theirs"}, (), {}, None),
        ({}, ("wandb",), {}, None),
        ({}, (), {"WANDB_ENTITY": "them", "WANDB_PROJECT": "theirs"}, None),
    ],
)
def test_a_saved_destination_is_refused_online_unless_it_is_the_user_s(
    monkeypatch, typed, trust, environment, to_type
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    info = replace(typing(INFO["saved"], mode="online", **typed), trust=trust)
    if to_type is None:
        assert permitted(info, THEIRS) == THEIRS
        return
    sentence = (
        "logger.wandb.entity=them logger.wandb.project=theirs: a saved config does not decide "
        "where a run is uploaded. If this is where it belongs, type "
        f"{to_type}, or add trust=[wandb]."
    )
    with pytest.raises(ValueError, match=rf"^{re.escape(sentence)}$"):
        permitted(info, THEIRS)


def test_the_default_destination_may_be_uploaded():
    info = typing(INFO["saved"], mode="online")
    assert permitted(info, NOWHERE) == NOWHERE._replace(mode="online")


@pytest.mark.parametrize(
    ("wanted", "command"),
    [
        (NOWHERE._replace(mode="online"), "logger.wandb.mode=online"),
        (THEIRS, "logger.wandb.mode=online logger.wandb.entity=them logger.wandb.project=theirs"),
        (
            Destination("online", "a b\x1b[2J\n", "mbrl"),
            "logger.wandb.mode=online 'logger.wandb.entity=a b�[2J '",
        ),
    ],
)
def test_a_run_that_was_online_says_how_to_upload_it(wanted, command):
    message = warning(INFO["saved"], wanted, permitted(INFO["saved"], wanted))
    assert message.endswith(f"To upload it: python -m mbrl resume /runs/one {command}")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("trust", "variable", "typed", "own"),
    [
        ((), None, {}, "YOUR_ENTITY"),
        ((), "me; true", {}, "'me; true'"),
        ((), None, {"mode": "offline"}, "YOUR_ENTITY"),
        (("wandb",), None, {}, None),
        ((), "them", {}, None),
        ((), None, {"entity": "them"}, None),
    ],
)
def test_a_saved_entity_is_not_where_one_is_told_to_upload_to(
    monkeypatch, trust, variable, typed, own
):
    if variable:
        monkeypatch.setenv("WANDB_ENTITY", variable)
    info = replace(typing(INFO["saved"], **typed), trust=trust, folder=Path("/a b"))
    for entity in ("them", None):
        wanted = Destination("offline", entity, "theirs")
        message = warning(info, wanted, permitted(info, wanted))
        if entity is None or own is None:
            assert message is None
        else:
            assert message.startswith("logger.wandb.entity=them: set by the saved config")
            assert message.endswith(f": wandb sync --entity {own} '/a b'/wandb/offline-run-*")


@pytest.mark.parametrize(
    ("wanted", "beginning"),
    [
        (THEIRS, "logger.wandb.mode=online logger.wandb.entity=them logger.wandb.project=theirs:"),
        (NOWHERE._replace(entity="them"), "logger.wandb.entity=them: not used"),
        (NOWHERE._replace(mode="online"), "logger.wandb.mode=online: not used"),
        (NOWHERE, None),
    ],
)
def test_one_line_says_what_of_foreign_files_is_not_used(wanted, beginning):
    message = warning(INFO["foreign"], wanted, permitted(INFO["foreign"], wanted))
    assert message is None if beginning is None else message.startswith(beginning)
    assert message is None or "\n" not in message


@pytest.mark.parametrize("folder", ["wandb", ".wandb"])
def test_w_and_b_s_settings_in_the_working_directory_are_not_read_for_others(
    tmp_path, monkeypatch, folder
):
    monkeypatch.chdir(tmp_path)
    for info in INFO.values():
        check_working_directory(info)
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "settings").symlink_to(tmp_path / "nothing")
    check_working_directory(INFO["own"])
    for source in ("foreign", "saved"):
        check_working_directory(replace(INFO[source], trust=("wandb",)))
        with pytest.raises(ValueError, match=r"settings: W&B would read it.*trust=\[wandb\]"):
            check_working_directory(INFO[source])


@pytest.mark.parametrize("source", ["foreign", "saved"])
def test_the_logger_has_the_permitted_destination_whatever_its_name(
    tmp_path, monkeypatch, caplog, source
):
    given = {}

    def init(**arguments):
        given.update(arguments)
        raise wandb.Error("seen enough")

    monkeypatch.setattr(wandb, "init", init)
    info = replace(INFO[source], folder=tmp_path, logger_name="mine")
    WandbLogger(info, **THEIRS._asdict())
    expected = NOWHERE if source == "foreign" else THEIRS._replace(mode="offline")
    assert {name: given[name] for name in expected._asdict()} == expected._asdict()
    assert "logger.mine.mode=online" in caplog.text
    given.clear()
    (tmp_path / "wandb").mkdir(exist_ok=True)
    (tmp_path / "wandb" / "settings").write_text("[default]\nbase_url = http://127.0.0.1:9\n")
    monkeypatch.chdir(tmp_path)  # W&B reads this folder's settings
    with pytest.raises(ValueError, match="W&B would read it"):
        WandbLogger(info)
    assert given == {}


SMALL = ("training=smoke", "planner=random", "model=oracle", "training.env_steps=60")
FOREIGN = """# @package _global_
defaults: [{override /logger: online}]
logger: {wandb: {entity: them, project: theirs}}
"""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of W&B to which processes that a test starts are logged in."""
    with WandbServer() as server:
        variables = {
            "WANDB_BASE_URL": server.url,
            "WANDB_API_KEY": "0" * 40,
            "WANDB_CONFIG_DIR": str(tmp_path / "settings"),
            "NETRC": str(tmp_path / "netrc"),
            "PYTHONPATH": str(ROOT),
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        yield server


def mbrl(*arguments: str) -> str:
    """What `python -m mbrl <arguments>` prints."""
    command = [sys.executable, "-m", "mbrl", *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


@pytest.mark.slow
def test_a_resumed_run_uploads_only_by_the_command_that_it_prints(server):
    mbrl("run", *SMALL, "logger=online", "logger.wandb.project=mine", "hydra.run.dir=one")
    [(run_id, destination)] = server.destinations.items()
    assert destination == ("entity", "mine")
    num_rows, num_requests = len(server.rows[run_id]), server.num_requests
    assert num_rows > 0
    printed = mbrl("resume", "one", "training.env_steps=80")
    assert server.num_requests == num_requests
    summary = Path("one", "summary.json").read_text()
    command = [sys.executable, "-m", "mbrl", "resume", "one", "logger=online"]
    more = "training.env_steps=90"
    refused = subprocess.run([*command, more], capture_output=True, text=True)
    assert refused.stderr.startswith("Error: logger.wandb.entity=null logger.wandb.project=mine: a")
    assert Path("one", "summary.json").read_text() == summary
    [line] = [line for line in printed.splitlines() if "was online in W&B" in line]
    _, _, command = line.partition("python -m mbrl ")
    mbrl(*shlex.split(command), "training.env_steps=100")
    assert server.destinations == {run_id: ("entity", "mine")}
    assert len(server.rows[run_id]) > num_rows


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "num_jobs"), [("basic", 1), ("joblib", 2)])
def test_a_sweep_of_one_s_own_is_online_in_all_its_jobs(server, launcher, num_jobs):
    online = ("logger=online", "logger.wandb.project=mine")
    seeds = ("seed=0,1" if num_jobs == 2 else "seed=0", f"hydra/launcher={launcher}")
    mbrl("run", "-m", *SMALL, *online, *seeds, "hydra.sweep.dir=sweep")
    assert list(server.destinations.values()) == [("entity", "mine")] * num_jobs
    num_rows = [len(rows) for rows in server.rows.values()]
    mbrl("resume", "sweep", "training.env_steps=80", *online)
    assert [len(rows) for rows in server.rows.values()] > num_rows


@pytest.mark.slow
@pytest.mark.parametrize("sweep", [False, True], ids=["run", "sweep"])
def test_foreign_files_neither_upload_nor_name_the_destination(server, tmp_path, sweep):
    (tmp_path / "their" / "experiment").mkdir(parents=True)
    (tmp_path / "their" / "experiment" / "theirs.yaml").write_text(FOREIGN)
    command = ["run", "-m"] if sweep else ["run"]
    command += ["--config-dir=their", "experiment=theirs", *SMALL]
    command += ["hydra/launcher=joblib"] if sweep else []
    printed = mbrl(*command, "hydra.run.dir=one", "hydra.sweep.dir=one")
    assert server.num_requests == 0
    assert printed.count("logger.wandb.entity=them logger.wandb.project=theirs: not used") == 1
    mbrl(*command, "hydra.run.dir=two", "hydra.sweep.dir=two", "logger=online")
    assert list(server.destinations.values()) == [("entity", "mbrl")]
