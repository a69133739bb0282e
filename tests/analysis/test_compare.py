"""Comparisons: what counts, what is noted, and that nothing is dropped in silence."""

import csv
import json

import numpy as np
import pytest

from mbrl.analysis.compare import compare
from mbrl.analysis.comparison_table import header, rows, write_csv
from mbrl.analysis.comparison_warnings import notes, unfinished
from mbrl.analysis.statistics import bootstrap_interval
from tests.analysis.made_runs import make_run

SCORES = {"cem": (100.0, 480.0, 500.0), "mcts": (500.0, 490.0, 485.0)}


@pytest.fixture
def two_planners(tmp_path):
    """Three runs of each of two planners, in a folder."""
    for planner, scores in SCORES.items():
        for seed, score in enumerate(scores):
            make_run(tmp_path / f"{planner}_{seed}", (10.0, score), planner=planner, seed=seed)
    return tmp_path


def said(comparison) -> str:
    return "\n".join(notes(comparison))


def test_the_figures_of_groups(two_planners):
    (section,) = compare([two_planners]).sections
    cem, mcts = section.groups
    assert (cem.label, mcts.label) == ("planner=cem", "planner=mcts")
    assert cem.mean == pytest.approx(360)
    assert cem.interquartile_mean == pytest.approx(360)  # of three
    assert cem.interval == bootstrap_interval([np.array(SCORES["cem"])])
    assert cem.improvement is None
    assert mcts.improvement == pytest.approx(
        6.5 / 9
    )  # 500 beats two and ties with one, 490 and 485 beat two
    assert said(compare([two_planners])) == ""


def test_steps_and_seconds_to_the_threshold_count_those_that_never_came(two_planners):
    comparison = compare([two_planners])
    (section,) = comparison.sections
    assert section.threshold == 475
    columns = header(section, comparison)
    cells = [dict(zip(columns, row, strict=True)) for row in rows(section)]
    assert [cell["reached 475"] for cell in cells] == ["2/3", "3/3"]
    assert [cell["env steps to it"] for cell in cells] == ["100", "100"]
    assert [cell["time to it"] for cell in cells] == ["0:10", "0:10"]
    (section,) = compare([two_planners], threshold=495).sections
    assert [row[5:8] for row in rows(section)] == [["1/3", "most did not", "most did not"]] * 2
    (section,) = compare([two_planners], threshold=5).sections
    assert [row[5:8] for row in rows(section)] == [["3/3", "50", "0:05"]] * 2
    (section,) = compare([two_planners], threshold=1000).sections
    assert [row[5:8] for row in rows(section)] == [["0/3", "none did", "none did"]] * 2
    make_run(two_planners / "cem_3", (10.0, 500.0), seed=3)
    (section,) = compare([two_planners], threshold=495).sections
    assert rows(section)[0][5:8] == ["2/4", "half did not", "half did not"]


def test_the_first_group_is_that_of_the_folder_named_first(two_planners):
    comparison = compare([two_planners / "mcts_1", two_planners])
    assert comparison.labels == ("planner=mcts", "planner=cem")


@pytest.mark.parametrize("status", ["failed", "killed", "interrupted", None])
def test_runs_that_are_not_completed_are_named_and_count_in_no_return(two_planners, status):
    make_run(
        two_planners / "other",
        (10.0, 0.0),
        status=status,
        seed=7,
        error="ValueError: exploded" if status == "failed" else None,
    )
    comparison = compare([two_planners])
    (section,) = comparison.sections
    assert section.groups[0].mean == pytest.approx(360)
    assert rows(section)[0][1] == "3/4"
    ((found, label, folder, why),) = unfinished(comparison)
    assert (found, label, folder) == (
        status or "never started",
        "planner=cem",
        str(two_planners / "other"),
    )
    assert ("exploded" in why) if status == "failed" else "resume" in why
    assert "1 of 7 runs are not completed" in said(comparison)


def test_a_run_that_never_came_to_the_threshold_before_it_failed_counts_as_later_than_any(
    two_planners,
):
    for seed in range(3, 7):
        make_run(two_planners / f"failed_{seed}", (10.0,), status="failed", seed=seed)
    (section,) = compare([two_planners]).sections
    assert rows(section)[0][5:7] == ["2/7", "most did not"]


@pytest.mark.parametrize(
    "line",
    [
        '{"evaluation/return_mean": 1}}',
        '{"env_steps": "x", "evaluation/return_mean": 1}',
        '{"evaluation/return_mean": 1}',
        '{"env_steps": 9, "wall_seconds": 1, "evaluation/return_mean": "high"}',
        '{"evaluation/return_mean": ' + "9" * 5000 + "}",
        '{"env_steps": 1, "wall_seconds": 1, "evaluation/return_mean": 1e308}',
        '{"env_steps": 1' + "0" * 400 + ', "wall_seconds": 1, "evaluation/return_mean": 1}',
        "[" * 100_000,
    ],
)
def test_damaged_metrics_are_named_and_the_rest_goes_on(two_planners, line):
    file = two_planners / "cem_0" / "metrics.jsonl"
    file.write_text(f"{line}\n" + file.read_text())
    comparison = compare([two_planners])
    assert [row[1] for row in rows(comparison.sections[0])] == ["2/2", "3/3"]
    ((status, _, folder, _),) = unfinished(comparison)
    assert (status, folder) == ("damaged", str(two_planners / "cem_0"))


def test_groups_that_are_not_alike_are_noted(tmp_path):
    make_run(tmp_path / "a", (1.0, 2.0), seed=0)
    make_run(tmp_path / "b", (1.0, 2.0), seed=0)
    make_run(tmp_path / "c", (1.0, 2.0, 3.0), seed=1, planner="mcts")
    make_run(tmp_path / "d", (1.0, None), seed=2, planner="mcts")
    found = said(compare([tmp_path]))
    assert (
        "The budgets of env steps differ (planner=cem: 100; planner=mcts: 100 and 150), and returns are those at each run's"
        in found
    )
    assert "The seeds of the completed runs differ (planner=cem: 0; planner=mcts: 1, 2)" in found
    assert "planner=cem: seed 0 more than once" in found
    assert "Fewer than 3 completed runs with a score: planner=cem (2), planner=mcts (1)" in found
    assert "planner=mcts: 1 completed runs have no finite return" in found


def test_what_by_leaves_out_is_noted(two_planners):
    make_run(two_planners / "wide", (1.0, 2.0), seed=9, model__num_members=9)
    comparison = compare([two_planners], by=("planner",))
    assert comparison.labels == ("planner=cem", "planner=mcts")
    assert "differ in model.num_members" in said(comparison)


def test_environments_are_sections_and_together_normalised(two_planners):
    for planner, score in (("cem", -160.0), ("mcts", -1235.9)):
        for seed in range(3):
            make_run(
                two_planners / f"pendulum_{planner}_{seed}",
                (-1000.0, score),
                planner=planner,
                env="pendulum",
                seed=seed,
            )
    comparison = compare([two_planners])
    assert [section.environment for section in comparison.sections] == [
        "CartPole-v1",
        "Pendulum-v1",
    ]
    assert comparison.aggregate is not None
    cem, mcts = comparison.aggregate.groups
    assert cem.scores[0] == pytest.approx((np.array(SCORES["cem"]) - 22.1) / (475 - 22.1))
    assert cem.scores[1] == pytest.approx(1.0)
    assert mcts.scores[1] == pytest.approx(0.0)
    assert mcts.improvement == pytest.approx((6.5 / 9 + 0) / 2)
    # Within an environment nothing can move the constant scores.
    assert cem.interval == bootstrap_interval(cem.scores)
    assert not comparison.why_no_aggregate


def test_environments_with_unequal_numbers_of_runs_are_not_taken_together(two_planners):
    for planner in SCORES:
        for seed in range(4):
            make_run(
                two_planners / f"pendulum_{planner}_{seed}",
                (-160.0,),
                planner=planner,
                env="pendulum",
                seed=seed,
            )
    comparison = compare([two_planners])
    assert comparison.aggregate is None
    assert (
        "planner=cem has unequal numbers of completed runs, 3 in CartPole-v1 and 4 in Pendulum-v1"
        in said(comparison)
    )
    # Between groups, numbers may differ.
    for environment, returns in (("cartpole", (480.0,)), ("pendulum", (-160.0,))):
        for seed in range(3 if environment == "pendulum" else 4):
            make_run(
                two_planners / f"random_{environment}_{seed}",
                returns,
                planner="random",
                env=environment,
                seed=seed,
            )
    make_run(two_planners / "cem_3", (480.0,), seed=3)
    make_run(two_planners / "mcts_3", (480.0,), planner="mcts", seed=3)
    assert (
        "planner=random has unequal numbers of completed runs, 4 in CartPole-v1 and 3 in"
        in said(compare([two_planners]))
    )
    (two_planners / "random_cartpole_3" / "summary.json").write_text('{"status": "failed"}')
    assert compare([two_planners]).aggregate is not None


def test_intervals_without_width_are_noted_where_runs_are_few(tmp_path):
    for seed in range(10):
        make_run(tmp_path / f"cem_{seed}", (float(seed),), seed=seed)
        if seed < 3:
            make_run(tmp_path / f"mcts_{seed}", (480.0,), planner="mcts", seed=seed)
    (section,) = compare([tmp_path]).sections
    assert rows(section)[1][8] == "1.00 [1.00, 1.00]"
    found = said(compare([tmp_path]))
    assert (
        "All pairs with runs of the first group agree: planner=mcts (3 × 10 pairs); with so few runs the interval says nothing."
        in found
    )
    assert (
        "All runs have the same return: planner=mcts (3 runs); with so few runs the interval says nothing."
        in found
    )
    for seed in range(3, 10):
        make_run(tmp_path / f"mcts_{seed}", (480.0,), planner="mcts", seed=seed)
    assert "says nothing" not in said(compare([tmp_path]))


def test_copies_count_only_where_they_are_named(two_planners):
    copies = two_planners / "reproductions"
    make_run(copies / "today" / "cem", seed=8)
    comparison = compare([two_planners])
    assert len(comparison.runs) == 6
    assert f"{copies} is left out, with 1 run: name it too to have them." in said(comparison)
    for paths, number in (([two_planners, copies], 7), ([copies], 1)):
        comparison = compare(paths)
        assert len(comparison.runs) == number
        assert "is left out" not in said(comparison)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"planner": "cem"}, "planner=mcts has no completed run with a score in Pendulum-v1"),
        ({"env__random_score": None}, "Pendulum-v1 has no env.random_score"),
        ({"env__solved_score": None}, "Pendulum-v1 has no env.solved_score"),
        ({"env__solved_score": -1235.9}, "the same env.random_score and env.solved_score"),
    ],
)
def test_why_there_is_no_aggregate_is_said(two_planners, changes, why):
    for planner in SCORES:
        make_run(
            two_planners / f"pendulum_{planner}",
            (-1.0,),
            **{"planner": planner, "env": "pendulum"} | changes,
        )
    comparison = compare([two_planners])
    assert comparison.aggregate is None
    assert "No aggregate over environments" in said(comparison)
    assert why in said(comparison)


def test_a_line_a_run_comes_back_as_it_was(two_planners, tmp_path):
    make_run(
        two_planners / "odd", (10.0,), status="failed", error='=HYPERLINK("x"), "quoted"', seed=5
    )
    make_run(two_planners / "gone").joinpath("config.yaml").unlink()
    write_csv(compare([two_planners]), tmp_path / "compare.csv")
    with (tmp_path / "compare.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 8
    found = {line["folder"]: line for line in lines}
    for planner, scores in SCORES.items():
        for seed, score in enumerate(scores):
            line = found[str(two_planners / f"{planner}_{seed}")]
            assert float(line["final_return"]) == score
            assert float(line["normalised_score"]) == (score - 22.1) / (475 - 22.1)
            assert (line["planner"], line["seed"], line["status"], line["counts"]) == (
                planner,
                str(seed),
                "completed",
                "yes",
            )
            assert float(line["steps_to_threshold"]) == (100 if score >= 475 else float("inf"))
    odd = found[str(two_planners / "odd")]
    assert (odd["status"], odd["counts"], odd["error"]) == (
        "failed",
        "no",
        '\'=HYPERLINK("x"), "quoted"',
    )
    assert found[str(two_planners / "gone")]["status"] == "damaged"
    with pytest.raises(FileExistsError):
        write_csv(compare([two_planners]), tmp_path / "compare.csv")


def test_the_same_runs_give_the_same_comparison(two_planners):
    first, second = (
        json.dumps([list(rows(section)) for section in compare([two_planners]).sections])
        for _ in range(2)
    )
    assert first == second
