"""Finding runs: what a path names, and whether its files are where they seem to be."""

import os
from collections.abc import Iterator
from pathlib import Path

from mbrl.runs.reader import CorruptRun


def is_run(path: Path) -> bool:
    """Whether the folder holds a run."""
    return (path / "config.yaml").is_file()


def is_sweep(path: Path) -> bool:
    """Whether the folder holds a sweep's jobs."""
    return (path / "multirun.yaml").is_file() or bool(runs_in(path))


def runs_in(path: Path) -> list[Path]:
    """The run folders right below a sweep's, in the order of their numbers."""
    if not path.is_dir():
        return []
    # Hydra's own folder has a config.yaml too.
    return sorted(
        (folder for folder in path.iterdir() if is_run(folder) and not folder.name.startswith(".")),
        key=job_order,
    )


def job_order(folder: Path) -> tuple[int, str]:
    """`10_seed=1` comes after `9_seed=0`."""
    number = folder.name.split("_")[0]
    return (int(number) if number.isdigit() else -1, folder.name)


def refuse_links_out(folder: Path) -> None:
    """Raises CorruptRun for a symbolic link that leads out of a run's folder, where what is written to it would land elsewhere.

    W&B's own folder, in which it links to its logs, and which only it writes, is not looked into.
    """
    inside = folder.resolve()
    for path in (*folder.iterdir(), *folder.glob("checkpoint/*")):
        target = Path(os.path.realpath(path))
        if path.is_symlink() and not target.is_relative_to(inside):
            raise CorruptRun(
                f"{path} leads out of the run's folder, to {target}, and is not followed: remove it, or copy what it names."
            )


NOT_LOOKED_INTO = (
    "wandb",
    "checkpoint",
    "__pycache__",
)  # nor what begins with a dot, as Hydra's .hydra, which has a config.yaml too
TRACES = ("metrics.jsonl", "summary.json", "provenance.json", ".hydra")


def run_folders(path: Path) -> Iterator[Path]:
    """Every folder of a run at or below `path`, however deep; of a sweep, in the order of its jobs. Links to folders are not followed.

    Also those that have another trace of a run but no config.yaml: one that was refused before it began, or was damaged.
    """
    try:
        if is_run(path) or any((path / name).exists() for name in TRACES):
            yield path
            return
        below = [Path(entry) for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)]
    except OSError:  # not to be read, which whoever reads it will say
        yield path
        return
    for folder in sorted(below, key=job_order):
        if not folder.name.startswith(".") and folder.name not in NOT_LOOKED_INTO:
            yield from run_folders(folder)
