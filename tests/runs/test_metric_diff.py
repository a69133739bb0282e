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


def changed(changed_index: int, **values):
    return [row | values if index == changed_index else row for index, row in enumerate(ROWS)]


def test_timings_are_not_compared():
    assert differences(ROWS, [row | {"wall_seconds": 9.0, "time/learn": 3.0} for row in ROWS]) == []
    assert without_timings(ROWS[0]) == {"env_steps": 10, "loss/value": 0.5}


def test_a_difference_in_the_last_bit_is_found():
    repeated = changed(1, **{"loss/value": math.nextafter(0.25, 1.0)})
    [difference] = differences(ROWS, repeated)
    assert difference[:4] == ("loss/value", 1, 20, 0.25)
    assert 0 < difference.largest < 1e-15
    assert differences(ROWS, repeated, tolerance=1e-9) == []


def test_a_difference_in_one_entry_of_a_list_is_found():
    [difference] = differences(ROWS, changed(1, **{"evaluation/returns": [1.0, 4.0]}))
    assert difference.largest == 0.5
    [difference] = differences(ROWS, changed(1, **{"evaluation/returns": [1.0]}))
    assert difference.largest == math.inf


def test_a_missing_row_is_a_difference_in_all_its_metrics():
    found = differences(ROWS, ROWS[:1], tolerance=1e9)
    assert {difference.metric for difference in found} == {
        "env_steps",
        "loss/value",
        "evaluation/returns",
        "validation/reward",
    }
    assert all(difference.largest == math.inf for difference in found)


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


def test_a_recorded_row_must_be_reproduced():
    checker = RowChecker(ROWS)
    checker.check(ROWS[0] | {"wall_seconds": 7.0})
    checker.check({"env_steps": 30, "loss/value": 1.0})  # not recorded
    checker.check({"env_steps": 20, "episode/return": 1.0})  # not recorded
    message = r"loss/value is 0\.6 at 10 real steps, but was 0\.5 before"
    with pytest.raises(ValueError, match=message):
        checker.check(ROWS[0] | {"loss/value": 0.6})
    RowChecker(ROWS, tolerance=0.5).check(ROWS[0] | {"loss/value": 0.6})
