"""`python -m mbrl clean [FOLDER...]`: remove runs that failed, and runs without results."""

import os
import secrets
import shutil
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path

from mbrl.analysis.records import HINTS, READ_ERRORS, Record, UnreadableRun, read_records
from mbrl.commands.arguments import add_folders, have_runs_begun
from mbrl.errors import ConfigError, CorruptRun, one_line
from mbrl.launchers.submitit import queued_jobs
from mbrl.runs.checkpoints import newest_checkpoint
from mbrl.runs.finder import is_run
from mbrl.runs.folder import discard_refused, foreign_files, lock, remove_empty_day
from mbrl.runs.reader import is_running, read_metrics, status
from mbrl.runs.sweep_files import LOGS
from mbrl.tables import Entry, format_number, print_listing
from mbrl.terminal import ArgumentParser, Console

DESCRIPTION = """Removes the folders of runs that failed, and of single runs that were killed,
interrupted or never started and have neither an evaluation nor a checkpoint. Lists them with what
they hold, and asks first. Completed, running and damaged runs stay, and so do jobs of a search, of
a sweep that is running, and folders that hold anything else than a run's files."""
SWEEP_FILES = ("multirun.yaml", "sweep.json", ".lock", LOGS)

Run = Record | UnreadableRun
WhyJobsAreKept = Callable[[Path], tuple[str, Collection[str]]]


def main(arguments: list[str]) -> int:
    """Remove runs. The exit status is 0, or 1 if one that was to be removed is still there."""
    parser = ArgumentParser("python -m mbrl clean", description=DESCRIPTION)
    add_folders(parser)
    parser.add_argument("--yes", action="store_true", help="remove them without asking")
    given = parser.parse_args(arguments)
    if not have_runs_begun(given.paths):
        return 0
    console, (removable, kept) = Console(), _select(given.paths)
    for run, reason in kept:
        console.say(f"Kept: {run.folder}: {reason}.")
    if not removable:
        console.say(f"There is nothing to remove in {', '.join(map(str, given.paths))}.")
        return 0
    names = ("status", "env steps", "checkpoint", "evaluation return")
    print_listing("To be removed", names, ("folder", "why"), [_entry(run) for run in removable])
    number = f"{len(removable)} run{'s' if len(removable) > 1 else ''}"
    if not given.yes:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise ConfigError(
                "Nothing was removed, since there is no terminal to ask on. Add --yes to remove "
                f"{number}."
            )
        if not _confirm(f"Remove {number}? [y/N] "):
            console.say("Nothing was removed.")
            return 0
    failures = [failure for run in removable if (failure := _remove(run))]
    console.say(*failures)
    console.say(f"Removed {len(removable) - len(failures)} of {number}.")
    return 1 if failures else 0


def _select(paths: Sequence[Path]) -> tuple[list[Run], list[tuple[Run, str]]]:
    """The runs to remove; and those that stay although they failed or are damaged, and why."""
    removable: list[Run] = []
    kept: list[tuple[Run, str]] = []
    records, unreadable = read_records(paths)
    runs: list[Run] = [*records, *unreadable]
    why_jobs_are_kept = cache(_why_jobs_are_kept)  # asks Slurm once per sweep
    for run in runs:
        if isinstance(run, UnreadableRun) and run.status == "damaged":
            kept.append((run, f"it is damaged ({run.reason.rstrip('.')})"))
        elif _is_left_over(run.folder, run.status):
            reason = _why_kept(run.folder, why_jobs_are_kept) or _why_in_use(run.folder)
            if reason:
                kept.append((run, reason))
            else:
                removable.append(run)
    return removable, kept


def _is_left_over(folder: Path, status: str) -> bool:
    """Whether a run failed, or is empty. An empty job of a sweep waits to be resumed with it."""
    if status in ("killed", "interrupted", "never started"):
        evaluations = read_metrics(folder, having="evaluation/return_mean")
        return not evaluations and not (folder / "checkpoint").exists() and not _sweep_of(folder)
    return status == "failed"


def _why_jobs_are_kept(sweep: Path) -> tuple[str, Collection[str]]:
    """Why all jobs of a sweep must stay, or an empty text; and the names of those in a queue."""
    file = sweep / ".lock"
    if file.is_symlink() or (file.exists() and not file.is_file()):
        return "the .lock of its sweep is not a regular file", ()
    if (sweep / "optuna.db").exists():
        return "it belongs to a search, whose trials refer to it", ()
    try:
        return "", queued_jobs(sweep)
    except (ConfigError, CorruptRun) as error:
        return f"its sweep may be in a queue ({str(error).rstrip('.')})", ()


def _why_kept(folder: Path, why_jobs_are_kept: WhyJobsAreKept = _why_jobs_are_kept) -> str:
    """Why the folder of a run that is left over must stay, apart from locks; empty if it need not.

    `why_jobs_are_kept` may cache its answers.
    """
    if not is_run(folder):
        return "it has no config.yaml"
    try:
        foreign = foreign_files(folder)
    except OSError as error:
        return f"its files cannot be listed ({one_line(error)})"
    if foreign:
        return f"it holds {', '.join(foreign[:3])}, which no run writes"
    if folder.is_symlink():
        return "it is a link"
    if Path.cwd().is_relative_to(folder.resolve()):
        return "it is the working directory"
    sweep = _sweep_of(folder)
    reason, waiting = ("", ()) if sweep is None else why_jobs_are_kept(sweep)
    return reason or ("it is in Slurm's queue" if folder.name in waiting else "")


def _why_in_use(folder: Path) -> str:
    """Which lock of a run or its sweep is held, as a reason to keep it; empty if none is."""
    sweep = _sweep_of(folder)
    if sweep is not None and is_running(sweep):
        return "its sweep is running"
    return "a process is using it" if is_running(folder) else ""


def _sweep_of(folder: Path) -> Path | None:
    sweeps = (parent for parent in folder.parents if (parent / "multirun.yaml").exists())
    return next(sweeps, None)


def _remove(run: Run) -> str:
    """Remove a run and what then is empty. Returns why it could not, or an empty text."""
    sweep = _sweep_of(run.folder)
    # In the same folder, so on the same file system; hidden, so that the rest is never a run.
    rest = run.folder.with_name(f".removing-{secrets.token_hex(4)}")
    try:
        with ExitStack() as stack:
            for locked in (sweep, run.folder):
                if locked is not None:
                    stack.callback(os.close, lock(locked))
            reason = _why_kept_by_now(run.folder)
            if reason:
                return f"Kept: {run.folder}: {reason}."
            run.folder.rename(rest)
            try:
                shutil.rmtree(rest)
            except OSError as error:
                return f"Partly removed: {run.folder}: {one_line(error)}. The rest is in {rest}."
            if sweep is not None:
                with suppress(OSError):  # the run itself is removed
                    discard_refused(sweep, SWEEP_FILES)
    except READ_ERRORS as error:
        return f"Kept: {run.folder}: {one_line(error)}."
    remove_empty_day(run.folder.parent)
    return ""


def _why_kept_by_now(folder: Path) -> str:
    """Why a run that was to be removed must stay after all. This process holds its locks."""
    now = status(folder)
    # What is recorded as running was killed, since its lock was free.
    if not _is_left_over(folder, "killed" if now == "running" else now):
        return f"it is {now} by now"
    return _why_kept(folder)


def _confirm(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:  # Ctrl-D
        Console().say("")
        return False


def _entry(run: Run) -> Entry:
    checkpoint = newest_checkpoint(run.folder)
    steps, score, reason = "–", "–", ""
    if isinstance(run, Record):
        budget = "?" if run.budget is None else run.budget
        steps, score = f"{run.env_steps}/{budget}", format_number(run.score)
        reason = run.error or HINTS.get(run.status, "")
    else:
        reason = run.reason
    cells = (run.status, steps, "none" if checkpoint is None else str(checkpoint), score)
    return Entry(str(run.folder), cells, [reason])
