"""The files of a sweep's own folder, whose content can be anyone's: each is read with bounds."""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from mbrl.errors import CorruptRun, one_line
from mbrl.regular_files import check_entries, read_regular
from mbrl.runs.saved_config import read_mapping

LOGS = ".submitit"  # what Slurm's jobs print, and jobs.json with their ids
MAX_JSON_BYTES = 10_000_000  # names and Slurm ids of 10 000 jobs have about 1 500 000


class SavedSweep(NamedTuple):
    """The content of sweep.json."""

    num_jobs: int
    command: list[str]  # that started the sweep


def check_sweep(sweep: Path) -> None:
    """Raise CorruptRun if a sweep's folder, or a job's, holds a link, a pipe or a socket.

    A folder that does not exist passes.
    """
    check_entries(sweep)
    folders = (
        [Path(entry) for entry in os.scandir(sweep) if entry.is_dir()] if sweep.exists() else []
    )
    for folder in folders:
        check_entries(folder)


def read_overrides(sweep: Path) -> list[str] | None:
    """The overrides of the sweep's command, from multirun.yaml; None if there is none.

    Raises CorruptRun for a file that a sweep does not write.
    """
    file = sweep / "multirun.yaml"
    try:
        node: Any = read_mapping(file, remedy="Choose another hydra.sweep.dir.")
    except FileNotFoundError:
        return None
    for key in ("hydra", "overrides", "task"):
        node = node.get(key) if isinstance(node, dict) else None
    if not _is_list_of_text(node):
        raise CorruptRun(
            f"{file} is damaged: hydra.overrides.task must be a list of overrides. "
            "Choose another hydra.sweep.dir."
        )
    return node


def read_sweep_json(sweep: Path) -> SavedSweep | None:
    """The content of sweep.json; None if there is none. Raises CorruptRun if it is damaged."""
    file, remedy = sweep / "sweep.json", "Remove it to resume the jobs in the folder."
    values = _read_object(file, remedy)
    if values is None:
        return None
    num_jobs, command = values.get("num_jobs"), values.get("command")
    if type(num_jobs) is not int or num_jobs < 0:
        raise CorruptRun(f"{file} is damaged: num_jobs must be a whole number. {remedy}")
    if not _is_list_of_text(command):
        raise CorruptRun(f"{file} is damaged: command must be a list of text. {remedy}")
    return SavedSweep(num_jobs, command)


def read_slurm_ids(sweep: Path) -> dict[str, str]:
    """The jobs that were submitted to Slurm, from jobs.json: folder name → Slurm job id.

    Empty if there is no such file. Raises CorruptRun if it is damaged.
    """
    file = sweep / LOGS / "jobs.json"
    remedy = "Remove it when no job of the sweep is in Slurm's queue."
    ids = _read_object(file, remedy) or {}
    if not _is_list_of_text(list(ids.values())):
        raise CorruptRun(f"{file} is damaged: each Slurm job id must be text. {remedy}")
    return ids


def _read_object(file: Path, remedy: str) -> dict[str, Any] | None:
    """A JSON object; None if there is no such file."""
    try:
        content = read_regular(file, MAX_JSON_BYTES)
    except FileNotFoundError:
        return None
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CorruptRun(f"{file} is damaged ({one_line(error)}). {remedy}") from error
    if not isinstance(values, dict):
        raise CorruptRun(f"{file} is damaged: it must be a JSON object. {remedy}")
    return values


def _is_list_of_text(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
