"""What a config may name: it is somebody's file, and runs nothing that its user has not vouched for. Nothing here imports JAX."""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hydra.utils
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mbrl.errors import ConfigError

# Optax by what makes optimisers and schedules: its tree helpers look attributes up by name, and call what they are given.
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
DEFINING_MODULES = (*ALLOWED_PACKAGES, "optax._src")  # where what is named as optax.… is defined

# These import modules or write files, by their arguments: nothing in a config may call them with arguments of its making.
IMPURE = ("mbrl.envs.gymnasium", "mbrl.loggers")
NOT_FOR_IMPURE = ("_args_", "_partial_", "run_info")

ENVIRONMENT_KEYS = ("id", "env_id")  # of a part, of a wrapper's kwargs

SAVED_KEYS = ("env", "model", "planner", "training", "logger", "seed", "num_threads", "discount")
LARGEST_FILE = 1_000_000  # bytes; a saved config has some 5000
DEEPEST = 50  # levels of a saved config

DOTTED_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


def trusted_packages(overrides: Sequence[str]) -> tuple[str, ...]:
    """The packages that the command line itself vouches for; a `trust` in a config file does not count."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    given = [
        override.value()
        for override in parsed
        if override.key_or_group == "trust" and not override.is_sweep_override()
    ]
    names = given[-1] if given else []
    return tuple(
        str(name) for name in (names if isinstance(names, list) else [names] if names else [])
    )


def in_packages(name: str, packages: Sequence[str]) -> bool:
    """Whether a dotted name is one of these packages, or lies in one."""
    return any(name == package or name.startswith(package + ".") for package in packages)


def untrusted_error(what: str, package: str) -> ConfigError:
    """The sentence for what would run code of a package that nobody vouched for."""
    return ConfigError(
        f"{what} is not one of this project's own parts, and is not run: a config may come from anybody; "
        f"if you trust it, say trust=[{package}] on the command line."
    )


def resolve_checked(part: DictConfig, trust: Sequence[str]) -> Any:
    """The object that a part's `_target_` names.

    Raises ConfigError where `allowed_target` does, and for what would let the config choose a logger's folder, or hand an
    environment's or a logger's constructor to something that calls it.
    """
    found = allowed_target(part["_target_"], trust)
    if in_packages(found.__module__, IMPURE):
        for key in NOT_FOR_IMPURE:
            if key in part:
                raise ConfigError(
                    f"{part._get_full_key(key)}={part[key]} is not for a config to say: _target_={part['_target_']} takes "
                    "its settings by name, and its folder from the run; leave it out."
                )
    return found


def allowed_target(target: Any, trust: Sequence[str]) -> Any:
    """The object that a `_target_` names. Its name is checked before it is imported, and then where it really comes from.

    Raises ConfigError for a name outside the project and `trust`, and for one that cannot be found.
    """
    name = dotted_name(target)
    package = name.split(".")[0]
    trusted = in_packages(name, trust)
    if not trusted and not _is_ours(name):
        raise untrusted_error(f"_target_={name}", package)
    try:
        found = hydra.utils.get_object(name) if trusted else _member(name)
    except (ImportError, AttributeError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ConfigError(
            f"_target_={name} cannot be found: {reason}; check its spelling."
        ) from error
    home = getattr(_unwrapped(found), "__module__", None) or ""
    if not in_packages(home, (*DEFINING_MODULES, *trust)):
        raise untrusted_error(f"_target_={name}", home.split(".")[0] or package)
    return found


def dotted_name(target: Any) -> str:
    """A `_target_` that is the name of something in a module. Raises ConfigError for anything else."""
    if isinstance(target, str) and DOTTED_NAME.fullmatch(target):
        return target
    raise ConfigError(
        f"_target_={target} must be the dotted name of a class or function, such as mbrl.planners.cem.CEM; "
        "one of your own package is vouched for by trust=[your_package] on the command line."
    )


def check_environment_modules(node: Any, trust: Sequence[str]) -> None:
    """Raises ConfigError for an environment's id, `module:EnvId`, whose module Gymnasium would import from elsewhere."""
    values = (
        node.items()
        if isinstance(node, DictConfig)
        else enumerate(node)
        if OmegaConf.is_list(node)
        else ()
    )
    for key, value in values:
        if key in ENVIRONMENT_KEYS and isinstance(value, str) and ":" in value:
            module = value.split(":")[0]
            if not in_packages(module, (*ALLOWED_PACKAGES, *trust)):
                raise untrusted_error(
                    f"{node._get_full_key(key)}={value} (which imports {module})",
                    module.split(".")[0],
                )
        check_environment_modules(value, trust)


def refuse_interpolations(values: Any) -> None:
    """Raises ConfigError where text in plain containers could be worked out again, and so become what nobody has checked."""
    for text in _texts(values):
        if "${" in text:
            raise ConfigError(
                f"The config's {text} is an interpolation, where only plain values can be: write the value itself."
            )


def load_saved_config(path: Path, trust: Sequence[str]) -> DictConfig:
    """The config that a run saved as its config.yaml, as `compose` returned it then; nothing of it is run.

    `trust` is what the command line vouches for. Raises ConfigError for what no run saves (too large or deep a file, YAML
    that is broken or has anchors, aliases or tags, interpolations, a part missing), and for a saved `trust` in a package
    that the command line does not name.
    """
    values = _plain_yaml(_limited_text(path), path)
    missing = (
        [key for key in SAVED_KEYS if key not in values]
        if isinstance(values, Mapping)
        else list(SAVED_KEYS)
    )
    if missing:
        raise ConfigError(
            f"{path} is not the saved config of a run: it has no {', '.join(missing)}."
        )
    refuse_interpolations(values)
    _check_saved_trust(values.get("trust"), trust, path)
    config = OmegaConf.create(values)
    OmegaConf.set_struct(config, True)
    return config


def _is_ours(name: str) -> bool:
    """Whether, as far as text goes, a public module of the allowed packages has this name."""
    module = name.rpartition(".")[0]
    return not re.search(r"\b_", name) and (
        module == "optax" or in_packages(module, ALLOWED_PACKAGES)
    )


def _member(name: str) -> Any:
    """What a module has under a name; not what lies in the modules and classes that it happens to import."""
    module, _, attribute = name.rpartition(".")
    try:
        known = find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is no package: the name goes through something else, `mbrl.envs.gymnasium.np.load`
        raise untrusted_error(f"_target_={name}", name.split(".")[0]) from None
    if not known:
        raise ImportError(f"there is no module {module}")
    return getattr(import_module(module), attribute)


def _unwrapped(found: Any) -> Any:
    """The function of a partial: optax.nadam is one."""
    return found.func if isinstance(found, functools.partial) else found


def _texts(values: Any) -> Iterator[str]:
    """All text in plain containers, keys included."""
    if isinstance(values, str):
        yield values
    elif isinstance(values, Mapping):
        for pair in values.items():
            yield from _texts(pair)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _texts(value)


def _limited_text(path: Path) -> str:
    try:
        if not path.is_file():
            raise ConfigError(f"{path} is not there, or is no file: name the config.yaml of a run.")
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    if len(content) > LARGEST_FILE:
        raise ConfigError(f"{path} is larger than {LARGEST_FILE} bytes, which no saved config is.")
    return text


def _plain_yaml(text: str, path: Path) -> Any:
    """The plain containers of a YAML text, read by OmegaConf's rules for numbers, once it is known to be harmless to read."""
    try:
        _check_yaml(text, path)
        return OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except ConfigError:
        raise
    except (
        yaml.YAMLError,
        OmegaConfBaseException,
        ValueError,
        TypeError,
        AssertionError,
    ) as error:  # the last for a bare number
        raise ConfigError(
            f"{path} is not the YAML of a saved config: {' '.join(str(error).split())}."
        ) from error


def _check_yaml(text: str, path: Path) -> None:
    """Raises ConfigError for aliases, which can grow without bound, for tags, and for containers nested too deep to walk."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        opens, closes = (
            isinstance(event, yaml.CollectionStartEvent),
            isinstance(event, yaml.CollectionEndEvent),
        )
        depth += int(opens) - int(closes)
        if getattr(event, "anchor", None) is not None:
            raise ConfigError(
                f"{path} has the YAML anchor or alias '{event.anchor}', and no saved config has any."
            )
        if getattr(event, "tag", None) is not None:
            raise ConfigError(
                f"{path} has the YAML tag '{event.tag}', and no saved config has any."
            )
        if depth > DEEPEST:
            raise ConfigError(
                f"{path} is nested more than {DEEPEST} levels deep, which no saved config is."
            )


def _check_saved_trust(saved: Any, trust: Sequence[str], path: Path) -> None:
    for package in saved if isinstance(saved, list) else [saved] if saved else []:
        if not in_packages(str(package), trust):
            raise ConfigError(
                f"{path} says trust=[{package}], which counts from the command line only: "
                f"if you trust what it names, say trust=[{package}] there too."
            )
