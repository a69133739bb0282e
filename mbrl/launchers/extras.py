"""Packages that only some launchers and sweepers need."""

import importlib
from types import ModuleType

from mbrl.errors import ConfigError


def optional_import(package: str, extra: str) -> ModuleType:
    """The package, imported. Raises ConfigError that says how to install it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"This launcher needs the package {package}, which is not installed: pip install 'mbrl-experiments[{extra}]'."
        ) from error
