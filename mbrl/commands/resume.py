"""`python -m mbrl resume RUN`: continue a run to the results of an uninterrupted one."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from mbrl.commands.arguments import Parser, override, resolve_folder, tolerance
from mbrl.config.launch import (
    check_no_wandb_agent,
    permit_uploads,
    read_run,
    run_info_from_provenance,
)
from mbrl.config.resolve import RESUMABLE_SETTINGS, resolve
from mbrl.errors import ConfigError
from mbrl.launchers.processes import ProcessGroup
from mbrl.launchers.report import is_done, print_jobs, recorded_refusal
from mbrl.launchers.submitit import queued_jobs
from mbrl.launchers.sweep import lock_sweep
from mbrl.runs.checkpoints import newest_checkpoint
from mbrl.runs.finder import is_run, runs_in
from mbrl.runs.log import log_to
from mbrl.runs.reader import is_completed, is_running
from mbrl.runs.sweep_files import check_sweep, read_num_jobs
from mbrl.tables import resume_command
from mbrl.terminal import Console, RunConsole

DESCRIPTION = """Continues a run that was killed, interrupted or failed from its last checkpoint, to
the same metrics and weights as those of an uninterrupted run. Rows after the checkpoint move to
metrics.superseded.jsonl and must be reproduced. A completed run continues if training.env_steps is
raised. It is recorded offline in W&B unless logger=online is given. A sweep's folder: runs the jobs
that are not completed, one after another. (To use the sweep's launcher, repeat its own command with
hydra.sweep.dir=FOLDER.)"""
SETTINGS = ", ".join(f"{name}*" if name.endswith(".") else name for name in RESUMABLE_SETTINGS)
ONLINE = "logger.wandb.mode=online"  # what logger=online means here
RULE = (
    f"A resumed run must give the results of an uninterrupted one, so only {SETTINGS}, "
    "logger=online and trust can be given. Start a new run to change other settings."
)


def main(arguments: list[str]) -> int:
    """Resume a run or a sweep. The exit status is 0 if all is completed."""
    parser = Parser("resume", DESCRIPTION)
    help_text = "relative difference allowed between repeated rows and recorded ones; default 0"
    parser.add_argument("--tolerance", type=tolerance, default=0.0, help=help_text)
    help_text = "print plain lines that begin with the name of the run's folder"
    parser.add_argument("--plain", action="store_true", help=help_text)
    # Of a launcher, which itself prints the refusals that summary.json records.
    parser.add_argument("--job", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_intermixed_args(arguments)
    folder = resolve_folder(given.path)
    overrides = [ONLINE if text == "logger=online" else text for text in given.overrides]
    if is_run(folder):
        try:
            return _resume_run(folder, overrides, given.tolerance, not given.plain)
        except ConfigError as error:
            if not given.job or recorded_refusal(folder) != str(error):
                raise
            return 1
    return _resume_sweep(folder, overrides, given.tolerance)


def _resume_run(
    folder: Path, overrides: Sequence[str], tolerance: float, owns_terminal: bool
) -> int:
    config, provenance = read_run(folder, overrides)
    budget = config.training.env_steps
    if ONLINE in overrides and "wandb" not in config.logger:
        raise ConfigError(
            "logger=online: W&B does not record this run, whose config.yaml has no logger.wandb. "
            "Leave it out, or start a new run with it."
        )
    override(config, overrides, RESUMABLE_SETTINGS, RULE)
    if is_completed(folder) and config.training.env_steps == budget:
        removed = "" if newest_checkpoint(folder) == budget else " (its last checkpoint is gone)"
        Console().say(
            f"{folder} is completed, with {budget} real steps{removed}. To extend it: "
            f"{resume_command(folder, f'training.env_steps={2 * budget}')}"
        )
        return 0
    info = run_info_from_provenance(folder, provenance, overrides, owns_terminal)
    resolved = permit_uploads(resolve(config), info)  # refuses before the folder changes
    log_to(folder)
    # Imported here, after read_run has chosen JAX's platform.
    from mbrl.experiment import execute

    execute(resolved, info, resume=True, tolerance=tolerance)
    return 0


def _resume_sweep(sweep: Path, overrides: Sequence[str], tolerance: float) -> int:
    check_no_wandb_agent()
    check_sweep(sweep)
    lock = lock_sweep(sweep)
    try:
        _check_all_jobs_saved(sweep)
        # On a cluster, jobs continue after the command that submitted them has ended.
        running = [folder.name for folder in runs_in(sweep) if is_running(folder)]
        active = running or list(queued_jobs(sweep))
        if active:
            raise ConfigError(
                f"{sweep / active[0]} is running or in a cluster's queue. Wait until it ends, or "
                "resume single runs."
            )
        extended = any(override.startswith("training.env_steps=") for override in overrides)
        folders = [folder for folder in runs_in(sweep) if extended or not is_done(folder)]
        with ProcessGroup() as processes:
            for folder in folders:
                RunConsole().say(str(folder))
                command = [sys.executable, "-m", "mbrl", "resume", str(folder)]
                processes.run([*command, f"--tolerance={tolerance}", *overrides])
        status = print_jobs(sweep)
        processes.check("Interrupted.")
        return status
    finally:
        os.close(lock)


def _check_all_jobs_saved(sweep: Path) -> None:
    """Raise ConfigError if the sweep's command was killed before it had saved all its jobs."""
    num_jobs = read_num_jobs(sweep)
    # Its command is not shown as advice, since the file can be anyone's.
    repeat = (
        f"repeat its command, which is in {sweep / 'sweep.json'}, "
        f"with {shlex.quote(f'hydra.sweep.dir={sweep}')}"
    )
    if num_jobs is not None and (sweep / ".search.lock").exists():
        RunConsole().say(
            f"This is a search; only its last jobs are resumed. To continue it, {repeat}"
        )
        return
    missing = (num_jobs or 0) - len(runs_in(sweep))
    if missing > 0:
        raise ConfigError(
            f"{sweep} lacks {missing} of its {num_jobs} jobs: its command was killed before it had "
            "saved them, or they were removed.",
            f"To run them, {repeat}",
        )
