"""Resolving a config."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mbrl.config.validation import format_value, is_part, validation_errors
from mbrl.errors import ConfigError


def resolve(config: DictConfig) -> dict[str, Any]:
    """The config with every interpolation worked out. Raises ConfigError for a value that is missing or no run can have."""
    container = to_plain(config)
    _check_top(config)
    return container


def to_plain(config: DictConfig) -> dict[str, Any]:
    try:
        missing = sorted(OmegaConf.missing_keys(config))
        container = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(
            f"{error.full_key} refers to what is not there: {_first_line(error)}; mend what it refers to."
        ) from error
    if missing:
        raise ConfigError(
            f"{missing[0]} has no value: give it on the command line, {missing[0]}=…."
        )
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def _check_top(config: DictConfig) -> None:
    """Raises ConfigError for what is wrong at the top of a config; below, each part's constructor is the schema."""
    refuse(validation_errors(config, _top, find=str))
    for name, node in [
        *((name, config[name]) for name in PARTS),
        *((f"logger.{name}", node) for name, node in config.logger.items()),
    ]:
        if not is_part(node):
            raise ConfigError(
                f"{name}={format_value(node)} is no part: a part is a mapping with a _target_, as the files of conf/{name.split('.')[0]} have."
            )
    if (
        not isinstance(config.seed, int)
        or isinstance(config.seed, bool)
        or not 0 <= config.seed < 2**32
    ):
        raise ConfigError(
            f"seed={format_value(config.seed)} must be a whole number in [0, 2^32), since JAX tells no others apart; choose another."
        )
    if not 0 < config.discount <= 1:
        raise ConfigError(
            f"discount={config.discount} must be in (0, 1]: what a reward loses with each step until it comes; try 0.99."
        )
    if config.horizon < 1:
        raise ConfigError(f"horizon={config.horizon} must be at least 1; raise it.")


PARTS = ("env", "model", "planner", "training")


def _top(
    discount: float,
    horizon: int,
    num_threads: int,
    compilation_cache: bool,
    trust: Sequence[str] | str,
    logger: Mapping[str, Any],
    **parts: Any,
) -> None:
    """What the settings at the top must be, as a signature."""


def refuse(sentences: Iterator[str]) -> None:
    for sentence in sentences:
        raise ConfigError(sentence)


# What may differ between a run and the same run resumed: the metrics do not depend on it, the budget aside.
RESUMABLE_SETTINGS = (
    "training.env_steps",
    "training.checkpoint_every",
    "training.max_checkpoints",
    "env.step_timeout",
    "compilation_cache",
    "logger.",
)


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Of all in a resolve config that a run's metrics depend on: its checkpoints are of use to no other."""
    decisive = OmegaConf.create(dict(settings))
    for name in RESUMABLE_SETTINGS:
        OmegaConf.update(decisive, name.rstrip("."), None, merge=False)
    return hashlib.sha256(OmegaConf.to_yaml(decisive).encode()).hexdigest()[:16]


def to_yaml(container: dict[str, Any]) -> str:
    """The text of a config.yaml."""
    return OmegaConf.to_yaml(OmegaConf.create(container))


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")
