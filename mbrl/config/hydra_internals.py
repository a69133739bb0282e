"""Hydra's private modules, all in one place, and the launcher that replaces Hydra's own.

Tried with hydra-core 1.3.8; pyproject.toml keeps it below 1.4.
"""

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

__all__ = [
    "BasicSweeper",
    "ConfigLoaderImpl",
    "create_config_search_path",
    "get_args_parser",
    "get_overrides_dirname",
    "use_local_launcher",
]


def use_local_launcher() -> None:
    """Makes this project's `local` the default launcher, in the place of Hydra's `basic`.

    `basic` locks no folder and loses killed jobs. A default in conf/config.yaml would keep
    experiments from choosing a launcher, and a plugin must not choose for other programs.
    """
    Plugins.instance()  # registers Hydra's own launchers first
    launcher = {"_target_": "hydra_plugins.mbrl.SweepLauncher"}
    node = launcher | {"backend": "mbrl.launchers.local.Local"}
    ConfigStore.instance().store(group="hydra/launcher", name="basic", node=node, provider="mbrl")
