"""Provenance: what else than the config decided a run's results."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax

PACKAGE = Path(__file__).resolve().parent.parent
GIT_SECONDS = 5.0  # for each git command, since a repository may lie on a slow disk
LONGEST_DIFF = 1_000_000  # characters
THREAD_VARIABLES = (
    "NPROC",
    "OMP_NUM_THREADS",
    "XLA_FLAGS",
)  # these change bits, so they are recorded; no others are


def provenance(seed: int, num_threads: int | None = None) -> dict[str, Any]:
    """The command, the code, the packages and the machine of this process, ready for JSON. Never fails for want of git."""
    return {
        "command": sys.orig_argv,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "git": git_state(PACKAGE),
        "python": platform.python_version(),
        "packages": _packages(),
        "platform": platform.platform(),
        "devices": [
            {"platform": device.platform, "kind": device.device_kind} for device in jax.devices()
        ],
        "cores": _cores(),
        "threads": {"num_threads": num_threads}
        | {name: os.environ.get(name) for name in THREAD_VARIABLES},
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit, and what differs from it, of the repository that tracks `folder`; None where none does.

    `diff` is the text of `git diff HEAD`, cut off at a million characters, None where git took too long; `untracked`
    lists the files that no commit has seen.
    """
    # A package installed inside somebody's repository is not tracked by it, and that commit would say nothing of ours.
    if not _git(folder, "ls-files", "--", "."):
        return None
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    top = _git(folder, "rev-parse", "--show-toplevel")
    if not commit or not top:
        return None
    root = Path(top.strip())
    diff = _git(
        root, "diff", "HEAD", "--no-color", "--no-ext-diff", "--no-textconv", "--no-relative"
    )
    untracked = _git(
        root, "ls-files", "--others", "--exclude-standard", "--directory", "--no-empty-directory"
    )
    return {
        "commit": commit.strip(),
        "diff": _capped(diff),
        "untracked": (untracked or "").splitlines(),
    }


def _git(folder: Path, *arguments: str) -> str | None:
    """What a git command prints; None where it fails, takes too long, or git is missing."""
    # Git's own variables (set inside its hooks) would point it at another repository; its locks might disturb the user.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("GIT_")
    } | {"GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", str(folder), "--no-pager", "-c", "core.fsmonitor=false", *arguments]
    try:
        result = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.decode("utf-8", errors="replace") if result.returncode == 0 else None


def _capped(diff: str | None) -> str | None:
    if diff is None or len(diff) <= LONGEST_DIFF:
        return diff
    return f"{diff[:LONGEST_DIFF]}\n[cut off: {len(diff)} characters in all]\n"


def _packages() -> dict[str, str]:
    """The version of every installed package, by name."""
    found = {}
    for distribution in importlib.metadata.distributions():
        with suppress(Exception):  # half-removed packages leave folders without a name or a version
            found[str(distribution.metadata["Name"])] = distribution.version
    return {name: found[name] for name in sorted(found, key=str.lower)}


def _cores() -> dict[str, int | None]:
    """How many CPU cores the machine has, and how many of them this process may use."""
    usable = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    )  # macOS has no affinity
    return {"machine": os.cpu_count(), "usable": usable}
