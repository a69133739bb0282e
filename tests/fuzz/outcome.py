"""Runs one case in this process, and judges how it ends."""

import math
import re
import traceback
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import jax
import pytest
from omegaconf import DictConfig

import mbrl.experiment
from mbrl.config.resolve import resolve
from mbrl.errors import ConfigError, RunError
from mbrl.runs.provenance import provenance
from tests.fuzz.cases import DELETED, Case, Setting, base_settings
from tests.fuzz.reviewed import REVIEWED
from tests.fuzz.worker import HANG, KILLED

MAX_SENTENCE = 1000  # characters
HUGE = 1e12  # a number of this size is suspicious wherever it is accepted

FINISHED = "finished"
BUILT = "built, not trained"
REFUSED = "refused in one sentence"
STOPPED = "stopped in one sentence"
TRACEBACK = "traceback"
UNCLEAR = "unclear sentence"
WRONGLY_ACCEPTED = "wrongly accepted"
FAULTS = (TRACEBACK, UNCLEAR, WRONGLY_ACCEPTED, HANG, KILLED)


def judged(kind: str, message: str) -> str:
    """The kind of outcome, or WRONGLY_ACCEPTED where a suspicion is none of the reviewed ones."""
    is_accepted = kind in (FINISHED, BUILT) and message
    is_wrong = is_accepted and not all(
        any(re.fullmatch(pattern, suspicion) for pattern in REVIEWED)
        for suspicion in message.split("; ")
    )
    return WRONGLY_ACCEPTED if is_wrong else kind


class Outcome(NamedTuple):
    """How a case ended: with a sentence, a traceback, or suspicions about what was accepted."""

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
    kind = FINISHED if train else BUILT
    return Outcome(kind, "; ".join(_suspicions(case, config)), train)


def _is_sentence(message: str) -> bool:
    return "\n" not in message and len(message) < MAX_SENTENCE and message[-1:] in (*".?…",)


def _is_named(setting: Setting, message: str) -> bool:
    """Whether the message names the setting or what it belongs to."""
    parent, _, leaf = setting.key.replace("/", ".").rpartition(".")
    named = "|".join(map(re.escape, (leaf, parent or leaf)))
    return bool(re.search(rf"(?<!\w)({named})(?!\w)", message.replace("/", ".")))


def _suspicions(case: Case, config: DictConfig) -> Iterator[str]:
    """What may be wrong in the settings of a case that was accepted."""
    defaults = base_settings(case.base)
    for setting in case.settings:
        key, value, default = setting.key, setting.value, defaults.get(setting.key)
        if key.startswith("hydra.") or "/" in key:
            continue  # not of the run's own settings
        given, usual = type_name(value), type_name(default)
        if isinstance(value, float) and not math.isfinite(value):
            yield f"{key} is not finite"
        elif value is not DELETED and given != usual:
            yield f"{key} is {given} instead of {usual}"
        elif isinstance(value, int | float) and abs(value) >= HUGE:
            yield f"{key} is huge"
        elif len(case.settings) == 1 and value != default and _has_no_effect(case, config):
            yield f"{key} has no effect"


def _has_no_effect(case: Case, config: DictConfig) -> bool:
    base = Case(0, case.base, (), False).config()
    return resolve(config).settings == resolve(base).settings


def type_name(value: Any) -> str:
    """The type of a value, as far as configs tell types apart."""
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}
    return names.get(type(value), "a mapping")
