"""How annotations are checked in tests: as type checkers read them, with an int for a float."""

import warnings
from typing import Any

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep585DeprecationWarning

CONFIGURATION = BeartypeConf(is_pep484_tower=True)


def checked(annotated: Any) -> Any:
    """The function or class, which now refuses arguments and results that are not what its annotations say."""
    with warnings.catch_warnings():
        # OmegaConf's classes derive from typing.MutableMapping, which is nothing to mend here.
        warnings.simplefilter("ignore", BeartypeDecorHintPep585DeprecationWarning)
        return beartype(annotated, conf=CONFIGURATION)
