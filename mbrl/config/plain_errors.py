"""Errors as one sentence."""

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from mbrl.errors import ConfigError, CorruptRun, RunError

# Set beside HYDRA_FULL_ERROR where not the user has set that, since the processes of a sweep's jobs inherit both.
PLAIN_ERRORS_FLAG = "MBRL_PLAIN_ERRORS"


@contextmanager
def plain_errors(status: int = 1, within_hydra: bool = False) -> Iterator[None]:
    """Turns what a user can mend into one sentence on stderr, with that exit status; HYDRA_FULL_ERROR=1 keeps the traceback."""
    if os.environ.get("HYDRA_FULL_ERROR") == "1" and PLAIN_ERRORS_FLAG not in os.environ:
        yield
        return
    if within_hydra:  # else Hydra itself would print the end of a traceback, and exit
        os.environ |= {"HYDRA_FULL_ERROR": "1", PLAIN_ERRORS_FLAG: "1"}
    try:
        yield
    except (
        ConfigError,
        RunError,
        CorruptRun,
        HydraException,
        OmegaConfBaseException,
        OSError,
    ) as error:
        print(f"Error: {_explanation(error)}", file=sys.stderr)
        sys.exit(status)
    except KeyboardInterrupt as interruption:
        print(str(interruption) or "Interrupted before the run began.", file=sys.stderr)
        sys.exit(128 + getattr(interruption, "signum", signal.SIGINT))


def _explanation(error: BaseException) -> str:
    """Hydra's and OmegaConf's errors as a sentence that says how to mend them."""
    while isinstance(error, HydraException) and isinstance(
        error.__cause__, ConfigError
    ):  # raised by what Hydra has built
        error = error.__cause__
    if isinstance(error, MissingConfigException) and error.options:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={option} is not there to choose: {group} is one of {', '.join(error.options)}."
    unknown = re.match(r"Could not override '(.+)'", str(error))
    if unknown:
        return (
            f"{unknown[1]} is not a setting of this config: check its spelling against "
            f"`python run.py --cfg job` with the same choices (a setting of your own is added by +{unknown[1]}=…)."
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(line for line in lines if not line.startswith(("full_key:", "object_type=")))
