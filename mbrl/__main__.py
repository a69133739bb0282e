"""`python -m mbrl <command>`: what can be done with runs that are there."""

import argparse
import importlib
import sys

from mbrl.config.plain_errors import plain_errors

# In the order of `--help`. Imported when asked for, since some set up JAX.
COMMANDS = {
    "list": "the runs and sweeps that are there, and what became of them",
    "show": "what a run was: its settings that are not the defaults, its result, versions and place",
    "compare": "runs beside each other: a table, a figure for a paper, a page",
    "resume": "go on with a run, or a sweep, that was killed, interrupted or failed; or beyond its budget",
    "reproduce": "run a saved run, or sweep, again, and compare every metric",
}


def main(arguments: list[str]) -> int:
    """Runs a command; returns its exit status."""
    parser = argparse.ArgumentParser(
        "python -m mbrl",
        description="Works with saved runs; `python run.py --help` is about new ones.",
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, meaning in COMMANDS.items():
        subparsers.add_parser(name, help=meaning, add_help=False)
    command = parser.parse_args(arguments[:1]).command
    module = importlib.import_module(f"mbrl.commands.{command}")
    return module.main(arguments[1:])


if __name__ == "__main__":
    with plain_errors(status=2):
        sys.exit(main(sys.argv[1:]))
