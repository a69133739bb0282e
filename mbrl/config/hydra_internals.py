"""Hydra's private modules, all in one place, and the plugins that replace Hydra's own.

Tried with hydra-core 1.3.8; pyproject.toml keeps it below 1.4.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.core_plugins import basic_sweeper
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobRuntime, setup_globals
from hydra.types import RunMode
from hydra.version import VersionBase, setbase
from omegaconf import DictConfig

from mbrl.config.config_folder import CONFIG_FOLDER
from mbrl.config.sweep_size import MAX_JOBS
from mbrl.errors import ConfigError

__all__ = [
    "BasicSweeper",
    "Callbacks",
    "apply_overrides",
    "compose_unchecked",
    "config_loader",
    "get_args_parser",
    "get_overrides_dirname",
    "is_of_composition",
    "named_as_run",
    "use_own_plugins",
]


def config_loader(config_path: str | None = None, config_dir: str | None = None) -> Any:
    """Hydra's loader of configs, as `hydra.main` makes it for these options of a command line."""
    setup_globals()
    inside = CONFIG_FOLDER.name if config_path is None else config_path
    main = os.path.join(os.path.realpath(CONFIG_FOLDER.parent), inside)
    path = create_config_search_path(os.path.normpath(main))
    if config_dir is not None:
        folder = f"file://{os.path.abspath(config_dir)}"
        path.prepend("command-line", folder, SearchPathQuery(provider="schema"))
    return ConfigLoaderImpl(path)


def compose_unchecked(loader: Any, name: str, overrides: Sequence[str]) -> DictConfig:
    """The config and its `hydra` settings, also where a sweep's values stand among the overrides.

    Raises ConfigError if hydra.job.env_copy names a variable that is not set.
    """
    options: dict[str, Any] = {"from_shell": False, "validate_sweep_overrides": False}
    try:
        return loader.load_configuration(name, list(overrides), RunMode.MULTIRUN, **options)
    except KeyError as error:
        raise ConfigError(f"hydra.job.env_copy: the variable {error} is not set.") from error


@contextmanager
def named_as_run() -> Iterator[None]:
    """In the block, Hydra's version and the job's name are those of run.py.

    They are Hydra's global variables, which a Hydra application that calls mbrl has set as well.
    """
    job, base = JobRuntime.instance(), VersionBase.instance()
    name_before, version_before = job.get("name"), base.version_base
    try:
        job.set("name", "run")
        setbase("1.3")
        yield
    finally:
        job.set("name", name_before)
        base.version_base = version_before


def is_of_composition(error: BaseException) -> bool:
    """Whether Hydra raised it while it composed: a config file or an override is malformed.

    It may be of any class, such as a RecursionError for a file whose defaults include the file.
    """
    loaders = (ConfigLoaderImpl.load_configuration, ConfigLoaderImpl.load_sweep_config)
    codes = {function.__code__ for function in (*loaders, ConfigRepository.load_config)}
    return any(frame.f_code in codes for frame, _ in walk_tb(error.__traceback__))


def apply_overrides(overrides: list[Override], config: DictConfig) -> None:
    """Apply overrides that set values in a composed config, in place."""
    ConfigLoaderImpl._apply_overrides_to_config(overrides, config)


def use_own_plugins() -> None:
    """Makes this project's `local` and its sweeper the defaults, in the place of Hydra's `basic`.

    Hydra's launcher locks no folder and loses killed jobs; its sweeper lists a million jobs before
    it counts them. A default in conf/config.yaml would keep experiments from choosing another, and
    a plugin must not choose for other programs.
    """
    Plugins.instance()  # registers Hydra's own first, from modules that it executes once more
    launcher = {"_target_": "hydra_plugins.mbrl.SweepLauncher", "max_jobs": MAX_JOBS}
    node = launcher | {"backend": "mbrl.launchers.local.Local"}
    store = ConfigStore.instance().store
    store(group="hydra/launcher", name="basic", node=node, provider="mbrl")
    sweeper = basic_sweeper.BasicSweeperConf(_target_="hydra_plugins.mbrl.GridSweeper")
    store(group="hydra/sweeper", name="basic", node=sweeper, provider="mbrl")
