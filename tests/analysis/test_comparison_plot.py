"""The figure: there, the same for the same runs, and honest about where its curves end."""

import numpy as np
import pytest
from matplotlib.image import imread

from mbrl.analysis.compare import compare
from mbrl.analysis.comparison_notes import MOST_DRAWN, notes
from mbrl.analysis.comparison_plot import curve, draw, shortened
from tests.analysis.made_runs import make_run


def drawn(path, folder):
    draw(compare([folder]), [path])
    return imread(path)[..., :3]


def inked(image):
    """How many pixels are coloured: neither white, nor the greys of axes and text."""
    return np.sum(np.ptp(image, axis=-1) > 0.25)


@pytest.mark.parametrize("number", [1, 2, 8, 9])
def test_any_number_of_groups_is_drawn(tmp_path, number):
    for members in range(number):
        make_run(tmp_path / f"run_{members}", (10.0, 20.0 + members), model__num_members=members)
    image = drawn(tmp_path / "compare.png", tmp_path)
    assert image.shape[1] == 2200
    assert inked(image) > 1000
    assert any("The figure shows the first 8 of 9 groups" in each for each in notes(compare([tmp_path]))) == (number > MOST_DRAWN)


def test_more_runs_show(tmp_path):
    make_run(tmp_path / "a", (10.0, 20.0))
    one = inked(drawn(tmp_path / "one.png", tmp_path))
    make_run(tmp_path / "b", (30.0, 50.0), seed=1)
    assert inked(drawn(tmp_path / "two.png", tmp_path)) > one


@pytest.mark.parametrize(
    "run", [{"returns": ()}, {"status": "failed"}, {"status": None}, {"returns": (None,)}, {"env__solved_score": None}]
)
def test_whatever_there_is_a_figure_is_drawn(tmp_path, run):
    make_run(tmp_path / "run", **run)
    assert drawn(tmp_path / "compare.png", tmp_path).shape[1] == 2200


def test_the_same_runs_give_the_same_bytes(tmp_path):
    for index, planner in enumerate(("cem", "mcts", "cem", "mcts")):
        make_run(tmp_path / f"run_{index}", (10.0, 20.0 + index), planner=planner, seed=index)
    for name in ("one", "two"):
        draw(compare([tmp_path]), [tmp_path / f"{name}.png", tmp_path / f"{name}.pdf"])
    for ending in ("png", "pdf"):
        assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()


def test_text_of_files_is_no_formula(tmp_path):
    make_run(tmp_path / "a", env__id="$\\frac{1$-v0", horizon="$\\frac{")
    make_run(tmp_path / "b", env__id="$\\frac{1$-v0", horizon="_x")
    assert inked(drawn(tmp_path / "compare.png", tmp_path)) > 0


def test_a_curve_is_where_all_runs_have_one(tmp_path):
    make_run(tmp_path / "a", (10.0, 20.0, 30.0, 40.0))
    make_run(tmp_path / "b", (0.0, 10.0), seed=1)
    make_run(tmp_path / "c", (None, 5.0, 5.0), seed=2)
    steps, returns = curve(compare([tmp_path]).runs)
    assert steps.tolist() == [100]
    assert returns.tolist() == [[20.0, 10.0, 5.0]]


def test_between_evaluations_a_curve_is_straight(tmp_path):
    runs = [make_run(tmp_path / name, (10.0, 20.0), seed=seed) for seed, name in enumerate("ab")]
    text = (runs[1] / "metrics.jsonl").read_text()
    (runs[1] / "metrics.jsonl").write_text(text.replace('"env_steps": 50,', '"env_steps": 60,'))
    steps, returns = curve(compare([tmp_path]).runs)
    assert steps.tolist() == [60, 100]
    assert returns == pytest.approx(np.array([[12.0, 10.0], [20.0, 20.0]]))


def test_labels_are_short_and_no_two_alike():
    assert shortened(["planner=cem, model.num_members=3"]) == ["planner=cem, num_members=3"]
    long = [f"planner=cem, model.num_members={'9' * 60}{last}, training.budget=1" for last in "12"]
    first, second = shortened(long)
    assert first != second
    assert max(len(first), len(second)) < 40
    assert shortened(["a=$x$"]) == [r"a=\$x\$"]
