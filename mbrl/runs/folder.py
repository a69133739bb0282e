"""The folder of one run: locked while the run lives, never shared, with a summary that never claims too much."""

import fcntl
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mbrl.runs.checkpoints import sync_folder
from mbrl.runs.reader import final_values, read_metrics, read_provenance

STATUSES = (
    "completed",
    "failed",
    "interrupted",
)  # how a run can end; while it lives it is "running"
RECORDS = (
    "config.yaml",
    "metrics.jsonl",
    "summary.json",
)  # any of these shows that a folder holds a run
LOCK_TRIES = 10
LONGEST_NAME = 100  # characters; file systems take 255 bytes, but paths add up

logger = logging.getLogger(__name__)


class RunFolder:
    """The folder at `path`, made if it is missing, as a context manager around one run:

        with RunFolder(path, config_yaml) as folder:
            ...
            folder.finish("completed")

    Whatever leaves the block before `finish` is recorded too: an exception as `failed` with a sentence that says why,
    Ctrl-C and its like as `interrupted`. A run that was killed outright stays `running`, and its lock is free.

    Entering raises FileExistsError for a folder that already holds a run, BlockingIOError for one that another run uses.
    Hydra's own `.hydra/` and `run.log` may be there already. With `resume`, the folder must hold a run, of which nothing is changed before
    `begin`, unless it is only written down and was never begun, as a sweep's jobs are.
    """

    def __init__(self, path: str | Path, config_yaml: str, resume: bool = False):
        self.path = Path(path)
        self.config_yaml = config_yaml
        self.resume = resume
        self.begun, self.finished = False, False

    def __enter__(self) -> "RunFolder":
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = lock(self.path)
        try:
            if not self.resume:
                self._refuse_second_run()
            if not (self.path / "summary.json").exists():
                self.begin()
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(self, kind, error, traceback) -> None:
        try:
            if self.begun and not self.finished:
                self._finish_on_exit(error)
        finally:
            os.close(self._lock)

    def begin(self) -> None:
        """Says that the run is running, and what it is: on entering, or of a run that is taken up once it is known that it can be."""
        if not self._config_is_there():
            write_atomic(self.path / "config.yaml", self.config_yaml)
        self._write_summary(
            {"status": "running", "env_steps": 0, "wall_seconds": 0.0} | self._values()
        )
        self.begun = True

    def truncate_metrics(self, number: int) -> None:
        """Leaves the first `number` rows in metrics.jsonl; those after them go to the end of metrics.superseded.jsonl."""
        file, old = self.path / "metrics.jsonl", self.path / "metrics.superseded.jsonl"
        lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
        # What follows the last newline is half a row, of a run that was killed while it wrote it.
        superseded = b"".join(line for line in lines[number:] if line.endswith(b"\n"))
        before = old.read_bytes() if old.exists() else b""
        if not before.endswith(superseded):  # or a resume was killed between these two
            write_atomic(old, before + superseded)
        if lines[number:]:
            write_atomic(file, b"".join(lines[:number]))

    def archive_superseded(self) -> None:
        """Gives metrics.superseded.jsonl another name: what follows is not held to it any more."""
        old = self.path / "metrics.superseded.jsonl"
        if old.exists():
            number = len(list(self.path.glob("metrics.superseded.*.jsonl"))) + 1
            os.replace(old, self.path / f"metrics.superseded.{number}.jsonl")

    def sync_rows(self) -> None:
        """Makes the rows so far survive a loss of power."""
        file = self.path / "metrics.jsonl"
        if file.exists():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
            sync_folder(self.path)

    def write_provenance(self, provenance: Mapping[str, Any]) -> None:
        """Writes what `runs/provenance.py` found out; of a run that is taken up, at the end of `resumes` of what is there."""
        before = read_provenance(self.path)
        if "started" in before:  # of a sweep's job that was never started there is less
            provenance = {**before, "resumes": [*before.get("resumes", []), provenance]}
        write_json(self.path / "provenance.json", provenance)

    def finish(
        self, status: str, values: Mapping[str, Any] | None = None, error: str | None = None
    ) -> dict[str, Any]:
        """Writes the last summary, and returns it.

        `values` are the final `env_steps`, `wall_seconds` and metrics; by default, the last of each in metrics.jsonl.
        `error` says in one sentence why a run failed. Raises ValueError for a status that is no end.
        """
        if status not in STATUSES:
            raise ValueError(f"status={status} must be one of {', '.join(STATUSES)}.")
        summary = {
            "status": status,
            "env_steps": 0,
            "wall_seconds": 0.0,
            **(self._values() if values is None else values),
        }
        if error is not None:
            summary["error"] = error
        self._write_summary(summary)
        self.finished = True
        return summary

    def _values(self) -> dict[str, Any]:
        return final_values(read_metrics(self.path))

    def _config_is_there(self) -> bool:
        file = self.path / "config.yaml"
        return file.exists() and file.read_text(encoding="utf-8") == self.config_yaml

    def _finish_on_exit(self, error: BaseException | None) -> None:
        try:
            self._finish_with(error)
        except OSError as reason:  # which would hide why the run ended
            logger.error(
                "The summary of %s cannot be written (%s), and still says that the run is running.",
                self.path,
                reason,
            )

    def _finish_with(self, error: BaseException | None) -> None:
        if error is None:
            self.finish("failed", error="The run ended without a result.")
        elif isinstance(error, Exception):
            self.finish("failed", error=_sentence(error))
        else:  # KeyboardInterrupt, SystemExit: somebody wanted it to stop
            self.finish("interrupted")

    def _write_summary(self, summary: Mapping[str, Any]) -> None:
        write_json(self.path / "summary.json", summary)

    def _refuse_second_run(self) -> None:
        found = [name for name in RECORDS if (self.path / name).exists()]
        if found:
            raise FileExistsError(
                f"The folder {self.path} already holds a run ({', '.join(found)}): leave out hydra.run.dir to get a new folder, "
                "name another one, or remove this one."
            )


def lock(path: Path, file: str = ".lock") -> int:
    """Takes the lock of a run's folder, with next to no waiting; closing the file descriptor that it returns lets go of it.

    Raises BlockingIOError where another process (or another `RunFolder` in this one) holds it.
    """
    descriptor = os.open(path / file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _flock(descriptor)
    except BlockingIOError:
        os.close(descriptor)
        raise BlockingIOError(
            f"Another run is using the folder {path}: wait until it ends, or choose another folder."
        ) from None
    except (
        OSError
    ) as reason:  # some network file systems have no locks; a run there is better than none
        logger.warning(
            "The folder %s cannot be locked (%s): take care that no second run uses it.",
            path,
            reason,
        )
    return descriptor


def _flock(descriptor: int) -> None:
    """Tries more than once, since who only looks whether a run lives here holds the lock for an instant too."""
    for _ in range(LOCK_TRIES - 1):
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes a JSON object, whole; NaN and infinity are null."""
    # Python writes NaN, which is no JSON; reading that back, it lets us choose what to make of it.
    values = json.loads(json.dumps(values), parse_constant=lambda name: None)
    write_atomic(path, json.dumps(values, indent=2, allow_nan=False) + "\n")


def write_atomic(path: Path, content: str | bytes) -> None:
    """Writes a file so that a reader, and a loss of power, see the old one or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        # Exclusively, since what may lie there by now is not ours, and may lead elsewhere.
        with temporary.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def safe_name(text: str) -> str:
    """A short folder name for any text: distinct texts get distinct names, and an unremarkable one is its own name.

    Characters other than letters, digits and `._=,+-` become `-`, and what exceeds 100 characters is cut off; then a
    hash of the whole text follows.
    """
    if not text:
        return "default"  # no overrides
    safe = re.sub(r"[^A-Za-z0-9._=,+-]", "-", text).lstrip(
        ".-"
    )  # a leading dot hides, ".." escapes, a dash is an option
    if safe == text and len(text) <= LONGEST_NAME:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{safe[: LONGEST_NAME - len(digest) - 1]}-{digest}".lstrip("-")


def _sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
