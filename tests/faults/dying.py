"""Runs a program, and lists its file operations in a folder or dies before one of them.

    python dying.py list <file> <folder> <program> <arguments>…
    python dying.py <kind> <count> <folder> <program> <arguments>…

The first writes to a file of JSON how often each kind of operation happens. The second is killed
before the count-th operation of a kind, or in the middle of a write. A kind is an operation and a
name, such as `rename checkpoint/N-H.npz`. The program is a file, or `mbrl`.
"""

import json
import os
import pathlib
import re
import runpy
import signal
import sys
from collections import Counter
from typing import Any

# Python's audit events about files, with the position of the path that changes.
EVENTS = {
    "open": 0,
    "os.remove": 0,
    "os.mkdir": 0,
    "os.rmdir": 0,
    "os.truncate": 0,
    "os.rename": 1,
    "os.link": 1,
    "os.symlink": 1,
    "shutil.copyfile": 1,
    "shutil.copystat": 1,
    "shutil.move": 1,
    "shutil.rmtree": 0,
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Operations:
    """Counts the operations in a folder, by kind; the process dies at one of them."""

    def __init__(self, folder: str, kind: str = "", count: int = 0):
        self.folder, self.kind, self.count = os.path.abspath(folder), kind, count
        self.counts: Counter[str] = Counter()

    def on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS or (event == "open" and not arguments[2] & WRITING):
            return
        if self.is_fatal(event.rpartition(".")[2], arguments[EVENTS[event]]):
            die()

    def is_fatal(self, operation: str, path: Any) -> bool:
        """Count an operation; return whether the process dies at it."""
        if isinstance(path, int):
            path = f"/proc/self/fd/{path}"
        path = os.path.realpath(os.fsdecode(path))
        if os.path.commonpath([self.folder, path]) != self.folder:
            return False
        name = re.sub(r"[0-9a-f]{16}", "H", os.path.relpath(path, self.folder))
        name = re.sub(r"^(wandb|tensorboard)/.+", r"\1/…", re.sub(r"\d+", "N", name))
        kind = f"{operation} {name}"
        self.counts[kind] += 1
        return kind == self.kind and self.counts[kind] == self.count


class HalfFile:
    """A file in which the process may die after half of a write."""

    def __init__(self, file: Any, operations: Operations):
        self._file, self._operations = file, operations

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "HalfFile":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, content: Any) -> int:
        if not self._operations.is_fatal("write", self._file.name):
            return self._file.write(content)
        self._file.write(content[: len(content) // 2])
        self._file.flush()
        return die()


def die() -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def watch(operations: Operations) -> None:
    """Have the operations counted; writes and fsync have no audit event."""
    fdopen, fsync = os.fdopen, os.fsync

    def open_for_half(descriptor: int, mode: str) -> Any:
        file = fdopen(descriptor, mode)
        return file if mode == "rb" else HalfFile(file, operations)

    def fsync_or_die(descriptor: int) -> None:
        if operations.is_fatal("fsync", descriptor):
            die()
        fsync(descriptor)

    os.fdopen = open_for_half  # as mbrl.regular_files opens files
    os.fsync = fsync_or_die
    sys.addaudithook(operations.on_event)


def main() -> None:
    kind, count_or_file, folder, *sys.argv = sys.argv[1:]
    operations = Operations(folder, kind, 0 if kind == "list" else int(count_or_file))
    watch(operations)
    try:
        if sys.argv[0] == "mbrl":
            runpy.run_module("mbrl", run_name="__main__")
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        if kind == "list":
            pathlib.Path(count_or_file).write_text(json.dumps(operations.counts))


if __name__ == "__main__":
    main()
