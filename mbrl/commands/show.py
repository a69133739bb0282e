"""`python -m mbrl show RUN`: what a run was, at a glance."""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mbrl.commands.arguments import Parser, resolve_folder
from mbrl.config.compose import compose
from mbrl.config.launch import read_run
from mbrl.errors import ConfigError
from mbrl.launchers.report import print_jobs
from mbrl.runs.checkpoints import newest_checkpoint
from mbrl.runs.finder import is_run
from mbrl.runs.reader import read_summary, status
from mbrl.tables import format_duration, format_number

DESCRIPTION = """Prints what a run was: its result, its settings that are not the defaults, the code, versions and machine
that computed it, and where it lies. For a sweep's folder, what became of its jobs."""
GROUPS = ("env", "model", "planner", "training", "logger", "experiment")
PACKAGES = (
    "jax",
    "equinox",
    "optax",
    "mctx",
    "gymnasium",
    "hydra-core",
    "numpy",
)  # those that results depend on most


def main(arguments: list[str]) -> int:
    """Prints a run, or a sweep's jobs; the exit status is 0."""
    given = Parser("show", DESCRIPTION).parse_intermixed_args(arguments)
    folder = resolve_folder(given.path)
    if not is_run(folder):
        print_jobs(folder)
        return 0
    config, kept, _ = read_run(folder, given.overrides)
    console = Console()
    console.print(_result(folder, config, kept))
    console.print(_settings(config, kept))
    console.print(_origin(kept))
    return 0


def _result(folder: Path, config: DictConfig, kept: Mapping[str, Any]) -> Table:
    table, choices = _table(), kept.get("choices") or {}
    summary = read_summary(folder) if (folder / "summary.json").exists() else {}
    table.add_row("run", Text(str(kept.get("name") or folder.name)))
    table.add_row("status", Text(status(folder)))
    if "error" in summary:
        table.add_row("error", Text(str(summary["error"])))
    table.add_row("environment", Text(str(config.env.id)))
    table.add_row(
        "model, planner",
        Text(f"{choices.get('model', 'unknown')}, {choices.get('planner', 'unknown')}"),
    )
    table.add_row("seed", Text(str(config.seed)))
    table.add_row(
        "evaluation return",
        Text(
            f"{format_number(summary.get('evaluation/return_mean'))} ± {format_number(summary.get('evaluation/return_std'))}"
        ),
    )
    table.add_row(
        "env steps", Text(f"{summary.get('env_steps', 0)} of {config.training.env_steps}")
    )
    table.add_row("last checkpoint", Text(_or_none(newest_checkpoint(folder), " env steps")))
    table.add_row("wall time", Text(format_duration(summary.get("wall_seconds", 0.0))))
    table.add_row("folder", Text(str(folder.absolute())))
    return table


def _settings(config: DictConfig, kept: Mapping[str, Any]) -> Table:
    """What is not as in the defaults: first the choices, then what differs from those choices' own settings."""
    table = Table("setting", "default", "this run", title="Not the defaults")
    base, choices = _base(kept)
    for group, (default, chosen) in choices.items():
        table.add_row(group, Text(default), Text(chosen))
    then, now = dict(_leaves(base)), dict(_leaves(config))
    for name in [*now, *(name for name in then if name not in now)]:
        if then.get(name, "–") != now.get(name, "–") and name != "seed":
            table.add_row(name, *(Text(str(values.get(name, "–"))) for values in (then, now)))
    return table


def _base(kept: Mapping[str, Any]) -> tuple[DictConfig, dict[str, tuple[str, str]]]:
    """The config that the run's choices alone would have, and those choices that are not the defaults; or else the defaults."""
    defaults = {
        "env": "cartpole",
        "model": "ensemble",
        "planner": "cem",
        "training": "default",
        "logger": "wandb",
    }
    # Words only: in a saved file, anything may stand here.
    chosen = {
        group: str(choice)
        for group, choice in (kept.get("choices") or {}).items()
        if group in GROUPS and re.fullmatch(r"\w+", str(choice))
    }
    different = {
        group: (defaults.get(group, "none"), choice)
        for group, choice in chosen.items()
        if defaults.get(group) != choice
    }
    try:
        return compose([f"{group}={choice}" for group, (_, choice) in different.items()]), different
    except (ConfigError, HydraException):  # a choice of somebody's own, which is not here
        return compose(), {}


def _leaves(node: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Each setting that is a value, with its whole name; what has none yet, or cannot be worked out, as it stands."""
    if not isinstance(node, DictConfig):
        yield name, node
        return
    for key in node:
        below = f"{name}.{key!s}" if name else str(key)
        try:
            value = "???" if OmegaConf.is_missing(node, key) else node[key]
        except OmegaConfBaseException:  # refers to what is missing
            value = "???"
        yield from _leaves(value, below)


def _origin(kept: Mapping[str, Any]) -> Table:
    """What computed the run."""
    table, git, packages = (
        Table("", "", title="Computed by", show_header=False),
        kept.get("git") or {},
        kept.get("packages") or {},
    )
    if not all(
        name in kept
        for name in (
            "command",
            "started",
            "packages",
            "python",
            "platform",
            "devices",
            "cores",
            "threads",
        )
    ):
        table.add_row("provenance", Text("none: the run ended before it was written"))
        return table
    changes = git.get("diff")
    table.add_row("command", Text(shlex.join(map(str, kept["command"]))))
    table.add_row("started", Text(str(kept["started"])))
    table.add_row(
        "resumed",
        Text(", ".join(str(each["started"]) for each in kept.get("resumes", ())) or "never"),
    )
    more = f" and {len(changes.splitlines())} lines of changes" if changes else ""
    table.add_row("commit", Text(str(git.get("commit", "unknown")) + more))
    table.add_row(
        "versions",
        Text(
            f"Python {kept['python']}, "
            + ", ".join(f"{name} {packages[name]}" for name in PACKAGES if name in packages)
        ),
    )
    table.add_row("platform", Text(str(kept["platform"])))
    table.add_row("devices", Text(", ".join(str(device["kind"]) for device in kept["devices"])))
    table.add_row(
        "cores",
        Text(
            f"{kept['cores']['usable']} of {kept['cores']['machine']}, {kept['threads']['num_threads']} threads"
        ),
    )
    return table


def _table() -> Table:
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    return table


def _or_none(value: int | None, unit: str) -> str:
    return "none" if value is None else f"{value}{unit}"
