"""The environment variables that a config with files from elsewhere may read: `${oc.env:NAME}`."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

from mbrl.config.allowlist import trusted_packages
from mbrl.errors import ConfigError, refusal_in
from mbrl.loggers.destination import VARIABLES

REFERENCE = re.compile(r"oc\.env:\s*(\w+)")
# The names that a block of this thread can read. Resolvers are the whole process's.
_readable: ContextVar[frozenset[str] | None] = ContextVar("readable", default=None)


@contextmanager
def guarded_environment(is_foreign: bool, command_line: Sequence[str]) -> Iterator[None]:
    """In the block, a foreign config can read W&B's settings and what the command line names.

    Reading another variable raises ConfigError, since config.yaml and W&B would show its value.
    trust=[hydra] allows all. Blocks may be nested; the outer one counts.
    """
    is_guarded = _readable.get() is not None
    if is_guarded or not is_foreign or "hydra" in trusted_packages(command_line):
        yield
        return
    OmegaConf.register_new_resolver("oc.env", _read, replace=True)
    named = REFERENCE.findall("\n".join(command_line))
    token = _readable.set(frozenset([*VARIABLES.values(), *named]))
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        refusal = refusal_in(error)
        if refusal is None:
            raise
        raise refusal from None
    finally:
        _readable.reset(token)


def _read(name: str, *default: Any) -> str | None:
    """The resolver `oc.env`: outside of blocks, OmegaConf's own."""
    readable = _readable.get()
    if readable is not None and name not in readable:
        raise ConfigError(
            f"oc.env:{name}: a config from elsewhere may not read this variable, which may be a "
            "secret. Type the setting on the command line, or add trust=[hydra]."
        )
    return oc.env(name, *default)
