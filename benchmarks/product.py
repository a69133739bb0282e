"""Runs every planner in every model with every kind of action, and prints a table of the results.

    python benchmarks/product.py                      all combinations, some ten minutes
    python benchmarks/product.py planner=cem,mcts     fewer: any of planner=…, model=…, actions=…

A cell has the seconds of a whole run (warm up, learn, plan, evaluate) at toy size on the point
mass, or the number of the message that rejects the combination. Any other error is printed, and
the exit status is 1.
"""

import sys
from itertools import product
from time import perf_counter

from rich.console import Console
from rich.table import Table

from mbrl.config.compose import compose
from mbrl.config.config_folder import CONFIG_FOLDER
from mbrl.config.process import enable_compilation_cache, set_threads
from mbrl.errors import ConfigError

ACTIONS = ("discrete", "multi_discrete", "box")
TOY = ["env=point_mass", "env.episode_limit=10", "training=smoke"]


def options(group: str) -> list[str]:
    """The options of a config group: the names of its files."""
    return sorted(path.stem for path in (CONFIG_FOLDER / group).glob("*.yaml"))


def run_cell(planner: str, model: str, actions: str) -> float:
    """Seconds of a toy run. Raises ConfigError for an unsupported combination."""
    import jax

    from mbrl.assemble import assemble
    from mbrl.config.resolve import resolve
    from mbrl.training.loop import train
    from mbrl.training.snapshot import Snapshot

    start = perf_counter()
    choices = [f"env.kwargs.actions={actions}", f"planner={planner}", f"model={model}"]
    *parts, state = assemble(resolve(compose([*TOY, *choices])))
    rows: list[dict] = []
    _, evaluation = train(*parts, Snapshot(state), rows.append)
    score = evaluation["evaluation/return_mean"]
    if not -1e6 < score < 0 or not any("time/learn" in row for row in rows):
        raise AssertionError(f"learned nothing, or returns {score}")
    # Compiled programs that are not used again would fill the process's memory maps.
    jax.clear_caches()
    return perf_counter() - start


def run_product(axes: dict[str, list[str]]) -> tuple[Table, list[str], list[str]]:
    """The table, the messages that rejected combinations, and other errors."""
    columns = list(product(axes["model"], axes["actions"]))
    table = Table("planner", *(f"{model}\n{actions}" for model, actions in columns))
    rejections: list[str] = []
    errors: list[str] = []
    for planner in axes["planner"]:
        cells = []
        for model, actions in columns:
            name = f"planner={planner} model={model} actions={actions}"
            try:
                cell = f"{run_cell(planner, model, actions):.1f}"
            except ConfigError as rejection:
                if str(rejection) not in rejections:
                    rejections.append(str(rejection))
                cell = f"[{rejections.index(str(rejection)) + 1}]"
            except Exception as error:
                errors.append(f"{name}: {type(error).__name__}: {error}")
                cell = "ERROR"
            print(name, cell, file=sys.stderr, flush=True)
            cells.append(cell)
        table.add_row(planner, *cells)
    return table, rejections, errors


def main(arguments: list[str]) -> int:
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    axes = {"planner": options("planner"), "model": options("model"), "actions": list(ACTIONS)}
    for argument in arguments:
        name, _, values = argument.partition("=")
        axes[name] = values.split(",")
    set_threads(1)
    enable_compilation_cache(1)
    table, rejections, errors = run_product(axes)
    Console(width=200).print(table)
    for number, rejection in enumerate(rejections, 1):
        print(f"[{number}] {rejection}")
    for error in errors:
        print(f"ERROR {error}")
    num_cells = len(axes["planner"]) * len(axes["model"]) * len(axes["actions"])
    print(f"{num_cells} cells, {len(errors)} errors, {len(rejections)} reasons for rejection")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
