import json
import logging
import os
import signal
import subprocess
import sys
import time
from unittest.mock import ANY

import pytest
import wandb
from wandb.sdk.lib import wbauth

from mbrl.loggers.wandb import WandbLogger

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
def _nobody_logged_in(tmp_path, monkeypatch):
    for name in [
        name for name in os.environ if name.startswith("WANDB_") and name != "WANDB_SERVICE"
    ]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "no-settings"))


@pytest.fixture
def dead_server(monkeypatch):
    """W&B as if its server were down; W&B reads the environment once a process."""
    wandb.teardown()
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    yield
    wandb.teardown()
    wbauth.unauthenticate_session(update_settings=False)


def start(folder, **arguments):
    folder.mkdir(exist_ok=True)
    arguments = {
        "config": {"seed": 0},
        "name": "run",
        "group": "sweep",
        "total_env_steps": 100,
    } | arguments
    return WandbLogger(folder, **arguments)


def runs_in(folder):
    return sorted((folder / "wandb").glob("offline-run-*"))


def records(run_folder):
    """What an offline run holds, as W&B's own reader prints it: one record after the other."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(run_folder)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def rows_of(found):
    """The rows among the records, without what W&B adds."""
    items = [record["history"]["item"] for record in found if record["type"] == "history"]
    return [
        {name: value for name, value in item.items() if not name.startswith("_")} for item in items
    ]


def test_an_offline_run_read_back(tmp_path, capfd):
    config = {"seed": 3, "env": {"kwargs": {1: tmp_path}}}
    logger = start(
        tmp_path, config=config, name="3_seed=3", project="somewhere", tags=["cem", "test"]
    )
    for row in ROWS:
        logger.log(row)
    logger.finish("completed")

    [folder] = runs_in(tmp_path)
    found = records(folder)
    read = rows_of(found)
    histogram = {
        name: value
        for name, value in read[2].items()
        if name.startswith("evaluation/returns_histogram")
    }
    assert [
        {name: value for name, value in row.items() if name not in histogram} for row in read
    ] == ROWS
    assert sum(histogram["evaluation/returns_histogram.values"]) == 2

    [run] = [record["run"] for record in found if record["type"] == "run"]
    assert (run["project"], run["run_group"], run["display_name"], run["tags"]) == (
        "somewhere",
        "sweep",
        "3_seed=3",
        ["cem", "test"],
    )
    recorded = run["config"]["update"]
    assert (recorded["seed"], recorded["env"]) == (3, {"kwargs": {"1": str(tmp_path)}})
    axes = {
        metric.get("glob_name"): metric.get("step_metric")
        for metric in (r["metric"] for r in found if r["type"] == "metric")
    }
    assert axes["*"] == "env_steps"
    assert found[-1]["exit"]["exit_code"] == 0
    assert capfd.readouterr() == ("", "")


def test_runs_of_one_process_stay_apart(tmp_path):
    endings = {"failed": 1, "interrupted": 255}
    for status in endings:
        logger = start(tmp_path / status, name=status)
        logger.log({"env_steps": len(status), "wall_seconds": 0.0})
        logger.finish(status)
    for status, exit_code in endings.items():
        [folder] = runs_in(tmp_path / status)
        found = records(folder)
        assert rows_of(found) == [{"env_steps": len(status), "wall_seconds": 0.0}]
        assert found[-1]["exit"].get("exit_code") == exit_code


def test_a_run_that_nobody_finished_does_not_swallow_the_next(tmp_path):
    unfinished = start(tmp_path / "unfinished")
    logger = start(tmp_path / "next")
    logger.log({"env_steps": 7, "wall_seconds": 0.0})
    logger.finish("completed")
    unfinished.finish("failed")
    [folder] = runs_in(tmp_path / "next")
    assert rows_of(records(folder)) == [{"env_steps": 7, "wall_seconds": 0.0}]


def test_a_resumed_run_goes_on_in_a_second_folder(tmp_path, capfd):
    for rows, rows_before in ((ROWS[:2], 0), (ROWS[2:], 2)):
        logger = start(tmp_path, run_id="mine", rows_before=rows_before)
        for row in rows:
            logger.log(row)
        logger.finish("completed")
    first, second = runs_in(tmp_path)
    for folder, steps in ((first, [0, 1]), (second, [2])):
        found = records(folder)
        assert [record["run"]["run_id"] for record in found if record["type"] == "run"] == ["mine"]
        history = [record["history"] for record in found if record["type"] == "history"]
        assert [int(item["item"]["_step"]) for item in history] == steps
        assert [item["item"]["env_steps"] for item in history] == [
            ROWS[step]["env_steps"] for step in steps
        ]
    assert capfd.readouterr() == ("", "")


def test_what_is_not_finite_is_null(tmp_path):
    logger = start(tmp_path)
    logger.log(
        {
            "env_steps": 1,
            "wall_seconds": 0.0,
            "loss/value": float("nan"),
            "evaluation/returns": [float("nan")],
        }
    )
    logger.finish("completed")
    [folder] = runs_in(tmp_path)
    assert rows_of(records(folder)) == [
        {"env_steps": 1, "wall_seconds": 0.0, "loss/value": None, "evaluation/returns": [None]}
    ]


def test_online_without_a_login_is_one_sentence_and_no_prompt(tmp_path):
    sentence = r"^logger.wandb.mode=online needs a W&B account, but nobody is logged in: run `wandb login`, .* logger=wandb .*\.$"
    with pytest.raises(ValueError, match=sentence) as raised:
        start(tmp_path, mode="online")
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_online_with_a_login_that_cannot_be_one(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "short")
    with pytest.raises(
        ValueError, match=r"the login is not valid \(WANDB_API_KEY invalid.*\): run `wandb login`"
    ):
        start(tmp_path, mode="online")


def test_a_server_that_is_down_is_not_waited_for(tmp_path, dead_server, caplog):
    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        logger = start(tmp_path, mode="online", init_timeout=1.0, finish_timeout=1.0)
    logger.log(ROWS[0])
    logger.finish("completed")
    assert time.monotonic() - started < 15
    assert caplog.text.count("W&B could not start a run in mode online") == 1
    [folder] = runs_in(tmp_path)
    assert rows_of(records(folder)) == [ROWS[0]]


def test_the_death_of_its_process_is_warned_of_once_and_the_next_run_works(tmp_path, caplog):
    logger = start(tmp_path / "broken")
    process = wandb.setup()._connection._proc._process
    process.kill()
    process.wait()
    with caplog.at_level(logging.WARNING, "mbrl"):
        for row in ROWS * 100:
            logger.log(row)
        logger.finish("failed")
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("mbrl")]
    assert len(warnings) == 1
    assert "the run goes on" in warnings[0]
    following = start(tmp_path / "following")
    following.log(ROWS[0])
    following.finish("completed")
    [folder] = runs_in(tmp_path / "following")
    assert rows_of(records(folder)) == [ROWS[0]]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["log", "finish"])
def test_a_stuck_process_is_not_waited_for(tmp_path, monkeypatch, caplog, moment):
    monkeypatch.setattr("mbrl.loggers.wandb.GRACE", 1.0)
    logger = start(tmp_path, finish_timeout=1.0)
    wandb.setup()._connection._proc._process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    with caplog.at_level(logging.WARNING, "mbrl"):
        for row in ROWS * (
            5000 if moment == "log" else 1
        ):  # what the process does not read fills its socket at last
            logger.log(row)
        logger.finish("completed")
    assert time.monotonic() - started < 15
    assert [record.getMessage() for record in caplog.records if record.name.startswith("mbrl")] == [
        ANY
    ]
    following = start(tmp_path / "following")
    following.log(ROWS[0])
    following.finish("completed")
    [folder] = runs_in(tmp_path / "following")
    assert rows_of(records(folder)) == [ROWS[0]]


def test_w_and_b_that_cannot_start_does_not_stop_the_run(tmp_path, monkeypatch, caplog):
    def fail(**arguments):
        raise OSError("no room for another process")

    monkeypatch.setattr(wandb, "init", fail)
    with caplog.at_level(logging.WARNING):
        logger = start(tmp_path)
        logger.log(ROWS[0])
        logger.finish("completed")
    assert caplog.text.count("no room for another process") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"mode": "onlin"}, r"logger.wandb.mode=onlin must be 'offline' or 'online'\."),
        (
            {"init_timeout": 0},
            r"^logger.wandb.init_timeout=0 must be positive: it is how many seconds",
        ),
        (
            {"finish_timeout": -1},
            r"^logger.wandb.finish_timeout=-1 must be positive: it is how many seconds",
        ),
        ({"project": "a/b"}, "refuses a setting of logger.wandb: Invalid project name 'a/b'"),
        (
            {"tags": ["x" * 65]},
            "refuses a setting of logger.wandb: .*Tags must be between 1 and 64 characters",
        ),
    ],
)
def test_what_w_and_b_refuses_is_said_at_once(tmp_path, arguments, sentence):
    with pytest.raises(ValueError, match=sentence) as raised:
        start(tmp_path, **arguments)
    assert "\n" not in str(raised.value)


@pytest.fixture
def agent(monkeypatch):
    """As `wandb agent` starts a run of its sweep; W&B reads the environment once a process."""
    wandb.teardown()
    names = {"SWEEP_ID": "sw33p", "RUN_ID": "ag3nt", "PROJECT": "theirs", "ENTITY": "them"}
    for name, value in names.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    yield
    wandb.teardown()


@pytest.mark.usefixtures("agent")
def test_under_an_agent_the_run_is_the_agent_s(tmp_path):
    logger = start(tmp_path, run_id="mine", project="ours", name="shown")
    for row in ROWS:
        logger.log(row)
    logger.finish("completed")
    [folder] = runs_in(tmp_path)
    found = records(folder)
    [run] = [record["run"] for record in found if record["type"] == "run"]
    assert (run["run_id"], run["sweep_id"], run["project"], run["entity"]) == (
        "ag3nt",
        "sw33p",
        "theirs",
        "them",
    )
    assert run["display_name"] == "shown"
    assert len(rows_of(found)) == len(ROWS)


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize(
    ("rows_before", "identity"),
    [(0, {"id": None, "resume": None}), (2, {"id": "ag3nt", "resume": "allow"})],
    ids=["begun", "resumed"],
)
def test_under_an_agent_only_what_has_rows_is_taken_up(
    tmp_path, monkeypatch, rows_before, identity
):
    given = {}

    def init(**arguments):
        given.update(arguments)
        raise wandb.Error("seen enough")

    monkeypatch.setattr(wandb, "init", init)
    start(tmp_path, run_id="ag3nt", rows_before=rows_before)
    assert {name: given[name] for name in identity} == identity


def test_a_run_id_without_a_sweep_is_no_agent_s(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "stray")
    wandb.teardown()
    logger = start(tmp_path, run_id="mine")
    logger.finish("completed")
    [folder] = runs_in(tmp_path)
    assert folder.name.endswith("-mine")
    wandb.teardown()
