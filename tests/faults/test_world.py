"""Faults around a run: its environment fails, a loss diverges, the disk is full."""

import errno
import itertools
import os
import shutil

import pytest

from mbrl import checkpointer
from mbrl.errors import RunError
from mbrl.runs.checkpoints import newest_checkpoint
from mbrl.runs.reader import read_metrics, status
from tests.faults.runs import BREAKABLE, lost, resume_here, run_here, summary_error

pytestmark = pytest.mark.slow

RESUME = "python -m mbrl resume"

# Fault: part of its message, its name in the report, and its step in CI.
FAULTS = {
    "raise": ("raised KeyError at step .*fell off the table", "raises", 99),
    "nan": (r"the observation \[nan nan\] at step ", "returns NaN", 47),
    "infinite_reward": ("the reward inf at step ", "returns an infinite reward", 99),
    "hang": ("did not return from step .*env.step_timeout", "hangs", 1),
}


@pytest.mark.filterwarnings("ignore:.*WARN.*:UserWarning")  # Gymnasium's own, at the first step
@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_survives_a_fault_of_its_environment(
    tmp_path, whole_breakable, fault, tries, fault_report
):
    message, description, step_in_ci = FAULTS[fault]
    steps, survived, rows_lost = tries([step_in_ci], [1, 47, 99]), 0, 0
    for step in steps:
        folder, file = tmp_path / str(step), tmp_path / "fault"
        file.write_text(f"{fault} {step}")
        with pytest.raises(RunError, match=message) as failure:
            run_here(folder, *BREAKABLE, f"env.kwargs={{fault: {file}}}", "env.step_timeout=0.5")
        assert f"python -m mbrl resume {folder}" in str(failure.value)
        assert status(folder) == "failed"
        assert "Traceback" not in summary_error(folder)
        file.unlink()
        resume_here(folder, "trust=[tests]", "env.step_timeout=60")
        missing = lost(folder, whole_breakable)
        survived, rows_lost = survived + (missing == 0), rows_lost + missing
    fault_report(f"environment: {description}", len(steps), survived, rows_lost)
    assert (survived, rows_lost) == (len(steps), 0)


def test_a_run_in_an_environment_that_is_not_deterministic_is_resumed_only_on_request(tmp_path):
    folder, file = tmp_path / "run", tmp_path / "fault"
    file.write_text("raise 93")
    with pytest.raises(RunError):
        run_here(folder, *BREAKABLE, f"env.kwargs={{fault: {file}, random: true}}")
    file.unlink()
    with pytest.raises(RunError, match=r"not deterministic.*--tolerance=inf"):
        resume_here(folder, "trust=[tests]")
    resume_here(folder, "trust=[tests]", "--tolerance=inf")
    assert status(folder) == "completed"


@pytest.mark.parametrize("fitter", ["fit_model", "fit_value"])
def test_a_diverged_loss_ends_the_run_before_a_checkpoint(tmp_path, fitter, fault_report):
    # The learning rate is infinite from the fourth phase on.
    schedule = (
        "{_target_: optax.piecewise_constant_schedule, init_value: 0.001, "
        "boundaries_and_scales: {12: 1e38}}"
    )
    optimizer = f"{{_target_: optax.adamw, learning_rate: {schedule}}}"
    settings = ("model/value=learned", f"model.{fitter}.optimizer={optimizer}")
    message = r"became (nan|inf) at step \d+. Lower optimizer.learning_rate"
    with pytest.raises(RunError, match=message):
        run_here(tmp_path, *BREAKABLE, *settings)
    assert status(tmp_path) == "failed"
    # The row that shows it is kept; the last checkpoint is before it.
    last = read_metrics(tmp_path)[-1]
    losses = [name for name in last if name.startswith(("loss/", "validation/", "value/"))]
    assert None in [last[name] for name in losses]
    assert newest_checkpoint(tmp_path) < last["env_steps"]
    fault_report(f"a diverged loss ({fitter}): stopped, with the checkpoint before it", 1, 1, 0)


class FullDisk:
    """From the count-th write to a path that contains `part` on, each fails while `full`.

    `where` it fails: half of a write is done, or all of it but not the fsync or the rename.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, part: str, count: int, where="write"):
        self.part, self.remaining, self.full, self.where = part, count, True, where
        fdopen, fsync, replace = os.fdopen, os.fsync, os.replace

        def open_or_break(descriptor: int, mode: str):
            file, path = fdopen(descriptor, mode), os.readlink(f"/proc/self/fd/{descriptor}")
            is_full = mode != "rb" and self.is_full("write", path)
            return OverflowingFile(file) if is_full else file

        def fsync_or_break(descriptor):
            self.check("fsync", os.readlink(f"/proc/self/fd/{descriptor}"))
            fsync(descriptor)

        def replace_or_break(source, target):
            self.check("rename", source)
            replace(source, target)

        monkeypatch.setattr(os, "fdopen", open_or_break)  # as mbrl.regular_files opens files
        monkeypatch.setattr(os, "fsync", fsync_or_break)
        monkeypatch.setattr(os, "replace", replace_or_break)

    def is_full(self, where: str, path) -> bool:
        if where != self.where or self.part not in str(path):
            return False
        self.remaining -= 1
        return self.remaining <= 0 and self.full

    def check(self, where: str, path) -> None:
        if self.is_full(where, path):
            raise no_space()


def no_space() -> OSError:
    """As from a write or fsync, whose error does not name the file."""
    return OSError(errno.ENOSPC, "No space left on device")


class OverflowingFile:
    def __init__(self, file):
        self._file = file

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()

    def write(self, content):
        self._file.write(content[: len(content) // 2])
        raise no_space()


def test_a_run_survives_a_full_disk_when_a_row_is_written(
    tmp_path, whole_breakable, monkeypatch, fault_report
):
    folder, disk = tmp_path / "run", FullDisk(monkeypatch, "metrics.jsonl", 5)
    message = r"metrics\.jsonl: No space left on device\. Free some space\. .*mbrl resume"
    with pytest.raises(RunError, match=message):
        run_here(folder, *BREAKABLE)
    assert status(folder) == "failed"
    disk.full = False
    resume_here(folder, "trust=[tests]")
    missing = lost(folder, whole_breakable)
    fault_report("disk full when a row is written", 1, int(missing == 0), missing)
    assert missing == 0


NUM_CHECKPOINTS = 6  # of a run with BREAKABLE, every 20 steps; the last after the evaluation at 100


FULL_FROM = (2, NUM_CHECKPOINTS - 1, NUM_CHECKPOINTS)


def test_a_run_is_completed_only_with_its_last_checkpoint(
    tmp_path, whole_breakable, monkeypatch, caplog, tries, fault_report
):
    moments = list(itertools.product(FULL_FROM, ("write", "fsync", "rename")))
    moments, survived, rows_lost = tries(moments[-3:-2], moments), 0, 0
    for first, where in moments:
        folder = tmp_path / f"{first} {where}"
        caplog.clear()
        with monkeypatch.context() as patch:
            FullDisk(patch, "checkpoint/.writing", first, where)
            with pytest.raises(RunError) as failure:
                run_here(folder, *BREAKABLE)
        error = str(failure.value)
        assert error.startswith(f"The last checkpoint could not be written: {folder}/checkpoint/0")
        assert f"No space left on device. Free some space. Then finish the run: {RESUME}" in error
        assert status(folder) == "failed"
        assert caplog.text.count("No checkpoint at") == NUM_CHECKPOINTS - first
        assert newest_checkpoint(folder) == 20 * (first - 1)
        assert not list((folder / "checkpoint").glob(".*"))
        resume_here(folder, "trust=[tests]")
        missing = lost(folder, whole_breakable)
        assert newest_checkpoint(folder) == 100
        survived, rows_lost = survived + (missing == 0), rows_lost + missing
    fault_report("disk full when a checkpoint is written", len(moments), survived, rows_lost)
    assert (survived, rows_lost) == (len(moments), 0)


def test_a_run_is_completed_if_only_an_earlier_checkpoint_is_missing(
    tmp_path, whole_breakable, monkeypatch, caplog
):
    disk = FullDisk(monkeypatch, "checkpoint/.writing", 2)
    save = checkpointer.save_checkpoint

    def save_or_fail(folder, arrays, facts, max_checkpoints):
        disk.full = facts["env_steps"] < 100
        return save(folder, arrays, facts, max_checkpoints)

    monkeypatch.setattr(checkpointer, "save_checkpoint", save_or_fail)
    run_here(tmp_path, *BREAKABLE)
    assert caplog.text.count("No checkpoint at") == 3
    assert lost(tmp_path, whole_breakable) == 0


def test_a_completed_run_without_checkpoints_stays_as_it_is_and_can_be_extended(
    tmp_path, whole_breakable, capsys
):
    folder = tmp_path / "run"
    run_here(folder, *BREAKABLE, "training.env_steps=80")
    shutil.rmtree(folder / "checkpoint")
    rows = (folder / "metrics.jsonl").read_bytes()
    resume_here(folder, "trust=[tests]")
    assert (
        "is completed, with 80 real steps (its last checkpoint is gone)" in capsys.readouterr()[0]
    )
    assert (folder / "metrics.jsonl").read_bytes() == rows
    resume_here(folder, "trust=[tests]", "training.env_steps=100")
    assert lost(folder, whole_breakable) == 0


@pytest.mark.parametrize("logger", ["files", "wandb"])
@pytest.mark.parametrize("take", [shutil.rmtree, lambda path: path.rename(f"{path}.moved")])
def test_a_run_whose_folder_is_taken_away_is_not_advised_to_be_resumed(
    tmp_path, monkeypatch, logger, take, caplog
):
    folder, save = tmp_path / "run", checkpointer.save_checkpoint

    def save_and_take(folder, *arguments):
        save(folder, *arguments)
        if arguments[1]["env_steps"] == 60:
            take(folder)

    monkeypatch.setattr(checkpointer, "save_checkpoint", save_and_take)
    with pytest.raises(RunError) as failure:
        run_here(folder, *BREAKABLE, f"logger={logger}")
    error = str(failure.value)
    assert error.startswith(f"{folder}: removed or moved while the run was writing to it. If you")
    assert "start a new one" in error
    assert "mbrl resume" not in error
    assert not (folder / "config.yaml").exists()
    assert "cannot be written" not in caplog.text


def test_a_run_survives_a_full_disk_when_its_summary_is_written(
    tmp_path, whole_breakable, monkeypatch, fault_report
):
    folder, disk = tmp_path / "run", FullDisk(monkeypatch, ".summary.json.tmp", 2)
    with pytest.raises(RunError, match="No space left"):
        run_here(folder, *BREAKABLE)
    assert status(folder) == "killed"  # the summary is that of the start
    disk.full = False
    resume_here(folder, "trust=[tests]")
    missing = lost(folder, whole_breakable)
    fault_report("disk full when the summary is written", 1, int(missing == 0), missing)
    assert missing == 0
