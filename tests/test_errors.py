"""Errors for users are one sentence, also in notebooks."""

import signal

import pytest

from mbrl.errors import ConfigError, CorruptRun, FolderTaken, RunError
from mbrl.runs.signals import Interrupted


@pytest.mark.parametrize("kind", [ConfigError, RunError, CorruptRun, FolderTaken])
def test_ipython_is_given_the_sentence_instead_of_a_traceback(kind):
    assert kind("seed=-1:\n must be 0.")._render_traceback_() == [
        f"{kind.__name__}: seed=-1: must be 0."
    ]


def test_a_sentence_with_a_long_value_keeps_its_setting_and_its_remedy():
    sentence = str(ConfigError(f"env.kwargs={'x' * 10**5}: must be short. Try y."))
    assert sentence.startswith("env.kwargs=xxx")
    assert sentence.endswith("xxx: must be short. Try y.")
    assert len(sentence) < 1000


def test_ipython_is_told_how_to_resume_an_interrupted_run():
    interruption = Interrupted(signal.SIGINT, "Interrupted. Resume by `…`.")
    assert interruption._render_traceback_() == ["Interrupted. Resume by `…`."]
