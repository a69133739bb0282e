"""`python -m mbrl resume RUN`: go on where a run stopped, as if it never had."""

import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from mbrl.analysis.records import printable
from mbrl.commands.arguments import Parser, override, resolve_folder, tolerance
from mbrl.config.launch import read_run, run_info_from_provenance
from mbrl.config.resolve import RESUMABLE_SETTINGS
from mbrl.errors import ConfigError
from mbrl.launchers.processes import ProcessGroup
from mbrl.launchers.report import is_done, print_jobs
from mbrl.launchers.submitit import queued_jobs
from mbrl.launchers.sweep import lock_sweep
from mbrl.runs.finder import is_run, runs_in
from mbrl.runs.log import log_to
from mbrl.runs.reader import is_completed, is_running

DESCRIPTION = """Goes on with a run that was killed, interrupted or failed, from its last checkpoint, to the same metrics
and weights as if nothing had happened; rows after the checkpoint move to metrics.superseded.jsonl and must come out the
same again. A finished run goes on where training.env_steps is raised. In a sweep's folder: finishes the jobs that are not
completed, and starts those that never were, one after the other (the sweep's own command with hydra.sweep.dir=FOLDER does
so with its launcher)."""
SETTINGS = ", ".join(f"{name}*" if name.endswith(".") else name for name in RESUMABLE_SETTINGS)
WHY = f"a resumed run must be what it would have been, so only {SETTINGS} and trust may be given; start a new run for the rest."


def main(arguments: list[str]) -> int:
    """Resumes a run or a sweep; the exit status is 0 where all is completed."""
    parser = Parser("resume", DESCRIPTION)
    parser.add_argument(
        "--tolerance",
        type=tolerance,
        default=0.0,
        help="relative difference allowed to rows recorded before; default 0: none",
    )
    parser.add_argument(
        "--plain",
        action="store_true",
        help="others write to this terminal too: plain lines, under the run's name",
    )
    given = parser.parse_intermixed_args(arguments)
    folder = resolve_folder(given.path)
    if is_run(folder):
        return _resume_run(folder, given.overrides, given.tolerance, not given.plain)
    return _resume_sweep(folder, given.overrides, given.tolerance)


def _resume_run(
    folder: Path, overrides: Sequence[str], tolerance: float, owns_terminal: bool
) -> int:
    config, kept, trust = read_run(folder, overrides)
    before = config.training.env_steps
    override(config, overrides, RESUMABLE_SETTINGS, WHY)
    if is_completed(folder) and config.training.env_steps == before:
        print(
            f"{folder} is completed, {before} real steps long; to go on: python -m mbrl resume {folder} training.env_steps={2 * before}"
        )
        return 0
    log_to(folder)
    from mbrl.experiment import execute  # here, once it is known what JAX shall run on

    execute(
        config,
        run_info_from_provenance(folder, kept, trust, owns_terminal),
        resume=True,
        tolerance=tolerance,
    )
    return 0


def _resume_sweep(sweep: Path, overrides: Sequence[str], tolerance: float) -> int:
    lock = lock_sweep(sweep)
    try:
        _refuse_unfinished_beginning(sweep)
        _refuse_live_jobs(sweep)
        with ProcessGroup() as processes:
            for folder in _open_jobs(sweep, overrides):
                print(folder, flush=True)
                processes.run(
                    [
                        sys.executable,
                        "-m",
                        "mbrl",
                        "resume",
                        str(folder),
                        f"--tolerance={tolerance}",
                        *overrides,
                    ]
                )
        ended = print_jobs(sweep)
        processes.check("Interrupted.")
        return ended
    finally:
        os.close(lock)


def _open_jobs(sweep: Path, overrides: Sequence[str]) -> Iterator[Path]:
    extended = any(override.startswith("training.env_steps=") for override in overrides)
    yield from (folder for folder in runs_in(sweep) if extended or not is_done(folder))


def _refuse_live_jobs(sweep: Path) -> None:
    # On a cluster, jobs outlive the command that handed them over.
    live = [folder.name for folder in runs_in(sweep) if is_running(folder)] or list(
        queued_jobs(sweep)
    )
    if live:
        raise ConfigError(
            f"{sweep / live[0]} is running, or waits in a cluster's queue: wait until it ends, or resume run by run."
        )


def _refuse_unfinished_beginning(sweep: Path) -> None:
    """Raises ConfigError where the sweep was killed before it had written down all its jobs."""
    file = sweep / "sweep.json"
    if not file.exists():
        return
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        num_jobs, command = int(kept["num_jobs"]), shlex.join(map(str, kept["command"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as reason:
        raise ConfigError(
            f"{file} is damaged ({type(reason).__name__}): remove it, to go on with the jobs that are there."
        ) from reason
    command = printable(f"{command} hydra.sweep.dir={shlex.quote(str(sweep))}")
    if (sweep / ".search.lock").exists():
        print(
            f"This is a search, which goes on by its own command; resumed are its last jobs alone: {command}",
            flush=True,
        )
        return
    missing = num_jobs - len(runs_in(sweep))
    if missing > 0:
        raise ConfigError(
            f"{sweep} lacks {missing} of its {num_jobs} jobs, since its command was killed before it had written them down; "
            f"the same command goes on with it: {command}"
        )
