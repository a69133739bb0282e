"""Faults around a run: its environment fails, a loss diverges, the disk is full."""

import errno
import pathlib
from pathlib import Path

import pytest

from mbrl.errors import RunError
from mbrl.runs.checkpoints import newest_checkpoint
from mbrl.runs.reader import read_metrics, status
from tests.faults.runs import BREAKABLE, lost, resume_here, run_here, summary_error

pytestmark = pytest.mark.slow

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


@pytest.mark.parametrize("learner", ["model_learner", "value_learner"])
def test_a_diverged_loss_ends_the_run_before_a_checkpoint(tmp_path, learner, fault_report):
    # The learning rate is infinite from the fourth phase on.
    schedule = (
        "{_target_: optax.piecewise_constant_schedule, init_value: 0.001, "
        "boundaries_and_scales: {12: 1e38}}"
    )
    optimizer = f"{{_target_: optax.adamw, learning_rate: {schedule}}}"
    settings = ("model/value=learned", f"training.{learner}.optimizer={optimizer}")
    message = r"became (nan|inf) at step \d+. Lower optimizer.learning_rate"
    with pytest.raises(RunError, match=message):
        run_here(tmp_path, *BREAKABLE, *settings)
    assert status(tmp_path) == "failed"
    # The row that shows it is kept; the last checkpoint is before it.
    last = read_metrics(tmp_path)[-1]
    losses = [name for name in last if name.startswith(("loss/", "validation/", "value/"))]
    assert None in [last[name] for name in losses]
    assert newest_checkpoint(tmp_path) < last["env_steps"]
    fault_report(f"a diverged loss ({learner}): stopped, with the checkpoint before it", 1, 1, 0)


class FullDisk:
    """From the count-th opening on, files whose path contains `part` receive half of a write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, part: str, count: int):
        self.remaining, self.full = count, True
        open_path = pathlib.Path.open

        def open_or_break(path: Path, mode: str = "r", *arguments, **options):
            file = open_path(path, mode, *arguments, **options)
            if part in str(path) and mode[0] in "awx":
                self.remaining -= 1
                if self.remaining <= 0 and self.full:
                    return OverflowingFile(file)
            return file

        monkeypatch.setattr(pathlib.Path, "open", open_or_break)


class OverflowingFile:
    def __init__(self, file):
        self._file = file

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()

    def write(self, content):
        self._file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device", self._file.name)


def test_a_run_survives_a_full_disk_when_a_row_is_written(
    tmp_path, whole_breakable, monkeypatch, fault_report
):
    folder, disk = tmp_path / "run", FullDisk(monkeypatch, "metrics.jsonl", 5)
    with pytest.raises(RunError, match=r"No space left on device.*metrics.jsonl.*mbrl resume"):
        run_here(folder, *BREAKABLE)
    assert status(folder) == "failed"
    disk.full = False
    resume_here(folder, "trust=[tests]")
    missing = lost(folder, whole_breakable)
    fault_report("disk full when a row is written", 1, int(missing == 0), missing)
    assert missing == 0


def test_a_run_continues_on_a_full_disk_when_a_checkpoint_is_written(
    tmp_path, whole_breakable, monkeypatch, caplog, fault_report
):
    FullDisk(monkeypatch, "checkpoint/.writing", 2)
    run_here(tmp_path, *BREAKABLE)
    assert "No checkpoint at" in caplog.text
    missing = len(read_metrics(whole_breakable)) - len(read_metrics(tmp_path))
    fault_report("disk full when a checkpoint is written", 1, int(missing == 0), missing)
    assert status(tmp_path) == "completed"
    assert missing == 0
    assert not list((tmp_path / "checkpoint").glob(".*"))


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
