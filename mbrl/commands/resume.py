"""`python -m mbrl resume RUN`: go on where a run stopped, as if it never had."""

from collections.abc import Sequence
from pathlib import Path

from mbrl.commands.saved import Parser, checked_folder, override, tolerance
from mbrl.commands.sweeps import add_missing_jobs, print_jobs, run_job
from mbrl.config import MAY_CHANGE, ConfigError
from mbrl.launch import read_run, relaunch
from mbrl.runs.finder import is_run, runs_in
from mbrl.runs.log import log_to
from mbrl.runs.reader import is_completed, is_live, status

DESCRIPTION = """Goes on with a run that was killed, interrupted or failed, from its last checkpoint, to the same metrics
and weights as if nothing had happened; rows after the checkpoint move to metrics.superseded.jsonl and must come out the
same again. A finished run goes on where training.env_steps is raised. In a sweep's folder: finishes the jobs that are not
completed, and starts those that never were."""
SETTINGS = ", ".join(f"{name}*" if name.endswith(".") else name for name in MAY_CHANGE)
WHY = f"a resumed run must be what it would have been, so only {SETTINGS} and trust may be given; start a new run for the rest."


def main(arguments: list[str]) -> int:
    """Resumes a run or a sweep; the exit status is 0 where all is completed."""
    parser = Parser("resume", DESCRIPTION)
    parser.add_argument(
        "--tolerance", type=tolerance, default=0.0, help="relative difference allowed to rows recorded before; default 0: none"
    )
    given = parser.parse_intermixed_args(arguments)
    folder = checked_folder(given.path)
    if is_run(folder):
        return _resume_run(folder, given.overrides, given.tolerance)
    return _resume_sweep(folder, given.overrides, given.tolerance)


def _resume_run(folder: Path, overrides: Sequence[str], tolerance: float) -> int:
    config, kept, trust = read_run(folder, overrides)
    before = config.training.env_steps
    override(config, overrides, MAY_CHANGE, WHY)
    if is_completed(folder) and config.training.env_steps == before:
        print(f"{folder} is completed, {before} real steps long; to go on: python -m mbrl resume {folder} training.env_steps={2 * before}")
        return 0
    log_to(folder)
    from mbrl.experiment import carry_out  # here, once it is known what JAX shall run on

    carry_out(config, relaunch(folder, kept, trust), again=True, tolerance=tolerance)
    return 0


def _resume_sweep(sweep: Path, overrides: Sequence[str], tolerance: float) -> int:
    extended = any(override.startswith("training.env_steps=") for override in overrides)
    live = [folder for folder in runs_in(sweep) if is_live(folder)]
    if live:
        # It may start its next jobs itself at any moment.
        raise ConfigError(f"{live[0]} is running, so that its sweep may be too: wait until it ends, or resume run by run.")
    add_missing_jobs(sweep)
    for folder in runs_in(sweep):
        if extended or not is_completed(folder):
            print(f"{folder} ({status(folder)})", flush=True)
            ended = run_job("resume", str(folder), f"--tolerance={tolerance}", *overrides)
            if ended > 128:  # by a signal, which is meant for all
                print_jobs(sweep)
                return ended
    return print_jobs(sweep)
