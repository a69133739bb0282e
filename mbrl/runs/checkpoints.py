"""Checkpoints: named arrays in checksummed files, written atomically."""

import hashlib
import io
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mbrl.errors import one_line
from mbrl.regular_files import sync_folder, write_atomic
from mbrl.run_info import CHECKPOINT_FOLDER, checkpoint_files

FACTS = "facts"  # the name of the array that holds a checkpoint's facts, as JSON
WRITING = ".writing"  # the name of a checkpoint until it is complete

logger = logging.getLogger(__name__)


class Checkpoint(NamedTuple):
    """The content of one file."""

    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]  # JSON: `env_steps` and whatever else was given to `save_checkpoint`


def save_checkpoint(
    folder: Path, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any], max_checkpoints: int
) -> Path:
    """Write `<folder>/checkpoint/<env_steps>-<checksum>.npz`, a file for `numpy.load`.

    `facts` must have `env_steps`. The file gets its name once it is complete on disk; only then
    are all but the newest `max_checkpoints` removed. Raises OSError if it cannot be written; older
    checkpoints then remain.
    """
    checkpoints = folder / CHECKPOINT_FOLDER
    if not checkpoints.exists():
        checkpoints.mkdir()
        sync_folder(folder)
    content = io.BytesIO()  # in memory first: on a full disk, NumPy would leave a partial file
    named: dict[str, Any] = {FACTS: np.frombuffer(json.dumps(facts).encode(), np.uint8), **arrays}
    np.savez(content, allow_pickle=False, **named)
    path = checkpoints / f"{facts['env_steps']:012}-{_digest(content.getbuffer())}.npz"
    write_atomic(path, content.getbuffer(), checkpoints / WRITING)
    for old in checkpoint_files(folder)[max_checkpoints:]:
        if old != path:
            old.unlink()
    return path


def load_checkpoint(
    folder: Path, usable: Callable[[Mapping[str, Any]], bool] = lambda facts: True
) -> Checkpoint | None:
    """Load the newest intact checkpoint of a run whose facts are `usable`; None if there is none.

    A damaged one is renamed to `….damaged` with a warning, and the one before it is tried. Raises
    OSError if a file cannot be read.
    """
    for path in checkpoint_files(folder):
        content = path.read_bytes()
        try:
            checkpoint = _parse(content, path)
            is_usable = usable(checkpoint.facts)
        except Exception as error:  # the file can be anyone's, so any error is possible
            logger.warning(
                "The checkpoint %s is damaged (%s); the one before it is used.",
                path,
                one_line(error),
            )
            path.rename(f"{path}.damaged")
            continue
        if is_usable:
            return checkpoint
        logger.warning(
            "The checkpoint %s counts rows that metrics.jsonl does not have; "
            "the one before it is used.",
            path,
        )
    return None


def newest_checkpoint(folder: Path) -> int | None:
    """The real steps of the newest checkpoint, taken from its name."""
    paths = checkpoint_files(folder)
    return int(paths[0].name.split("-")[0]) if paths else None


def _parse(content: bytes, path: Path) -> Checkpoint:
    """Raises ValueError, or any error of NumPy or JSON, for a file that a run did not write."""
    if not path.stem.endswith(_digest(content)):
        raise ValueError("its content does not match its checksum")
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    facts = json.loads(arrays.pop(FACTS).tobytes())
    all_arrays = all(isinstance(array, np.ndarray) for array in arrays.values())
    if not isinstance(facts, dict) or not all_arrays:
        raise ValueError("it does not hold arrays and facts")
    return Checkpoint(arrays, facts)


def _digest(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
