"""Reading run folders, whose files can be anyone's, into plain values that are safe to show."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mbrl.errors import CorruptRun, one_line, printable
from mbrl.regular_files import check_entries
from mbrl.runs.finder import run_folders
from mbrl.runs.reader import final_values, read_metrics, read_provenance, read_summary, status
from mbrl.runs.saved_config import leaves, read_config
from mbrl.runs.schemas import parse_time

READ_ERRORS = (CorruptRun, OSError, ValueError, RecursionError)  # what reading a folder can raise
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
    env, budget = config["env"], config["training"].get("env_steps")
    if "started" in provenance:
        started = parse_time(provenance["started"])
    else:
        started = datetime.fromtimestamp((folder / "config.yaml").stat().st_mtime, UTC)
    return Record(
        folder=folder,
        status=run_status,
        error=printable(str(summary.get("error") or "")),
        started=started,
        environment=printable(env["id"]),
        seed=config["seed"],
        budget=None if budget is None else int(budget),
        env_steps=summary.get("env_steps", 0),
        wall_seconds=summary.get("wall_seconds", 0.0),
        score=summary.get("evaluation/return_mean"),
        solved_score=env.get("solved_score"),
        random_score=env.get("random_score"),
        best_score=env.get("best_score"),
        settings=dict(leaves(config)),
        choices={
            printable(group): printable(option)
            for group, option in provenance.get("choices", {}).items()
        },
        # `model.reward` for the override `+model/reward=known`
        overrides=frozenset(
            override.partition("=")[0].lstrip("+~").replace("/", ".")
            for override in provenance.get("overrides", ())
        ),
        commit=printable((provenance.get("git") or {}).get("commit", "")),
    )
