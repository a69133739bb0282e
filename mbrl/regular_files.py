"""Reading and writing files in folders whose content can be anyone's.

Only regular files are opened, and none through a link: a link leads elsewhere, and reading a pipe
would wait for ever.
"""

import errno
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mbrl.errors import CorruptRun

MAX_BYTES = 100_000_000  # of a file that is read as a whole
MAX_METRICS_BYTES = 2_000_000_000  # of metrics.jsonl, which grows with a run


def check_entries(folder: Path, hydra_subfolder: str = ".hydra") -> None:
    """Raise CorruptRun unless all in a run's or sweep's folder are regular files and folders.

    The same for its checkpoints and Hydra's files. What other programs keep in deeper folders is
    not checked. A folder that does not exist passes; OSError is raised for one that cannot be
    listed.
    """
    for path in (folder, folder / "checkpoint", folder / hydra_subfolder):
        try:
            entries = list(os.scandir(path))
        except FileNotFoundError:
            continue
        for entry in entries:
            if not entry.is_file(follow_symlinks=False) and not entry.is_dir(follow_symlinks=False):
                raise _not_regular(path / entry.name)


def open_regular(path: Path, mode: str = "rb") -> Any:
    """Open a regular file in binary `mode`: rb, ab, r+b, or xb. All but rb create a missing one.

    Mode xb raises FileExistsError if there is one. The others raise CorruptRun for a link and for
    anything else that is not a regular file.
    """
    flags = {"rb": os.O_RDONLY, "ab": os.O_WRONLY | os.O_APPEND | os.O_CREAT}
    flags |= {"r+b": os.O_RDWR | os.O_CREAT, "xb": os.O_WRONLY | os.O_CREAT | os.O_EXCL}
    safe = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # without waiting for a pipe's other end
    try:
        descriptor = os.open(path, flags[mode] | safe, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):  # a link, a pipe, a folder
            raise _not_regular(path) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_regular(path)
    return os.fdopen(descriptor, mode)


def read_regular(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a regular file.

    Raises CorruptRun for a file that is larger or not regular, and FileNotFoundError for none.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > max_bytes:
            raise CorruptRun(
                f"{path} is larger than {max_bytes} bytes, which no such file of a run is. Remove "
                "it, or restore what the run wrote."
            )
        return file.read()


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object atomically. Raises ValueError for NaN and infinity."""
    # Names of files that are not UTF-8 have characters that UTF-8 does not have.
    text = json.dumps(values, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    write_atomic(path, json.dumps(json.loads(text), indent=2) + "\n")


def write_atomic(
    path: Path, content: str | bytes | memoryview, temporary: Path | None = None
) -> None:
    """Write a file atomically: readers see the old or the new one, even after a loss of power.

    It is written under the name `temporary` first, by default `.<name>.tmp` in the same folder.
    """
    temporary = temporary or path.with_name(f".{path.name}.tmp")
    with errors_naming(path):
        temporary.unlink(missing_ok=True)
        try:
            with open_regular(temporary, "xb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


@contextmanager
def errors_naming(path: Path) -> Iterator[None]:
    """Name the path in OSErrors of the block: those of a write or fsync name none."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def sync_folder(folder: Path) -> None:
    """Write a folder's list of files to disk, so that a loss of power does not undo a rename."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _not_regular(path: Path) -> CorruptRun:
    kind = f"a link to {os.readlink(path)}" if path.is_symlink() else "not a regular file"
    return CorruptRun(
        f"{path} is {kind}, which no run writes, and is not opened. Remove it, or replace it by a "
        "copy of what belongs there."
    )
