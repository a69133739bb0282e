"""Finding the folders of runs and sweeps."""

import os
from collections.abc import Iterator
from pathlib import Path

# Any of these shows that a folder without a config.yaml is, or was to be, a run's.
TRACES = ("metrics.jsonl", "summary.json", "provenance.json", ".hydra")
SKIPPED = ("wandb", "checkpoint", "__pycache__")  # besides hidden folders


def is_run(path: Path) -> bool:
    """Whether the folder holds a run."""
    return (path / "config.yaml").is_file()


def is_sweep(path: Path) -> bool:
    """Whether the folder holds a sweep's jobs."""
    return (path / "multirun.yaml").is_file() or bool(runs_in(path))


def runs_in(path: Path) -> list[Path]:
    """The run folders directly below a sweep's, in the order of the jobs' numbers."""
    if not path.is_dir():
        return []
    # Hidden folders are excluded since Hydra's own, .hydra, has a config.yaml too.
    folders = [
        folder for folder in path.iterdir() if is_run(folder) and not folder.name.startswith(".")
    ]
    return sorted(folders, key=job_order)


def job_order(folder: Path) -> tuple[int, str]:
    """A sorting key by number: `10_seed=1` comes after `9_seed=0`."""
    number = folder.name.split("_")[0]
    return (int(number) if number.isdigit() else -1, folder.name)


def run_folders(path: Path) -> Iterator[Path]:
    """Every run folder at or below `path`, at any depth; a sweep's in the order of its jobs.

    Includes folders without a config.yaml that show another trace of a run, which was refused
    before it started or is damaged. Links to folders are not followed.
    """
    try:
        if is_run(path) or any((path / name).exists() for name in TRACES):
            yield path
            return
        below = [Path(entry) for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)]
    except OSError:  # an unreadable folder: reading it as a run reports why
        yield path
        return
    for folder in sorted(below, key=job_order):
        if not folder.name.startswith(".") and folder.name not in SKIPPED:
            yield from run_folders(folder)
