"""`python -m mbrl run planner=mcts seed=3`: a new run, or with -m a sweep, as by run.py."""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from mbrl.config.config_folder import CONFIG_FOLDER
from mbrl.config.hydra_guard import check_command_line
from mbrl.config.hydra_internals import get_args_parser, use_own_plugins
from mbrl.config.plain_errors import plain_errors


@hydra.main(version_base="1.3", config_path=str(CONFIG_FOLDER), config_name="config")
def run_hydra(config: DictConfig) -> float:
    from mbrl.experiment import run  # imported here, so that --help does not wait for JAX

    return run(config)


def main(arguments: list[str]) -> int:
    """Run or sweep. Exits with status 1 for what the user can correct."""
    given = get_args_parser().parse_args(arguments)
    if given.config_path is not None and "://" not in given.config_path:
        # Hydra would look for it beside this file. The last one counts; words follow a `--`.
        end = arguments.index("--") if "--" in arguments else len(arguments)
        option = f"--config-path={Path(given.config_path).absolute()}"
        arguments = [*arguments[:end], option, *arguments[end:]]
    sys.argv = ["mbrl run", *arguments]  # from which Hydra reads
    with plain_errors(within_hydra=True):
        use_own_plugins()
        check_command_line(arguments)
        run_hydra()
    return 0
