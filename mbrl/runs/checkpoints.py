"""Checkpoints: named arrays in checksummed files, written atomically."""

import hashlib
import io
import json
import logging
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from mbrl.errors import one_line
from mbrl.regular_files import MAX_BYTES, read_regular, sync_folder, write_atomic
from mbrl.run_info import CHECKPOINT_FOLDER, checkpoint_files
from mbrl.runs.schemas import FACTS_SCHEMA, what_is_wrong

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
    folder: Path,
    usable: Callable[[Mapping[str, Any]], bool] = lambda facts: True,
    max_bytes: int = MAX_BYTES,
) -> Checkpoint | None:
    """Load the newest intact checkpoint of a run whose facts are `usable`; None if there is none.

    A damaged one, or one of more than `max_bytes`, is renamed to `….damaged` with a warning, and
    the one before it is tried. Raises OSError if a file cannot be read.
    """
    for path in checkpoint_files(folder):
        try:
            checkpoint = _parse(read_regular(path, max_bytes), path)
            is_usable = usable(checkpoint.facts)
        except OSError:
            raise
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
    return _env_steps(paths[0]) if paths else None


def _parse(content: bytes, path: Path) -> Checkpoint:
    """Raises ValueError, or any error of NumPy or JSON, for a file that a run did not write."""
    if not path.stem.endswith(_digest(content)):
        raise ValueError("its content does not match its checksum")
    members = zipfile.ZipFile(io.BytesIO(content)).infolist()
    is_stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
    if not is_stored or sum(member.file_size for member in members) > len(content):
        raise ValueError("it is compressed, as no checkpoint is")
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    try:
        facts = FACTS_SCHEMA.validate_json(arrays.pop(FACTS).tobytes())
    except ValidationError as error:
        raise ValueError(what_is_wrong(error)) from error
    if facts["env_steps"] != _env_steps(path):
        raise ValueError("its env_steps is not that of its name")
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise ValueError("it does not hold arrays only")
    return Checkpoint(arrays, dict(facts))


def _env_steps(path: Path) -> int:
    return int(path.name.split("-")[0])


def _digest(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
