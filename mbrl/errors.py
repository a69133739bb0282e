"""Errors that a user can act on: each is one clear sentence that says what to do.

And text that is harmless wherever it is shown, since errors name what others wrote.
"""

import errno
import os
import re

MAX_LENGTH = 300  # characters of a foreign message that `one_line` keeps
MAX_SENTENCE = 1000  # characters of an own one
JOINERS = "\u200c\u200d"  # join letters and emoji; they steer nothing
# What to do about an OSError, by its number.
REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "Free some space."),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM), "Change its permissions, or work in another folder."
    ),
    errno.EROFS: "Work in a folder that can be written.",
    errno.ENOENT: "Check whether it was moved or removed.",
    **dict.fromkeys(
        (errno.EEXIST, errno.ENOTDIR, errno.EISDIR),
        "Move away what is in its place, or work in another folder.",
    ),
    errno.ENAMETOOLONG: "Use a shorter name.",
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "Raise the limit of open files (ulimit -n)."),
}


class _Sentence(Exception):
    """Has a message of one printable line, since it is shown in many places.

    One that is too long, because of a long value, is cut in its middle. A `remedy` with a command
    or a path follows it whole.
    """

    def __init__(self, sentence: str, remedy: str = ""):
        text = re.sub(r" *\n *", " ", sentence.strip())
        if len(text) > MAX_SENTENCE:
            text = f"{text[: MAX_SENTENCE // 2]} … {text[-MAX_SENTENCE // 3 :]}"
        super().__init__(printable(f"{text} {remedy}" if remedy else text))

    def _render_traceback_(self) -> list[str]:
        """What IPython and Jupyter show instead of a traceback, which would hide the sentence."""
        return [f"{type(self).__name__}: {self}"]


class ConfigError(_Sentence, ValueError):
    """A setting that no run can have: the setting, its value, the rule and the remedy."""


class FolderTaken(_Sentence, FileExistsError):
    """A folder for a new run that holds a run already."""


class RunError(_Sentence, RuntimeError):
    """A run that cannot continue: why, and what to do."""


class CorruptRun(_Sentence, ValueError):
    """A file of a run that is missing, damaged, or not what a run writes: which, and why."""


def printable(text: str) -> str:
    """Text on one line, with `�` for characters that steer a terminal or the direction of writing.

    Line ends and other white space become blanks.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in JOINERS else " " if each.isspace() else "�"
        for each in text
    )


def printable_lines(text: str) -> str:
    """The same for text whose lines are to stay apart."""
    return "\n".join(map(printable, text.split("\n")))


def refusal_in(error: BaseException | None) -> ConfigError | None:
    """The ConfigError that led to an error of OmegaConf or Hydra; None if there was none."""
    while error is not None and not isinstance(error, ConfigError):
        error = error.__cause__ or error.__context__
    return error


def one_line(error: BaseException) -> str:
    """A foreign error's message on one line, without a final full stop; or else its type.

    Of an OSError, the path and the reason in words.
    """
    text = str(error)
    if isinstance(error, OSError) and error.errno is not None:
        path = error.filename2 or error.filename or ""
        name = path if isinstance(path, int) else os.fsdecode(path)
        reason = error.strerror or os.strerror(error.errno)
        text = f"{name}: {reason}" if name else reason
    text = printable(" ".join(text.split())).rstrip(".") or type(error).__name__
    return text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}…"


def os_error_sentence(error: OSError) -> str:
    """The path, the reason in words and the remedy; an own message, without a number, stays."""
    if error.errno is None:
        return str(error)
    if error.errno == errno.ENOENT and not _has_working_directory():
        return "The working directory was removed. Change to another, then repeat the command."
    remedy = REMEDIES.get(error.errno, "Check the disk, then repeat the command.")
    return f"{one_line(error)}. {remedy}"


def _has_working_directory() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True
