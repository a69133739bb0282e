"""Building parts from config nodes."""

import inspect
import re
from collections.abc import Iterator, Sequence
from typing import Any

import hydra
from omegaconf import DictConfig, ListConfig, OmegaConf

from mbrl.config.allowlist import (
    allowed_target,
    check_environment_modules,
    refuse_interpolations,
    resolve_checked,
)
from mbrl.config.resolve import refuse, to_plain
from mbrl.config.validation import validation_errors
from mbrl.errors import ConfigError


def build(node: DictConfig, trust: Sequence[str] = (), **runtime: Any) -> Any:
    """The part that a config node describes by its `_target_`: the one place where configs become objects.

    `runtime` is what only the run knows (sizes, keys, folders); a constructor takes it beside the node's own settings.
    Raises ConfigError for a target outside the project and `trust`, for settings that it does not have, and for values
    that it refuses.
    """
    node = _resolve_node(node)
    check_environment_modules(node, trust)

    def find(target: Any) -> Any:
        return allowed_target(target, trust)

    for part in reversed(list(_parts(node))):  # innermost first
        target = resolve_checked(part, trust)
        refuse(validation_errors(part, _described, find))
        refuse(validation_errors(part, target, find))
    try:
        # As a partial, since instantiate would turn modules among its arguments into configs.
        make = hydra.utils.instantiate(node, _partial_=True, _convert_="object")
    except hydra.errors.InstantiationException as error:
        found = re.search(r"full_key: (\S+)", str(error))
        raise _not_built(
            found[1] if found else node._get_full_key(None), error.__cause__ or error
        ) from error
    _check_arguments(node, make, runtime)
    try:
        return make(**runtime)
    except (ValueError, TypeError) as error:
        raise _not_built(node._get_full_key(None), error) from error


def _not_built(name: str, error: BaseException) -> ConfigError:
    """Most constructors name what they refuse; where one does not, at least the part is named."""
    return ConfigError(
        str(error) if isinstance(error, ValueError) else f"{name} cannot be built: {error}."
    )


def _resolve_node(node: Any) -> DictConfig:
    """The node, every interpolation worked out for good: what is checked is what is built.

    Raises ConfigError for what describes no object, lacks a value, or would be worked out once more.
    """
    if not isinstance(node, DictConfig) or not node or "_target_" not in node:
        raise ConfigError(
            f"The config has {node} where a part must be described by its _target_, as in conf/."
        )
    settings = to_plain(node)
    refuse_interpolations(settings)
    settled = OmegaConf.create(settings)
    settled._set_parent(node._get_parent())  # for messages, which give a setting's full name
    settled._set_key(node._key())
    return settled


def _parts(node: Any) -> Iterator[DictConfig]:
    """The nodes under this one, itself included, that describe an object."""
    if isinstance(node, DictConfig):
        if "_target_" in node:
            yield node
        for key in node:
            yield from _parts(node[key])
    elif isinstance(node, ListConfig):
        for item in node:
            yield from _parts(item)


def _check_arguments(node: DictConfig, make: Any, runtime: dict[str, Any]) -> None:
    signature = inspect.signature(make.func)
    try:
        signature.bind(*make.args, **{**make.keywords, **runtime})
    except TypeError as error:
        known = [name for name in signature.parameters if name not in runtime]
        raise ConfigError(
            f"_target_={node._target_} does not fit {node._get_full_key(None)}: {error}; it takes {', '.join(known)}."
        ) from error


def _described(_target_: str, _partial_: bool = False, **settings: Any) -> None:
    """What a part's own keys must be, likewise."""
