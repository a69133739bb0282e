"""Errors that a user can act on: each is one clear sentence that says what to do.

And text that is harmless wherever it is shown, since errors name what others wrote.
"""

import re

MAX_LENGTH = 300  # characters of a foreign message that `one_line` keeps


class _Sentence(Exception):
    """Has a message of one printable line, since it is shown in many places."""

    def __init__(self, sentence: str):
        super().__init__(printable(re.sub(r" *\n *", " ", sentence.strip())))

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
    return "".join(each if each.isprintable() else " " if each.isspace() else "�" for each in text)


def printable_lines(text: str) -> str:
    """The same for text whose lines are to stay apart."""
    return "\n".join(map(printable, text.split("\n")))


def refusal_in(error: BaseException | None) -> ConfigError | None:
    """The ConfigError that led to an error of OmegaConf or Hydra; None if there was none."""
    while error is not None and not isinstance(error, ConfigError):
        error = error.__cause__ or error.__context__
    return error


def one_line(error: BaseException) -> str:
    """A foreign error's message on one line, without a final full stop; or else its type."""
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}…"
