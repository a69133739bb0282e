"""Runs a program that kills itself in the middle of a file operation: `python dying.py <operation> <path part> <count> program arguments…`.

The operation is `write` (half of the bytes arrive), `fsync`, `replace` or `unlink`; the process dies at the count-th one that concerns
a path with that part in it: before a replace and an unlink, after half a write, after an fsync.
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
    left = [count]

    def is_the_one(path) -> bool:
        left[0] -= part in str(path)
        return part in str(path) and left[0] == 0

    if operation == "write":
        open_path = pathlib.Path.open

        def opened(path, mode="r", *arguments, **options):
            file = open_path(path, mode, *arguments, **options)
            return Half(file) if mode != "r" and mode != "rb" and is_the_one(path) else file

        pathlib.Path.open = opened
    elif operation == "fsync":
        fsync = os.fsync

        def synced(descriptor):
            fsync(descriptor)
            if is_the_one(os.readlink(f"/proc/self/fd/{descriptor}")):
                die()

        os.fsync = synced
    elif operation == "replace":
        replace = os.replace
        os.replace = lambda source, target: die() if is_the_one(target) else replace(source, target)
    else:
        unlink = pathlib.Path.unlink
        pathlib.Path.unlink = lambda path, *given, **options: (
            die() if is_the_one(path) else unlink(path, *given, **options)
        )
    if program == "mbrl":
        runpy.run_module("mbrl", run_name="__main__")
    else:
        runpy.run_path(program, run_name="__main__")


class Half:
    """A file of which only the first half of the first write arrives."""

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
