import csv

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from mbrl.analysis.compare import compare
from mbrl.analysis.comparison_plot import _add_legend, _handle, curve, draw
from mbrl.analysis.comparison_table import rows, write_csv
from mbrl.analysis.comparison_warnings import MAX_DRAWN, notes
from tests.analysis.made_runs import make_run


def drawn(path, folder):
    draw(compare([folder]), [path])
    return imread(path)[..., :3]


def inked(image):
    """The number of coloured pixels: neither white nor the greys of axes and text."""
    return np.sum(np.ptp(image, axis=-1) > 0.25)


@pytest.mark.parametrize("number", [1, 2, 8, 9])
def test_any_number_of_groups_is_drawn(tmp_path, number):
    for members in range(number):
        make_run(tmp_path / f"run_{members}", (10.0, 20.0 + members), model__num_members=members)
    image = drawn(tmp_path / "compare.png", tmp_path)
    assert image.shape[1] == 2200
    assert inked(image) > 1000
    text = "\n".join(notes(compare([tmp_path])))
    assert ("The figure shows the first 8 of 9 groups" in text) == (number > MAX_DRAWN)


def test_more_runs_draw_more(tmp_path):
    make_run(tmp_path / "a", (10.0, 20.0))
    one = inked(drawn(tmp_path / "one.png", tmp_path))
    make_run(tmp_path / "b", (30.0, 50.0), seed=1)
    assert inked(drawn(tmp_path / "two.png", tmp_path)) > one


@pytest.mark.parametrize(
    "run",
    [
        {"returns": ()},
        {"status": "failed"},
        {"status": None},
        {"returns": (None,)},
        {"env__solved_score": None},
    ],
)
def test_a_figure_is_drawn_of_runs_without_results(tmp_path, run):
    make_run(tmp_path / "run", **run)
    assert drawn(tmp_path / "compare.png", tmp_path).shape[1] == 2200


def test_the_same_runs_give_the_same_bytes(tmp_path):
    for index, planner in enumerate(("cem", "mcts", "cem", "mcts")):
        make_run(tmp_path / f"run_{index}", (10.0, 20.0 + index), planner=planner, seed=index)
    for name in ("one", "two"):
        draw(compare([tmp_path]), [tmp_path / f"{name}.png", tmp_path / f"{name}.pdf"])
    for suffix in ("png", "pdf"):
        one, two = (tmp_path / f"{name}.{suffix}" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_text_of_files_is_not_drawn_as_a_formula(tmp_path):
    make_run(tmp_path / "a", env__id="$\\frac{1$-v0", horizon="$\\frac{")
    make_run(tmp_path / "b", env__id="$\\frac{1$-v0", horizon="_x")
    assert inked(drawn(tmp_path / "compare.png", tmp_path)) > 0


def test_a_curve_covers_the_steps_that_all_runs_cover(tmp_path):
    make_run(tmp_path / "a", (10.0, 20.0, 30.0, 40.0))
    make_run(tmp_path / "b", (0.0, 10.0), seed=1)
    make_run(tmp_path / "c", (None, 5.0, 5.0), seed=2)
    steps, returns = curve(compare([tmp_path]).runs)
    assert steps.tolist() == [100]
    assert returns.tolist() == [[20.0, 10.0, 5.0]]


def test_a_curve_is_interpolated_between_evaluations(tmp_path):
    runs = [make_run(tmp_path / name, (10.0, 20.0), seed=seed) for seed, name in enumerate("ab")]
    text = (runs[1] / "metrics.jsonl").read_text()
    (runs[1] / "metrics.jsonl").write_text(text.replace('"env_steps": 50,', '"env_steps": 60,'))
    steps, returns = curve(compare([tmp_path]).runs)
    assert steps.tolist() == [60, 100]
    assert returns == pytest.approx(np.array([[12.0, 10.0], [20.0, 20.0]]))


@pytest.fixture
def legend(monkeypatch):
    """The names in each legend that is drawn."""
    legends = []

    def record(figure, entries):
        legends.append([name for name, _ in entries])
        return _add_legend(figure, entries)

    monkeypatch.setattr("mbrl.analysis.comparison_plot._add_legend", record)
    return legends


@pytest.mark.parametrize(
    "name",
    [
        "planner=cem",
        "planner=cem, num_members=3, horizon=15",
        "planner=cem, " + 80 * "x",
        100 * "W",
    ],
)
@pytest.mark.parametrize("number", [1, 2, 3, 8])
def test_a_legend_fits_into_the_figure(name, number):
    figure = Figure(figsize=(11, 3), dpi=100, layout="constrained")
    height = _add_legend(figure, [(name, _handle(index)) for index in range(number)])
    [legend] = figure.legends
    assert legend.get_window_extent().width <= 1100
    assert height < 0.3 * number + 0.2


def test_the_legend_names_only_what_is_drawn(tmp_path, legend):
    make_run(tmp_path / "a", (10.0, 480.0))
    make_run(tmp_path / "b", (10.0, 20.0), planner="mcts", status="failed")
    make_run(tmp_path / "c", (10.0, 20.0), planner="random")
    for threshold in (475.0, 5000.0):
        draw(compare([tmp_path], threshold=threshold), [tmp_path / f"{threshold}.png"])
    groups = ["planner=cem", "planner=random"]
    assert legend == [[*groups, "return to be reached"], groups]


def test_long_names_are_numbered_everywhere_and_cut_in_the_legend(tmp_path):
    for number in (1, 2):
        make_run(tmp_path / str(number), horizon=f"{'x' * 100}{number}")
    comparison = compare([tmp_path])
    assert comparison.labels == tuple(f"{number} horizon={'x' * 100}{number}" for number in (1, 2))
    assert comparison.short_labels == tuple(f"{number} horizon={'x' * 89}…" for number in (1, 2))
    assert [row[0] for row in rows(comparison.sections[0])] == list(comparison.labels)
    write_csv(comparison, tmp_path / "compare.csv")
    with (tmp_path / "compare.csv").open(newline="") as file:
        assert [line["group"] for line in csv.DictReader(file)] == list(comparison.labels)
    assert inked(drawn(tmp_path / "compare.png", tmp_path)) > 0
