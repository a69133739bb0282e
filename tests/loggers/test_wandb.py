import json
import logging
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import pytest
import wandb
from wandb.util import get_core_path

from mbrl.config.compose import compose
from mbrl.config.resolve import resolve
from mbrl.errors import ConfigError
from mbrl.experiment import build_loggers
from mbrl.loggers.destination import VARIABLES
from mbrl.loggers.wandb import WandbLogger
from mbrl.run_info import RunInfo
from mbrl.wandb_internals import background_process, log_out
from tests.configs import new_run_info

ROWS = [
    {"env_steps": 20, "wall_seconds": 0.1, "episode/return": 20.0, "episode/length": 20},
    {"env_steps": 40, "wall_seconds": 0.1 + 0.2, "loss/dynamics": 1 / 3, "loss/value": None},
    {
        "env_steps": 40,
        "wall_seconds": 0.5,
        "evaluation/return_mean": 15.0,
        "evaluation/returns": [10.0, 20.0],
    },
]


@pytest.fixture(autouse=True)
def _logged_out(tmp_path, monkeypatch):
    for name in os.environ:
        if name.startswith("WANDB_") and name != "WANDB_SERVICE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "no-settings"))


@pytest.fixture
def unreachable_server(monkeypatch):
    wandb.teardown()  # W&B reads the environment once per process
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    yield
    wandb.teardown()
    log_out()


CHOICES = {"env": "cartpole", "model": "mlp", "planner": "cem", "training": "smoke"}


def start(folder, *, name="run", config=None, run_id=None, num_rows=0, **settings):
    folder.mkdir(exist_ok=True)
    config = {"seed": 0} if config is None else config
    info = RunInfo(folder, name, "sweep", CHOICES, config=config, num_rows=num_rows)
    info = replace(info, num_parameters={"model": 30, "value": 20})
    info = info if run_id is None else replace(info, run_id=run_id)
    return WandbLogger(info, **settings)


def runs_in(folder):
    return sorted((folder / "wandb").glob("offline-run-*"))


def records(run_folder):
    """The records of an offline run, as `wandb leet inspect --json` prints them."""
    [file] = run_folder.glob("run-*.wandb")
    # Straight from W&B's binary, since the command line imports wandb first.
    command = [get_core_path(), "leet", "inspect", "--no-observability", "--json"]
    command += ["--run-file", str(file), str(run_folder.parent)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def run_record(found):
    [run] = [record["run"] for record in found if record["type"] == "run"]
    return run


def rows_of(found):
    """The rows among the records, without the values that W&B adds."""
    items = [record["history"]["item"] for record in found if record["type"] == "history"]
    return [
        {name: value for name, value in item.items() if not name.startswith("_")} for item in items
    ]


def assert_a_run_works(folder):
    logger = start(folder)
    logger.log(ROWS[0])
    logger.finish("completed")
    [run] = runs_in(folder)
    assert rows_of(records(run)) == [ROWS[0]]


def test_an_offline_run_contains_rows_config_and_names(tmp_path, capfd):
    config = {"seed": 3, "env": {"kwargs": {1: tmp_path}}, "planner": {"horizon": 15}}
    tags = ["cem", "test"]
    logger = start(tmp_path, config=config, name="3_seed=3", project="somewhere", tags=tags)
    for row in ROWS:
        logger.log(row)
    logger.finish("completed")

    [folder] = runs_in(tmp_path)
    found = records(folder)
    read = rows_of(found)
    histogram = [name for name in read[2] if name.startswith("evaluation/returns_histogram")]
    assert sum(read[2]["evaluation/returns_histogram.values"]) == 2
    for name in histogram:
        del read[2][name]
    assert read == ROWS

    run = run_record(found)
    identity = run["project"], run["run_group"], run["display_name"], run["tags"]
    assert identity == ("somewhere", "sweep", "3_seed=3", tags)
    recorded = run["config"]["update"]
    del recorded["_wandb"]
    assert recorded == {
        "env": "cartpole",
        "model": "mlp",
        "planner": "cem",
        "seed": 3,
        "num_parameters": {"model": 30, "value": 20},
        "settings": config | {"env": {"kwargs": {"1": str(tmp_path)}}},
    }
    metrics = [record["metric"] for record in found if record["type"] == "metric"]
    axes = {metric.get("glob_name"): metric.get("step_metric") for metric in metrics}
    assert axes["*"] == "env_steps"
    assert found[-1]["exit"]["exit_code"] == 0
    assert capfd.readouterr() == ("", "")


def test_runs_of_one_process_are_separate(tmp_path):
    exit_codes = {"failed": 1, "interrupted": 255}
    for status in exit_codes:
        logger = start(tmp_path / status, name=status)
        logger.log({"env_steps": len(status), "wall_seconds": 0.0})
        logger.finish(status)
    for status, exit_code in exit_codes.items():
        [folder] = runs_in(tmp_path / status)
        found = records(folder)
        assert rows_of(found) == [{"env_steps": len(status), "wall_seconds": 0.0}]
        assert found[-1]["exit"].get("exit_code") == exit_code


def test_an_unfinished_run_does_not_receive_the_rows_of_the_next(tmp_path):
    unfinished = start(tmp_path / "unfinished")
    assert_a_run_works(tmp_path / "next")
    unfinished.finish("failed")


def test_a_resumed_offline_run_continues_in_a_second_folder(tmp_path, capfd):
    for rows, num_rows in ((ROWS[:2], 0), (ROWS[2:], 2)):
        logger = start(tmp_path, run_id="mine", num_rows=num_rows)
        for row in rows:
            logger.log(row)
        logger.finish("completed")
    first, second = runs_in(tmp_path)
    for folder, steps in ((first, [0, 1]), (second, [2])):
        found = records(folder)
        assert run_record(found)["run_id"] == "mine"
        history = [record["history"]["item"] for record in found if record["type"] == "history"]
        assert [int(item["_step"]) for item in history] == steps
        assert [item["env_steps"] for item in history] == [
            ROWS[step]["env_steps"] for step in steps
        ]
    assert capfd.readouterr() == ("", "")


def test_values_that_are_not_finite_are_null(tmp_path):
    logger = start(tmp_path)
    times = {"env_steps": 1, "wall_seconds": 0.0}
    logger.log(times | {"loss/value": None, "evaluation/returns": [None]})
    logger.finish("completed")
    [folder] = runs_in(tmp_path)
    assert rows_of(records(folder)) == [times | {"loss/value": None, "evaluation/returns": [None]}]


def test_online_without_a_login_is_refused_without_a_prompt(tmp_path):
    message = (
        r"^logger.wandb.mode=online: needs a W&B account, but no login was found. "
        r"Run `wandb login`, .* logger\.wandb\.mode=offline\.$"
    )
    with pytest.raises(ValueError, match=message) as raised:
        start(tmp_path, mode="online")
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_online_with_an_invalid_key_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "short")
    message = r"the login is not valid \(.*WANDB_API_KEY.*\). Run `wandb login`"
    with pytest.raises(ValueError, match=message):
        start(tmp_path, mode="online")


def test_an_unreachable_server_delays_the_run_by_seconds_and_the_run_is_recorded_offline(
    tmp_path, unreachable_server, caplog
):
    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        logger = start(tmp_path, mode="online", init_timeout=1.0, finish_timeout=1.0)
    logger.log(ROWS[0])
    logger.finish("completed")
    assert time.monotonic() - started < 15
    assert caplog.text.count("W&B could not start a run in mode online") == 1
    [folder] = runs_in(tmp_path)
    assert rows_of(records(folder)) == [ROWS[0]]


def test_the_death_of_w_and_b_s_process_gives_one_warning_and_the_next_run_works(tmp_path, caplog):
    logger = start(tmp_path / "broken")
    process = background_process()
    process.kill()
    process.wait()
    with caplog.at_level(logging.WARNING, "mbrl"):
        for row in ROWS * 100:
            logger.log(row)
        logger.finish("failed")
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("mbrl")]
    assert len(warnings) == 1
    assert "The run continues" in warnings[0]
    assert_a_run_works(tmp_path / "following")


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["log", "finish"])
def test_a_stuck_w_and_b_process_delays_the_run_by_seconds(tmp_path, caplog, moment):
    logger = start(tmp_path, finish_timeout=1.0, grace=1.0)
    background_process().send_signal(signal.SIGSTOP)
    started = time.monotonic()
    with caplog.at_level(logging.WARNING, "mbrl"):
        # The socket buffers some thousand rows that the process does not read.
        for row in ROWS * (5000 if moment == "log" else 1):
            logger.log(row)
        logger.finish("completed")
    assert time.monotonic() - started < 15
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("mbrl")]
    assert warnings == [ANY]
    assert_a_run_works(tmp_path / "following")


def test_the_run_continues_if_w_and_b_cannot_start(tmp_path, monkeypatch, caplog):
    def fail(**arguments):
        raise OSError("cannot start a process")

    monkeypatch.setattr(wandb, "init", fail)
    with caplog.at_level(logging.WARNING):
        logger = start(tmp_path)
        logger.log(ROWS[0])
        logger.finish("completed")
    assert caplog.text.count("cannot start a process") == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"mode": "onlin"},
            r"^logger.wandb.mode=onlin: must be one of offline, online, disabled\.$",
        ),
        ({"init_timeout": 0}, r"^logger.wandb.init_timeout=0: must be positive, in seconds"),
        (
            {"init_timeout": 1e30},
            r"^logger.wandb.init_timeout=1e\+30: must be positive.* at most \d",
        ),
        ({"finish_timeout": -1}, r"^logger.wandb.finish_timeout=-1: must be positive"),
        ({"grace": 0.0}, r"^logger.wandb.grace=0.0: must be positive"),
        ({"project": "a/b"}, "refuses a setting of logger.wandb: Invalid project name 'a/b'"),
        (
            {"tags": ["x" * 65]},
            "refuses a setting of logger.wandb: .*Tags must be between 1 and 64 characters",
        ),
    ],
)
def test_invalid_settings_are_refused_in_one_line(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message) as raised:
        start(tmp_path, **settings)
    assert "\n" not in str(raised.value)


@pytest.fixture
def fresh_process():
    """W&B reads the environment once per process."""
    wandb.teardown()
    yield
    wandb.teardown()


GIVEN = {
    "WANDB_MODE": "offline",
    "WANDB_PROJECT": "theirs",
    "WANDB_ENTITY": "them",
    "WANDB_NAME": "shown",
    "WANDB_RUN_GROUP": "thesis",
    "WANDB_TAGS": "one,two",
}


def wandb_settings(*overrides):
    return resolve(compose(overrides)).tree.logger.wandb


@pytest.mark.parametrize(("setting", "variable"), VARIABLES.items())
def test_a_variable_wins_over_the_default_and_the_command_line_over_both(
    monkeypatch, setting, variable
):
    default = wandb_settings()[setting]
    monkeypatch.setenv(variable, "theirs")
    assert default != wandb_settings()[setting] == "theirs"
    assert wandb_settings(f"logger.wandb.{setting}=mine")[setting] == "mine"


def test_logger_online_is_online_whatever_the_mode_of_the_shell(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert wandb_settings("logger=online").mode == "online"


@pytest.mark.usefixtures("fresh_process")
def test_all_variables_reach_wandb(tmp_path, monkeypatch):
    for name, value in {**GIVEN, "WANDB_DIR": str(tmp_path / "scratch")}.items():
        monkeypatch.setenv(name, value)
    config = compose(["~logger.console"])
    (tmp_path / "run").mkdir()
    for logger in build_loggers(resolve(config), new_run_info(config, tmp_path / "run")):
        logger.finish("completed")
    [folder] = runs_in(tmp_path / "scratch")
    run = run_record(records(folder))
    names = ("project", "entity", "display_name", "run_group", "tags")
    assert [run[name] for name in names] == ["theirs", "them", "shown", "thesis", ["one", "two"]]
    assert not (tmp_path / "run" / "wandb").exists()


@pytest.mark.usefixtures("fresh_process")
def test_a_resumed_run_keeps_its_settings_and_says_which_variables_it_does_not_use(
    tmp_path, monkeypatch, caplog
):
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    settings = {"project": "ours", "entity": "us", "group": "ours", "tags": "a"}
    with caplog.at_level(logging.WARNING):
        start(tmp_path, name="mine", num_rows=2, **settings).finish("completed")
    [folder] = runs_in(tmp_path)
    run = run_record(records(folder))
    names = ("project", "entity", "display_name", "run_group", "tags")
    assert [run[name] for name in names] == ["ours", "us", "mine", "ours", ["a"]]
    unused = [record.getMessage().partition("=")[0] for record in caplog.records]
    assert sorted(unused) == sorted(GIVEN.keys() - {"WANDB_MODE"})


def test_a_new_run_whose_project_was_typed_notes_the_variable_in_its_log(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    with caplog.at_level(logging.INFO):
        start(tmp_path, mode="disabled", project="ours")
    [record] = caplog.records
    assert record.levelname == "INFO"
    assert record.getMessage() == (
        "WANDB_PROJECT=theirs is not used, since this run has logger.wandb.project=ours."
    )


def test_disabled_starts_nothing_and_writes_nothing(tmp_path, monkeypatch):
    wandb.teardown()
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "scratch"))
    logger = start(tmp_path, mode="disabled", upload_checkpoint=True)
    for row in ROWS:
        logger.log(row)
    logger.finish("completed")
    assert list(tmp_path.iterdir()) == []
    assert background_process() is None


@pytest.mark.usefixtures("fresh_process")
@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("WANDB_MODE", "onlin", r"^WANDB_MODE=onlin: must be one of offline, online, disabled\.$"),
        ("WANDB_MODE", "online", r"^WANDB_MODE=online: needs a W&B account, but no login"),
        ("WANDB_PROJECT", "a/b", r"the environment \(WANDB_PROJECT=a/b\): Invalid project name"),
        ("WANDB_TAGS", "x" * 65, r"the environment \(WANDB_TAGS=x+\): .* 1 and 64 characters"),
        ("WANDB_TAGS", "a,,b", r"the environment \(WANDB_TAGS=a,,b\): .*Tag at index 1 is empty"),
        ("WANDB_DIR", __file__, r"^WANDB_DIR=.*test_wandb\.py: must be a folder that can be"),
    ],
)
def test_an_invalid_variable_is_refused_by_its_name(
    tmp_path, monkeypatch, variable, value, message
):
    monkeypatch.setenv(variable, value)
    config = compose(["~logger.console"])
    with pytest.raises(ConfigError, match=message):
        list(build_loggers(resolve(config), new_run_info(config, tmp_path)))
    assert not (tmp_path / "wandb").exists()


@pytest.mark.usefixtures("fresh_process")
@pytest.mark.parametrize("mode", ["", "dryrun"])
def test_an_empty_variable_counts_as_not_set(tmp_path, monkeypatch, mode):
    for name in VARIABLES.values():
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("WANDB_MODE", mode)
    config = compose(["~logger.console"])
    info = new_run_info(config, tmp_path)
    for logger in build_loggers(resolve(config), info):
        logger.finish("completed")
    [folder] = runs_in(tmp_path)
    run = run_record(records(folder))
    assert (run["project"], run["display_name"]) == ("mbrl", info.name)
    assert run["tags"] == ["cartpole", "ensemble", "cem"]


def test_the_default_tags_are_the_options_of_env_model_and_planner(tmp_path):
    for name, tags in (("default", None), ("none", [])):
        start(tmp_path / name, tags=tags).finish("completed")
        [folder] = runs_in(tmp_path / name)
        expected = ["cartpole", "mlp", "cem"] if tags is None else []
        assert run_record(records(folder)).get("tags", []) == expected


def save_checkpoints(folder):
    """Two at the same step, of which the later is newer whatever its name."""
    (folder / "checkpoint").mkdir(parents=True)
    for age, digest in ((0, "0" * 16), (9, "f" * 16)):
        path = folder / "checkpoint" / f"{60:012}-{digest}.npz"
        path.write_text(digest)
        os.utime(path, (time.time() - age, time.time() - age))


def test_the_last_checkpoint_is_an_artifact_on_request(tmp_path):
    for name, on_request in (("with", True), ("without", False)):
        save_checkpoints(tmp_path / name)
        start(tmp_path / name, run_id="mine", upload_checkpoint=on_request).finish("completed")
        [folder] = runs_in(tmp_path / name)
        found = [record["artifact"] for record in records(folder) if "artifact" in record]
        assert len(found) == on_request
    [folder] = runs_in(tmp_path / "with")
    [artifact] = [record["artifact"] for record in records(folder) if "artifact" in record]
    assert (artifact["type"], artifact["name"]) == ("model", "checkpoint-mine")
    [file] = artifact["manifest"]["contents"]
    assert file["path"] == f"{60:012}-{'0' * 16}.npz"
    # A resumed run removes old checkpoints, maybe before `wandb sync` reads them.
    assert Path(file["local_path"]).parent == folder
    assert Path(file["local_path"]).read_text() == "0" * 16


@pytest.mark.parametrize("function", ["shutil.copy2", "mbrl.loggers.wandb.checkpoint_files"])
def test_a_checkpoint_that_cannot_be_recorded_costs_nothing_else(
    tmp_path, monkeypatch, caplog, function
):
    def fail(*arguments):
        raise OSError("no space left")

    save_checkpoints(tmp_path)
    monkeypatch.setattr(function, fail)
    logger = start(tmp_path, upload_checkpoint=True)
    logger.log(ROWS[0])
    with caplog.at_level(logging.WARNING):
        logger.finish("completed")
    assert caplog.text.count("did not record the checkpoint") == 1
    [folder] = runs_in(tmp_path)
    found = records(folder)
    assert rows_of(found) == [ROWS[0]]
    assert found[-1]["exit"]["exit_code"] == 0


@pytest.fixture
def agent(monkeypatch):
    """The environment in which `wandb agent` starts a run of its sweep."""
    wandb.teardown()  # W&B reads the environment once per process
    names = {"SWEEP_ID": "sw33p", "RUN_ID": "ag3nt", "PROJECT": "theirs", "ENTITY": "them"}
    for name, value in names.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    yield
    wandb.teardown()


@pytest.mark.usefixtures("agent")
def test_under_an_agent_the_run_has_the_agent_s_id_and_project(tmp_path):
    logger = start(tmp_path, run_id="mine", project="ours", name="shown")
    for row in ROWS:
        logger.log(row)
    logger.finish("completed")
    [folder] = runs_in(tmp_path)
    found = records(folder)
    run = run_record(found)
    identity = run["run_id"], run["sweep_id"], run["project"], run["entity"]
    assert identity == ("ag3nt", "sw33p", "theirs", "them")
    assert run["display_name"] == "shown"
    assert len(rows_of(found)) == len(ROWS)


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize(
    ("num_rows", "identity"),
    [(0, {"id": None, "resume": None}), (2, {"id": "ag3nt", "resume": "allow"})],
    ids=["new", "resumed"],
)
def test_under_an_agent_only_a_run_with_rows_is_resumed(tmp_path, monkeypatch, num_rows, identity):
    given = {}

    def init(**arguments):
        given.update(arguments)
        raise wandb.Error("seen enough")

    monkeypatch.setattr(wandb, "init", init)
    start(tmp_path, run_id="ag3nt", num_rows=num_rows)
    assert {name: given[name] for name in identity} == identity


def test_a_wandb_run_id_without_a_sweep_is_ignored(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "stray")
    wandb.teardown()
    logger = start(tmp_path, run_id="mine")
    logger.finish("completed")
    [folder] = runs_in(tmp_path)
    assert folder.name.endswith("-mine")
    wandb.teardown()
