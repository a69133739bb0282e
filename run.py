"""Runs an experiment: `python run.py planner=mcts seed=3`; with -m a sweep. See --help."""

import sys

import hydra
from omegaconf import DictConfig

from mbrl.config.hydra_guard import check_command_line
from mbrl.config.hydra_internals import use_own_plugins
from mbrl.config.plain_errors import plain_errors


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> float:
    from mbrl.experiment import run  # imported here, so that --help does not wait for JAX

    return run(config)


if __name__ == "__main__":
    with plain_errors(within_hydra=True):
        use_own_plugins()  # first, since the check composes with it
        check_command_line(sys.argv[1:])
        main()
