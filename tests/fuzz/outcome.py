"""Runs one case in this process, and judges how it ends."""

import contextlib
import math
import traceback
import warnings
from functools import cache
from typing import Any, NamedTuple

import jax
import pytest
from omegaconf import DictConfig

import mbrl.experiment
from mbrl.config.resolve import resolve
from mbrl.config.validation import format_value
from mbrl.errors import ConfigError, RunError
from mbrl.runs.provenance import provenance
from tests.fuzz.accepted import is_reviewed
from tests.fuzz.cases import DELETED, Case, Setting, base_settings
from tests.fuzz.worker import HANG, KILLED

MAX_SENTENCE = 1000  # characters

FINISHED = "finished"
BUILT = "built, not trained"
REFUSED = "refused in one sentence"
STOPPED = "stopped in one sentence"
TRACEBACK = "traceback"
UNCLEAR = "unclear sentence"
WRONGLY_ACCEPTED = "wrongly accepted"


FAULTS = (TRACEBACK, UNCLEAR, WRONGLY_ACCEPTED, HANG, KILLED)


class Outcome(NamedTuple):
    """How a case ended, with the sentence, the traceback, or the reason for a wrong acceptance."""

    kind: str
    message: str
    trained: bool = False


@cache
def facts(*arguments: int) -> dict[str, Any]:
    """The facts of this machine, which Git and the installed packages take a while to give."""
    return provenance(*arguments)


class _Built(Exception):
    """Everything of the run is built; it is not to be trained."""


def outcome_of(case: Case, train: bool) -> Outcome:
    """Composes and runs the case, in the working directory; without `train` up to its training."""
    reached = []

    def before_training(*arguments: Any) -> Any:
        reached.append(True)
        if not train:
            raise _Built
        return trained(*arguments)

    trained = mbrl.experiment.train
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr(mbrl.experiment, "train", before_training)
        patch.setattr(mbrl.experiment, "provenance", facts)
        warnings.simplefilter("error")
        try:
            config = case.config()
            mbrl.experiment.run(config)
        except _Built:
            pass
        except (ConfigError, RunError) as error:
            kind = STOPPED if reached else REFUSED
            is_clear = _is_sentence(str(error)) and any(
                _is_named(setting, str(error)) for setting in case.settings
            )
            return Outcome(kind if is_clear else UNCLEAR, str(error), bool(reached and train))
        except Exception:
            return Outcome(TRACEBACK, traceback.format_exc()[-3000:], bool(reached and train))
        finally:
            if reached and train:
                jax.clear_caches()  # every program takes memory
    reason = _wrong_acceptance(case, config)
    kind = FINISHED if train else BUILT
    return Outcome(WRONGLY_ACCEPTED if reason else kind, reason, train)


def _is_sentence(message: str) -> bool:
    return "\n" not in message and len(message) < MAX_SENTENCE and message[-1:] in (*".?…",)


def _is_named(setting: Setting, message: str) -> bool:
    """Whether the message names the setting or what it belongs to.

    A value that other settings interpolate may be refused under their names.
    """
    parts = [*setting.key.replace("/", ".").split("."), f"={format_value(setting.value)}"]
    return any(part in message for part in parts)


def _wrong_acceptance(case: Case, config: DictConfig) -> str:
    """Why the case should not have been accepted; empty if there is no reason."""
    defaults = base_settings(case.base)
    for setting in case.settings:
        if is_reviewed(setting.key, setting.value):
            continue
        key, value, default = setting.key, setting.value, defaults.get(setting.key)
        if not _is_finite(value):
            return f"{key} is not finite"
        if value is not DELETED and type_name(value) != type_name(default):
            return f"{key} is {type_name(default)}, given {type_name(value)}"
        if isinstance(value, int | float) and abs(value) >= 1e12:
            return f"{key} is huge"
    keys = [setting.key for setting in case.settings]
    if len(keys) == 1 and not is_reviewed(keys[0], case.settings[0].value):
        with contextlib.suppress(ConfigError):
            is_default = case.settings[0].value == defaults.get(keys[0])
            base = Case(0, case.base, (), False).config()
            if not is_default and resolve(config).settings == resolve(base).settings:
                return f"{keys[0]} has no effect"
    return ""


def type_name(value: Any) -> str:
    """The type of a value, as far as configs tell types apart."""
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}
    return names.get(type(value), "a mapping")


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
