"""`python -m mbrl reproduce RUN`: run a saved run again, and say to the bit whether it is the same."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mbrl.commands.arguments import Parser, override, resolve_folder, tolerance
from mbrl.config.compose import compose
from mbrl.config.launch import read_run, run_info_from_provenance
from mbrl.errors import ConfigError
from mbrl.launchers.processes import ProcessGroup
from mbrl.runs.finder import is_run, runs_in
from mbrl.runs.folder import safe_name
from mbrl.runs.log import log_to
from mbrl.runs.metric_diff import Difference, differences
from mbrl.runs.reader import is_completed, read_metrics, read_provenance
from mbrl.tables import format_number, print_table

DESCRIPTION = """Runs a saved run again, from its config.yaml alone, in a new folder, and compares every metric but the
clock's. Exit status 0: all are the same, to the bit or within --tolerance; 1: they differ, and a table says where, and
what else is different (versions, device, cores, commit); 2: it could not be run. For a sweep's folder, each of its runs."""
WHY = "a reproduction runs what the config says; only trust may be given."


def main(arguments: list[str]) -> int:
    """Reproduces a run or a sweep; returns the exit status."""
    parser = Parser("reproduce", DESCRIPTION)
    parser.add_argument(
        "--tolerance",
        type=tolerance,
        default=0.0,
        help="relative difference allowed, for other machines; default 0: equal to the bit",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        help="where to run it; default: a new folder in outputs/reproductions",
    )
    given = parser.parse_intermixed_args(arguments)
    saved = resolve_folder(given.path)
    folder = given.folder or _new_folder(saved)
    if is_run(saved):
        return _reproduce_run(saved, folder, given.overrides, given.tolerance)
    return _reproduce_sweep(saved, folder, given.overrides, given.tolerance)


def _new_folder(saved: Path) -> Path:
    return Path(
        "outputs",
        "reproductions",
        f"{datetime.now():%Y-%m-%d}",
        f"{datetime.now():%H-%M-%S.%f}_{safe_name(saved.absolute().name)}",
    )


def _reproduce_run(saved: Path, folder: Path, overrides: Sequence[str], tolerance: float) -> int:
    config, kept, trust = read_run(saved, overrides)
    override(config, overrides, (), WHY)
    recorded, completed = read_metrics(saved), is_completed(saved)
    if not recorded:
        raise ConfigError(f"{saved} has no rows of metrics to compare with: resume it instead.")
    # Its own record, and no second run in W&B.
    config.logger = OmegaConf.create(OmegaConf.to_container(compose(["logger=files"]).logger))
    folder.mkdir(parents=True, exist_ok=True)
    log_to(folder)
    from mbrl.experiment import execute  # here, once it is known what JAX shall run on

    execute(config, run_info_from_provenance(folder, kept | {"run_id": None}, trust))
    repeated = read_metrics(folder)
    # Of a run that did not end, what there is of it.
    rows = repeated if completed else repeated[: len(recorded)]
    return _report(
        saved,
        differences(recorded, rows, tolerance),
        len(recorded),
        tolerance,
        (kept, read_provenance(folder)),
    )


def _reproduce_sweep(sweep: Path, folder: Path, overrides: Sequence[str], tolerance: float) -> int:
    table, statuses = Table("job", "reproduced"), []
    if not runs_in(sweep):
        raise ConfigError(f"{sweep} holds no job that began: there is nothing to reproduce.")
    with ProcessGroup() as processes:
        for run in runs_in(sweep):
            command = [
                sys.executable,
                "-m",
                "mbrl",
                "reproduce",
                str(run),
                f"--tolerance={tolerance}",
                f"--folder={folder / run.name}",
            ]
            ended = processes.run([*command, *overrides])
            if ended is not None:
                statuses.append(ended)
                table.add_row(Text(run.name), {0: "the same", 1: "different"}.get(ended, "failed"))
    print_table(table)
    processes.check("Interrupted.")
    return max(statuses)


def _report(
    saved: Path,
    found: Sequence[Difference],
    num_rows: int,
    tolerance: float,
    provenances: tuple[Mapping, Mapping],
) -> int:
    console, meant = Console(), "to the bit" if tolerance == 0 else f"within {tolerance}"
    if not found:
        console.print(
            f"The same {meant}: all {num_rows} rows of {saved}.", soft_wrap=True, highlight=False
        )
        return 0
    console.print(
        f"Different from {saved}: {len(found)} metrics are not the same {meant}.",
        soft_wrap=True,
        highlight=False,
    )
    console.print(_table_of(found))
    changed = _changed(*provenances)
    console.print(
        changed if changed.row_count else "Versions, device, cores and commit are the same."
    )
    return 1


def _table_of(found: Sequence[Difference]) -> Table:
    table = Table(
        "metric", "first at step", "recorded", "reproduced", "rows", "largest relative difference"
    )
    for each in found:
        values = (
            repr(value) if isinstance(value, float) else str(value)
            for value in (each.recorded, each.repeated)
        )
        table.add_row(
            each.metric,
            str(each.env_steps),
            *values,
            str(each.num_rows),
            format_number(each.largest),
        )
    return table


def _changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> Table:
    """What may explain a difference."""
    table = Table("", "recorded", "reproduced", title="What else is different")
    before, after = _facts(then), _facts(now)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            table.add_row(name, *(Text(_short(facts.get(name))) for facts in (before, after)))
    return table


def _facts(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What results depend on, by names that fit a table."""
    git = provenance.get("git") or {}
    packages = {
        f"package {name}": version for name, version in (provenance.get("packages") or {}).items()
    }
    kept = {
        name: provenance.get(name) for name in ("python", "platform", "devices", "cores", "threads")
    }
    return kept | packages | {"commit": git.get("commit"), "changes not committed": git.get("diff")}


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}… ({len(text)} characters)"
