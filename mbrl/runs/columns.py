"""Tables for notebooks: columns as NumPy arrays, and as a pandas data frame."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mbrl.errors import ConfigError


class Columns(dict[str, np.ndarray]):
    """A table: a dict that maps the name of each column to its array [rows].

    A number that a row lacks, or that was not finite, is NaN; a list is an array, or None; a text
    is "". A column that has a whole number in each row keeps them whole.
    """

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]], names: Iterable[str] = ()) -> "Columns":
        """The columns of rows, such as those of `read_metrics`, in the order of their first use.

        Columns with `names` come first, and are there even without rows.
        """
        every = dict.fromkeys([*names, *(name for row in rows for name in row)])
        return cls({name: _column([row.get(name) for row in rows]) for name in every})

    def having(self, name: str) -> "Columns":
        """The rows with a value of the column `name`, and the columns with values in these rows."""
        rows = _has_value(self[name])
        kept = {other: column[rows] for other, column in self.items()}
        return Columns({other: column for other, column in kept.items() if any(_has_value(column))})

    def to_pandas(self) -> Any:
        """The same as a pandas DataFrame. Raises ConfigError where pandas is not installed."""
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise ConfigError(
                "to_pandas: pandas is not installed. Install it: python -m pip install pandas"
            ) from error
        return pandas.DataFrame(self)

    def __repr__(self) -> str:
        num_rows = len(next(iter(self.values()), ()))
        return f"<Columns: {num_rows} rows of {', '.join(self) or 'nothing'}>"


def _column(values: Sequence[Any]) -> np.ndarray:
    """An array of the values; None is one that is missing."""
    kinds = {type(value) for value in values if value is not None}
    is_complete = None not in values
    if is_complete and kinds in ({int}, {bool}):
        return np.array(values)
    if kinds <= {int, float}:
        return np.array(values, float)  # None becomes NaN
    if kinds == {str}:
        return np.array(["" if value is None else value for value in values])
    column = np.empty(len(values), object)
    for index, value in enumerate(values):  # at once, lists of one length would be a matrix
        column[index] = _column(value) if isinstance(value, list) else value
    return column


def _has_value(column: np.ndarray) -> np.ndarray:
    if column.dtype == object:
        return np.array([value is not None for value in column], bool)
    if column.dtype.kind == "f":
        return ~np.isnan(column)
    return column != "" if column.dtype.kind == "U" else np.ones(column.shape, bool)
