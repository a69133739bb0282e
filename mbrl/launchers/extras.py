"""Packages that only some launchers need."""

import importlib
from types import ModuleType

from mbrl.errors import ConfigError


def optional_import(package: str, extra: str) -> ModuleType:
    """Import a package. Raises ConfigError with the command that installs it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"This launcher needs the package {package}, which is not installed: "
            f"pip install 'mbrl-experiments[{extra}]'."
        ) from error
