"""`python -m mbrl reproduce RUN`: run a saved run again and compare the metrics bit by bit."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.table import Table

from mbrl.commands.arguments import Parser, override, resolve_folder, tolerance
from mbrl.config.compose import compose
from mbrl.config.launch import read_run, run_info_from_provenance
from mbrl.config.resolve import resolve
from mbrl.errors import ConfigError
from mbrl.launchers.processes import ProcessGroup
from mbrl.runs.finder import is_run, runs_in
from mbrl.runs.folder import safe_name
from mbrl.runs.log import log_to
from mbrl.runs.metric_diff import Difference, differences
from mbrl.runs.reader import is_completed, read_metrics, read_provenance
from mbrl.tables import format_number, print_table
from mbrl.terminal import Console

DESCRIPTION = """Runs a saved run again in a new folder, from its config.yaml alone, and compares
every metric except timings. Exit status 0: all metrics are equal, bit by bit or within --tolerance.
1: they differ; a table shows where, and what else differs (versions, device, cores, commit). 2: the
run failed. A sweep's folder reproduces each of its runs."""
RULE = "A reproduction uses the saved config; only trust can be given."
MAX_LENGTH = 80  # characters of a value in the table


def main(arguments: list[str]) -> int:
    """Reproduce a run or a sweep; return the exit status."""
    parser = Parser("reproduce", DESCRIPTION)
    help_text = "relative difference allowed, for other machines; default 0: bit-exact"
    parser.add_argument("--tolerance", type=tolerance, default=0.0, help=help_text)
    help_text = "where to run it; default: a new folder in outputs/reproductions"
    parser.add_argument("--folder", type=Path, help=help_text)
    given = parser.parse_intermixed_args(arguments)
    saved = resolve_folder(given.path)
    folder = given.folder
    if folder is None:
        now = datetime.now()
        name = f"{now:%H-%M-%S.%f}_{safe_name(saved.absolute().name)}"
        folder = Path("outputs", "reproductions", f"{now:%Y-%m-%d}", name)
    if is_run(saved):
        return _reproduce_run(saved, folder, given.overrides, given.tolerance)
    return _reproduce_sweep(saved, folder, given.overrides, given.tolerance)


def _reproduce_run(saved: Path, folder: Path, overrides: Sequence[str], tolerance: float) -> int:
    config, provenance = read_run(saved, overrides)
    override(config, overrides, (), RULE)
    recorded, completed = read_metrics(saved), is_completed(saved)
    if not recorded:
        raise ConfigError(f"{saved} has no rows of metrics to compare with. Resume it instead.")
    # Only files: a reproduction is not a second run in W&B.
    config.logger = OmegaConf.create(OmegaConf.to_container(compose(["logger=files"]).logger))
    folder.mkdir(parents=True, exist_ok=True)
    log_to(folder)
    # Imported here, after read_run has chosen JAX's platform.
    from mbrl.experiment import execute

    info = run_info_from_provenance(folder, provenance | {"run_id": None}, overrides)
    execute(resolve(config), info)
    repeated = read_metrics(folder)
    if not completed:  # compare the rows that the saved run has
        repeated = repeated[: len(recorded)]
    found = differences(recorded, repeated, tolerance)
    console = Console()
    criterion = "bit by bit" if tolerance == 0 else f"within {tolerance}"
    if not found:
        console.say(f"The same {criterion}: all {len(recorded)} rows of {saved}.")
        return 0
    console.say(f"Different from {saved}: {len(found)} metrics are not the same {criterion}.")
    print_table(_differences_table(found))
    changed = _changes_table(provenance, read_provenance(folder))
    if changed.row_count:
        print_table(changed)
    else:
        console.say("Versions, device, cores and commit are the same.")
    return 1


def _reproduce_sweep(sweep: Path, folder: Path, overrides: Sequence[str], tolerance: float) -> int:
    runs = runs_in(sweep)
    if not runs:
        raise ConfigError(f"{sweep} has no job that was started, so there is nothing to reproduce.")
    table, statuses = Table("job", "reproduced"), []
    with ProcessGroup() as processes:
        for run in runs:
            command = [sys.executable, "-m", "mbrl", "reproduce", str(run)]
            command += [f"--tolerance={tolerance}", f"--folder={folder / run.name}", *overrides]
            status = processes.run(command)
            if status is not None:
                statuses.append(status)
                result = {0: "the same", 1: "different"}.get(status, "failed")
                table.add_row(run.name, result)
    print_table(table)
    processes.check("Interrupted.")
    return max(statuses)


def _differences_table(found: Sequence[Difference]) -> Table:
    table = Table(
        "metric", "first at step", "recorded", "reproduced", "rows", "largest relative difference"
    )
    for difference in found:
        recorded, repeated = (
            repr(value) if isinstance(value, float) else str(value)
            for value in (difference.recorded, difference.repeated)
        )
        steps, num_rows = str(difference.env_steps), str(difference.num_rows)
        largest = format_number(difference.largest)
        table.add_row(difference.metric, steps, recorded, repeated, num_rows, largest)
    return table


def _changes_table(then: Mapping[str, Any], now: Mapping[str, Any]) -> Table:
    """What may explain a difference."""
    table = Table("", "recorded", "reproduced", title="What else differs")
    before, after = _facts(then), _facts(now)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            cells = []
            for value in (before.get(name), after.get(name)):
                text = value if isinstance(value, str) else json.dumps(value)
                if len(text) > MAX_LENGTH:
                    text = f"{text[: MAX_LENGTH - 3]}… ({len(text)} characters)"
                cells.append(text)
            table.add_row(name, *cells)
    return table


def _facts(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What results depend on, by names for the table."""
    git, versions = provenance.get("git") or {}, provenance.get("packages") or {}
    names = ("python", "platform", "devices", "cores", "threads")
    facts = {name: provenance.get(name) for name in names}
    facts |= {f"package {name}": version for name, version in versions.items()}
    return facts | {"commit": git.get("commit"), "uncommitted changes": git.get("diff")}
