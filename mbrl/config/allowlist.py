"""What a config may name: this project's own parts, and packages that the command line trusts.

A config is untrusted input, and nothing else that it names is imported or run. Imports no JAX.
"""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hydra.utils
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, ListConfig, OmegaConf

from mbrl.config.validation import format_value
from mbrl.errors import ConfigError, one_line
from mbrl.loggers.destination import TRUST
from mbrl.runs.saved_config import read_config

# Of Optax only what makes optimisers and schedules: its tree helpers look attributes up by name,
# and call what they are given.
ALLOWED_PACKAGES = (
    "mbrl.envs",
    "mbrl.models",
    "mbrl.planners",
    "mbrl.training",
    "mbrl.loggers",
    "optax.contrib",
    "optax.schedules",
    "optax.transforms",
)
DEFINING_MODULES = (*ALLOWED_PACKAGES, "optax._src")  # where those names are really defined

# Their arguments decide which modules are imported and which files are written, so they are never
# called with other arguments than their named settings and what the run gives them.
IMPURE = ("mbrl.envs.gymnasium", "mbrl.loggers")
NOT_FOR_IMPURE = ("_args_", "_partial_", "run_info")

# In `trust`, they allow Hydra's settings and W&B's destination, and no `_target_` of a package.
NOT_PACKAGES = ("hydra", TRUST)
ENVIRONMENT_KEYS = ("id", "env_id")  # of an environment, and of a wrapper's kwargs
DOTTED_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


def trusted_packages(overrides: Sequence[str]) -> tuple[str, ...]:
    """The packages in the command line's own `trust`; one in a config file does not count."""
    return _as_names(typed_settings(overrides).get("trust"))


def typed_settings(overrides: Sequence[str]) -> dict[str, Any]:
    """The settings and options to which the command line gives one value; the last one counts."""
    typed: dict[str, Any] = {}
    for each in OverridesParser.create().parse_overrides(list(overrides)):
        if each.is_sweep_override():
            typed.pop(each.key_or_group, None)
        else:
            typed[each.key_or_group] = each.value()
    if typed.get("logger") == "online":
        typed.setdefault("logger.wandb.mode", "online")
    return typed


def in_packages(name: str, packages: Sequence[str]) -> bool:
    """Whether a dotted name is one of these packages or lies in one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def untrusted_error(what: str, name: str) -> ConfigError:
    """The error for what would run code outside the project."""
    package = name.split(".")[0]
    trusting = f"If you trust it, add trust=[{package}] to the command line."
    return ConfigError(
        f"{what}: not one of this project's own parts, so it is not run. "
        f"{'Remove it.' if package in NOT_PACKAGES else trusting}"
    )


def resolve_checked(part: DictConfig, trust: Sequence[str]) -> Any:
    """The object that a part's `_target_` names, if the part's keys may be handed to it."""
    target = allowed_target(part["_target_"], trust, part._get_full_key("_target_"))
    if in_packages(target.__module__, IMPURE):
        for key in NOT_FOR_IMPURE:
            if key in part:
                raise ConfigError(
                    f"{part._get_full_key(key)}={part[key]}: a config may not set this of "
                    f"_target_={part['_target_']}, which gets it from the run. Remove it."
                )
    return target


def allowed_target(target: Any, trust: Sequence[str], setting: str = "_target_") -> Any:
    """The object that a `_target_` names: the name is checked before its import, the origin after.

    `setting` is the name of the `_target_` in messages.

    Raises ConfigError for a name outside the project and `trust`, and for one that does not exist.
    """
    shown = f"{setting}={format_value(target)}"
    if not isinstance(target, str) or not DOTTED_NAME.fullmatch(target):
        raise ConfigError(
            f"{shown}: must be the dotted name of a class or function. Try "
            "mbrl.planners.cem.CEM; a package of your own needs trust=[your_package]."
        )
    is_trusted, owner = in_packages(target, trust), target.rpartition(".")[0]
    is_public = not re.search(r"\b_", target)
    is_own = is_public and (owner == "optax" or in_packages(owner, ALLOWED_PACKAGES))
    if not is_trusted and not is_own:
        raise untrusted_error(shown, target)
    try:
        found = hydra.utils.get_object(target) if is_trusted else _member(target)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{shown}: not found ({one_line(error)}). Check its spelling.") from error
    function = found.func if isinstance(found, functools.partial) else found  # optax.nadam is one
    module = getattr(function, "__module__", None) or ""
    if not in_packages(module, (*DEFINING_MODULES, *trust)):
        raise untrusted_error(shown, module or target)
    return found


def _member(name: str) -> Any:
    """A module's attribute; the module may not be reached through another module's imports."""
    module, _, attribute = name.rpartition(".")
    try:
        exists = find_spec(module) is not None
    except ModuleNotFoundError:  # a parent is not a package: mbrl.envs.gymnasium.np.load
        raise untrusted_error(f"_target_={name}", name) from None
    if not exists:
        raise ImportError(f"there is no module {module}")
    return getattr(import_module(module), attribute)


def check_environment_modules(node: Any, trust: Sequence[str]) -> None:
    """Raises ConfigError for an environment id `module:EnvId` that imports a foreign module."""
    if not isinstance(node, DictConfig | ListConfig):
        return
    for key, value in node.items() if isinstance(node, DictConfig) else enumerate(node):
        if key in ENVIRONMENT_KEYS and isinstance(value, str) and ":" in value:
            module = value.split(":")[0]
            if not in_packages(module, (*ALLOWED_PACKAGES, *trust)):
                setting = f"{node._get_full_key(key)}={value} (which imports {module})"
                raise untrusted_error(setting, module)
        check_environment_modules(value, trust)


def refuse_interpolations(values: Any) -> None:
    """Raises ConfigError for text that would be resolved once more, after it was checked."""
    for text in texts(values):
        if "${" in text:
            raise ConfigError(
                f"{text}: an interpolation where only plain values may be. Write the value."
            )


def texts(values: Any) -> Iterator[str]:
    """All text in plain containers, keys included."""
    if isinstance(values, str):
        yield values
    elif isinstance(values, Mapping):
        for pair in values.items():
            yield from texts(pair)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from texts(value)


def load_saved_config(path: Path, trust: Sequence[str]) -> DictConfig:
    """A run's config.yaml, as it was composed; nothing it names is run.

    Raises CorruptRun for a file that no run writes, and ConfigError for interpolations and for a
    saved `trust` in a package that the command line does not trust.
    """
    settings = read_config(path.parent)
    refuse_interpolations(settings)
    for package in _as_names(settings.get("trust")):
        if not in_packages(package, trust):
            raise ConfigError(
                f"{path}: has trust=[{package}], which only counts on the command line. If you "
                f"trust what it names, add trust=[{package}] there too."
            )
    config = OmegaConf.create(settings)
    OmegaConf.set_struct(config, True)
    return config


def _as_names(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value] if value else []
    return tuple(str(name) for name in values)
