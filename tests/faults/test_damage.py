"""UnreadableRun files: a checkpoint with a flipped bit or cut off, rows cut off or lost, a pickle in a checkpoint's place."""

import hashlib
import io
import pickle
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from mbrl.errors import RunError
from mbrl.runs.checkpoints import load_checkpoint, save_checkpoint
from mbrl.runs.reader import CorruptRun, read_metrics
from tests.faults.runs import BREAKABLE, PLANNERS, lost, resume_here, run_here

pytestmark = pytest.mark.slow

SETTINGS = (
    "training=smoke",
    "logger=files",
    *BREAKABLE,
    *PLANNERS["mcts"],
    "training.env_steps=100",
    "model.num_members=2",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing befell."""
    return run_here(tmp_path_factory.mktemp("whole"), *SETTINGS)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The same run, stopped at its 93rd real step by a fault of its environment: checkpoints at 60 and 80, rows after them."""
    folder, fault = tmp_path_factory.mktemp("stopped"), tmp_path_factory.mktemp("fault") / "fault"
    fault.write_text("raise 93")
    with pytest.raises(RunError, match="fell off the table"):
        run_here(folder, *SETTINGS, f"env.kwargs={{fault: {fault}}}")
    fault.unlink()
    return folder


def checkpoints(folder: Path) -> list[Path]:
    """Newest first."""
    return sorted((folder / "checkpoint").glob("*.npz"), reverse=True)


def damage(path: Path, how: str, luck: random.Random) -> None:
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[luck.randrange(len(content))] ^= 1 << luck.randrange(8)
    else:
        del content[luck.randrange(len(content)) :]
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["flipped", "cut off"])
def test_a_damaged_checkpoint_is_noticed(tmp_path, how, tries, fault_report, caplog):
    number, luck = tries(100, 2000), random.Random(how)
    for steps in (10, 20):
        save_checkpoint(
            tmp_path, {"weights": np.arange(500.0) + steps}, {"env_steps": steps}, num_kept=2
        )
    newest = checkpoints(tmp_path)[0]
    content, noticed = newest.read_bytes(), 0
    for _ in range(number):
        damage(newest, how, luck)
        caplog.clear()
        noticed += (
            load_checkpoint(tmp_path).facts["env_steps"] == 10 and "is damaged" in caplog.text
        )
        newest.write_bytes(content)
    assert load_checkpoint(tmp_path).facts["env_steps"] == 20
    fault_report(f"checkpoint {how}: noticed, and the one before it used", number, noticed, 0)
    assert noticed == number


@pytest.mark.parametrize("how", ["flipped", "cut off"])
def test_a_run_with_a_damaged_checkpoint_goes_on_from_the_one_before(
    tmp_path, whole, stopped, how, fault_report
):
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    damage(checkpoints(folder)[0], how, random.Random(0))
    resume_here(folder, "trust=[tests]")
    missing = lost(folder, whole)
    fault_report(f"run resumed whose newest checkpoint was {how}", 1, int(missing == 0), missing)
    assert missing == 0
    assert len(read_metrics(folder, "metrics.superseded.jsonl")) > 0
    assert list((folder / "checkpoint").glob("*.damaged"))


def test_a_run_without_any_checkpoint_begins_again(tmp_path, whole, stopped):
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    shutil.rmtree(folder / "checkpoint")
    resume_here(folder, "trust=[tests]")
    assert lost(folder, whole) == 0


def test_rows_cut_off_anywhere_are_computed_again(tmp_path, whole, stopped, tries, fault_report):
    number, missing, luck = tries(2, 30), 0, random.Random(0)
    content = (stopped / "metrics.jsonl").read_bytes()
    for attempt in range(number):
        folder = tmp_path / str(attempt)
        shutil.copytree(stopped, folder)
        (folder / "metrics.jsonl").write_bytes(content[: luck.randrange(len(content))])
        resume_here(folder, "trust=[tests]")
        missing += lost(folder, whole)
    fault_report(
        "metrics.jsonl cut off at any byte", number, number if missing == 0 else 0, missing
    )
    assert missing == 0


def test_a_row_that_is_damaged_in_the_middle_is_named(tmp_path, stopped):
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    lines[1] = lines[1][:-5]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(CorruptRun, match="line 2 is no JSON"):
        resume_here(folder, "trust=[tests]")


class Canary:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_in_a_checkpoint_is_not_unpickled(tmp_path, whole, stopped, fault_report):
    folder, canary = tmp_path / "run", tmp_path / "canary"
    shutil.copytree(stopped, folder)
    for content in (pickle.dumps(Canary(canary)), npz_of(np.array([Canary(canary)], object))):
        # With a checksum that is right, since whoever wrote it could work that out.
        name = f"{90:012}-{hashlib.sha256(content).hexdigest()[:16]}.npz"
        (folder / "checkpoint" / name).write_bytes(content)
    resume_here(folder, "trust=[tests]")
    missing = lost(folder, whole)
    fault_report(
        "a pickle in a checkpoint's place: not unpickled",
        2,
        2 * (missing == 0 and not canary.exists()),
        missing,
    )
    assert not canary.exists()
    assert missing == 0


def npz_of(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, facts=array)
    return file.getvalue()
