"""The command `resume`, end to end; tests/faults check that a resumed run is bit-exact."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from wandb.util import get_core_path

from mbrl.__main__ import main
from mbrl.errors import ConfigError, RunError
from mbrl.runs.folder import RunFolder
from mbrl.runs.reader import read_metrics, read_provenance, read_summary, status
from mbrl.runs.signals import Interrupted, StopRequest
from tests.faults.runs import QUICK, lost, resume_here, run_here

pytestmark = pytest.mark.slow

LEARNING = (
    "training=smoke",
    "env.episode_limit=50",
    "planner=random",
    "model.num_members=2",
    "model/value=none",
)


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Path:
    """A run of 130 real steps, evaluated after 40, 80, 120 and 130."""
    folder = tmp_path_factory.mktemp("long")
    return run_here(folder, *LEARNING, "logger=files", "training.env_steps=130")


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> Path:
    """A run of 70 real steps, of which 70 is neither a learning phase nor a regular evaluation."""
    folder = tmp_path_factory.mktemp("short")
    return run_here(folder, *LEARNING, "logger=files", "training.env_steps=70")


@pytest.fixture
def copy(tmp_path, short) -> Path:
    """A copy of the short run."""
    shutil.copytree(short, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize(
    "budget", [60, 70, 80], ids=["at a learning phase", "between phases", "at an evaluation"]
)
def test_a_completed_run_is_extended_to_the_same_run_as_a_longer_one(
    tmp_path, long, budget, capsys
):
    folder = run_here(tmp_path, *LEARNING, "logger=files", f"training.env_steps={budget}")
    resume_here(folder)
    assert "is completed" in capsys.readouterr().out
    resume_here(folder, "training.env_steps=130")
    assert lost(folder, long) == 0
    assert "env_steps: 130" in (folder / "config.yaml").read_text()
    [resumed] = read_provenance(folder)["resumes"]
    assert resumed["packages"] == read_provenance(folder)["packages"]
    # A longer run has no evaluation at the old budget, but its row is kept.
    old = [row["env_steps"] for row in read_metrics(folder, "metrics.superseded.jsonl")]
    assert old == ([budget] if budget != 80 else [])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["seed=4"], "seed=4: cannot be changed here. A resumed run must give the results"),
        (["training.env_steps=50"], "training.env_steps=50.* 70 real steps"),
        (["logger.wandb.mode=offline"], "logger.wandb.mode is not a setting of this run's config"),
        (["logger=online"], "logger=online: W&B does not record this run, whose config.yaml has"),
        (["logger=wandb"], "logger=wandb: cannot be changed here. A resumed run"),
        (["training.env_steps=abc"], "training.env_steps=abc"),
        (["training.checkpoint_every=0", "training.env_steps=200"], "training.checkpoint_every=0"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_refused_setting_changes_nothing_in_the_run(short, overrides, message):
    files = (path for path in short.glob("*.*") if path.is_file() and path.name != "run.log")
    before = {path: path.read_bytes() for path in files}
    with pytest.raises(ConfigError, match=message):
        main(["resume", str(short), *overrides])
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    "name", ["seed", "discount", "model.fit_model.batch_size", "model.num_members"]
)
def test_a_run_whose_config_was_changed_is_not_resumed(copy, name):
    config = OmegaConf.load(copy / "config.yaml")
    OmegaConf.update(config, name, 0.5 if name == "discount" else 4)
    OmegaConf.save(config, copy / "config.yaml")
    with pytest.raises(ConfigError, match=r"config\.yaml: changed since .* checkpoints"):
        main(["resume", str(copy), "training.env_steps=200"])
    assert status(copy) == "completed"


def test_an_extension_that_is_interrupted_at_once_loses_nothing(copy, long, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(StopRequest, "__call__", lambda request: True)
        with pytest.raises(Interrupted, match="python -m mbrl resume"):
            main(["resume", str(copy), "training.env_steps=130"])
    assert status(copy) == "interrupted"
    resume_here(copy)
    assert lost(copy, long) == 0


def test_an_extension_that_is_killed_at_once_loses_nothing(tmp_path, long, monkeypatch, caplog):
    settings = ("logger=files", "training.env_steps=70", "training.checkpoint_every=null")
    folder = run_here(tmp_path, *LEARNING, *settings)

    def fail(folder, provenance):
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        # Called after the row of the old budget has been removed.
        patched.setattr(RunFolder, "write_provenance", fail)
        with pytest.raises(ZeroDivisionError):
            main(["resume", str(folder), "training.env_steps=130"])
    resume_here(folder)
    assert lost(folder, long) == 0
    assert "the one before it is used" not in caplog.text
    assert [row["env_steps"] for row in read_metrics(folder, "metrics.superseded.jsonl")] == [70]


def test_a_path_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"neither a run, which has a config\.yaml, nor a sweep"):
        main(["resume", str(tmp_path)])


def test_rows_that_differ_from_recorded_ones_end_the_run(copy, long):
    rows = read_metrics(long)
    changed = next(row for row in rows if row["env_steps"] > 70 and "loss/dynamics" in row)
    changed["loss/dynamics"] *= 1 + 1e-6
    (copy / "metrics.superseded.jsonl").write_text(json.dumps(changed) + "\n")
    message = r"loss/dynamics is .* at 80 real steps, but was .* before .*--tolerance"
    with pytest.raises(RunError, match=message):
        main(["resume", str(copy), "training.env_steps=130"])
    assert status(copy) == "failed"
    resume_here(copy, "training.env_steps=130", "--tolerance=0.001")
    assert lost(copy, long) == 0


def test_wandb_continues_the_same_run(tmp_path):
    overrides = [text for text in QUICK if text != "logger=files"]
    folder = run_here(tmp_path, *overrides, "logger=wandb")
    resume_here(folder, "training.env_steps=130")
    first, second = sorted((folder / "wandb").glob("offline-run-*"))
    run_id = read_provenance(folder)["run_id"]
    assert first.name.endswith(run_id)
    assert run_id in second.name
    steps = [row["env_steps"] for row in read_metrics(folder) if row["env_steps"] > 60]
    assert wandb_steps(second) == steps


def wandb_steps(run_folder: Path) -> list[int]:
    """The env_steps of the rows of an offline run, as `wandb leet inspect --json` prints them."""
    [file] = run_folder.glob("run-*.wandb")
    command = [get_core_path(), "leet", "inspect", "--no-observability", "--json"]
    command += ["--run-file", str(file), str(run_folder.parent)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    records = [json.loads(line) for line in output.splitlines()]
    history = [record["history"]["item"] for record in records if record["type"] == "history"]
    return [item["env_steps"] for item in history]


def test_an_unfinished_sweep_is_finished(tmp_path, capfd):
    sweep = tmp_path / "sweeps" / "monday"
    done, killed, unstarted = (sweep / f"{seed}_job" for seed in range(3))
    for seed, folder in enumerate((done, killed, unstarted)):
        run_here(folder, *QUICK, f"seed={seed}")
    expected = {folder.name: read_metrics(folder) for folder in (done, killed, unstarted)}
    before = {path: path.stat().st_mtime_ns for path in done.rglob("*")}
    summary = json.loads((killed / "summary.json").read_text())
    (killed / "summary.json").write_text(json.dumps(summary | {"status": "running"}))
    # Like a job that was saved but never started.
    config = (unstarted / "config.yaml").read_bytes()
    names = ("format", "name", "choices", "overrides", "run_id")
    identity = {name: read_provenance(unstarted)[name] for name in names}
    shutil.rmtree(unstarted)
    unstarted.mkdir()
    (unstarted / "config.yaml").write_bytes(config)
    (unstarted / "provenance.json").write_text(json.dumps(identity | {"group": "sweeps/monday"}))

    assert main(["resume", str(sweep)]) == 0, capfd.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in done.rglob("*")} == before
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir()) == sorted(expected)
    for name, rows in expected.items():
        assert read_summary(sweep / name)["status"] == "completed"
        returns = [row.get("episode/return") for row in read_metrics(sweep / name)]
        assert returns == [row.get("episode/return") for row in rows]
    assert read_provenance(unstarted)["group"] == "sweeps/monday"
    assert read_provenance(unstarted)["packages"] == read_provenance(done)["packages"]
