"""The status of a sweep's jobs, read from their folders, whose content is untrusted."""

import math
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

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
from mbrl.tables import format_duration, format_number, print_table, resume_command
from mbrl.terminal import RunConsole

REFUSED = "ConfigError: "  # how the recorded error of a refused run begins
MIN_JOBS_WITH_PROGRESS = 20
PROGRESS_LINES = 5  # at most, where the output is no terminal

T = TypeVar("T")


class Refusals:
    """Prints each rule by which jobs are refused once, when it is first broken."""

    def __init__(self) -> None:
        self._shown: set[str] = set()

    def show(self, reason: str) -> None:
        """Print the reason on stderr, unless it is empty or its rule was printed before."""
        if reason and _rule(reason) not in self._shown:
            self._shown.add(_rule(reason))
            RunConsole(stderr=True).say(f"Error: {reason}")


def with_progress(doing: str, jobs: Sequence[T]) -> Iterator[T]:
    """Yield the jobs. Says how many are done: in one line of a terminal, in few lines elsewhere."""
    console = RunConsole()
    if len(jobs) < MIN_JOBS_WITH_PROGRESS:
        yield from jobs
    elif console.is_terminal:
        with console.status(doing) as status:
            for number, job in enumerate(jobs, 1):
                status.update(f"{doing} job {number} of {len(jobs)}")
                yield job
    else:
        interval = math.ceil(len(jobs) / PROGRESS_LINES)
        for number, job in enumerate(jobs, 1):
            if number % interval == 0:
                console.say(f"{doing} job {number} of {len(jobs)}")
            yield job


def print_jobs(sweep: Path) -> int:
    """Print the status of each job and the next commands. Returns 0 if all jobs are completed.

    Of jobs that were refused by the same rule, only their number and the first are printed.
    """
    jobs = [_read(folder) for folder in runs_in(sweep)]
    groups: dict[str, list[Record | UnreadableRun]] = {}
    for job in jobs:
        groups.setdefault(_rule(_reason(job)), []).append(job)
    table = Table("job", "status", "env steps", "evaluation return", "wall time")
    for job in jobs:
        if _is_refused(job) and len(groups[_rule(_reason(job))]) > 1:
            continue
        cells = ("–", "–", "–")
        if isinstance(job, Record):
            score, duration = format_number(job.score), format_duration(job.wall_seconds)
            cells = (str(job.env_steps), score, duration)
        table.add_row(job.folder.name, job.status, *cells)
    console = RunConsole()
    if table.row_count:
        print_table(table, console)
    for group in groups.values():
        reasons = dict.fromkeys(_reason(job).removeprefix(REFUSED) for job in group)
        verb = "were refused" if _is_refused(group[0]) else "failed"
        count = f"{len(group)} jobs {verb}{', the first as' if len(reasons) > 1 else ':'}"
        name = f"{group[0].folder.name}:" if len(group) == 1 else count
        if any(reasons):
            console.say(f"{name} {next(iter(reasons))}")
    unfinished = sum(job.status != "completed" for job in jobs)
    if unfinished:
        console.say(
            f"{unfinished} of {len(jobs)} jobs are not completed. "
            f"To finish them: {resume_command(sweep)}"
        )
    console.say(f"To compare them: python -m mbrl compare {shlex.quote(str(sweep))}")
    return 1 if unfinished else 0


def why_not_completed(folder: Path) -> str:
    """The reason why a job has no result, in one sentence."""
    job = _read(folder)
    reason = _reason(job).removeprefix(REFUSED)
    return f"{folder}: {reason or f'its status is {job.status}'}"


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


def recorded_refusal(folder: Path) -> str:
    """Why a job was refused, as its summary.json records it; empty if it was not."""
    job = _read(folder)
    return _reason(job).removeprefix(REFUSED) if _is_refused(job) else ""


def _rule(reason: str) -> str:
    """The reason without the value: `seed=-1: must be …` and `seed=-2: must be …` are alike."""
    return re.sub(r"^((?:ConfigError: )?[\w.]+)=.*?: ", r"\1: ", reason)


def _is_refused(job: Record | UnreadableRun) -> bool:
    return _reason(job).startswith(REFUSED)


def _reason(job: Record | UnreadableRun) -> str:
    return job.error if isinstance(job, Record) else job.reason
