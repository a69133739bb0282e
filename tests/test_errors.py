"""Errors for users are one sentence, also in notebooks."""

import errno
import os
import shlex
import signal
from pathlib import Path

import pytest

from mbrl.errors import ConfigError, CorruptRun, FolderTaken, RunError, one_line, os_error_sentence
from mbrl.runs.signals import Interrupted
from mbrl.tables import resume_command


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


@pytest.mark.parametrize("length", [10, 900, 10**5])
def test_a_remedy_is_kept_whole(length):
    remedy = f"To resume: {resume_command('/' + 'a b/' * 500, 'training.env_steps=1')}"
    sentence = str(RunError(f"it failed: {'x' * length}.", remedy))
    assert sentence.startswith("it failed: xxx")
    assert sentence.endswith(f"x. {remedy}")
    assert len(sentence) < 1000 + len(remedy)


@pytest.mark.parametrize("folder", ["plain", "two words", "; rm -rf ~", "$(true)", "'"])
def test_a_command_is_quoted(folder):
    assert shlex.split(resume_command(Path(folder), "a=b c"))[4:] == [folder, "a=b c"]


def test_ipython_is_told_how_to_resume_an_interrupted_run():
    interruption = Interrupted(signal.SIGINT, "Interrupted. Resume by `…`.")
    assert interruption._render_traceback_() == ["Interrupted. Resume by `…`."]


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "a: No space left on device. Free some space."),
        (errno.EACCES, "a: Permission denied. Change its permissions, or work in another folder."),
        (errno.EROFS, "a: Read-only file system. Work in a folder that can be written."),
        (errno.ENOENT, "a: No such file or directory. Check whether it was moved or removed."),
        (errno.EIO, "a: Input/output error. Check the disk, then repeat the command."),
    ],
)
@pytest.mark.parametrize("path", ["a", b"a"])
def test_an_error_of_the_system_is_said_in_words_with_a_remedy(number, sentence, path):
    error = OSError(number, os.strerror(number), path)
    assert os_error_sentence(error) == sentence
    assert sentence.startswith(one_line(error))


def test_an_error_of_the_system_may_lack_a_path_or_a_number():
    assert one_line(OSError(errno.EIO, "Input/output error")) == "Input/output error"
    assert one_line(OSError(errno.EIO, "Input/output error", 3)) == "3: Input/output error"
    assert one_line(OSError(errno.EIO, "Input/output error", "\x1b")) == "�: Input/output error"
    assert os_error_sentence(FolderTaken("a is taken.")) == "a is taken."
