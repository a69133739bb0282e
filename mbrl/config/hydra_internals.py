"""Hydra's private modules, all in one place."""

from hydra._internal.config_loader_impl import get_overrides_dirname as get_overrides_dirname
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper as BasicSweeper
