"""Run-time checks of annotations in tests. As in type checkers, an int is accepted for a float."""

import warnings
from typing import Any

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep585DeprecationWarning

CONFIGURATION = BeartypeConf(is_pep484_tower=True)


def checked(annotated: Any) -> Any:
    """The function or class with run-time checks of its annotations."""
    with warnings.catch_warnings():
        # The warning is about OmegaConf's classes, which derive from typing.MutableMapping.
        warnings.simplefilter("ignore", BeartypeDecorHintPep585DeprecationWarning)
        return beartype(annotated, conf=CONFIGURATION)
