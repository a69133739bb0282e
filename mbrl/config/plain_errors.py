"""Prints errors that a user can act on as one sentence, without a traceback."""

import io
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mbrl.config.compose import CONFIG_FOLDER, compose
from mbrl.config.validation import did_you_mean
from mbrl.errors import ConfigError, CorruptRun, RunError

# Says that HYDRA_FULL_ERROR was set here and not by the user: processes of a sweep inherit both.
PLAIN_ERRORS_FLAG = "MBRL_PLAIN_ERRORS"
ERRORS = (ConfigError, RunError, CorruptRun, HydraException, OmegaConfBaseException, OSError)


@contextmanager
def plain_errors(status: int = 1, within_hydra: bool = False) -> Iterator[None]:
    """Prints such an error and exits with `status`. HYDRA_FULL_ERROR=1 keeps tracebacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # PYTHONIOENCODING=ascii has no `±`
    if os.environ.get("HYDRA_FULL_ERROR") == "1" and PLAIN_ERRORS_FLAG not in os.environ:
        yield
        return
    if within_hydra:  # otherwise Hydra prints the end of a traceback and exits itself
        os.environ |= {"HYDRA_FULL_ERROR": "1", PLAIN_ERRORS_FLAG: "1"}
    try:
        yield
    except ERRORS as error:
        print(f"Error: {_sentence(error)}", file=sys.stderr)
        sys.exit(status)
    except KeyboardInterrupt as interruption:
        print(str(interruption) or "Interrupted before the run began.", file=sys.stderr)
        sys.exit(128 + getattr(interruption, "signum", signal.SIGINT))


def _near_setting(name: str) -> str:
    """The setting beside the unknown one that was meant, in a config with the same choices."""
    words = [word.partition("=")[::2] for word in sys.argv[1:]]
    parent, _, key = name.rpartition(".")
    try:
        groups = [path.name for path in CONFIG_FOLDER.iterdir() if path.is_dir()]
        config = compose([f"{key}={value}" for key, value in words if key in groups])
        beside = OmegaConf.select(config, parent) if parent else config
    except (HydraException, OmegaConfBaseException):
        return ""
    if not isinstance(beside, DictConfig):
        return ""
    known = [*map(str, beside), *(() if parent else groups)]
    return did_you_mean(key, known, prefix=f"{parent}." if parent else "")


def _sentence(error: BaseException) -> str:
    """The error as one sentence with a remedy, also where it is Hydra's or OmegaConf's."""
    while isinstance(error, HydraException) and isinstance(error.__cause__, ConfigError):
        error = error.__cause__  # raised by a launcher or sweeper that Hydra has built
    if isinstance(error, MissingConfigException) and error.options:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        near = did_you_mean(option, error.options)
        options = ", ".join(error.options)
        return f"{group}={option}: no such option.{near} {group} is one of {options}."
    unknown = re.match(r"Could not override '(.+)'", str(error))
    if unknown:
        return (
            f"{unknown[1]}: not a setting of this config.{_near_setting(unknown[1])} "
            "`python run.py --cfg job` with the same choices lists all; a setting of your own is "
            f"added by +{unknown[1]}=…"
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(line for line in lines if not line.startswith(("full_key:", "object_type=")))
