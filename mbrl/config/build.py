"""Building parts: the one place where configs become objects."""

import copy
import inspect
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import hydra
import optax
from omegaconf import DictConfig, ListConfig, OmegaConf, flag_override

from mbrl.config.allowlist import (
    NOT_PACKAGES,
    allowed_target,
    check_environment_modules,
    refuse_interpolations,
    resolve_checked,
)
from mbrl.config.validation import (
    check_settings,
    convert_whole_numbers,
    format_value,
    is_part,
)
from mbrl.errors import ConfigError

# Of functions from these, equal settings give equal results.
PURE_PACKAGES = ("mbrl.", "optax.")
# Of an optimiser, what its program has as arrays. Others are combined in double precision.
NUMBERS = ("learning_rate", "weight_decay")
OPTIMIZER = "mbrl.models.optimisation.Optimizer"


def build(node: DictConfig, trust: Sequence[str] = (), **runtime: Any) -> Any:
    """Builds the object that a node of a resolved config describes by its `_target_`.

    `runtime` holds the constructor's arguments that only the run knows (sizes, keys, RunInfo).
    Raises ConfigError for a target outside the project and `trust`, for unknown settings, for
    values that the constructor refuses, and for interpolations (see `config/resolve.py`).
    """
    if not is_part(node):
        raise ConfigError(f"{format_value(node)}: must be a mapping with a _target_, as in conf/.")
    refuse_interpolations(OmegaConf.to_container(node))
    trust = [name for name in trust if name not in NOT_PACKAGES]
    check_environment_modules(node, trust)

    def find(target: Any) -> Any:
        return allowed_target(target, trust)

    node = copy.deepcopy(node)  # keeps its parent, and so its full name in messages
    pure: list[DictConfig] = []
    for part in reversed(list(_parts(node))):  # innermost first
        target = resolve_checked(part, trust)
        check_settings(part, _part, find)
        check_settings(part, target, find)
        with flag_override(part, ["readonly", "struct"], False):
            convert_whole_numbers(part, target)
        is_pure = inspect.isfunction(target) and target.__module__.startswith(PURE_PACKAGES)
        if is_pure and part is not node and all(_is_in(each, pure) for each in _inner(part)):
            pure.append(part)
    for part in pure:
        _share(part, is_inner=_is_in(part, [each for other in pure for each in _inner(other)]))
    try:
        # As a partial, since instantiate would turn modules among its arguments into configs.
        make = hydra.utils.instantiate(node, _partial_=True, _convert_="object")
    except hydra.errors.InstantiationException as error:
        full_key = re.search(r"full_key: (\S+)", str(error))
        name = full_key[1] if full_key else _name(node)
        raise _as_config_error(name, error.__cause__ or error) from error
    signature = inspect.signature(make.func)
    try:
        signature.bind(*make.args, **{**make.keywords, **runtime})
    except TypeError as error:
        known = [name for name in signature.parameters if name not in runtime]
        raise ConfigError(
            f"{_name(node)}._target_={node._target_}: does not fit its settings ({error}). "
            f"It has {', '.join(known)}."
        ) from error
    try:
        return make(**runtime)
    except (ValueError, TypeError) as error:
        raise _as_config_error(_name(node), error) from error


@cache
def shared(settings: str) -> Any:
    """What a pure function makes of the settings: the same object whenever they are the same.

    Optimisers and schedules are closures, which JAX compares by identity. Without this, each run of
    a process would trace and compile its learning anew.
    """
    return hydra.utils.instantiate(OmegaConf.create(settings), _convert_="object")


def _is_in(part: DictConfig, parts: Sequence[DictConfig]) -> bool:
    return any(part is each for each in parts)


def _inner(part: DictConfig) -> list[DictConfig]:
    return list(_parts(part))[1:]


def _share(part: DictConfig, is_inner: bool) -> None:
    """Replaces the part by one that `shared` makes; of an optimiser, all but its own numbers."""
    settings: Any = OmegaConf.to_container(part)
    try:
        made = shared(OmegaConf.to_yaml(part))
    except hydra.errors.InstantiationException as error:
        raise _as_config_error(_name(part), error.__cause__ or error) from error
    replacement = _shared(settings)
    if isinstance(made, optax.GradientTransformation) and not is_inner:
        numbers = {
            name: settings[name] for name in NUMBERS if isinstance(settings.get(name), float)
        }
        others = {name: settings[name] for name in settings if name not in numbers}
        factory = _shared(others | {"_partial_": True})
        replacement = {"_target_": OPTIMIZER, "factory": factory, "hyperparameters": numbers}
    with flag_override(part, ["readonly", "struct"], False):
        for name in list(part):
            del part[name]
        part.update(replacement)


def _shared(settings: dict[str, Any]) -> dict[str, Any]:
    target = f"{__name__}.{shared.__name__}"
    return {"_target_": target, "settings": OmegaConf.to_yaml(OmegaConf.create(settings))}


def _part(_target_: str, _partial_: bool = False, **settings: Any) -> None:
    """The types of Hydra's own keys of a part, as a signature."""


def _name(node: DictConfig) -> str:
    return str(node._get_full_key(None))


def _as_config_error(name: str, error: BaseException) -> ConfigError:
    """A constructor's own sentence; the part's name, where the error does not name a setting."""
    is_sentence = isinstance(error, ValueError)
    return ConfigError(str(error) if is_sentence else f"{name}: cannot be built ({error}).")


def _parts(node: Any) -> Iterator[DictConfig]:
    """This node and those below it that describe an object."""
    if is_part(node):
        yield node
    if isinstance(node, DictConfig | ListConfig):
        for child in node.values() if isinstance(node, DictConfig) else node:
            yield from _parts(child)
