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


def notes_on(comparison) -> str:
    return "\n".join(notes(comparison))


def test_groups_are_summarised(two_planners):
    (section,) = compare([two_planners]).sections
    cem, mcts = section.groups
    assert (cem.label, mcts.label) == ("planner=cem", "planner=mcts")
    assert cem.mean == pytest.approx(360)
    assert cem.interquartile_mean == pytest.approx(360)  # of three
    assert cem.interval == bootstrap_interval([np.array(SCORES["cem"])])
    assert cem.improvement is None
    # 500 beats two and ties with one; 490 and 485 beat two.
    assert mcts.improvement == pytest.approx(6.5 / 9)
    assert notes_on(compare([two_planners])) == ""


def test_medians_to_the_threshold_include_runs_that_never_reached_it(two_planners):
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


def test_the_first_group_is_that_of_the_first_folder(two_planners):
    comparison = compare([two_planners / "mcts_1", two_planners])
    assert comparison.labels == ("planner=mcts", "planner=cem")


@pytest.mark.parametrize("status", ["failed", "killed", "interrupted", None])
def test_runs_that_are_not_completed_are_listed_and_not_scored(two_planners, status):
    error = "ValueError: exploded" if status == "failed" else None
    make_run(two_planners / "other", (10.0, 0.0), status=status, seed=7, error=error)
    comparison = compare([two_planners])
    (section,) = comparison.sections
    assert section.groups[0].mean == pytest.approx(360)
    assert rows(section)[0][1] == "3/4"
    [(listed_status, label, folder, why)] = unfinished(comparison)
    assert (listed_status, label) == (status or "never started", "planner=cem")
    assert folder == str(two_planners / "other")
    assert ("exploded" in why) if status == "failed" else "resume" in why
    assert "1 of 7 runs are not completed" in notes_on(comparison)


def test_folders_with_control_characters_are_shown_without_them(tmp_path):
    make_run(tmp_path / "\x1b[2Jgone\n", status="failed")
    (make_run(tmp_path / "\x1b[2Jodd") / "summary.json").write_text("{")
    shown = [folder for _, _, folder, _ in unfinished(compare([tmp_path]))]
    assert shown == [f"{tmp_path}/�[2Jgone ", f"{tmp_path}/�[2Jodd"]


def test_a_failed_run_counts_as_reaching_the_threshold_later_than_any(two_planners):
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
def test_a_run_with_damaged_metrics_is_listed_and_the_others_are_compared(two_planners, line):
    file = two_planners / "cem_0" / "metrics.jsonl"
    file.write_text(f"{line}\n" + file.read_text())
    comparison = compare([two_planners])
    assert [row[1] for row in rows(comparison.sections[0])] == ["2/2", "3/3"]
    [(status, _, folder, _)] = unfinished(comparison)
    assert (status, folder) == ("damaged", str(two_planners / "cem_0"))


def test_large_returns_are_compared(tmp_path):
    make_run(tmp_path / "a", (1e16, -1e60))
    (section,) = compare([tmp_path]).sections
    assert rows(section)[0][1] == "1/1"
    assert section.groups[0].mean == -1e60


def test_notes_name_differences_between_groups(tmp_path):
    make_run(tmp_path / "a", (1.0, 2.0), seed=0)
    make_run(tmp_path / "b", (1.0, 2.0), seed=0)
    make_run(tmp_path / "c", (1.0, 2.0, 3.0), seed=1, planner="mcts")
    make_run(tmp_path / "d", (1.0, None), seed=2, planner="mcts")
    text = notes_on(compare([tmp_path]))
    for expected in (
        "The budgets of env steps differ (planner=cem: 100; planner=mcts: 100 and 150). Returns",
        "The seeds of the completed runs differ (planner=cem: 0; planner=mcts: 1, 2)",
        "planner=cem: seed 0 more than once",
        "Fewer than 3 completed runs with a score: planner=cem (2), planner=mcts (1)",
        "planner=mcts: 1 completed run has no finite final return",
    ):
        assert expected in text


def test_seeds_differ_only_between_groups_that_have_completed_runs(tmp_path):
    make_run(tmp_path / "a", seed=0)
    make_run(tmp_path / "b", seed=1, planner="mcts", status="failed")
    assert "seeds" not in notes_on(compare([tmp_path]))
    make_run(tmp_path / "c", seed=2, planner="random")
    expected = "The seeds of the completed runs differ (planner=cem: 0; planner=random: 2)."
    assert expected in notes_on(compare([tmp_path]))


def test_large_numbers_are_told_apart(tmp_path):
    for index, (score, solved) in enumerate(((1000001.0, 1000001), (1000000.0, 1000000))):
        make_run(tmp_path / str(index), (score,), horizon=index, env__solved_score=solved)
    comparison = compare([tmp_path])
    assert "different env.solved_score (1000000, 1000001)" in notes_on(comparison)
    assert "reached 1000000" in header(comparison.sections[0], comparison)
    assert [row[3] for row in rows(comparison.sections[0])] == ["1000001", "1000000"]


def test_a_note_names_what_by_leaves_out(two_planners):
    make_run(two_planners / "wide", (1.0, 2.0), seed=9, model__num_members=9)
    comparison = compare([two_planners], by=("planner",))
    assert comparison.labels == ("planner=cem", "planner=mcts")
    assert "differ in model.num_members" in notes_on(comparison)


def test_each_environment_is_a_section_and_the_aggregate_is_normalised(two_planners):
    for planner, score in (("cem", -160.0), ("mcts", -1235.9)):
        for seed in range(3):
            folder = two_planners / f"pendulum_{planner}_{seed}"
            make_run(folder, (-1000.0, score), planner=planner, env="pendulum", seed=seed)
    comparison = compare([two_planners])
    environments = [section.environment for section in comparison.sections]
    assert environments == ["CartPole-v1", "Pendulum-v1"]
    assert comparison.aggregate is not None
    cem, mcts = comparison.aggregate.groups
    assert cem.scores[0] == pytest.approx((np.array(SCORES["cem"]) - 22.1) / (475 - 22.1))
    assert cem.scores[1] == pytest.approx(1.0)
    assert mcts.scores[1] == pytest.approx(0.0)
    assert mcts.improvement == pytest.approx((6.5 / 9 + 0) / 2)
    # Resampling within an environment does not change its constant scores.
    assert cem.interval == bootstrap_interval(cem.scores)
    assert not comparison.why_no_aggregate


def test_unequal_numbers_of_runs_per_environment_are_not_aggregated(two_planners):
    for planner in SCORES:
        for seed in range(4):
            folder = two_planners / f"pendulum_{planner}_{seed}"
            make_run(folder, (-160.0,), planner=planner, env="pendulum", seed=seed)
    comparison = compare([two_planners])
    assert comparison.aggregate is None
    counts = "3 in CartPole-v1 and 4 in Pendulum-v1"
    expected = f"planner=cem has unequal numbers of completed runs, {counts}"
    assert expected in notes_on(comparison)
    # Between groups, numbers may differ.
    for env, score in (("cartpole", 480.0), ("pendulum", -160.0)):
        for seed in range(3 if env == "pendulum" else 4):
            folder = two_planners / f"random_{env}_{seed}"
            make_run(folder, (score,), planner="random", env=env, seed=seed)
    make_run(two_planners / "cem_3", (480.0,), seed=3)
    make_run(two_planners / "mcts_3", (480.0,), planner="mcts", seed=3)
    expected = "planner=random has unequal numbers of completed runs, 4 in CartPole-v1 and 3 in"
    assert expected in notes_on(compare([two_planners]))
    (two_planners / "random_cartpole_3" / "summary.json").write_text('{"status": "failed"}')
    assert compare([two_planners]).aggregate is not None


def test_notes_name_zero_width_intervals_of_few_runs(tmp_path):
    for seed in range(10):
        make_run(tmp_path / f"cem_{seed}", (float(seed),), seed=seed)
        if seed < 3:
            make_run(tmp_path / f"mcts_{seed}", (480.0,), planner="mcts", seed=seed)
    (section,) = compare([tmp_path]).sections
    assert rows(section)[1][8] == "1.00 [1.00, 1.00]"
    text = notes_on(compare([tmp_path]))
    ending = "With so few runs, the interval is not meaningful."
    agree = "All pairs with runs of the first group agree: planner=mcts (3 × 10 pairs)."
    assert f"{agree} {ending}" in text
    assert f"All runs have the same return: planner=mcts (3 runs). {ending}" in text
    for seed in range(3, 10):
        make_run(tmp_path / f"mcts_{seed}", (480.0,), planner="mcts", seed=seed)
    assert "not meaningful" not in notes_on(compare([tmp_path]))


def test_copies_are_included_only_if_their_folder_is_named(two_planners):
    copies = two_planners / "reproductions"
    make_run(copies / "today" / "cem", seed=8)
    comparison = compare([two_planners])
    assert len(comparison.runs) == 6
    assert f"{copies} is left out, with 1 run. Name it as well to include them." in notes_on(
        comparison
    )
    for paths, number in (([two_planners, copies], 7), ([copies], 1)):
        comparison = compare(paths)
        assert len(comparison.runs) == number
        assert "is left out" not in notes_on(comparison)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"planner": "cem"}, "planner=mcts has no completed run with a score in Pendulum-v1"),
        ({"env__random_score": None}, "Pendulum-v1 has no env.random_score"),
        ({"env__solved_score": None}, "Pendulum-v1 has no env.solved_score"),
        ({"env__solved_score": -1235.9}, "the same env.random_score and env.solved_score"),
    ],
)
def test_a_note_explains_why_there_is_no_aggregate(two_planners, changes, why):
    for planner in SCORES:
        make_run(
            two_planners / f"pendulum_{planner}",
            (-1.0,),
            **{"planner": planner, "env": "pendulum"} | changes,
        )
    comparison = compare([two_planners])
    assert comparison.aggregate is None
    assert "No aggregate over environments" in notes_on(comparison)
    assert why in notes_on(comparison)


def test_the_csv_file_has_a_line_per_run(two_planners, tmp_path):
    error = '=HYPERLINK("x"), "quoted"'
    make_run(two_planners / "odd", (10.0,), status="failed", error=error, seed=5)
    make_run(two_planners / "gone").joinpath("config.yaml").unlink()
    write_csv(compare([two_planners]), tmp_path / "compare.csv")
    with (tmp_path / "compare.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 8
    by_folder = {line["folder"]: line for line in lines}
    for planner, scores in SCORES.items():
        for seed, score in enumerate(scores):
            line = by_folder[str(two_planners / f"{planner}_{seed}")]
            assert float(line["final_return"]) == score
            assert float(line["normalised_score"]) == (score - 22.1) / (475 - 22.1)
            cells = [line[name] for name in ("planner", "seed", "status", "counts")]
            assert cells == [planner, str(seed), "completed", "yes"]
            assert float(line["steps_to_threshold"]) == (100 if score >= 475 else float("inf"))
    odd = by_folder[str(two_planners / "odd")]
    assert (odd["status"], odd["counts"], odd["error"]) == ("failed", "no", f"'{error}")
    assert by_folder[str(two_planners / "gone")]["status"] == "damaged"
    with pytest.raises(FileExistsError):
        write_csv(compare([two_planners]), tmp_path / "compare.csv")


def test_the_same_runs_give_the_same_comparison(two_planners):
    first, second = (
        json.dumps([list(rows(section)) for section in compare([two_planners]).sections])
        for _ in range(2)
    )
    assert first == second
