import numpy as np
import pytest
from matplotlib.image import imread

from mbrl.analysis.plots import learning_curve, points

EPISODE = {"env_steps": 20, "wall_seconds": 0.1, "episode/return": 20.0, "episode/length": 20}
LEARNING = {"env_steps": 40, "wall_seconds": 0.2, "loss/dynamics": 0.5, "loss/reward": 1e-6}
EVALUATION = {
    "env_steps": 40,
    "wall_seconds": 0.3,
    "evaluation/return_mean": 15.0,
    "evaluation/return_std": 5.0,
    "evaluation/return_min": 10.0,
    "evaluation/returns": [10.0, 20.0],
}


def drawn(rows, tmp_path):
    """The figure of the rows as an image [height, width, 3]."""
    learning_curve(rows, tmp_path / "learning_curve.png", title="a run")
    return imread(tmp_path / "learning_curve.png")[..., :3]


def inked(image):
    """The number of coloured pixels: neither white nor the greys of axes and text."""
    return np.sum(np.ptp(image, axis=-1) > 0.25)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [EPISODE],
        [LEARNING],
        [EVALUATION],
        [{**EVALUATION, "evaluation/returns": None}],
        [
            {**EVALUATION, "evaluation/returns": [None, 3.0]},
            {**EVALUATION, "env_steps": 80, "evaluation/return_mean": None},
        ],
        [{**LEARNING, "loss/dynamics": None, "loss/reward": float("nan")}],
        [{**LEARNING, "loss/dynamics": 0.0, "loss/reward": float("inf")}],
        [{**EPISODE, "env_steps": steps, "episode/return": -200.0} for steps in (200, 400)],
    ],
)
def test_a_figure_is_drawn_of_any_rows(rows, tmp_path):
    assert drawn(rows, tmp_path).shape == (900, 1200, 3)


def test_more_rows_draw_more(tmp_path):
    blank = inked(drawn([], tmp_path))
    evaluated = inked(drawn([EVALUATION], tmp_path))
    later = [row | {"env_steps": 80} for row in (EVALUATION, LEARNING)]
    everything = inked(drawn([EPISODE, EVALUATION, LEARNING, *later], tmp_path))
    assert blank == 0
    assert blank < evaluated < everything


def test_the_same_rows_give_the_same_bytes(tmp_path):
    learning_curve([EPISODE, LEARNING, EVALUATION], tmp_path / "one.png", "a run")
    learning_curve([EPISODE, LEARNING, EVALUATION], tmp_path / "two.png", "a run")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_points_leave_out_values_that_are_missing_or_not_finite():
    rows = [{"env_steps": 1, "x": 2.0}, {"env_steps": 2}, {"env_steps": 3, "x": None}]
    rows += [{"env_steps": 4, "x": float("nan")}, {"env_steps": 5, "x": 3}]
    steps, values = points(rows, "x")
    assert steps.tolist() == [1, 5]
    assert values.tolist() == [2, 3]
    assert points([], "x")[0].shape == (0,)


@pytest.mark.parametrize("text", ["\x1b]0;owned\x07", "\udc80", "$\\frac$", "\r\nforged"])
def test_text_of_others_is_drawn_as_it_is(tmp_path, text):
    learning_curve([LEARNING | {f"loss/{text}": 1.0}], tmp_path / "curve.png", title=text)
    assert imread(tmp_path / "curve.png").size
