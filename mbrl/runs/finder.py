"""Finding runs: what a path names, and whether its files are where they seem to be."""

import os
from pathlib import Path

from mbrl.runs.reader import DamagedRun


def is_run(path: Path) -> bool:
    """Whether the folder holds a run."""
    return (path / "config.yaml").is_file()


def is_sweep(path: Path) -> bool:
    """Whether the folder holds a sweep's jobs."""
    return (path / "multirun.yaml").is_file() or bool(runs_in(path))


def runs_in(path: Path) -> list[Path]:
    """The run folders right below a sweep's, in the order of their numbers."""
    return sorted((folder for folder in path.iterdir() if is_run(folder)), key=job_order) if path.is_dir() else []


def job_order(folder: Path) -> tuple[int, str]:
    """`10_seed=1` comes after `9_seed=0`."""
    number = folder.name.split("_")[0]
    return (int(number) if number.isdigit() else -1, folder.name)


def refuse_links_out(folder: Path) -> None:
    """Raises DamagedRun for a symbolic link in a run's folder that leads out of it: what is written there would land elsewhere."""
    inside = folder.resolve()
    for place, folders, files in os.walk(folder):
        for path in (Path(place, name) for name in folders + files):
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                raise DamagedRun(
                    f"{path} leads out of the run's folder, to {path.resolve()}, and is not followed: remove it, or copy what it names."
                )
