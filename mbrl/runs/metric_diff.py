"""How far two records of metrics differ, the clock taken out."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Row = Mapping[str, Any]


class Difference(NamedTuple):
    """What became of one metric."""

    metric: str
    num_rows: int  # that differ
    env_steps: int | None  # of the first of them; None where that row has none
    recorded: Any  # the value there
    repeated: Any
    largest: float  # relative difference, over all rows; infinite where a value or a row is missing


def without_timings(row: Row) -> dict[str, Any]:
    """A row without what the clock says."""
    return {
        name: value
        for name, value in row.items()
        if name != "wall_seconds" and not name.startswith("time/")
    }


def differences(
    recorded: Sequence[Row], repeated: Sequence[Row], tolerance: float = 0.0
) -> list[Difference]:
    """The metrics whose values differ by more than `tolerance` (relative; 0 for equal to the bit), those that differ first first.

    Rows are compared in their order; a row that is missing lacks all of its metrics.
    """
    found: dict[str, Difference] = {}
    for number in range(max(len(recorded), len(repeated))):
        then, now = (
            without_timings(rows[number]) if number < len(rows) else {}
            for rows in (recorded, repeated)
        )
        for name in then | now:
            size = relative_difference(then.get(name, MISSING), now.get(name, MISSING))
            if size > tolerance:
                first = Difference(
                    name, 0, (then or now).get("env_steps"), then.get(name), now.get(name), 0.0
                )
                so_far = found.get(name, first)
                found[name] = so_far._replace(
                    num_rows=so_far.num_rows + 1, largest=max(so_far.largest, size)
                )
    return list(found.values())


MISSING = "missing"


def relative_difference(then: Any, now: Any) -> float:
    """Of two values of a metric: numbers, lists of them, or None for what was not finite; 0 where they are the same."""
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return max(
            (relative_difference(*pair) for pair in zip(then, now, strict=True)), default=0.0
        )
    if then == now:
        return 0.0
    if not all(isinstance(value, int | float) for value in (then, now)):
        return math.inf
    return abs(then - now) / max(abs(then), abs(now))


class RowChecker:
    """Rows that were recorded once, to be met again: each row computed again must be what it was."""

    def __init__(self, rows: Iterable[Row], tolerance: float = 0.0):
        self._rows = {_place(row): without_timings(row) for row in rows}
        self._tolerance = tolerance

    def check(self, row: Row) -> None:
        """Raises ValueError for a row that is not what it was before; passes one that was not there."""
        found = differences([self._rows.get(_place(row), row)], [row], self._tolerance)
        if found:
            first = found[0]
            raise ValueError(
                f"{first.metric} is {first.repeated} at {row['env_steps']} real steps, but was {first.recorded} before the interruption "
                "(metrics.superseded.jsonl): the machine, the versions or the environment are not what they were; "
                "go on all the same with --tolerance=0.001, say, or inf."
            )


def _place(row: Row) -> tuple[Any, frozenset[str]]:
    """No two rows of a run share it."""
    return row.get("env_steps"), frozenset(without_timings(row))
