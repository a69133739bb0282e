"""The errors that a user can act on, each one clear sentence."""


class ConfigError(ValueError):
    """A setting that cannot be run, in one sentence that says how to mend it."""

    def __init__(self, sentence: str):
        super().__init__(" ".join(sentence.split()))


class RunError(RuntimeError):
    """A run that cannot go on, in one sentence that says why and how to mend it."""

    def __init__(self, sentence: str):
        super().__init__(" ".join(sentence.split()))
