"""`python -m mbrl show RUN`: a run at a glance."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from rich.table import Table

from mbrl.commands.arguments import Parser, resolve_folder
from mbrl.config.compose import compose
from mbrl.config.config_folder import CONFIG_FOLDER
from mbrl.config.resolve import SETTINGS
from mbrl.launchers.report import print_jobs
from mbrl.runs.checkpoints import newest_checkpoint
from mbrl.runs.finder import is_run
from mbrl.runs.reader import read_provenance, read_summary, status
from mbrl.runs.saved_config import leaves, read_config
from mbrl.tables import format_duration, format_number, print_table
from mbrl.terminal import Console

DESCRIPTION = """Prints the result of a run, its settings that are not the defaults, the code,
versions and machine that computed it, and its folder. For a sweep's folder, prints its jobs."""
GROUPS = ("env", "model", "planner", "training", "optimizer", "logger", "experiment")
DEFAULTS = {
    "env": "cartpole",
    "model": "ensemble",
    "planner": "cem",
    "training": "default",
    "optimizer": "adamw",
    "logger": "wandb",
}
# Those that results depend on most.
PACKAGES = ("jax", "equinox", "optax", "mctx", "gymnasium", "hydra-core", "numpy")
# What a run writes into its provenance.json when it starts.
RECORDED = ("command", "started", "packages", "python", "platform", "devices", "cores", "threads")
ABSENT = "–"


def main(arguments: list[str]) -> int:
    """Print a run, or a sweep's jobs. The exit status is 0."""
    given = Parser("show", DESCRIPTION, takes_overrides=False).parse_args(arguments)
    folder = resolve_folder(given.path)
    if not is_run(folder):
        print_jobs(folder)
        return 0
    # As plain text: what is only shown needs no trust.
    saved, provenance = read_config(folder), read_provenance(folder)
    print_table(_result(folder, dict(leaves(saved)), provenance))
    # Not in the table, which would break it in a narrow terminal.
    Console().say(f"Folder: {folder.absolute()}")
    print_table(_settings(saved, provenance))
    print_table(_origin(provenance))
    return 0


def _result(folder: Path, settings: Mapping[str, str], provenance: Mapping[str, Any]) -> Table:
    choices = provenance.get("choices", {})
    model, planner = choices.get("model", "unknown"), choices.get("planner", "unknown")
    summary = read_summary(folder) if (folder / "summary.json").exists() else {}
    mean, std = summary.get("evaluation/return_mean"), summary.get("evaluation/return_std")
    checkpoint = newest_checkpoint(folder)
    cells = {"run": provenance.get("name") or folder.name, "status": status(folder)}
    if "error" in summary:
        cells["error"] = summary["error"]
    cells |= {
        "environment": settings.get("env.id", "unknown"),
        "model, planner": f"{model}, {planner}",
        "seed": settings.get("seed", "?"),
        "evaluation return": f"{format_number(mean)} ± {format_number(std)}",
        "env steps": f"{summary.get('env_steps', 0)} of {settings.get('training.env_steps', '?')}",
        "last checkpoint": "none" if checkpoint is None else f"{checkpoint} env steps",
        "wall time": format_duration(summary.get("wall_seconds", 0.0)),
    }
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, cell in cells.items():
        table.add_row(name, str(cell))
    return table


def _settings(saved: Mapping[str, Any], provenance: Mapping[str, Any]) -> Table:
    """First the choices that are not the defaults, then settings that differ from the choices'."""
    # Only words, since the file can be anyone's.
    chosen = {
        group: choice
        for group, choice in provenance.get("choices", {}).items()
        if group in GROUPS and re.fullmatch(r"\w+", choice)
    }
    if not chosen:
        return Table("What was chosen is unknown; all settings are in config.yaml", box=None)
    table = Table("setting", "default", "this run", title="Not the defaults")
    for group, choice in chosen.items():
        default = DEFAULTS.get(group, "none")
        if choice != default:
            table.add_row(group, default, choice)
    then, now = dict(leaves(_base_settings(saved, chosen))), dict(leaves(saved))
    for name in [*now, *(name for name in then if name not in now)]:
        before, after = then.get(name, ABSENT), now.get(name, ABSENT)
        if before != after and name != "seed":
            table.add_row(name, before, after)
    return table


def _base_settings(saved: Mapping[str, Any], chosen: Mapping[str, str]) -> dict[str, Any]:
    """The settings that follow from the run's choices alone.

    Of a choice that is unknown, or not one of this project, they are those of the run.
    """
    known = {
        group: choice
        for group, choice in chosen.items()
        if (CONFIG_FOLDER / group / f"{choice}.yaml").is_file()
    }
    base = compose([f"{group}={choice}" for group, choice in known.items()])
    with open_dict(base):
        if "env" not in known:  # others follow from these; text of the file is never resolved
            base.env.update(_numbers_and_words(saved["env"]))
    plain = _plain(base)
    plain |= {group: saved[group] for group in saved.keys() & set(GROUPS) - known.keys()}
    return {name: value for name, value in plain.items() if name in SETTINGS}


def _numbers_and_words(settings: Any) -> dict[str, Any]:
    items = settings.items() if isinstance(settings, dict) else ()
    return {
        str(name): value
        for name, value in items
        if isinstance(value, int | float) or (isinstance(value, str) and value.isalpha())
    }


def _plain(node: Any) -> Any:
    """Plain containers, with `???` for settings that are missing or cannot be read."""
    if isinstance(node, ListConfig):
        return OmegaConf.to_container(node)
    if not isinstance(node, DictConfig):
        return node
    values = {}
    for key in node:
        try:
            values[str(key)] = "???" if OmegaConf.is_missing(node, key) else _plain(node[key])
        except OmegaConfBaseException:  # an interpolation of a missing setting
            values[str(key)] = "???"
    return values


def _origin(provenance: Mapping[str, Any]) -> Table:
    """The code, versions and machine that computed the run."""
    table = Table("", "", title="Computed by", show_header=False)
    if not all(name in provenance for name in RECORDED):
        table.add_row("provenance", "none: the run ended before it was written")
        return table
    git, packages = provenance.get("git") or {}, provenance["packages"]
    changes = git.get("diff")
    more = f" and {len(changes.splitlines())} lines of changes" if changes else ""
    versions = [f"{name} {packages[name]}" for name in PACKAGES if name in packages]
    resumes = [resume["started"] for resume in provenance.get("resumes", ())]
    cores, num_threads = provenance["cores"], provenance["threads"]["num_threads"]
    cells = {
        "command": shlex.join(provenance["command"]),
        "started": provenance["started"],
        "resumed": ", ".join(resumes) or "never",
        "commit": git.get("commit", "unknown") + more,
        "versions": ", ".join([f"Python {provenance['python']}", *versions]),
        "platform": provenance["platform"],
        "devices": ", ".join(device["kind"] for device in provenance["devices"]),
        "cores": f"{cores['usable']} of {cores['machine']}, {num_threads} threads",
    }
    for name, cell in cells.items():
        table.add_row(name, str(cell))
    return table
