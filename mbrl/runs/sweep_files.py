"""The files of a sweep's own folder, whose content can be anyone's: each is read with bounds."""

import os
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from mbrl.errors import CorruptRun
from mbrl.regular_files import check_entries
from mbrl.runs.reader import read_json
from mbrl.runs.saved_config import read_mapping
from mbrl.runs.schemas import STRICT, Count, typed, what_is_wrong

LOGS = ".submitit"  # what Slurm's jobs print, and jobs.json with their ids


@typed
class SavedSweep(TypedDict):
    """What is used of sweep.json."""

    num_jobs: Count


SAVED_SWEEP = TypeAdapter(SavedSweep)
TEXTS: TypeAdapter = TypeAdapter(list[str], config=STRICT)
SLURM_IDS: TypeAdapter = TypeAdapter(dict[str, str], config=STRICT)


def check_sweep(sweep: Path) -> None:
    """Raise CorruptRun if a sweep's folder, or a job's, holds a link, a pipe or a socket.

    In LOGS, submitit makes links, which nothing follows. A folder that does not exist passes.
    """
    check_entries(sweep)
    for entry in list(os.scandir(sweep)) if sweep.exists() else ():
        if entry.is_dir() and entry.name != LOGS:
            check_entries(Path(entry))


def read_overrides(sweep: Path) -> list[str] | None:
    """The overrides of the sweep's command, from multirun.yaml; None if there is none.

    Raises CorruptRun for a file that a sweep does not write.
    """
    file, remedy = sweep / "multirun.yaml", "Choose another hydra.sweep.dir."
    try:
        node: Any = read_mapping(file, remedy)
    except FileNotFoundError:
        return None
    for key in ("hydra", "overrides", "task"):
        node = node.get(key) if isinstance(node, dict) else None
    try:
        return TEXTS.validate_python(node)
    except ValidationError as error:
        raise CorruptRun(
            f"{file} is damaged (hydra.overrides.task: {what_is_wrong(error)}). {remedy}"
        ) from error


def read_num_jobs(sweep: Path) -> int | None:
    """How many jobs a sweep has, from sweep.json; None if there is none.

    Raises CorruptRun if it is damaged.
    """
    try:
        remedy = "Remove it to resume the jobs in the folder"
        return read_json(sweep / "sweep.json", SAVED_SWEEP, remedy)["num_jobs"]
    except FileNotFoundError:
        return None


def read_slurm_ids(sweep: Path) -> dict[str, str]:
    """The jobs that were submitted to Slurm, from jobs.json: folder name → Slurm job id.

    Empty if there is no such file. Raises CorruptRun if it is damaged.
    """
    try:
        remedy = "Remove it when no job of the sweep is in Slurm's queue"
        return read_json(sweep / LOGS / "jobs.json", SLURM_IDS, remedy)
    except FileNotFoundError:
        return {}
