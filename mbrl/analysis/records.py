"""What a run was and what became of it, read from its folder without trusting it: plain values, all text fit to be shown."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mbrl.runs.finder import refuse_links_out, run_folders
from mbrl.runs.folder import STATUSES
from mbrl.runs.reader import (
    CorruptRun,
    final_values,
    read_metrics,
    read_provenance,
    read_summary,
    status,
)
from mbrl.runs.saved_config import leaves, read_settings

DAMAGE = (
    CorruptRun,
    OSError,
    ValueError,
    RecursionError,
)  # what reading somebody's files can raise
LARGEST = (
    1e15  # of any number here, far beyond returns and steps, that sums and axes can still bear
)
UNFINISHED = ("running", "killed", "never started")  # beside STATUSES


@dataclass(frozen=True)
class Record:
    """A run, metrics apart. `settings` and `choices` are by name, as text."""

    folder: Path
    status: str
    error: str  # why it failed; else empty
    started: datetime
    environment: str  # env.id
    seed: int
    budget: int | None  # real steps
    env_steps: int  # taken
    wall_seconds: float
    score: float | None  # mean return of the last evaluation, where there was one
    solved_score: float | None  # return
    random_score: float | None  # return
    best_score: float | None  # return
    settings: Mapping[str, str]
    choices: Mapping[
        str, str
    ]  # config group → option; empty where provenance.json was not written yet
    overrides: frozenset[str]  # names that the command line gave
    commit: str


@dataclass(frozen=True)
class UnreadableRun:
    """A folder that cannot be read, and why; or of a run that failed, whose files are so odd that only its error is known."""

    folder: Path
    reason: str
    status: str = "damaged"  # or failed


class _FailedUnreadable(CorruptRun):
    """The error of a run that failed, and whose files are not what a run writes: often, what it was refused for."""


def found_runs(paths: Iterable[Path], without: Collection[str]) -> tuple[list[Path], list[Path]]:
    """The folders of runs at or below each path, each once, in order; and those that were left out.

    Left out is what lies in folders called one of `without` directly below a path, where no other path names it.
    """
    found: dict[Path, Path] = {}
    left: dict[Path, Path] = {}
    for path in paths:
        for folder in run_folders(path):
            parts = folder.relative_to(path).parts
            (left if len(parts) > 1 and parts[0] in without else found)[folder.resolve()] = folder
    return list(found.values()), [
        folder for resolved, folder in left.items() if resolved not in found
    ]


def read_records(paths: Iterable[Path]) -> tuple[list[Record], list[UnreadableRun]]:
    """The runs at or below each path, each once, in order; and what could not be read of them."""
    records, damaged = [], []
    folders, _ = found_runs(paths, without=())
    for folder in folders:
        try:
            records.append(read_record(folder))
        except DAMAGE as reason:
            damaged.append(damaged_by(reason, folder))
    return records, damaged


def damaged_by(reason: Exception, folder: Path) -> UnreadableRun:
    """What there is to say of a folder that cannot be read."""
    said, name = printable(str(reason)), printable(str(folder))
    if isinstance(reason, _FailedUnreadable):
        return UnreadableRun(folder, said, "failed")
    if not isinstance(reason, CorruptRun):
        return UnreadableRun(folder, f"{name} cannot be read: {said}.")
    return UnreadableRun(folder, said if name in said else f"{name}: {said}")


def read_record(folder: Path) -> Record:
    """The run in `folder`. Raises CorruptRun where a file is not what a run writes, or leads out of the folder."""
    refuse_links_out(folder)
    _refuse_what_is_no_file(folder)
    said, summary = (
        _known_status(folder),
        read_summary(folder) if (folder / "summary.json").exists() else {},
    )
    try:
        return _record(folder, said, summary)
    except DAMAGE as reason:
        if said == "failed":
            raise _FailedUnreadable(str(summary.get("error") or reason)) from reason
        raise


def _record(folder: Path, said: str, summary: dict[str, Any]) -> Record:
    settings = read_settings(folder)
    kept = read_provenance(folder)
    if said in ("running", "killed"):  # whose summary is that of its beginning
        summary |= final_values(read_metrics(folder))
    env = settings.get("env")
    if (
        not isinstance(env, dict)
        or not isinstance(env.get("id"), str)
        or not isinstance(settings.get("training"), dict)
    ):
        raise CorruptRun(
            f"{folder / 'config.yaml'} is not the saved config of a run: it has no env.id or no training."
        )
    budget = number(settings["training"].get("env_steps"), "training.env_steps")
    return Record(
        folder=folder,
        status=said,
        error=printable(str(summary.get("error") or "")),
        started=_started(folder, kept),
        environment=printable(env["id"]),
        seed=_whole(settings.get("seed"), "seed"),
        budget=None if budget is None else int(budget),
        env_steps=_whole(summary.get("env_steps", 0), "env_steps"),
        wall_seconds=number(summary.get("wall_seconds"), "wall_seconds") or 0.0,
        score=number(summary.get("evaluation/return_mean"), "evaluation/return_mean"),
        solved_score=number(env.get("solved_score"), "env.solved_score"),
        random_score=number(env.get("random_score"), "env.random_score"),
        best_score=number(env.get("best_score"), "env.best_score"),
        settings={printable(name): printable(value) for name, value in leaves(settings)},
        choices={
            printable(str(group)): printable(str(option))
            for group, option in (kept.get("choices") or {}).items()
        },
        overrides=frozenset(_given(override) for override in kept.get("overrides") or ()),
        commit=printable(str((kept.get("git") or {}).get("commit") or "")),
    )


def printable(text: str) -> str:
    """Text as a screen and a page can show it: what steers a terminal, or turns the direction of writing, becomes a mark."""
    line = " ".join(text.split())
    return (
        line
        if line.isprintable()
        else "".join(character if character.isprintable() else "�" for character in line)
    )


def number(value: Any, name: str) -> float | None:
    """A finite number or None, as of what was not finite when it was written. Raises CorruptRun for anything else."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        raise CorruptRun(
            f"{name}={printable(str(value))[:80]} must be a number of at most 15 digits or null, as a run writes it."
        )
    return float(value)


def _whole(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
        raise CorruptRun(
            f"{name}={printable(str(value))[:80]} must be a whole number, at least 0, as a run writes it."
        )
    return value


def _known_status(folder: Path) -> str:
    said = status(folder)
    if said not in (*STATUSES, *UNFINISHED):
        raise CorruptRun(
            f"{folder / 'summary.json'} says status={printable(said)[:80]}, which no run has."
        )
    return said


def _refuse_what_is_no_file(folder: Path) -> None:
    for name in ("metrics.jsonl", "summary.json", "provenance.json", ".lock"):
        path = folder / name
        if path.exists() and not path.is_file():  # a pipe, from which reading would never end
            raise CorruptRun(f"{path} is no file; remove it.")


def _started(folder: Path, kept: Mapping[str, Any]) -> datetime:
    """By its provenance, or else by the age of its config.yaml."""
    try:
        started = datetime.fromisoformat(str(kept.get("started")))
    except ValueError:
        started = datetime.fromtimestamp((folder / "config.yaml").stat().st_mtime, UTC)
    return started if started.tzinfo else started.replace(tzinfo=UTC)


def _given(override: Any) -> str:
    """The name in `+model/reward=known`, dotted."""
    return str(override).partition("=")[0].lstrip("+~").replace("/", ".")
