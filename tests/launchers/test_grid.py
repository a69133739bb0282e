"""Large sweeps and sweeps of refused jobs, by their command."""

import os
import subprocess
import sys
import time

import pytest

from mbrl.launchers.report import PROGRESS_LINES, Refusals, with_progress
from mbrl.runs.finder import runs_in
from mbrl.terminal import RunConsole
from tests.faults.runs import QUICK, ROOT


def sweep(folder, *overrides):
    """Run a sweep. Returns its exit status, and the lines of stdout and of stderr."""
    command = [sys.executable, str(ROOT / "run.py"), "-m", *overrides, "hydra.sweep.dir=s"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    return result.returncode, result.stdout.splitlines(), result.stderr.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "count"),
    [
        (["seed=range(1000000)"], 1000000),
        (["seed=range(1000)", "horizon=range(1,1001)"], 1000000),
        (["seed=0,1,2", "hydra.launcher.max_jobs=2", "hydra/launcher=joblib"], 3),
        pytest.param(
            ["hydra/sweeper=optuna", "hydra.sweeper.num_trials=1000000", "discount=0.9,0.8"],
            3000000,
            marks=pytest.mark.extras,
        ),
    ],
)
def test_too_many_jobs_are_refused_before_anything_is_written(tmp_path, overrides, count):
    start = time.monotonic()
    status, output, errors = sweep(tmp_path, *overrides, "training=smoke")
    assert time.monotonic() - start < 30
    assert (status, output) == (1, [])
    assert len(errors) == 1
    assert f"this sweep would have {count} jobs" in errors[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_refusal_is_printed_once_and_counted(tmp_path, launcher):
    # seed is checked when a job is saved, env_steps when it runs.
    swept = ("seed=-1,0", "training.env_steps=-5,-6")
    settings = (*QUICK[1:], *swept, f"hydra/launcher={launcher}")
    status, output, errors = sweep(tmp_path, *settings)
    assert status == 1
    seed, steps, last = errors
    assert seed.startswith("Error: seed=-1: must be")
    assert steps.startswith("Error: training.env_steps=-")
    assert last == "Error: 4 of 4 jobs are not completed."
    assert output[0] == "4 jobs"
    counts = [line for line in output if "were refused" in line]
    assert [line.split("must be")[0] for line in counts] == [
        "2 jobs were refused: seed=-1: ",
        "2 jobs were refused, the first as training.env_steps=-5: ",
    ]
    assert not any("0_seed" in line for line in output if "Job" not in line)
    assert len(runs_in(tmp_path / "s")) == 4


def test_a_rule_is_shown_once(capsys):
    refusals = Refusals()
    for reason in ("", "seed=-1: must be 0.", "seed=-2: must be 0.", "horizon=-1: must be 0."):
        refusals.show(reason)
    assert capsys.readouterr().err == "Error: seed=-1: must be 0.\nError: horizon=-1: must be 0.\n"


@pytest.mark.parametrize(("num_jobs", "num_lines"), [(1, 0), (19, 0), (20, 5), (401, 4)])
def test_progress_takes_few_lines(capsys, num_jobs, num_lines):
    assert list(with_progress("Saving", range(num_jobs))) == list(range(num_jobs))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == num_lines <= PROGRESS_LINES
    assert all(line.startswith("Saving job ") for line in lines)


def test_progress_takes_one_line_of_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, for Rich
    for number in with_progress("Saving", range(20)):
        if number == 10:
            RunConsole(stderr=True).say("Error: a refusal")
    captured = capsys.readouterr()
    assert "Saving job 20 of 20" in captured.out
    assert captured.out.count("Saving job ") >= captured.out.count("\n")
    assert "Error: a refusal" in captured.out + captured.err
