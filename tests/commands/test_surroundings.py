"""Runs in unusual shells: variables of JAX and Python, closed outputs, other logging."""

import os
import subprocess
import sys

import pytest

from mbrl.runs.reader import read_metrics, read_summary
from tests.faults.runs import QUICK

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "mbrl", "run", *QUICK, "planner=random", "hydra.run.dir=run"]


def run(folder, *overrides, **variables):
    return subprocess.run(
        [*COMMAND, *overrides],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("JAX_PLATFORMS", "cuda", "JAX_PLATFORMS=cuda: JAX finds no device ("),
        ("JAX_PLATFORMS", "abacus", "JAX_PLATFORMS=abacus: JAX finds no device ("),
        ("JAX_ENABLE_X64", "1", "JAX_ENABLE_X64: runs compute in single precision"),
    ],
)
def test_what_no_run_can_compute_with_is_one_sentence(tmp_path, variable, value, message):
    refused = run(tmp_path, **{variable: value})
    assert refused.returncode == 1
    (error,) = [line for line in refused.stderr.decode().splitlines() if "Error: " in line]
    assert error.startswith(f"Error: {message}")
    assert b"Traceback" not in refused.stderr


def test_a_run_looks_for_nans_where_jax_is_asked_to(tmp_path):
    assert run(tmp_path, "planner=mcts", JAX_DEBUG_NANS="1").returncode == 0


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_characters_that_the_terminal_does_not_have_are_replaced(tmp_path, encoding):
    completed = run(tmp_path, PYTHONIOENCODING=encoding)
    assert completed.returncode == 0, completed.stderr
    assert "evaluated: return" in completed.stdout.decode(encoding)


@pytest.mark.parametrize("option", ["default", "disabled", "none", "stdout"])
def test_a_run_works_with_every_job_logging_of_hydra(tmp_path, option):
    completed = run(tmp_path, f"hydra/job_logging={option}")
    assert completed.returncode == 0, completed.stderr


def test_a_run_whose_output_is_closed_continues_and_says_so(tmp_path):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(COMMAND, cwd=tmp_path, text=True, **pipes) as process:
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(120) == 0, errors
    assert errors.splitlines()[-1].startswith("The output was closed. The run continues")
    assert read_summary(tmp_path / "run")["status"] == "completed"
    assert read_metrics(tmp_path / "run")[-1]["env_steps"] == 60


def test_a_file_in_the_place_of_the_outputs_is_one_sentence(tmp_path):
    (tmp_path / "outputs").touch()
    refused = subprocess.run(
        COMMAND[:-1], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: outputs/runs/")
    assert "Not a directory. Move away what is in its place" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("option", ["--config-path", "--config-dir"])
def test_a_saved_run_is_no_folder_of_configs(tmp_path, option):
    assert run(tmp_path).returncode == 0
    refused = run(tmp_path, option, str(tmp_path / "run"), "--config-name", "config")
    assert refused.returncode == 1
    assert b"is the folder of a saved run" in refused.stderr
    assert b"python -m mbrl reproduce" in refused.stderr
