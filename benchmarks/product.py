"""Every planner in every model with every kind of action: a short run of each, and a table of what came of it.

    python benchmarks/product.py                      all of them, some ten minutes
    python benchmarks/product.py planner=cem,mcts     fewer: any of planner=…, model=…, actions=…

A cell is the seconds of a whole run (warm up, learn, plan, evaluate) at toy size on the point mass, or the number of the
sentence that refused it. Whatever is neither is an error: it is printed, and the exit status is 1.
"""

import sys
from time import perf_counter

from rich.console import Console
from rich.table import Table

from mbrl.config.compose import CONFIG_FOLDER, compose
from mbrl.config.process import enable_compilation_cache, set_threads
from mbrl.errors import ConfigError

ACTIONS = ("discrete", "multi_discrete", "box")
TOY = ["env=point_mass", "env.episode_limit=10", "training=smoke"]


def options(group: str) -> list[str]:
    """The options of a config group, by their files: whoever adds one adds a row or a column here."""
    return sorted(path.stem for path in (CONFIG_FOLDER / group).glob("*.yaml"))


def run_cell(planner: str, model: str, actions: str) -> float:
    """Seconds of a toy run. Raises ConfigError where the two refuse each other."""
    import jax

    from mbrl.assemble import assemble
    from mbrl.training.loop import train

    started = perf_counter()
    parts = assemble(
        compose([*TOY, f"env.kwargs.actions={actions}", f"planner={planner}", f"model={model}"])
    )
    rows: list[dict] = []
    _, evaluation = train(*parts, rows.append)
    if not -1e6 < evaluation["evaluation/return_mean"] < 0 or not any(
        "time/learn" in row for row in rows
    ):
        raise AssertionError(f"learned nothing, or returns {evaluation['evaluation/return_mean']}")
    # Programs that nobody will run again fill the process's memory maps.
    jax.clear_caches()
    return perf_counter() - started


def main(arguments: list[str]) -> int:
    axes = {"planner": options("planner"), "model": options("model"), "actions": list(ACTIONS)}
    axes |= {
        name: chosen.split(",")
        for name, _, chosen in (argument.partition("=") for argument in arguments)
    }
    set_threads(1)
    enable_compilation_cache(1)
    refusals: list[str] = []
    errors: list[str] = []
    table = Table(
        "planner",
        *(f"{model}\n{actions}" for model in axes["model"] for actions in axes["actions"]),
    )
    for planner in axes["planner"]:
        cells = []
        for model in axes["model"]:
            for actions in axes["actions"]:
                name = f"planner={planner} model={model} actions={actions}"
                try:
                    cell = f"{run_cell(planner, model, actions):.1f}"
                except ConfigError as refusal:
                    if str(refusal) not in refusals:
                        refusals.append(str(refusal))
                    cell = f"[{refusals.index(str(refusal)) + 1}]"
                except Exception as error:
                    errors.append(f"{name}: {type(error).__name__}: {error}")
                    cell = "ERROR"
                print(name, cell, file=sys.stderr, flush=True)
                cells.append(cell)
        table.add_row(planner, *cells)
    Console(width=200).print(table)
    for number, refusal in enumerate(refusals, 1):
        print(f"[{number}] {refusal}")
    for message in errors:
        print(f"ERROR {message}")
    num_cells = len(axes["planner"]) * len(axes["model"]) * len(axes["actions"])
    print(f"{num_cells} cells, {len(errors)} errors, {len(refusals)} reasons to refuse")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
