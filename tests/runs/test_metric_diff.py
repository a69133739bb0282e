"""What counts as a difference between two records, and what does not."""

import math

import pytest

from mbrl.runs.metric_diff import RowChecker, differences, relative_difference, without_timings

ROWS = [
    {"env_steps": 10, "wall_seconds": 1.0, "loss/value": 0.5, "time/learn": 0.1},
    {
        "env_steps": 20,
        "wall_seconds": 2.0,
        "loss/value": 0.25,
        "evaluation/returns": [1.0, 2.0],
        "validation/reward": None,
    },
]


def changed(number: int, **values):
    return [row | values if index == number else row for index, row in enumerate(ROWS)]


def test_the_clock_does_not_count():
    assert differences(ROWS, [row | {"wall_seconds": 9.0, "time/learn": 3.0} for row in ROWS]) == []
    assert without_timings(ROWS[0]) == {"env_steps": 10, "loss/value": 0.5}


def test_the_last_bit_counts():
    (found,) = differences(ROWS, changed(1, **{"loss/value": math.nextafter(0.25, 1.0)}))
    assert (found.metric, found.num_rows, found.env_steps, found.recorded) == (
        "loss/value",
        1,
        20,
        0.25,
    )
    assert 0 < found.largest < 1e-15
    assert (
        differences(ROWS, changed(1, **{"loss/value": math.nextafter(0.25, 1.0)}), tolerance=1e-9)
        == []
    )


def test_one_entry_of_a_list_counts():
    (found,) = differences(ROWS, changed(1, **{"evaluation/returns": [1.0, 4.0]}))
    assert found.largest == 0.5
    (found,) = differences(ROWS, changed(1, **{"evaluation/returns": [1.0]}))
    assert found.largest == math.inf


def test_what_is_missing_counts():
    found = differences(ROWS, ROWS[:1], tolerance=1e9)
    assert {each.metric for each in found} == {
        "env_steps",
        "loss/value",
        "evaluation/returns",
        "validation/reward",
    }
    assert all(each.largest == math.inf for each in found)


@pytest.mark.parametrize(
    ("then", "now", "difference"),
    [
        (1.0, 1.0, 0.0),
        (None, None, 0.0),
        (None, 1.0, math.inf),
        (0.0, 1e-9, 1.0),
        (2.0, 1.0, 0.5),
        (-1.0, 1.0, 2.0),
        (3, 3.0, 0.0),
    ],
)
def test_relative_differences(then, now, difference):
    assert relative_difference(then, now) == difference


def test_a_row_computed_again_must_be_what_it_was():
    twins = RowChecker(ROWS)
    twins.check(ROWS[0] | {"wall_seconds": 7.0})
    twins.check({"env_steps": 30, "loss/value": 1.0})  # which was not there
    twins.check({"env_steps": 20, "episode/return": 1.0})  # nor was this one
    with pytest.raises(
        ValueError, match=r"loss/value is 0\.6 at 10 real steps, but was 0\.5 before"
    ):
        twins.check(ROWS[0] | {"loss/value": 0.6})
    RowChecker(ROWS, tolerance=0.5).check(ROWS[0] | {"loss/value": 0.6})
