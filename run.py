"""Runs an experiment: `python run.py planner=mcts seed=3`; with -m a sweep. See --help."""

import sys

import hydra
from omegaconf import DictConfig

from mbrl.config.start import start


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> float:
    from mbrl.experiment import run  # imported here, so that --help does not wait for JAX

    return run(config)


if __name__ == "__main__":
    start(main, sys.argv[1:])
