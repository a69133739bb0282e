"""What a run returns: its score, which is a number, with its folder and metrics."""

from functools import cached_property
from pathlib import Path
from typing import Any

from mbrl.runs.columns import Columns
from mbrl.runs.reader import read_metrics


class RunResult(float):
    """The score of a run, the mean return of its final evaluation, as a float that knows more.

    Sweepers, sums and comparisons take it as the number. `folder` is the run's, absolute.
    """

    folder: Path

    def __new__(cls, score: float, folder: Path) -> "RunResult":
        result = super().__new__(cls, score)
        result.folder = folder
        return result

    def __getnewargs__(self) -> tuple[float, Path]:  # type: ignore[override] # float's has one
        return float(self), self.folder

    @property
    def score(self) -> float:
        """The mean return of the final evaluation, as a plain float."""
        return float(self)

    @cached_property
    def metrics(self) -> Columns:
        """All rows of the folder's metrics.jsonl, oldest first, read when first asked for."""
        return Columns.from_rows(read_metrics(self.folder))

    def to_pandas(self) -> Any:
        """The metrics as a pandas DataFrame. Raises ConfigError where pandas is not installed."""
        return self.metrics.to_pandas()

    def __repr__(self) -> str:
        return f"RunResult(score={float(self)!r}, folder={str(self.folder)!r})"

    __str__ = float.__repr__
