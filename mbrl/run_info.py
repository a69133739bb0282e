"""What is known of a run beside its settings: how it was started, and where its files go.

A plain record, made in `mbrl/config/launch.py` and handed to loggers. Imports no JAX.
"""

import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

FORMAT = 3  # of a run's config.yaml and checkpoints; raised when saved runs become unusable


CHECKPOINT_FOLDER = "checkpoint"
# A name ends in the first digits of the content's SHA-256, so one rename makes both file and
# checksum appear.
CHECKPOINT_NAME = re.compile(r"(\d{12})-([0-9a-f]{16})\.npz")


def checkpoint_files(folder: Path) -> list[Path]:
    """The checkpoints in a run's folder, the newest first.

    Raises OSError if they cannot be listed, which is not the same as having none.
    """
    try:
        entries = list(os.scandir(folder / CHECKPOINT_FOLDER))
    except FileNotFoundError:
        return []
    # Two checkpoints can have the same steps, before and after an evaluation: the later is newer.
    # If the clock was set back or the files were copied, the earlier repeats the evaluation.
    found = []
    for entry in entries:
        if CHECKPOINT_NAME.fullmatch(entry.name):
            with suppress(FileNotFoundError):  # the run has removed it meanwhile
                steps = entry.name.split("-")[0]
                found.append((steps, entry.stat().st_mtime_ns, Path(entry)))
    return [path for *_, path in sorted(found, reverse=True)]


def wandb_agent_run_id() -> str | None:
    """The id that `wandb agent` has given to what it started; None where it started nothing."""
    return (os.environ.get("WANDB_SWEEP_ID") and os.environ.get("WANDB_RUN_ID")) or None


def _new_run_id() -> str:
    return wandb_agent_run_id() or secrets.token_hex(4)


@dataclass(frozen=True)
class RunInfo:
    """One run, new or resumed."""

    folder: Path  # absolute
    name: str  # <env>_<model>_<planner>_seed<seed>
    group: str | None = None  # the sweep it belongs to
    choices: Mapping[str, str] = field(default_factory=dict)  # config group → chosen option
    trust: tuple[str, ...] = ()  # packages trusted on the command line
    overrides: tuple[str, ...] = ()  # the command line, as given
    environment: Mapping[str, str] = field(default_factory=dict)  # variables of hydra.job.env_set
    # foreign: with files from outside conf/; saved: a run's config.yaml. Both are untrusted input.
    config_source: Literal["own", "foreign", "saved"] = "own"
    typed: Mapping[str, Any] = field(default_factory=dict)  # settings given plainly to this command
    owns_terminal: bool = True  # False where other runs print to the same terminal
    run_id: str = field(default_factory=_new_run_id)  # W&B's id; kept when the run is resumed
    config: Mapping[str, Any] = field(default_factory=dict)  # resolved settings, plain containers
    logger_name: str = "wandb"  # the key under `logger` of the logger that gets this
    num_rows: int = 0  # rows of metrics.jsonl that a resumed run keeps
    num_parameters: Mapping[str, int] = field(default_factory=dict)  # trainable ones, by part

    def to_provenance(self) -> dict[str, Any]:
        """What provenance.json keeps, so that the run can be resumed."""
        kept = ("name", "group", "choices", "overrides", "environment", "run_id")
        return {"format": FORMAT} | {name: getattr(self, name) for name in kept}
