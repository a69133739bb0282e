"""Prints errors that a user can act on as one sentence, without a traceback."""

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from mbrl.config.hydra_errors import as_sentence
from mbrl.config.hydra_internals import is_of_composition
from mbrl.errors import ConfigError, CorruptRun, RunError
from mbrl.terminal import Console

# Says that HYDRA_FULL_ERROR was set here and not by the user: processes of a sweep inherit both.
PLAIN_ERRORS_FLAG = "MBRL_PLAIN_ERRORS"
OF_CONFIG_FILES = (HydraException, OmegaConfBaseException, YAMLError)
ERRORS = (ConfigError, RunError, CorruptRun, OSError, *OF_CONFIG_FILES)


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
        os.getcwd()  # raises if it was removed
        yield
    except Exception as error:
        # For example logging's ValueError, where the file run.log cannot be opened.
        is_known = isinstance(error, ERRORS) or is_of_composition(error)
        known = error if is_known else error.__cause__
        if known is None or not (is_known or isinstance(known, ERRORS)):
            raise
        Console(stderr=True).say(f"Error: {as_sentence(known, sys.argv[1:])}")
        sys.exit(status)
    except KeyboardInterrupt as interruption:
        message = str(interruption) or "Interrupted before the run began."
        Console(stderr=True).say(*message.split("\n"))
        sys.exit(128 + getattr(interruption, "signum", signal.SIGINT))
