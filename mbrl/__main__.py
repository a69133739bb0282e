"""`mbrl <command>` or `python -m mbrl <command>`: start runs, and work with saved ones."""

import importlib
import logging
import sys

from mbrl import __version__
from mbrl.config.plain_errors import plain_errors
from mbrl.runs.log import Formatter
from mbrl.terminal import ArgumentParser

# In the order of `--help`. A command is imported when it is called, since some set up JAX.
COMMANDS = {
    "run": "start a run, or with -m a sweep: planner=mcts seed=3; `run --help` lists settings",
    "list": "list runs and sweeps with their status and result",
    "show": "show a run: result, settings that are not the defaults, versions and machine",
    "compare": "compare runs: a table, a figure for a paper, an HTML page",
    "resume": "continue a run or sweep that was killed, interrupted or failed; or extend it",
    "clean": "remove runs that failed and runs without results, after asking",
    "reproduce": "run a saved run or sweep again and compare every metric",
}


def main(arguments: list[str]) -> int:
    """Run a command; return its exit status."""
    parser = ArgumentParser(
        "python -m mbrl",
        description="Starts runs and works with saved ones.",
    )
    parser.add_argument("--version", action="version", version=f"mbrl {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, description in COMMANDS.items():
        subparsers.add_parser(name, help=description, add_help=False)
    command = parser.parse_args(arguments[:1]).command
    module = importlib.import_module(f"mbrl.commands.{command}")
    return module.main(arguments[1:])


def console() -> None:
    """The console script `mbrl`."""
    if logging.lastResort:  # by which warnings are printed; they may name what others wrote
        logging.lastResort.setFormatter(Formatter())
    with plain_errors(status=2):
        sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    console()
