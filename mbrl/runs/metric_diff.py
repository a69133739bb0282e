"""Differences between two records of metrics, timings excluded."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Row = Mapping[str, Any]

MISSING = "missing"


class Difference(NamedTuple):
    """How one metric differs."""

    metric: str
    num_rows: int  # rows that differ
    env_steps: int | None  # of the first of these rows; None where that row has none
    recorded: Any  # the first value that differs
    repeated: Any
    largest: float  # relative difference over all rows; infinite where a value or row is missing


def without_timings(row: Row) -> dict[str, Any]:
    """A row without the metrics that depend on the clock."""
    return {
        name: value
        for name, value in row.items()
        if name != "wall_seconds" and not name.startswith("time/")
    }


def differences(
    recorded: Sequence[Row], repeated: Sequence[Row], tolerance: float = 0.0
) -> list[Difference]:
    """The metrics that differ by more than a relative `tolerance` (0: not bit-exact).

    They are ordered by the row where they first differ. Rows are compared in their order; a missing
    row lacks all its metrics.
    """
    by_metric: dict[str, Difference] = {}
    for index in range(max(len(recorded), len(repeated))):
        then, now = (
            without_timings(rows[index]) if index < len(rows) else {}
            for rows in (recorded, repeated)
        )
        for name in then | now:
            size = relative_difference(then.get(name, MISSING), now.get(name, MISSING))
            if size > tolerance:
                steps = (then or now).get("env_steps")
                first = Difference(name, 0, steps, then.get(name), now.get(name), 0.0)
                so_far = by_metric.get(name, first)
                by_metric[name] = so_far._replace(
                    num_rows=so_far.num_rows + 1, largest=max(so_far.largest, size)
                )
    return list(by_metric.values())


def relative_difference(then: Any, now: Any) -> float:
    """The relative difference of two values of a metric; 0 where they are equal.

    Values are numbers, lists of them, or None for values that were not finite.
    """
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        pairs = zip(then, now, strict=True)
        return max((relative_difference(*pair) for pair in pairs), default=0.0)
    if then == now:
        return 0.0
    if not all(isinstance(value, int | float) for value in (then, now)):
        return math.inf
    return abs(then - now) / max(abs(then), abs(now))


class RowChecker:
    """Rows logged after the last checkpoint; a resumed run must reproduce them."""

    def __init__(self, rows: Iterable[Row], tolerance: float = 0.0):
        self._rows = {_row_key(row): without_timings(row) for row in rows}
        self._tolerance = tolerance

    def check(self, row: Row) -> None:
        """Raise ValueError if the row differs from the recorded one. An unknown row passes."""
        recorded = self._rows.get(_row_key(row), row)
        changed = differences([recorded], [row], self._tolerance)
        if changed:
            first = changed[0]
            raise ValueError(
                f"{first.metric} is {first.repeated} at {row['env_steps']} real steps, but was "
                f"{first.recorded} before the interruption (metrics.superseded.jsonl): the machine,"
                " the package versions or the environment have changed. Use --tolerance=0.001, or"
                " inf, to continue anyway."
            )


def _row_key(row: Row) -> tuple[Any, frozenset[str]]:
    """Identifies a row: no two rows of a run have the same steps and metrics."""
    return row.get("env_steps"), frozenset(without_timings(row))
