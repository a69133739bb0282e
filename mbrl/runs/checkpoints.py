"""Checkpoints: named arrays in files that are whole or not there, and that say so themselves."""

import hashlib
import io
import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FOLDER = "checkpoint"
FACTS = "facts"  # the name under which a file's facts are stored, as JSON
# The end of a name is the beginning of the content's SHA-256, so that one rename makes a file and its checksum appear.
NAME = re.compile(r"(\d{12})-([0-9a-f]{16})\.npz")

logger = logging.getLogger(__name__)


class Checkpoint(NamedTuple):
    """What one file holds."""

    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]  # JSON: `env_steps` and whatever was given to `save`


def save_checkpoint(
    folder: Path, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any], num_kept: int
) -> Path:
    """Writes `<folder>/checkpoint/<env_steps>-<checksum>.npz`, which `numpy.load` opens, and leaves the newest `num_kept`.

    `facts` must have `env_steps`. The file is on the disk, whole, before its name is there, and older ones are removed only
    then. Raises OSError where it cannot be written; the older ones stay.
    """
    place = folder / FOLDER
    if not place.exists():
        place.mkdir()
        sync_folder(folder)
    content = io.BytesIO()  # in memory first, since numpy leaves a mess where the disk is full
    named: dict[str, Any] = {FACTS: np.frombuffer(json.dumps(facts).encode(), np.uint8), **arrays}
    np.savez(content, allow_pickle=False, **named)
    path = place / f"{facts['env_steps']:012}-{_digest(content.getbuffer())}.npz"
    temporary = place / ".writing"
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("xb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(place)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    for old in _newest_first(place)[num_kept:]:
        if old != path:
            old.unlink()
    return path


def load_checkpoint(
    folder: Path, usable: Callable[[Mapping[str, Any]], bool] = lambda facts: True
) -> Checkpoint | None:
    """The newest whole checkpoint of a run folder whose facts are `usable`; None where there is none.

    A damaged one is warned of and renamed to `….damaged`, and the one before it is taken. Raises OSError where one cannot be read.
    """
    for path in _newest_first(folder / FOLDER):
        content = path.read_bytes()
        try:
            checkpoint = _parsed(content, path)
            is_usable = usable(checkpoint.facts)
        except (
            Exception
        ) as reason:  # whatever can be wrong with a file that anybody may have written
            logger.warning(
                "The checkpoint %s is damaged (%s); the one before it is used.",
                path,
                str(reason) or type(reason).__name__,
            )
            path.rename(f"{path}.damaged")
            continue
        if is_usable:
            return checkpoint
        logger.warning(
            "The checkpoint %s counts rows that metrics.jsonl does not have; the one before it is used.",
            path,
        )
    return None


def newest_checkpoint(folder: Path) -> int | None:
    """The real steps of the newest checkpoint, by its name."""
    names = _newest_first(folder / FOLDER)
    return int(names[0].name.split("-")[0]) if names else None


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parsed(content: bytes, path: Path) -> Checkpoint:
    """Raises for a file that is not what `save_checkpoint` wrote, in whatever way NumPy or JSON do."""
    if not path.stem.endswith(_digest(content)):
        raise ValueError("its content does not match its checksum")
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    facts = json.loads(arrays.pop(FACTS).tobytes())
    if not isinstance(facts, dict) or not all(
        isinstance(array, np.ndarray) for array in arrays.values()
    ):
        raise ValueError("it does not hold arrays and facts")
    return Checkpoint(arrays, facts)


def _newest_first(place: Path) -> list[Path]:
    # By steps; of two at one step, one was written before an evaluation and one after it: the later.
    found = [path for path in place.glob("*.npz") if NAME.fullmatch(path.name)]
    return sorted(
        found, key=lambda path: (path.name.split("-")[0], path.stat().st_mtime_ns), reverse=True
    )


def _digest(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
