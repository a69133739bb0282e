"""What happens around a run: an environment that raises, hangs or returns no number, a loss that diverges, a disk that is full."""

import errno
import pathlib
from pathlib import Path

import pytest

from mbrl.errors import RunError
from mbrl.runs.checkpoints import newest_checkpoint
from mbrl.runs.reader import read_metrics, status
from tests.faults.runs import BREAKABLE, PLANNERS, lost, resume_here, run_here, summary_error

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


SAYS = {
    "raise": "raised KeyError at step .* of its episode .*fell off the table",
    "nan": r"returned the observation \[nan nan\] at step .* not finite",
    "infinite_reward": "returned the reward inf at step",
    "hang": "did not return from step .* within 0.5 seconds.*env.step_timeout",
}


# The step, of the whole run, at which it happens in CI.
IN_CI = {"raise": 99, "nan": 47, "infinite_reward": 99, "hang": 1}
FAULTS = {
    "raise": "raises",
    "nan": "returns NaN",
    "infinite_reward": "returns an infinite reward",
    "hang": "hangs",
}


@pytest.mark.filterwarnings("ignore:.*WARN.*:UserWarning")  # Gymnasium's own, at the first step
@pytest.mark.parametrize("fault", SAYS)
def test_a_run_survives_a_fault_of_its_environment(tmp_path, whole, fault, tries, fault_report):
    steps, survived, rows_lost = tries([IN_CI[fault]], [1, 47, 99]), 0, 0
    for step in steps:
        folder, file = tmp_path / str(step), tmp_path / "fault"
        file.write_text(f"{fault} {step}")
        with pytest.raises(RunError, match=SAYS[fault]) as failure:
            run_here(folder, *SETTINGS, f"env.kwargs={{fault: {file}}}", "env.step_timeout=0.5")
        assert f"python -m mbrl resume {folder}" in str(failure.value)
        assert status(folder) == "failed"
        assert "Traceback" not in summary_error(folder)
        file.unlink()  # mended
        resume_here(folder, "trust=[tests]", "env.step_timeout=60")
        missing = lost(folder, whole)
        survived, rows_lost = survived + (missing == 0), rows_lost + missing
    fault_report(f"environment: {FAULTS[fault]}", len(steps), survived, rows_lost)
    assert (survived, rows_lost) == (len(steps), 0)


def test_an_environment_that_is_not_deterministic_is_not_resumed_as_if_it_were(tmp_path):
    folder, file = tmp_path / "run", tmp_path / "fault"
    file.write_text("raise 93")
    with pytest.raises(RunError):
        run_here(folder, *SETTINGS, f"env.kwargs={{fault: {file}, random: true}}")
    file.unlink()
    with pytest.raises(
        RunError,
        match=r"not deterministic: reset of the replayed episode gives .*--tolerance=inf",
    ):
        resume_here(folder, "trust=[tests]")
    resume_here(folder, "trust=[tests]", "--tolerance=inf")
    assert status(folder) == "completed"


@pytest.mark.parametrize("learner", ["model_learner", "value_learner"])
def test_a_loss_that_is_no_number_ends_the_run_before_it_is_checkpointed(
    tmp_path, learner, fault_report
):
    # The learning rate is infinite from the fourth phase on.
    schedule = "{_target_: optax.piecewise_constant_schedule, init_value: 0.001, boundaries_and_scales: {12: 1e38}}"
    optimizer = f"{{_target_: optax.adamw, learning_rate: {schedule}}}"
    with pytest.raises(
        RunError, match=r"became (nan|inf) at step \d+\. Lower optimizer\.learning_rate"
    ):
        run_here(tmp_path, *SETTINGS, f"training.{learner}.optimizer={optimizer}")
    assert status(tmp_path) == "failed"
    # The row that shows it is kept, and the last good checkpoint is before it.
    rows = read_metrics(tmp_path)
    assert any(
        value is None
        for name, value in rows[-1].items()
        if name.startswith(("loss/", "validation/", "value/"))
    )
    assert newest_checkpoint(tmp_path) < rows[-1]["env_steps"]
    fault_report(
        f"a loss that is no number ({learner}): stopped, with the last good checkpoint", 1, 1, 0
    )


class FullDisk:
    """Lets nothing more be written to files whose path has `part` in it, from the count-th opening on: half of it arrives."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, part: str, count: int):
        self.left, self.full = count, True
        open_path = pathlib.Path.open

        def opened(path: Path, mode: str = "r", *arguments, **options):
            file = open_path(path, mode, *arguments, **options)
            if part in str(path) and mode[0] in "awx":
                self.left -= 1
                if self.left <= 0 and self.full:
                    return Overflowing(file)
            return file

        monkeypatch.setattr(pathlib.Path, "open", opened)


class Overflowing:
    def __init__(self, file):
        self._file = file

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()

    def write(self, content):
        self._file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device", self._file.name)


def test_a_run_survives_a_disk_that_is_full_when_rows_are_written(
    tmp_path, whole, monkeypatch, fault_report
):
    folder, disk = tmp_path / "run", FullDisk(monkeypatch, "metrics.jsonl", 5)
    with pytest.raises(RunError, match=r"No space left on device.*metrics.jsonl.*mbrl resume"):
        run_here(folder, *SETTINGS)
    assert status(folder) == "failed"
    disk.full = False
    resume_here(folder, "trust=[tests]")
    missing = lost(folder, whole)
    fault_report("disk full when a row is written", 1, int(missing == 0), missing)
    assert missing == 0


def test_a_run_goes_on_where_the_disk_is_full_for_checkpoints(
    tmp_path, whole, monkeypatch, caplog, fault_report
):
    FullDisk(monkeypatch, "checkpoint/.writing", 2)
    run_here(tmp_path, *SETTINGS)
    assert "No checkpoint at" in caplog.text
    missing = len(read_metrics(whole)) - len(read_metrics(tmp_path))
    fault_report("disk full when a checkpoint is written", 1, int(missing == 0), missing)
    assert status(tmp_path) == "completed"
    assert missing == 0
    assert not list((tmp_path / "checkpoint").glob(".*"))


def test_a_run_survives_a_disk_that_is_full_when_its_summary_is_written(
    tmp_path, whole, monkeypatch, fault_report
):
    folder, disk = tmp_path / "run", FullDisk(monkeypatch, ".summary.json.tmp", 2)
    with pytest.raises(RunError, match="No space left"):
        run_here(folder, *SETTINGS)
    assert status(folder) == "killed"  # the summary of its beginning is whole
    disk.full = False
    resume_here(folder, "trust=[tests]")
    missing = lost(folder, whole)
    fault_report("disk full when the summary is written", 1, int(missing == 0), missing)
    assert missing == 0
