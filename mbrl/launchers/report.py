"""The status of a sweep's jobs, read from their folders, whose content is untrusted."""

import shlex
from pathlib import Path

from rich.table import Table

from mbrl.analysis.records import (
    READ_ERRORS,
    Record,
    UnreadableRun,
    as_unreadable,
    read_record,
)
from mbrl.errors import CorruptRun
from mbrl.runs.finder import runs_in
from mbrl.runs.reader import is_completed
from mbrl.tables import format_duration, format_number, print_table
from mbrl.terminal import RunConsole


def print_jobs(sweep: Path) -> int:
    """Print the status of each job and the next commands. Returns 0 if all jobs are completed."""
    jobs = [_read(folder) for folder in runs_in(sweep)]
    table = Table("job", "status", "env steps", "evaluation return", "wall time")
    for job in jobs:
        cells = ("–", "–", "–")
        if isinstance(job, Record):
            score, duration = format_number(job.score), format_duration(job.wall_seconds)
            cells = (str(job.env_steps), score, duration)
        table.add_row(job.folder.name, job.status, *cells)
    console = RunConsole()
    print_table(table, console)
    console.say(*(f"{job.folder.name}: {_reason(job)}" for job in jobs if _reason(job)))
    unfinished = sum(job.status != "completed" for job in jobs)
    folder = shlex.quote(str(sweep))
    if unfinished:
        console.say(
            f"{unfinished} of {len(jobs)} jobs are not completed. "
            f"To finish them: python -m mbrl resume {folder}"
        )
    console.say(f"To compare them: python -m mbrl compare {folder}")
    return 1 if unfinished else 0


def why_not_completed(folder: Path) -> str:
    """The reason why a job has no result, in one sentence."""
    job = _read(folder)
    return f"{folder}: {_reason(job) or f'its status is {job.status}'}"


def is_done(folder: Path) -> bool:
    """Whether a job is completed; false if its files are damaged."""
    try:
        return is_completed(folder)
    except CorruptRun:
        return False


def shown_path(folder: Path) -> Path:
    """The folder relative to the working directory, if it is inside."""
    inside = folder.is_relative_to(Path.cwd()) and folder != Path.cwd()
    return folder.relative_to(Path.cwd()) if inside else folder


def _read(folder: Path) -> Record | UnreadableRun:
    try:
        return read_record(folder)
    except READ_ERRORS as reason:
        return as_unreadable(reason, folder)


def _reason(job: Record | UnreadableRun) -> str:
    return job.error if isinstance(job, Record) else job.reason
