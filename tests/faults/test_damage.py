"""Damaged files: checkpoints that were changed or cut off, missing rows, pickles."""

import hashlib
import io
import itertools
import os
import pickle
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from mbrl import checkpointer
from mbrl.errors import CorruptRun, RunError
from mbrl.runs.checkpoints import load_checkpoint, save_checkpoint
from mbrl.runs.reader import read_metrics
from tests.faults.runs import BREAKABLE, lost, resume_here, run_here

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Path:
    """A run that a fault stopped at real step 93: checkpoints at 60 and 80, rows after them."""
    folder, fault = tmp_path_factory.mktemp("stopped"), tmp_path_factory.mktemp("fault") / "fault"
    fault.write_text("raise 93")
    with pytest.raises(RunError, match="fell off the table"):
        run_here(folder, *BREAKABLE, f"env.kwargs={{fault: {fault}}}")
    fault.unlink()
    return folder


@pytest.fixture
def copy(tmp_path, stopped) -> Path:
    """A copy of the stopped run."""
    shutil.copytree(stopped, tmp_path / "run")
    return tmp_path / "run"


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints, newest first."""
    return sorted((folder / "checkpoint").glob("*.npz"), reverse=True)


def damage(path: Path, how: str, generator: random.Random) -> None:
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    else:
        del content[generator.randrange(len(content)) :]
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["flipped", "cut off"])
def test_a_damaged_checkpoint_is_detected(tmp_path, how, tries, fault_report, caplog):
    num_tries, generator = tries(100, 2000), random.Random(how)
    for steps in (10, 20):
        arrays = {"weights": np.arange(500.0) + steps}
        facts = {"env_steps": steps, "num_rows": 0, "wall_seconds": 0.0, "config": ""}
        save_checkpoint(tmp_path, arrays, facts, max_checkpoints=2)
    newest = checkpoints(tmp_path)[0]
    content, num_detected = newest.read_bytes(), 0
    for _ in range(num_tries):
        damage(newest, how, generator)
        caplog.clear()
        loaded = load_checkpoint(tmp_path).facts["env_steps"]
        num_detected += loaded == 10 and "is damaged" in caplog.text
        newest.write_bytes(content)
    assert load_checkpoint(tmp_path).facts["env_steps"] == 20
    fault_report(f"checkpoint {how}: detected, the one before it used", num_tries, num_detected, 0)
    assert num_detected == num_tries


@pytest.mark.parametrize("how", ["flipped", "cut off"])
def test_a_run_with_a_damaged_checkpoint_continues_from_the_one_before(
    copy, whole_breakable, how, fault_report
):
    damage(checkpoints(copy)[0], how, random.Random(0))
    resume_here(copy, "trust=[tests]")
    missing = lost(copy, whole_breakable)
    fault_report(f"run resumed whose newest checkpoint was {how}", 1, int(missing == 0), missing)
    assert missing == 0
    assert len(read_metrics(copy, "metrics.superseded.jsonl")) > 0
    assert list((copy / "checkpoint").glob("*.damaged"))


def test_a_clock_that_goes_back_and_copies_lose_nothing(tmp_path, monkeypatch, fault_report):
    # The order of the two checkpoints at step 100, before and after its evaluation, is reversed,
    # by a clock that goes back, or by copying without the times of files.
    save, clock = checkpointer.save_checkpoint, itertools.count(10**9, -3600)

    def save_earlier(*arguments):
        time = next(clock)
        os.utime(save(*arguments), (time, time))

    settings = (*BREAKABLE, "training.env_steps=140")
    whole = run_here(tmp_path / "whole", *settings)
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(checkpointer, "save_checkpoint", save_earlier)
        run_here(folder, *settings, "training.env_steps=100")
    num_rows = load_checkpoint(folder).facts["num_rows"]
    assert num_rows == len(read_metrics(folder)) - 1  # it is the earlier of the two
    resume_here(folder, "trust=[tests]", "training.env_steps=140")
    missing = lost(folder, whole)
    fault_report("a clock that goes back between checkpoints", 1, int(missing == 0), missing)
    assert missing == 0


def test_a_run_without_a_checkpoint_starts_from_the_beginning(copy, whole_breakable):
    shutil.rmtree(copy / "checkpoint")
    resume_here(copy, "trust=[tests]")
    assert lost(copy, whole_breakable) == 0


def test_missing_rows_are_computed_again(tmp_path, whole_breakable, stopped, tries, fault_report):
    num_tries, missing, generator = tries(1, 30), 0, random.Random(0)
    content = (stopped / "metrics.jsonl").read_bytes()
    for attempt in range(num_tries):
        folder = tmp_path / str(attempt)
        shutil.copytree(stopped, folder)
        (folder / "metrics.jsonl").write_bytes(content[: generator.randrange(len(content))])
        resume_here(folder, "trust=[tests]")
        missing += lost(folder, whole_breakable)
    survived = num_tries if missing == 0 else 0
    fault_report("metrics.jsonl cut off at any byte", num_tries, survived, missing)
    assert missing == 0


def test_a_damaged_row_in_the_middle_is_an_error(copy):
    lines = (copy / "metrics.jsonl").read_text().splitlines()
    lines[1] = lines[1][:-5]
    (copy / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(CorruptRun, match="line 2 is not a row of metrics"):
        resume_here(copy, "trust=[tests]")


class Canary:
    """An object that creates a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_in_place_of_a_checkpoint_is_not_unpickled(
    tmp_path, copy, whole_breakable, fault_report
):
    canary = tmp_path / "canary"
    for content in (pickle.dumps(Canary(canary)), npz_of(np.array([Canary(canary)], object))):
        # With the correct checksum, which an attacker can compute.
        name = f"{90:012}-{hashlib.sha256(content).hexdigest()[:16]}.npz"
        (copy / "checkpoint" / name).write_bytes(content)
    resume_here(copy, "trust=[tests]")
    missing = lost(copy, whole_breakable)
    survived = 2 * (missing == 0 and not canary.exists())
    fault_report("a pickle in place of a checkpoint: not unpickled", 2, survived, missing)
    assert not canary.exists()
    assert missing == 0


def npz_of(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, facts=array)
    return file.getvalue()
