"""Errors of Hydra and OmegaConf as one sentence that says what was meant."""

import re
from collections.abc import Sequence

from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from mbrl.config.config_folder import CONFIG_FOLDER
from mbrl.config.hydra_internals import config_loader, is_of_composition
from mbrl.config.validation import did_you_mean, format_value
from mbrl.errors import ConfigError, os_error_sentence, refusal_in

# Lines that OmegaConf adds to a message.
OMEGACONF_DETAILS = re.compile(r"^\s*(full_key:|object_type=|reference_type=).*$", re.MULTILINE)


def as_sentence(error: BaseException, overrides: Sequence[str]) -> str:
    """The error as one sentence with a remedy, also where it is Hydra's or OmegaConf's.

    `overrides` are those that were being composed.
    """
    # Raised by a resolver, or by a launcher or sweeper that Hydra has built.
    error = refusal_in(error) or error
    while isinstance(error, HydraException) and error.__cause__:
        if str(error) and not isinstance(error.__cause__, OSError):
            break
        error = error.__cause__
    if isinstance(error, MissingConfigException) and error.options:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        near = did_you_mean(option, error.options)
        options = ", ".join(error.options)
        return f"{group}={option}: no such option.{near} {group} is one of {options}."
    nested = re.match(r"In '(.+)': Could not override '(.+)@.+'", str(error))
    if nested:
        return (
            f"{nested[1]}.yaml: overrides {nested[2]} from inside a group. "
            "Begin the file with the line `# @package _global_`."
        )
    cause, unknown = error.__cause__, re.match(r"Could not override '(.+)'", str(error))
    if unknown:
        # The override may be of a mapping, one of whose keys is unknown.
        name = getattr(cause, "full_key", None) or unknown[1]
        return (
            f"{name}: not a setting of this config.{_near_setting(name, overrides)} "
            "`python run.py --cfg job` with the same choices lists all; a setting of your own is "
            f"added by +{name}=…"
        )
    wrong = re.match(r"Error merging override (.+)", str(error), re.DOTALL)
    if wrong and cause:
        reason = str(cause).split("\n")[0].rstrip(".")
        return (
            f"{format_value(wrong[1])}: does not fit this config ({reason}). `python run.py --cfg "
            "all` with the same choices shows the value that it has."
        )
    if isinstance(error, OSError) and error.errno is not None:
        return os_error_sentence(error)
    if isinstance(error, RecursionError):
        return "config: a file includes itself, or is nested too deep. Remove the inner levels."
    if isinstance(error, ConfigError):
        return str(error)
    text = " ".join(OMEGACONF_DETAILS.sub("", str(error)).split()) or type(error).__name__
    if isinstance(error, HydraException | YAMLError) or not is_of_composition(error):
        return text
    full_key = re.search("full_key: (.+)", str(error))
    name = full_key[1] if full_key else "config"
    return f"{name}: cannot be composed ({text.rstrip('.')}). Correct the file or the setting."


def _near_setting(name: str, overrides: Sequence[str]) -> str:
    """The setting beside the unknown one that was meant, in a config with the same choices."""
    words = [word.partition("=")[::2] for word in overrides]
    parent, _, key = name.rpartition(".")
    groups = [path.name for path in CONFIG_FOLDER.iterdir() if path.is_dir()]
    choices = [f"{key}={value}" for key, value in words if key in groups]
    try:
        config = config_loader().load_configuration("config", choices, RunMode.RUN)
        beside = OmegaConf.select(config, parent) if parent else config
    except (HydraException, OmegaConfBaseException):
        return ""
    if not isinstance(beside, DictConfig):
        return ""
    known = [*map(str, beside), *(() if parent else groups)]
    return did_you_mean(key, known, prefix=f"{parent}." if parent else "")
