"""What a command line may have Hydra start, which runs callbacks, launchers and log handlers before any code of this project."""

import os
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mbrl.config.allowlist import (
    allowed_target,
    dotted_name,
    in_packages,
    refuse_interpolations,
    trusted_packages,
    untrusted_error,
)
from mbrl.config.compose import CONFIG_FOLDER
from mbrl.errors import ConfigError

PLUGIN_PACKAGES = (
    "hydra._internal.core_plugins",
    "hydra_plugins",
)  # where launchers and sweepers come from
INSTANTIATED_SECTIONS = (
    "callbacks",
    "launcher",
    "sweeper",
)  # the sections of hydra's settings that it makes objects of

CHECKED = (
    "hydra.callbacks.",
    "hydra.job_logging.",
    "hydra.hydra_logging.",
)  # all that these can say is looked at
LOGGING = ["job_logging", "hydra_logging"]
LOG_CLASSES = (
    "logging.StreamHandler",
    "logging.FileHandler",
    "logging.NullHandler",
    "logging.Formatter",
)
LOG_OBJECTS = ("ext://sys.stdout", "ext://sys.stderr")
LOG_FILES = (
    "${hydra.runtime.output_dir}/${hydra.job.name}.log",
    "hydra-${hydra.job.name}.log",
)  # as Hydra's own configs have them


def check_command_line(arguments: Sequence[str]) -> None:
    """Looks at what Hydra would start for `run.py <arguments>`, and starts nothing.

    Raises ConfigError for a target, a module or a log handler that the command line's own `trust` does not vouch for, for
    settings of Hydra's that a config from elsewhere brings, and for --experimental-rerun. Costs nothing where neither a
    foreign config nor a setting of Hydra's is given.
    """
    given = get_args_parser().parse_args(arguments)
    if given.experimental_rerun is not None:
        raise ConfigError(
            f"--experimental-rerun={given.experimental_rerun} would unpickle that file, which runs what it holds, whatever is "
            "trusted; run it again from its saved config: python -m mbrl reproduce RUN (a `trust=[package]` goes there too)."
        )
    foreign = any(
        option is not None for option in (given.config_dir, given.config_path, given.config_name)
    )
    if foreign or any("hydra" in override for override in given.overrides):
        _check_configs(given, foreign, trusted_packages(given.overrides))


def use_local_launcher() -> None:
    """Replaces Hydra's default launcher `basic` by `local`, which locks the sweep's folder and can resume.

    A default in conf/config.yaml would keep experiments from choosing a launcher, and a plugin would
    change it for other programs too.
    """
    Plugins.instance()  # stores Hydra's own `basic`, which this replaces
    node = {
        "_target_": "hydra_plugins.mbrl.SweepLauncher",
        "backend": "mbrl.launchers.local.Local",
    }
    ConfigStore.instance().store(group="hydra/launcher", name="basic", node=node, provider="mbrl")


def _check_configs(given: Namespace, foreign: bool, trust: Sequence[str]) -> None:
    """Composes the config, or each that a sweep can choose, and looks at its settings of Hydra's."""
    name = given.config_name or "config"
    loader = _loader(given.config_path, given.config_dir, trust)
    _check_search_path(loader, name, given.overrides, trust)
    # Without foreign files to choose among, the first run of a sweep tells all.
    for overrides in islice(_runs(loader, given.overrides), None if foreign else 1):
        config = loader.load_configuration(
            name, overrides, RunMode.MULTIRUN, from_shell=False, validate_sweep_overrides=False
        )
        _check_started(config, trust)
        _check_logging(
            OmegaConf.to_container(OmegaConf.masked_copy(config.hydra, LOGGING)), "hydra", trust
        )
        _check_sources(loader, name, overrides, trust)
        _check_overrides(config, overrides)


def _loader(
    config_path: str | None, config_dir: str | None, trust: Sequence[str]
) -> ConfigLoaderImpl:
    """Hydra's loader of configs, as `hydra.main` in run.py makes it for these options."""
    setup_globals()
    main = str(CONFIG_FOLDER)
    if config_path is not None and config_path.startswith("pkg://"):
        _check_package(config_path, "--config-path", trust)
        main = config_path
    elif config_path is not None:
        main = os.path.normpath(os.path.join(os.path.realpath(CONFIG_FOLDER.parent), config_path))
    search_path = create_config_search_path(main)
    if config_dir is not None:
        search_path.prepend(
            "command-line",
            f"file://{os.path.abspath(config_dir)}",
            SearchPathQuery(provider="schema"),
        )
    return ConfigLoaderImpl(search_path)


def _check_package(path: str, setting: str, trust: Sequence[str]) -> None:
    """Raises ConfigError for a `pkg://` path in a package that nobody vouched for: Hydra imports it."""
    package = path.removeprefix("pkg://").replace("/", ".")
    if not in_packages(package, trust):
        raise untrusted_error(f"{setting}={path} (which imports {package})", package.split(".")[0])


def _check_search_path(
    loader: ConfigLoaderImpl, name: str, overrides: Sequence[str], trust: Sequence[str]
) -> None:
    """Raises ConfigError for a hydra.searchpath, which Hydra follows while it composes, before anything can be seen of it."""
    primary = loader.repository.load_config(name)
    # As they are written: what an interpolation stands for may change until Hydra looks.
    settings: Any = dict(_items(OmegaConf.to_container(primary.config) if primary else None)).get(
        "hydra"
    )
    written = settings.get("searchpath") if isinstance(settings, Mapping) else settings
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    said = [override.value() for override in parsed if override.key_or_group == "hydra.searchpath"]
    for paths in (written, *said):
        for path in paths if isinstance(paths, list) else [paths] if paths else []:
            if str(path).startswith("pkg://"):
                _check_package(str(path), "hydra.searchpath", trust)
            elif "hydra" not in trust:
                raise ConfigError(
                    f"hydra.searchpath={path} is not followed, since it may import what nobody vouched for: give a folder by "
                    "--config-dir, or, if you trust it, say trust=[hydra] on the command line."
                )


def _runs(loader: ConfigLoaderImpl, overrides: Sequence[str]) -> Iterator[list[str]]:
    """The overrides of a run, for each combination of options that a sweep takes from config groups."""
    parsed = OverridesParser.create(loader).parse_overrides(list(overrides))
    choices = []
    for override in parsed:
        sweeps = override.is_discrete_sweep() and loader.repository.group_exists(
            override.key_or_group
        )
        options = override.sweep_string_iterator() if sweeps else ()
        choices.append(
            [f"{override.get_key_element()}={option}" for option in options]
            or [str(override.input_line)]
        )
    yield from map(list, product(*choices))


def _check_started(config: DictConfig, trust: Sequence[str]) -> None:
    """Raises ConfigError for a target in Hydra's settings that is neither a plugin's nor vouched for; no callback is a plugin's."""
    plugins = (*PLUGIN_PACKAGES, *trust)
    _check_targets(OmegaConf.to_container(config.hydra), plugins)
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(
        config
    )  # for the interpolations: an object may be made of what they stand for
    try:
        for section in INSTANTIATED_SECTIONS:
            settings = config.hydra[section]
            values = (
                OmegaConf.to_container(settings, resolve=True)
                if OmegaConf.is_config(settings)
                else settings
            )
            refuse_interpolations(values)
            _check_targets(values, trust if section == "callbacks" else plugins)
    finally:
        HydraConfig.instance().cfg = before


def _check_targets(values: Any, packages: Sequence[str]) -> None:
    for key, value in _items(values):
        if key == "_target_":
            name = dotted_name(value)
            if not in_packages(name, packages):
                raise untrusted_error(f"_target_={name}", name.split(".")[0])
            allowed_target(name, packages)
        _check_targets(value, packages)


def _check_logging(values: Any, where: str, trust: Sequence[str]) -> None:
    """Raises ConfigError for what Python's logging would import, call or write to, beyond what Hydra's own log configs do."""
    for key, value in _items(values):
        what, text = f"{where}.{key}={value}", value if isinstance(value, str) else ""
        names_code = key == "()" or (key == "class" and value not in LOG_CLASSES)
        if names_code or (text.startswith("ext://") and text not in LOG_OBJECTS):
            name = str(value).removeprefix("ext://")
            if not in_packages(name, trust):
                raise untrusted_error(what, name.split(".")[0])
        elif (
            (key == "filename" or "${" in text) and value not in LOG_FILES and "hydra" not in trust
        ):
            raise ConfigError(
                f"{what} is not where Hydra writes its log: leave it out, or, if you trust it, say trust=[hydra]."
            )
        _check_logging(value, f"{where}.{key}", trust)


def _check_sources(
    loader: ConfigLoaderImpl, name: str, overrides: list[str], trust: Sequence[str]
) -> None:
    """Raises ConfigError for settings of Hydra's from a file that neither this project nor a package ships.

    Some are commands (a cluster's setup) or decide where files go, and a plugin may have any; so none is taken, but for those
    that were checked word by word.
    """
    if "hydra" in trust:
        return
    for default in loader.compute_defaults_list(name, overrides, RunMode.MULTIRUN).defaults:
        loaded = loader.repository.load_config(str(default.config_path))
        scheme, _, folder = loaded.path.partition("://") if loaded else ("", "", "")
        if (
            loaded is None
            or scheme != "file"
            or os.path.realpath(folder) == os.path.realpath(CONFIG_FOLDER)
        ):
            continue
        for setting in _settings(
            OmegaConf.to_container(loader._embed_result_config(loaded, default.package).config)
        ):
            if setting.startswith(("hydra.", "hydra=")) and not _was_checked(setting):
                raise ConfigError(
                    f"{folder}/{default.config_path}.yaml says {setting}, and Hydra's settings can run commands: "
                    "say it on the command line instead, or, if you trust that file, say trust=[hydra] there."
                )


def _was_checked(setting: str) -> bool:
    """Whether a setting is one whose text was all looked at. What an interpolation stands for may change until Hydra looks."""
    value = setting.partition("=")[2]
    return setting.startswith(CHECKED) and ("${" not in setting or value in LOG_FILES)


def _settings(values: Any, where: str = "") -> Iterator[str]:
    """Each setting of a plain container, as `a.b=value`."""
    for key, value in _items(values):
        full = f"{where}.{key}" if where else str(key)
        yield from _settings(value, full) if _items(value) else (f"{full}={value}",)


def _check_overrides(config: DictConfig, overrides: list[str]) -> None:
    """Raises ConfigError where a config adds to what Hydra takes for the command line, and so could vouch for itself."""
    recorded: Any = OmegaConf.to_container(
        config.hydra.overrides
    )  # unresolved: an override may hold an interpolation
    forged = [
        override
        for override in (*recorded["hydra"], *recorded["task"])
        if override not in overrides
    ]
    if forged:
        raise ConfigError(
            f"A config sets hydra.overrides to {forged[0]}, which is for the command line to say: say it there, or leave it out."
        )


def _items(values: Any) -> Any:
    """The keys and values of a plain container; none of anything else."""
    return (
        values.items()
        if isinstance(values, Mapping)
        else enumerate(values)
        if isinstance(values, list | tuple)
        else ()
    )
