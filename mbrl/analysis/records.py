"""Reading run folders, whose files can be anyone's, into plain values that are safe to show."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mbrl.errors import CorruptRun, one_line
from mbrl.regular_files import check_entries
from mbrl.runs.finder import run_folders
from mbrl.runs.folder import STATUSES
from mbrl.runs.reader import final_values, read_metrics, read_provenance, read_summary, status
from mbrl.runs.saved_config import leaves, read_config

READ_ERRORS = (CorruptRun, OSError, ValueError, RecursionError)  # what reading a folder can raise
MAX_NUMBER = 1e15  # of any number here: far beyond returns and steps, yet sums and axes can hold it
UNFINISHED = ("running", "killed", "never started")  # the statuses besides STATUSES
# Why a run without an error has no result.
HINTS = {
    "killed": "it was killed; `python -m mbrl resume` continues it",
    "interrupted": "it was stopped; `python -m mbrl resume` continues it",
    "running": "it is still running",
    "never started": "it only has a config; `python -m mbrl resume` starts it",
}


@dataclass(frozen=True)
class Record:
    """A run without its metrics. `settings` and `choices` map names to text."""

    folder: Path
    status: str
    error: str  # why it failed; empty otherwise
    started: datetime
    environment: str  # env.id
    seed: int
    budget: int | None  # real steps
    env_steps: int  # taken so far
    wall_seconds: float
    score: float | None  # mean return of the last evaluation, if there was one
    solved_score: float | None  # return
    random_score: float | None  # return
    best_score: float | None  # return
    settings: Mapping[str, str]
    choices: Mapping[str, str]  # config group → option; empty before provenance.json is written
    overrides: frozenset[str]  # the names of the settings on the command line
    commit: str


@dataclass(frozen=True)
class UnreadableRun:
    """A folder that cannot be read, and why.

    With the status `failed`, the reason is the error of a failed run whose other files are invalid.
    """

    folder: Path
    reason: str
    status: str = "damaged"


class _FailedUnreadable(CorruptRun):
    """The error of a failed run whose files are not what a run writes.

    Often the files show what the run was refused for.
    """


def find_runs(paths: Iterable[Path], without: Collection[str]) -> tuple[list[Path], list[Path]]:
    """The run folders at or below the paths, each once and in order; and those left out.

    Left out are those in folders whose name is in `without`, directly below a path, unless another
    path names them.
    """
    included: dict[Path, Path] = {}
    left_out: dict[Path, Path] = {}
    for path in paths:
        for folder in run_folders(path):
            parts = folder.relative_to(path).parts
            is_copy = len(parts) > 1 and parts[0] in without
            (left_out if is_copy else included)[folder.resolve()] = folder
    return list(included.values()), [
        folder for resolved, folder in left_out.items() if resolved not in included
    ]


def read_records(paths: Iterable[Path]) -> tuple[list[Record], list[UnreadableRun]]:
    """The runs at or below the paths, each once and in order; and those that cannot be read."""
    records, unreadable = [], []
    folders, _ = find_runs(paths, without=())
    for folder in folders:
        try:
            records.append(read_record(folder))
        except READ_ERRORS as error:
            unreadable.append(as_unreadable(error, folder))
    return records, unreadable


def as_unreadable(error: Exception, folder: Path) -> UnreadableRun:
    """The entry for a folder whose reading raised `error`."""
    is_os_error = isinstance(error, OSError)
    message = printable(one_line(error) if is_os_error else str(error))
    name = printable(str(folder))
    if isinstance(error, _FailedUnreadable):
        return UnreadableRun(folder, message, "failed")
    if not isinstance(error, CorruptRun):
        return UnreadableRun(folder, f"{name} cannot be read: {message}.")
    return UnreadableRun(folder, message if name in message else f"{name}: {message}")


def read_record(folder: Path) -> Record:
    """Read the run in `folder`.

    Raises one of READ_ERRORS if a file is not what a run writes.
    """
    check_entries(folder)
    run_status = status(folder)
    if run_status not in (*STATUSES, *UNFINISHED):
        raise CorruptRun(
            f"{folder / 'summary.json'} has status={printable(run_status)[:80]}, which no run has."
        )
    summary = read_summary(folder) if (folder / "summary.json").exists() else {}
    try:
        return _read_record(folder, run_status, summary)
    except READ_ERRORS as error:
        if run_status == "failed":
            raise _FailedUnreadable(str(summary.get("error") or error)) from error
        raise


def _read_record(folder: Path, run_status: str, summary: dict[str, Any]) -> Record:
    config = read_config(folder)
    provenance = read_provenance(folder)
    if run_status in ("running", "killed"):  # the summary is still that of the start
        summary |= final_values(read_metrics(folder))
    env, training = config.get("env"), config.get("training")
    if (
        not isinstance(env, dict)
        or not isinstance(env.get("id"), str)
        or not isinstance(training, dict)
    ):
        raise CorruptRun(
            f"{folder / 'config.yaml'} is not the saved config of a run: "
            "it has no env.id or no training."
        )
    budget = parse_number(training.get("env_steps"), "training.env_steps")
    choices, git = provenance.get("choices") or {}, provenance.get("git") or {}
    overrides = provenance.get("overrides") or ()
    return Record(
        folder=folder,
        status=run_status,
        error=printable(str(summary.get("error") or "")),
        started=_started(folder, provenance),
        environment=printable(env["id"]),
        seed=_parse_whole_number(config.get("seed"), "seed"),
        budget=None if budget is None else int(budget),
        env_steps=_parse_whole_number(summary.get("env_steps", 0), "env_steps"),
        wall_seconds=parse_number(summary.get("wall_seconds"), "wall_seconds") or 0.0,
        score=parse_number(summary.get("evaluation/return_mean"), "evaluation/return_mean"),
        solved_score=parse_number(env.get("solved_score"), "env.solved_score"),
        random_score=parse_number(env.get("random_score"), "env.random_score"),
        best_score=parse_number(env.get("best_score"), "env.best_score"),
        settings=dict(leaves(config)),
        choices={printable(str(name)): printable(str(text)) for name, text in choices.items()},
        # `model.reward` for the override `+model/reward=known`
        overrides=frozenset(
            str(override).partition("=")[0].lstrip("+~").replace("/", ".") for override in overrides
        ),
        commit=printable(str(git.get("commit") or "")),
    )


def printable(text: str) -> str:
    """Text on one line, with `�` for control characters.

    These could steer a terminal or change the direction of writing.
    """
    line = " ".join(text.split())
    if line.isprintable():
        return line
    return "".join(character if character.isprintable() else "�" for character in line)


def parse_number(value: Any, name: str) -> float | None:
    """A finite number, or None for a value that was not finite when it was logged.

    Raises CorruptRun for anything else.
    """
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not abs(value) <= MAX_NUMBER:
        raise CorruptRun(
            f"{name}={printable(str(value))[:80]}: must be null or a number of at most 15 digits."
        )
    return float(value)


def _parse_whole_number(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_NUMBER:
        raise CorruptRun(
            f"{name}={printable(str(value))[:80]}: must be a whole number, at least 0 and of at "
            "most 15 digits."
        )
    return value


def _started(folder: Path, provenance: Mapping[str, Any]) -> datetime:
    """The start according to provenance.json; if unknown, the age of config.yaml."""
    try:
        started = datetime.fromisoformat(str(provenance.get("started")))
    except ValueError:
        started = datetime.fromtimestamp((folder / "config.yaml").stat().st_mtime, UTC)
    return started if started.tzinfo else started.replace(tzinfo=UTC)
