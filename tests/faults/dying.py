"""Runs a program that kills itself during a file operation.

`python dying.py <operation> <part of a path> <count> program arguments…`: the operation is `write`,
`fsync`, `replace` or `unlink`. The process dies at the count-th one on a path that contains the
part: before a replace or unlink, after half of a write, after an fsync.
"""

import os
import pathlib
import runpy
import signal
import sys


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    operation, part, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    program, sys.argv = sys.argv[4], sys.argv[4:]
    remaining = [count]

    def is_the_one(path) -> bool:
        remaining[0] -= part in str(path)
        return part in str(path) and remaining[0] == 0

    if operation == "write":
        open_path = pathlib.Path.open

        def open_or_break(path, mode="r", *arguments, **options):
            file = open_path(path, mode, *arguments, **options)
            return HalfFile(file) if mode not in ("r", "rb") and is_the_one(path) else file

        pathlib.Path.open = open_or_break
    elif operation == "fsync":
        fsync = os.fsync

        def fsync_then_die(descriptor):
            fsync(descriptor)
            if is_the_one(os.readlink(f"/proc/self/fd/{descriptor}")):
                die()

        os.fsync = fsync_then_die
    elif operation == "replace":
        replace = os.replace
        os.replace = lambda source, target: die() if is_the_one(target) else replace(source, target)
    else:
        unlink = pathlib.Path.unlink
        pathlib.Path.unlink = lambda path, *arguments, **options: (
            die() if is_the_one(path) else unlink(path, *arguments, **options)
        )
    if program == "mbrl":
        runpy.run_module("mbrl", run_name="__main__")
    else:
        runpy.run_path(program, run_name="__main__")


class HalfFile:
    """A file that receives the first half of the first write."""

    def __init__(self, file):
        self._file = file

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()

    def write(self, content):
        self._file.write(content[: len(content) // 2])
        self._file.flush()
        die()


if __name__ == "__main__":
    main()
