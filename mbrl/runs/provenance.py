"""Provenance: what determines a run's results besides its config."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import jax

PACKAGE = Path(__file__).resolve().parent.parent
GIT_SECONDS = 5.0  # for each git command, since a repository may be on a slow disk
MAX_DIFF_LENGTH = 1_000_000  # characters
# These change the last bits of results. No other variables are recorded.
THREAD_VARIABLES = ("NPROC", "OMP_NUM_THREADS", "XLA_FLAGS")


def provenance(seed: int, num_threads: int | None = None) -> dict[str, Any]:
    """The command, code, packages and machine of this process, as JSON types.

    Works without git too.
    """
    variables = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    has_affinity = hasattr(os, "sched_getaffinity")  # macOS has none
    usable = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count()
    return {
        "command": sys.orig_argv,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "git": git_state(PACKAGE),
        "python": platform.python_version(),
        "packages": dict(_packages()),
        "platform": platform.platform(),
        "devices": [
            {"platform": device.platform, "kind": device.device_kind} for device in jax.devices()
        ],
        "cores": {"machine": os.cpu_count(), "usable": usable},
        "threads": {"num_threads": num_threads} | variables,
    }


@cache
def _packages() -> dict[str, str]:
    """Names and versions of the installed packages; cached, since a sweep asks in each job."""
    versions = {}
    for distribution in importlib.metadata.distributions():
        # A half-removed package leaves a folder without a name or a version.
        with suppress(Exception):
            if distribution.name and distribution.version:
                versions[distribution.name] = distribution.version
    return {name: versions[name] for name in sorted(versions, key=str.lower)}


def git_state(folder: Path) -> dict[str, Any] | None:
    """The state of the repository that tracks `folder`; None if no repository does.

    `commit` is its commit; `diff` the text of `git diff HEAD`, cut off at a million characters, or
    None if git took too long; `untracked` the files that were never committed.
    """
    # A package installed inside another repository (in a .venv) is not tracked by it, and that
    # repository's commit is not the code's.
    if not _git(folder, "ls-files", "--", "."):
        return None
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    top = _git(folder, "rev-parse", "--show-toplevel")
    if not commit or not top:
        return None
    root = Path(top.strip())
    plain = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-relative")
    diff = _git(root, "diff", "HEAD", *plain)
    if diff is not None and len(diff) > MAX_DIFF_LENGTH:
        diff = f"{diff[:MAX_DIFF_LENGTH]}\n[cut off: {len(diff)} characters in all]\n"
    untracked = _git(
        root, "ls-files", "--others", "--exclude-standard", "--directory", "--no-empty-directory"
    )
    return {"commit": commit.strip(), "diff": diff, "untracked": (untracked or "").splitlines()}


def _git(folder: Path, *arguments: str) -> str | None:
    """The output of a git command; None if it fails, takes too long, or git is not installed."""
    # Inside a git hook, git's own variables point to another repository. Optional locks are off so
    # that the user's git commands are not disturbed.
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
