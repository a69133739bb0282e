"""The settings of the Optuna sweeper: conf/hydra/sweeper/optuna.yaml, checked."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from mbrl.config.validation import format_value, validation_errors
from mbrl.errors import ConfigError

REPORT_SEEDS = range(
    10
)  # the seeds of the figures that are reported, on which nothing may be tuned
PASSWORDS = {"password", "passwd"}  # as some drivers take them, after the ? of an address


@dataclass(frozen=True)
class Settings:
    """What conf/hydra/sweeper/optuna.yaml says, where each is explained. What the seeds are is checked here, in words of its own."""

    num_trials: int
    seeds: Sequence[Any]
    batch_size: int
    direction: Literal["maximize", "minimize"]
    sampler_seed: int
    storage: str | None
    study_name: str
    pruning: bool

    def __post_init__(self) -> None:
        for name, least in {"num_trials": 1, "batch_size": 1, "sampler_seed": 0}.items():
            if getattr(self, name) < least:
                raise ConfigError(
                    f"hydra.sweeper.{name}={getattr(self, name)} must be at least {least}; raise it."
                )
        _check_seeds(self.seeds)
        if self.storage is not None:
            _check_storage(self.storage)


def read_settings(node: DictConfig) -> Settings:
    """The settings in the config's `hydra.sweeper`. Raises ConfigError for what is unknown, missing or no value of that kind."""
    for sentence in validation_errors(node, Settings, find=str):
        raise ConfigError(sentence)
    given: Any = OmegaConf.to_container(node, resolve=True)
    missing = [name for name in Settings.__dataclass_fields__ if name not in given]
    if missing:
        raise ConfigError(
            f"hydra.sweeper.{missing[0]} has no value: choose hydra/sweeper=optuna, or give it on the command line."
        )
    return Settings(**{name: given[name] for name in Settings.__dataclass_fields__})


def _check_seeds(seeds: Sequence[Any]) -> None:
    name = f"hydra.sweeper.seeds={format_value(list(seeds))}"
    whole = all(
        isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < 2**32 for seed in seeds
    )
    if not seeds or not whole or len(set(seeds)) < len(seeds):
        raise ConfigError(
            f"{name} must be different whole numbers in [0, 2^32), one at least, such as [100,101,102]."
        )
    kept = sorted(set(seeds).intersection(REPORT_SEEDS))
    if kept:
        raise ConfigError(
            f"{name} tunes on seed {kept[0]}, and 0 to 9 are kept for the figures that are reported, "
            "which would look better than they are; take seeds from 100 on."
        )


def _check_storage(storage: Any) -> None:
    """Raises ConfigError for what is no database's address, and for a password, which would be written into the sweep's files."""
    try:
        if not isinstance(storage, str):
            raise ValueError
        url = make_url(storage)
    except (ArgumentError, ValueError):
        secret = re.sub(
            r"//.*@", "//***@", format_value(storage)
        )  # a password may be in it for all that
        raise ConfigError(
            f"hydra.sweeper.storage={secret} must be the address of a database, such as sqlite:////absolute/path/optuna.db or "
            "postgresql://user@host/database, or null for one in the sweep's folder."
        ) from None
    if url.password is not None or PASSWORDS.intersection(url.query):
        public = url.set(query={}).render_as_string(hide_password=True)
        raise ConfigError(
            f"hydra.sweeper.storage={public} must hold no password, since it is written into the sweep's files: leave it out there, and "
            "put it where the database's driver looks for it (PGPASSWORD or ~/.pgpass for PostgreSQL, my.cnf for MySQL)."
        )
