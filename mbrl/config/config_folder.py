"""The folder conf/ with all config groups, and the resolvers that its files use."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from mbrl.errors import ConfigError
from mbrl.runs.folder import safe_name

PACKAGE = Path(__file__).parent.parent
# Beside the package in a checkout; inside it in a wheel.
CONFIG_FOLDER = next(path for path in (PACKAGE.parent / "conf", PACKAGE / "conf") if path.is_dir())


def choose(condition: Any, value: Any, otherwise: Any) -> Any:
    """The resolver `${if:${smoke},value,otherwise}`."""
    if not isinstance(condition, bool):
        raise ConfigError(f"${{if:{condition},…}}: the condition must be true or false.")
    return value if condition else otherwise


OmegaConf.register_new_resolver("safe_name", safe_name, replace=True)
OmegaConf.register_new_resolver("if", choose, replace=True)
