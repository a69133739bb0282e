"""Runs an experiment: `python run.py planner=mcts seed=3`; with `-m`, a sweep of them. `--help` lists what there is."""

import sys

import hydra
from omegaconf import DictConfig

from mbrl.config.hydra_guard import check_command_line, use_local_launcher
from mbrl.config.plain_errors import plain_errors


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> float:
    from mbrl.experiment import run  # here, so that --help need not wait for JAX

    return run(config)


if __name__ == "__main__":
    with plain_errors(within_hydra=True):
        check_command_line(
            sys.argv[1:]
        )  # Hydra would start what a config names before any line of this project's own
        use_local_launcher()
        main()
