"""The settings of the Optuna sweeper (conf/hydra/sweeper/optuna.yaml), validated."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf

from mbrl.config.validation import convert_whole_numbers, format_value, validation_errors
from mbrl.errors import ConfigError

REPORT_SEEDS = range(10)  # reserved for reported results, so nothing may be tuned on them


@dataclass(frozen=True)
class SearchSettings:
    """The settings, each explained in conf/hydra/sweeper/optuna.yaml."""

    num_trials: int
    seeds: Sequence[Any]  # integers; checked here with a message of its own
    batch_size: int
    direction: Literal["maximize", "minimize"]
    sampler_seed: int
    pruning: bool

    def __post_init__(self) -> None:
        for name, minimum in {"num_trials": 1, "batch_size": 1, "sampler_seed": 0}.items():
            value = getattr(self, name)
            if value < minimum:
                raise ConfigError(f"hydra.sweeper.{name}={value}: must be at least {minimum}.")
        setting = f"hydra.sweeper.seeds={format_value(list(self.seeds))}"
        valid = all(type(seed) is int and 0 <= seed < 2**32 for seed in self.seeds)
        if not self.seeds or not valid or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(
                f"{setting}: must be one or more different whole numbers in [0, 2^32). "
                "Try [100,101,102]."
            )
        reserved = sorted(set(self.seeds).intersection(REPORT_SEEDS))
        if reserved:
            raise ConfigError(
                f"{setting}: contains seed {reserved[0]}, but 0 to 9 are reserved for reported "
                "results, which tuning on them would bias. Take seeds from 100 on."
            )


def search_settings(node: DictConfig) -> SearchSettings:
    """The settings in `hydra.sweeper`. Raises ConfigError for unknown, missing or invalid ones."""
    for message in validation_errors(node, SearchSettings, find=str):
        raise ConfigError(message)
    given: Any = OmegaConf.to_container(node, resolve=True)
    convert_whole_numbers(given, SearchSettings)
    for name in (field.name for field in fields(SearchSettings)):
        if name not in given:
            raise ConfigError(
                f"hydra.sweeper.{name} has no value. Choose hydra/sweeper=optuna, or give a value."
            )
    return SearchSettings(**{name: given[name] for name in given if name != "_target_"})
