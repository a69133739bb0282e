import json
import os

import pytest
import yaml

from mbrl.analysis.records import UnreadableRun, read_records
from mbrl.config.compose import compose
from mbrl.config.resolve import resolve
from mbrl.errors import printable
from mbrl.runs.folder import lock
from tests.analysis.made_runs import make_run, settings


def test_runs_are_found_at_any_depth(tmp_path):
    for name in (
        "runs/2026-01-01/12-00_a",
        "sweeps/2026-01-01/13-00/10_seed=1",
        "sweeps/2026-01-01/13-00/9_seed=0",
        "alone",
    ):
        make_run(tmp_path / name)
    for hidden in ("runs/2026-01-01/12-00_a/.hydra", "runs/.trash/b", "wandb/c", "checkpoint/d"):
        make_run(tmp_path / hidden)
    (tmp_path / "empty").mkdir()
    (tmp_path / "runs" / "loop").symlink_to(tmp_path)
    records, unreadable = read_records([tmp_path, tmp_path / "alone"])
    names = [record.folder.name for record in records]
    assert names == ["alone", "12-00_a", "9_seed=0", "10_seed=1"]
    assert not unreadable


def test_a_run_is_read(tmp_path):
    error = "ValueError: no"
    make_run(tmp_path / "run", (1.0, 2.0), status="failed", error=error, seed=3, planner="mcts")
    [record], _ = read_records([tmp_path])
    assert (record.status, record.error) == ("failed", error)
    assert (record.environment, record.seed) == ("CartPole-v1", 3)
    assert (record.budget, record.env_steps) == (100, 100)
    assert (record.wall_seconds, record.score) == (10.0, 2.0)
    assert (record.solved_score, record.random_score) == (475, 22.1)
    assert record.choices["planner"] == "mcts"
    assert record.settings["planner.num_simulations"] == "48"


def test_the_status_of_runs(tmp_path):
    for status in ("completed", "failed", "interrupted", "killed", "running", None):
        make_run(tmp_path / str(status), status=status)
    descriptor = lock(tmp_path / "running")
    try:
        records, _ = read_records([tmp_path])
    finally:
        os.close(descriptor)
    states = {record.folder.name: record.status for record in records}
    assert states.pop("None") == "never started"
    assert all(folder == status for folder, status in states.items())
    # The steps of a run that did not end are those of its rows.
    active = [record for record in records if record.status in ("killed", "running")]
    assert {record.env_steps for record in active} == {100}


def test_a_composed_config_is_read_completely(tmp_path):
    make_run(tmp_path / "run")
    (tmp_path / "run" / "config.yaml").write_text(
        resolve(compose(["env=pendulum", "planner=mcts"])).to_yaml()
    )
    [record], _ = read_records([tmp_path])
    assert record.settings["model.fit_model.optimizer._target_"] == "optax.adamw"
    assert record.settings["model.fit_model.optimizer.learning_rate"] == "0.001"
    assert (record.budget, record.random_score) == (1000, -1235.9)


CONFIGS = {
    "not YAML": "a: [1, 2",
    "no mapping": "[1, 2]",
    "empty": "",
    "python object": "!!python/object/apply:os.system ['touch {canary}']",
    "deep lists": "a: " + "[" * 100_000,
    "an endless number": "seed: " + "9" * 10_000,
    "no text": b"\xff\xfe\x00",
    "no environment": "seed: 0\ntraining: {env_steps: 1}\n",
    "an environment that is none": "seed: 0\nenv: 3\ntraining: {env_steps: 1}\n",
    "no seed": yaml.safe_dump(settings() | {"seed": "x"}),
    "a score that is none": yaml.safe_dump(settings(env__solved_score="high")),
    "a budget that is none": yaml.safe_dump(settings(training__env_steps=[3])),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_an_invalid_config_is_reported_and_the_other_runs_are_read(tmp_path, name):
    bad, canary = make_run(tmp_path / "bad"), tmp_path / "canary"
    make_run(tmp_path / "good")
    content = CONFIGS[name]
    (bad / "config.yaml").write_bytes(
        content if isinstance(content, bytes) else content.replace("{canary}", str(canary)).encode()
    )
    records, [unreadable] = read_records([tmp_path])
    assert [record.folder.name for record in records] == ["good"]
    assert unreadable.folder == bad
    assert unreadable.status == "damaged"
    assert str(bad) in unreadable.reason
    assert len(unreadable.reason) < 600
    assert not canary.exists()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("summary.json", '{"status": "excellent"}'),
        ("summary.json", '{"status": "completed", "evaluation/return_mean": 1e101}'),
        ("provenance.json", '{"choices": 3}'),
        ("provenance.json", '{"started": "0001-01-01T00:00:00+23:00"}'),
        ("config.yaml", None),
    ],
)
def test_other_invalid_files_are_reported_too(tmp_path, file, content):
    bad = make_run(tmp_path / "bad")
    make_run(tmp_path / "good")
    (bad / file).write_text(content) if content else (bad / file).unlink()
    records, [unreadable] = read_records([tmp_path])
    assert [record.folder.name for record in records] == ["good"]
    assert unreadable.folder == bad
    assert str(bad) in unreadable.reason


@pytest.mark.parametrize("name", CONFIGS)
def test_a_failed_run_with_an_invalid_config_is_reported_with_its_error(tmp_path, name):
    error, content = "ConfigError: seed=-1 is negative", CONFIGS[name]
    bad = make_run(tmp_path / "bad", status="failed", error=error)
    (bad / "config.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert read_records([tmp_path]) == ([], [UnreadableRun(bad, error, "failed")])


def test_links_and_pipes_are_not_read(tmp_path):
    for name in ("link", "pipe", "pipe_as_lock"):
        (make_run(tmp_path / name, status="killed") / "metrics.jsonl").unlink()
    os.mkfifo(tmp_path / "pipe_as_lock" / ".lock")
    (tmp_path / "link" / "metrics.jsonl").symlink_to(__file__)
    os.mkfifo(tmp_path / "pipe" / "metrics.jsonl")
    records, unreadable = read_records([tmp_path])
    assert not records
    assert "metrics.jsonl is a link to" in unreadable[0].reason
    assert "metrics.jsonl is not a regular file" in unreadable[1].reason
    assert ".lock is not a regular file" in unreadable[2].reason


def test_control_characters_are_replaced(tmp_path):
    run = make_run(tmp_path / "run", status="failed", error="\x1b]0;owned\x07 \u202eevil\n twice")
    provenance = json.loads((run / "provenance.json").read_text())
    (run / "provenance.json").write_text(
        json.dumps(provenance | {"choices": {"planner": "\x1b[2Jcem"}})
    )
    [record], _ = read_records([tmp_path])
    assert record.error == "�]0;owned� �evil  twice"
    assert record.choices == {"planner": "�[2Jcem"}
    assert printable("größer – 机器") == "größer – 机器"
