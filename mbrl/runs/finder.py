"""Finding the folders of runs and sweeps."""

import os
from collections.abc import Iterator
from pathlib import Path

# Any of these shows that a folder without a config.yaml is, or was to be, a run's.
TRACES = ("metrics.jsonl", "summary.json", "provenance.json", ".hydra")
MAX_DEPTH = 50  # folders below each other; runs are about four deep
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
    # Not all digits make a number: `²` does not.
    return (int(number) if number.isdecimal() else -1, folder.name)


def run_folders(path: Path) -> Iterator[Path]:
    """Every run folder at or below `path`; a sweep's in the order of its jobs.

    Includes folders without a config.yaml that show another trace of a run, which was refused
    before it started or is damaged, and those that cannot be searched: reading one as a run reports
    why. Links to folders are not followed.
    """
    folders = [(path, 0)]
    while folders:  # last in, first out, so that the order is that of a walk
        folder, depth = folders.pop()
        try:
            is_trace = is_run(folder) or any((folder / name).exists() for name in TRACES)
            entries = [] if is_trace else list(os.scandir(folder))
        except OSError:
            is_trace, entries = True, []
        if is_trace or depth > MAX_DEPTH:
            yield folder
            continue
        below = [
            Path(entry)
            for entry in entries
            if entry.is_dir(follow_symlinks=False)
            and not entry.name.startswith(".")
            and entry.name not in SKIPPED
        ]
        folders += [(each, depth + 1) for each in sorted(below, key=job_order, reverse=True)]
