"""Configs: composing them, and building parts from them. Nothing here imports JAX, so that threads can be set first."""

import hashlib
import inspect
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mbrl.runs.folder import safe_name
from mbrl.runs.reader import DamagedRun
from mbrl.schema import broken_rules, is_part, shown
from mbrl.trust import (
    ConfigError,
    allowed_target,
    check_environment_modules,
    checked_part,
    refuse_interpolations,
)

PACKAGE = Path(__file__).parent
# Beside the package in a checkout; inside it in a wheel.
CONFIG_FOLDER = next(
    folder for folder in (PACKAGE.parent / "conf", PACKAGE / "conf") if folder.is_dir()
)

_threads_of_this_process: int | None = None


class RunError(RuntimeError):
    """A run that cannot go on, in one sentence that says why and how to mend it."""

    def __init__(self, sentence: str):
        super().__init__(" ".join(sentence.split()))


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """The config that `python run.py <overrides>` would run, for use from Python or a notebook."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        config = hydra.compose("config", list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    OmegaConf.set_struct(config, False)
    del config.hydra
    OmegaConf.set_struct(config, True)
    return config


def set_threads(num_threads: int) -> None:
    """Fixes the number of CPU threads of JAX, on which the last digits of results depend, before its first computation."""
    if num_threads < 1:
        raise ConfigError(f"num_threads={num_threads} must be at least 1, the default.")
    # XLA reads NPROC when it starts its threads: once a process, so that a later run in it cannot have another number.
    global _threads_of_this_process
    if _threads_of_this_process not in (None, num_threads):
        raise ConfigError(
            f"num_threads={num_threads} cannot follow num_threads={_threads_of_this_process} in one process, "
            "since JAX's threads are started once; give each value a command of its own."
        )
    _threads_of_this_process = num_threads
    os.environ.update({"NPROC": str(num_threads), "OMP_NUM_THREADS": str(num_threads)})


def enable_compilation_cache(num_threads: int) -> None:
    """Lets JAX keep compiled programs on disk: in JAX_COMPILATION_CACHE_DIR, or else in the user's cache folder."""
    import jax

    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    # One for each number of threads: programs are compiled for it.
    folder = (
        os.environ.get("JAX_COMPILATION_CACHE_DIR")
        or cache_home / "mbrl" / f"jax-{num_threads}-threads"
    )
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def resolved(config: DictConfig) -> dict[str, Any]:
    """The config with every interpolation worked out. Raises ConfigError for a value that is missing or no run can have."""
    container = _worked_out(config)
    _check_top(config)
    return container


def _worked_out(config: DictConfig) -> dict[str, Any]:
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
    _refuse(broken_rules(config, _top, find=str))
    for name, node in [
        *((name, config[name]) for name in PARTS),
        *((f"logger.{name}", node) for name, node in config.logger.items()),
    ]:
        if not is_part(node):
            raise ConfigError(
                f"{name}={shown(node)} is no part: a part is a mapping with a _target_, as the files of conf/{name.split('.')[0]} have."
            )
    if (
        not isinstance(config.seed, int)
        or isinstance(config.seed, bool)
        or not 0 <= config.seed < 2**32
    ):
        raise ConfigError(
            f"seed={shown(config.seed)} must be a whole number in [0, 2^32), since JAX tells no others apart; choose another."
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


def _described(_target_: str, _partial_: bool = False, **settings: Any) -> None:
    """What a part's own keys must be, likewise."""


def _refuse(sentences: Iterator[str]) -> None:
    for sentence in sentences:
        raise ConfigError(sentence)


# What may differ between a run and the same run resumed: the metrics do not depend on it, the budget aside.
MAY_CHANGE = (
    "training.env_steps",
    "training.checkpoint_every",
    "training.checkpoints_kept",
    "env.step_timeout",
    "compilation_cache",
    "logger.",
)


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Of all in a resolved config that a run's metrics depend on: its checkpoints are of use to no other."""
    decisive = OmegaConf.create(dict(settings))
    for name in MAY_CHANGE:
        OmegaConf.update(decisive, name.rstrip("."), None, merge=False)
    return hashlib.sha256(OmegaConf.to_yaml(decisive).encode()).hexdigest()[:16]


def to_yaml(container: dict[str, Any]) -> str:
    """The text of a config.yaml."""
    return OmegaConf.to_yaml(OmegaConf.create(container))


def build(node: DictConfig, trust: Sequence[str] = (), **runtime: Any) -> Any:
    """The part that a config node describes by its `_target_`: the one place where configs become objects.

    `runtime` is what only the run knows (sizes, keys, folders); a constructor takes it beside the node's own settings.
    Raises ConfigError for a target outside the project and `trust`, for settings that it does not have, and for values
    that it refuses.
    """
    node = _settled(node)
    check_environment_modules(node, trust)

    def find(target: Any) -> Any:
        return allowed_target(target, trust)

    for part in reversed(list(_parts(node))):  # innermost first
        target = checked_part(part, trust)
        _refuse(broken_rules(part, _described, find))
        _refuse(broken_rules(part, target, find))
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


def _settled(node: Any) -> DictConfig:
    """The node, every interpolation worked out for good: what is checked is what is built.

    Raises ConfigError for what describes no object, lacks a value, or would be worked out once more.
    """
    if not isinstance(node, DictConfig) or not node or "_target_" not in node:
        raise ConfigError(
            f"The config has {node} where a part must be described by its _target_, as in conf/."
        )
    settings = _worked_out(node)
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


# Set beside HYDRA_FULL_ERROR where not the user has set that, since the processes of a sweep's jobs inherit both.
OUR_OWN = "MBRL_PLAIN_ERRORS"


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")


@contextmanager
def plain_errors(status: int = 1, within_hydra: bool = False) -> Iterator[None]:
    """Turns what a user can mend into one sentence on stderr, with that exit status; HYDRA_FULL_ERROR=1 keeps the traceback."""
    if os.environ.get("HYDRA_FULL_ERROR") == "1" and OUR_OWN not in os.environ:
        yield
        return
    if within_hydra:  # else Hydra itself would print the end of a traceback, and exit
        os.environ |= {"HYDRA_FULL_ERROR": "1", OUR_OWN: "1"}
    try:
        yield
    except (
        ConfigError,
        RunError,
        DamagedRun,
        HydraException,
        OmegaConfBaseException,
        OSError,
    ) as error:
        print(f"Error: {_explanation(error)}", file=sys.stderr)
        sys.exit(status)
    except KeyboardInterrupt as interruption:
        print(str(interruption) or "Interrupted before the run began.", file=sys.stderr)
        sys.exit(128 + getattr(interruption, "signum", signal.SIGINT))


def _choose(fact: Any, defaults: Mapping[str, Any]) -> Any:
    """A default that follows from a fact about the environment: `${choose:${env.ending},{failure:1.0,goal:0.0}}`."""
    if fact not in defaults:
        raise ValueError(
            f"a fact about the environment (env.ending, say) is {fact}, and must be one of {', '.join(defaults)}"
        )
    return defaults[fact]


def _explanation(error: BaseException) -> str:
    """Hydra's and OmegaConf's errors as a sentence that says how to mend them."""
    while isinstance(error, HydraException) and isinstance(
        error.__cause__, ConfigError
    ):  # raised by what Hydra has built
        error = error.__cause__
    if isinstance(error, MissingConfigException) and error.options:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={option} is not there to choose: {group} is one of {', '.join(error.options)}."
    unknown = re.match(r"Could not override '(.+)'", str(error))
    if unknown:
        return (
            f"{unknown[1]} is not a setting of this config: check its spelling against "
            f"`python run.py --cfg job` with the same choices (a setting of your own is added by +{unknown[1]}=…)."
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(line for line in lines if not line.startswith(("full_key:", "object_type=")))


OmegaConf.register_new_resolver("safe_name", safe_name, replace=True)
OmegaConf.register_new_resolver("choose", _choose, replace=True)
