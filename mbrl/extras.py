"""Packages that only some options need."""

import importlib
from types import ModuleType

from mbrl.errors import ConfigError


def optional_import(module: str, extra: str, option: str) -> ModuleType:
    """Import a module. Raises ConfigError with the command that installs its package."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ConfigError(
            f"{option} needs the package {package}, which is not installed: "
            f"pip install 'mbrl-experiments[{extra}]'."
        ) from error
