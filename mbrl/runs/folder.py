"""One run's folder: an exclusive lock, atomic writes, and a summary with the run's status."""

import fcntl
import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from mbrl.errors import ConfigError, CorruptRun, FolderTaken, RunError, one_line
from mbrl.regular_files import (
    MAX_METRICS_BYTES,
    check_entries,
    open_regular,
    read_regular,
    sync_folder,
    write_atomic,
    write_json,
)
from mbrl.run_info import CHECKPOINT_FOLDER, CHECKPOINT_NAME
from mbrl.runs.checkpoints import WRITING
from mbrl.runs.reader import complete_lines, final_values, read_metrics, read_provenance

STATUSES = ("completed", "failed", "interrupted")  # how a run can end; before, it is "running"
RUN_FILES = ("config.yaml", "metrics.jsonl", "summary.json")  # any shows that a folder holds a run
# What Hydra writes before a run, and what a run writes before its first row.
HYDRA_FILES = (".hydra", "run.log")
FIRST_FILES = (*HYDRA_FILES, ".lock", "config.yaml", "provenance.json", "summary.json")
# All names in a run's folder; the last are those of files that were being written.
CONTENT = re.compile(
    r"\.hydra|run\.log|\.lock|config\.yaml|provenance\.json|summary\.json|checkpoint|wandb"
    r"|tensorboard|metrics(\.superseded(\.\d+)?)?\.jsonl|learning_curve\.png|\.[\w.]+\.tmp"
)
FOLDERS = (".hydra", CHECKPOINT_FOLDER, "wandb", "tensorboard")
CHECKPOINT_CONTENT = re.compile(rf"{CHECKPOINT_NAME.pattern}(\.damaged)?|{WRITING}")
LOCK_TRIES = 10
MAX_NAME_LENGTH = 100  # characters; file systems allow 255 bytes, but paths add up

logger = logging.getLogger(__name__)


class RunFolder:
    """Context manager around one run, with the folder at `path`, which is created if missing:

        with RunFolder(path, config_yaml) as folder:
            ...
            folder.finish("completed")

    Leaving the block without `finish` is recorded too: after an exception as `failed` with its
    message, after Ctrl-C and similar as `interrupted`. A run that was killed (kill -9) stays
    `running`, but its lock is free.

    Entering raises FolderTaken for a folder that already holds a run, and BlockingIOError for
    one that another run is using. Hydra's own `.hydra/` and `run.log` may exist already. With
    `resume`, the folder must hold a run; nothing of it changes before `mark_running`, except in a
    run that was saved but never started, such as a sweep's job.
    """

    def __init__(self, path: str | Path, config_yaml: str, resume: bool = False):
        self.path = Path(path)
        self.config_yaml = config_yaml
        self.resume = resume
        self._running, self._finished = False, False

    def __enter__(self) -> "RunFolder":
        self.path.mkdir(parents=True, exist_ok=True)
        check_entries(self.path)
        self._lock = lock(self.path)
        try:
            if not self.resume:
                names = [name for name in RUN_FILES if (self.path / name).exists()]
                if names:
                    raise FolderTaken(
                        f"The folder {self.path} already holds a run ({', '.join(names)}). Leave "
                        "out hydra.run.dir to get a new folder, name another one, or remove this "
                        "one."
                    )
            if not (self.path / "summary.json").exists():
                self.mark_running()
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(self, kind, error, traceback) -> None:
        try:
            if self._running and not self._finished and self.path.is_dir():
                self._finish_on_exit(error)
        finally:
            os.close(self._lock)

    def mark_running(self) -> None:
        """Write config.yaml and a summary with the status `running`.

        Called on entering a new run; for a resumed one, once it is known that it can be resumed.
        """
        config, summary = self.path / "config.yaml", self.path / "summary.json"
        values = {"status": "running", "env_steps": 0, "wall_seconds": 0.0} | self._final_values()
        # First, so that a completed run never has the config of a longer one, even if killed here.
        if summary.exists():
            write_json(summary, values)
        if not config.exists() or read_regular(config) != self.config_yaml.encode():
            write_atomic(config, self.config_yaml)
        write_json(summary, values)
        self._running = True

    def truncate_metrics(self, num_rows: int) -> None:
        """Keep the first rows in metrics.jsonl; append the others to metrics.superseded.jsonl."""
        file, old = self.path / "metrics.jsonl", self.path / "metrics.superseded.jsonl"
        lines = [line + b"\n" for line in complete_lines(file)]
        superseded = b"".join(lines[num_rows:])
        before = read_regular(old, MAX_METRICS_BYTES) if old.exists() else b""
        # They are there already if a resume was killed between these two writes.
        if not before.endswith(superseded):
            write_atomic(old, before + superseded)
        if file.exists():
            write_atomic(file, b"".join(lines[:num_rows]))

    def archive_superseded(self) -> None:
        """Rename metrics.superseded.jsonl: later rows need not reproduce it."""
        old = self.path / "metrics.superseded.jsonl"
        if old.exists():
            names = (self.path / f"metrics.superseded.{number}.jsonl" for number in count(1))
            os.replace(old, next(name for name in names if not name.exists()))

    def sync_rows(self) -> None:
        """Write the rows so far to disk, so that they survive a loss of power."""
        file = self.path / "metrics.jsonl"
        if file.exists():
            with open_regular(file) as opened:
                os.fsync(opened.fileno())
            sync_folder(self.path)

    def write_provenance(self, provenance: Mapping[str, Any]) -> None:
        """Write provenance.json; for a resumed run, append to the list `resumes` in it."""
        before = read_provenance(self.path)
        if "started" in before:  # missing in a sweep's job that was never started
            provenance = {**before, "resumes": [*before.get("resumes", []), provenance]}
        write_json(self.path / "provenance.json", provenance)

    def finish(
        self, status: str, values: Mapping[str, Any] | None = None, error: str | None = None
    ) -> dict[str, Any]:
        """Write the final summary and return it.

        `values` are the final `env_steps`, `wall_seconds` and metrics, by default the last of each
        in metrics.jsonl. `error` is the reason why a run failed. Raises ValueError for a status
        that is not one of STATUSES.
        """
        if status not in STATUSES:
            raise ValueError(f"status={status} must be one of {', '.join(STATUSES)}.")
        summary = {"status": status, "env_steps": 0, "wall_seconds": 0.0}
        summary |= self._final_values() if values is None else values
        if error is not None:
            summary["error"] = error
        write_json(self.path / "summary.json", summary)
        self._finished = True
        return summary

    def _final_values(self) -> dict[str, Any]:
        return final_values(read_metrics(self.path))

    def _finish_on_exit(self, error: BaseException | None) -> None:
        try:
            if error is None:
                self.finish("failed", error="The run ended without a result.")
            elif isinstance(error, Exception):
                kind = type(error).__name__
                # The text of an own error is one line of any length.
                is_own = isinstance(error, ConfigError | RunError | CorruptRun)
                message = str(error) if is_own else one_line(error)
                self.finish("failed", error=kind if message == kind else f"{kind}: {message}")
            else:  # KeyboardInterrupt, SystemExit
                self.finish("interrupted")
        except (OSError, CorruptRun) as failure:  # not raised: it would hide why the run ended
            logger.error(
                "The summary of %s cannot be written (%s). It still has the status running.",
                self.path,
                one_line(failure),
            )


def foreign_files(folder: Path) -> list[str]:
    """The paths in a run's folder that no run writes, relative to it and in order.

    Looks into `checkpoint`, but not into the folders of Hydra and of loggers. Raises OSError if a
    folder cannot be read.
    """
    foreign = [
        path.name
        for path in folder.iterdir()
        if not CONTENT.fullmatch(path.name) or (path.is_dir() and path.name not in FOLDERS)
    ]
    checkpoints = folder / CHECKPOINT_FOLDER
    for path in checkpoints.iterdir() if checkpoints.is_dir() else ():
        if not CHECKPOINT_CONTENT.fullmatch(path.name) or path.is_dir():
            foreign.append(f"{CHECKPOINT_FOLDER}/{path.name}")
    return sorted(foreign)


def discard_refused(folder: Path, files: Collection[str]) -> None:
    """Removes the folder of a run that was refused before it began, if it holds only `files`.

    The folder of its day is removed too, if it is empty then.
    """
    is_own = folder.is_dir() and not folder.is_symlink() and folder.resolve() != Path.cwd()
    if not is_own or not {path.name for path in folder.iterdir()} <= set(files):
        return
    shutil.rmtree(folder, ignore_errors=True)  # the refusal matters more
    remove_empty_day(folder.parent)


def remove_empty_day(folder: Path) -> None:
    """Remove a folder that is named by a date, if it is empty."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", folder.name):
        with suppress(OSError):  # not empty
            folder.rmdir()


def lock(path: Path, file: str = ".lock") -> int:
    """Lock a run's folder, almost without waiting; return the file descriptor that holds the lock.

    Closing the descriptor releases the lock. Raises BlockingIOError if another process (or another
    `RunFolder` in this one) holds it, and CorruptRun if it is not a regular file.
    """
    with open_regular(path / file, "r+b") as opened:
        descriptor = os.dup(opened.fileno())
    try:
        _flock(descriptor)
    except BlockingIOError:
        os.close(descriptor)
        raise BlockingIOError(
            f"Another run is using the folder {path}. Wait until it ends, or choose another folder."
        ) from None
    except OSError as error:  # some network file systems have no locks
        logger.warning(
            "The folder %s cannot be locked (%s). Make sure that no second run uses it.",
            path,
            one_line(error),
        )
    return descriptor


def _flock(descriptor: int) -> None:
    """Try several times: a process that checks whether a run is active holds the lock briefly."""
    for _ in range(LOCK_TRIES - 1):
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def safe_name(text: str) -> str:
    """Turn any text into a short folder name; distinct texts get distinct names.

    Characters other than letters, digits and `._=,+-` become `-`, and the name is cut to 100
    characters. If either changes the text, a hash of the whole text is appended.
    """
    if not text:
        return "default"  # no overrides
    # At the start, a dot would hide the folder, ".." would leave it, a dash would be an option.
    safe = re.sub(r"[^A-Za-z0-9._=,+-]", "-", text).lstrip(".-")
    if safe == text and len(text) <= MAX_NAME_LENGTH:
        return text
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{safe[: MAX_NAME_LENGTH - len(digest) - 1]}-{digest}".lstrip("-")
