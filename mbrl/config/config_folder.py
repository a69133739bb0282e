"""The folder conf/ with all config groups, and the resolver that its files use."""

from pathlib import Path

from omegaconf import OmegaConf

from mbrl.runs.folder import safe_name

PACKAGE = Path(__file__).parent.parent
# Beside the package in a checkout; inside it in a wheel.
CONFIG_FOLDER = next(path for path in (PACKAGE.parent / "conf", PACKAGE / "conf") if path.is_dir())

OmegaConf.register_new_resolver("safe_name", safe_name, replace=True)
