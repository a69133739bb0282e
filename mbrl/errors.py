"""Errors that a user can act on: each is one clear sentence that says what to do."""

MAX_LENGTH = 300  # characters of a foreign message that `one_line` keeps
MAX_SENTENCE = 1000  # characters


class _Sentence(Exception):
    """Joins its message on one line, since it is printed as it is.

    Of one that is too long, because of a long value, it keeps the setting and the remedy.
    """

    def __init__(self, sentence: str):
        text = " ".join(sentence.split())
        if len(text) > MAX_SENTENCE:
            text = f"{text[: MAX_SENTENCE // 2]} … {text[-MAX_SENTENCE // 3 :]}"
        super().__init__(text)

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


def one_line(error: BaseException) -> str:
    """A foreign error's message on one line, without a final full stop; or else its type."""
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}…"
