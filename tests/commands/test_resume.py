"""`resume` as its user meets it: what it refuses, extends and finishes (that it is bitwise: tests/faults)."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mbrl.__main__ import main
from mbrl.errors import ConfigError, RunError
from mbrl.runs.folder import RunFolder
from mbrl.runs.reader import read_metrics, read_provenance, read_summary, status
from mbrl.runs.signals import Interrupted, StopRequest
from tests.faults.runs import PLANNERS, ROOT, lost, resume_here, run_here

pytestmark = pytest.mark.slow

SMALL = ("training=smoke", "env.episode_limit=50", *PLANNERS["mcts"])


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Path:
    """A run of 130 real steps, evaluated after 40, 80, 120 and 130."""
    return run_here(
        tmp_path_factory.mktemp("long"), *SMALL, "logger=files", "training.env_steps=130"
    )


@pytest.mark.parametrize(
    "budget", [60, 70, 80], ids=["at a learning", "between two phases", "at an evaluation"]
)
def test_a_finished_run_is_extended_to_what_a_longer_one_is(tmp_path, long, budget, capsys):
    folder = run_here(tmp_path, *SMALL, "logger=files", f"training.env_steps={budget}")
    resume_here(folder)
    assert "is completed" in capsys.readouterr().out
    resume_here(folder, "training.env_steps=130")
    assert lost(folder, long) == 0
    assert "env_steps: 130" in (folder / "config.yaml").read_text()
    (resumed,) = read_provenance(folder)["resumes"]
    assert resumed["packages"] == read_provenance(folder)["packages"]
    # The evaluation at the old budget is kept, though a longer run has none there.
    old = [row["env_steps"] for row in read_metrics(folder, "metrics.superseded.jsonl")]
    assert old == ([budget] if budget != 80 else [])


def test_what_a_resumed_run_may_not_change(tmp_path, long):
    before = {path: path.read_bytes() for path in long.glob("*.*") if path.name != "run.log"}
    for text, message in {
        "seed=4": "seed=4 cannot be said here: a resumed run must be what it would have been",
        "training.env_steps=50": "training.env_steps=50 must not be less than the 130 real steps already taken",
        "logger.wandb.mode=online": "logger.wandb.mode is not a setting of this run's config.yaml",
        "training.env_steps=abc": "training.env_steps=abc must be a whole number",
        "training.checkpoint_every=0": "training.checkpoint_every=0: must be at least 1",
    }.items():
        with pytest.raises(ConfigError, match=message):
            main(
                [
                    "resume",
                    str(long),
                    text,
                    *(["training.env_steps=200"] if "checkpoint" in text else []),
                ]
            )
    # Nor is anything of it different for having been asked.
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    "name", ["seed", "discount", "training.model_learner.batch_size", "model.num_members"]
)
def test_a_config_that_was_changed_is_not_gone_on_with(tmp_path, long, name):
    folder = tmp_path / "run"
    shutil.copytree(long, folder)
    config = OmegaConf.load(folder / "config.yaml")
    OmegaConf.update(config, name, 0.5 if name == "discount" else 4)
    OmegaConf.save(config, folder / "config.yaml")
    with pytest.raises(
        ConfigError,
        match=r"config\.yaml is not what it was when the run's checkpoints were written",
    ):
        main(["resume", str(folder), "training.env_steps=200"])
    assert status(folder) == "completed"


def test_an_extension_that_is_interrupted_at_once_loses_nothing(tmp_path, long, monkeypatch):
    folder = run_here(tmp_path, *SMALL, "logger=files", "training.env_steps=70")
    with monkeypatch.context() as patched:
        patched.setattr(StopRequest, "__call__", lambda request: True)
        with pytest.raises(Interrupted, match="go on with `python -m mbrl resume"):
            main(["resume", str(folder), "training.env_steps=130"])
    assert status(folder) == "interrupted"
    resume_here(folder)
    assert lost(folder, long) == 0


def test_an_extension_that_is_killed_at_once_goes_on_from_where_it_was(
    tmp_path, long, monkeypatch, caplog
):
    folder = run_here(
        tmp_path, *SMALL, "logger=files", "training.env_steps=70", "training.checkpoint_every=null"
    )
    with monkeypatch.context() as patched:
        patched.setattr(
            RunFolder, "write_provenance", lambda folder, provenance: 1 / 0
        )  # once the row of the old budget is gone
        with pytest.raises(ZeroDivisionError):
            main(["resume", str(folder), "training.env_steps=130"])
    resume_here(folder)
    assert lost(folder, long) == 0
    assert "the one before it is used" not in caplog.text
    assert [row["env_steps"] for row in read_metrics(folder, "metrics.superseded.jsonl")] == [70]


def test_a_path_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no run, which has a config\.yaml, and no sweep"):
        main(["resume", str(tmp_path)])


def test_rows_that_come_out_otherwise_are_not_passed_over(tmp_path, long):
    folder = run_here(tmp_path, *SMALL, "logger=files", "training.env_steps=70")
    rows = read_metrics(long)
    foreign = next(row for row in rows if row["env_steps"] > 70 and "loss/dynamics" in row)
    foreign["loss/dynamics"] *= 1 + 1e-6
    with (folder / "metrics.superseded.jsonl").open("w") as file:
        file.write(json.dumps(foreign) + "\n")
    with pytest.raises(
        RunError,
        match=r"loss/dynamics is .* at 80 real steps, but was .* before the interruption.*--tolerance",
    ):
        main(["resume", str(folder), "training.env_steps=130"])
    assert status(folder) == "failed"
    resume_here(folder, "training.env_steps=130", "--tolerance=0.001")
    assert lost(folder, long) == 0


def test_wandb_goes_on_with_the_same_run(tmp_path, long):
    folder = run_here(tmp_path, *SMALL, "logger=wandb", "training.env_steps=80")
    resume_here(folder, "training.env_steps=130")
    assert lost(folder, long) == 0
    first, second = sorted((folder / "wandb").glob("offline-run-*"))
    identity = read_provenance(folder)["run_id"]
    assert first.name.endswith(identity)
    assert identity in second.name
    second_rows = [
        record["history"] for record in wandb_rows_of(second) if record["type"] == "history"
    ]
    assert [row["item"]["env_steps"] for row in second_rows] == [
        row["env_steps"] for row in read_metrics(folder) if row["env_steps"] > 80
    ]


def wandb_rows_of(offline: Path) -> list[dict]:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(offline)]
    lines = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60
    ).stdout.splitlines()
    return [json.loads(line) for line in lines]


def test_a_sweep_is_finished_where_it_stopped(tmp_path):
    sweep = tmp_path / "sweeps" / "monday"
    quick = ("training=smoke", "env.episode_limit=50", "planner=random", "logger=files")
    command = [
        sys.executable,
        str(ROOT / "run.py"),
        "-m",
        *quick,
        "seed=range(3)",
        f"hydra.sweep.dir={sweep}",
    ]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    done, killed, gone = sorted(folder for folder in sweep.iterdir() if folder.is_dir())
    wanted = {folder.name: read_metrics(folder) for folder in (done, killed, gone)}
    before = {path: path.stat().st_mtime_ns for path in done.rglob("*")}
    summary = json.loads((killed / "summary.json").read_text())
    (killed / "summary.json").write_text(json.dumps(summary | {"status": "running"}))
    # As a job is that was written down, and not begun.
    config = (gone / "config.yaml").read_bytes()
    identity = {
        name: read_provenance(gone)[name]
        for name in ("name", "group", "choices", "overrides", "run_id")
    }
    shutil.rmtree(gone)
    gone.mkdir()
    (gone / "config.yaml").write_bytes(config)
    (gone / "provenance.json").write_text(json.dumps(identity))
    result = subprocess.run(
        [sys.executable, "-m", "mbrl", "resume", str(sweep)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert {path: path.stat().st_mtime_ns for path in done.rglob("*")} == before
    assert sorted(folder.name for folder in sweep.iterdir() if folder.is_dir()) == sorted(wanted)
    for name, rows in wanted.items():
        assert read_summary(sweep / name)["status"] == "completed"
        assert [row.get("loss/value") for row in read_metrics(sweep / name)] == [
            row.get("loss/value") for row in rows
        ]
    assert read_provenance(gone)["group"] == "sweeps/monday"
    assert read_provenance(gone)["packages"] == read_provenance(done)["packages"]
