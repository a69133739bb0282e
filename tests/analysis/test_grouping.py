"""What tells runs apart, and how it is said."""

import pytest

from mbrl.analysis.grouping import IGNORED, group, short_labels
from mbrl.analysis.records import read_records
from mbrl.config.resolve import RESUMABLE_SETTINGS
from tests.analysis.made_runs import make_run


@pytest.fixture
def grouped(tmp_path):
    """A function that makes runs of some arguments each, and groups them."""

    def of(*runs, by=()):
        for index, run in enumerate(runs):
            make_run(tmp_path / f"{index}_run", **run)
        records, damaged = read_records([tmp_path])
        assert not damaged
        return group(records, by)

    return of


def test_seeds_and_what_changes_no_result_do_not_count(grouped):
    found = grouped(
        {"seed": 0},
        {"seed": 1, "training__checkpoint_every": 7},
        {"seed": 2, "env__step_timeout": None, "compilation_cache": False},
        {
            "seed": 3,
            "logger__files": {"_target_": "mbrl.loggers.wandb.WandbLogger"},
            "env__random_score": None,
        },
    )
    assert found.labels == ["all runs"] * 4


def test_what_a_resume_may_change_counts_only_where_it_is_the_budget():
    assert {name for name in RESUMABLE_SETTINGS if name not in IGNORED} == {"training.env_steps"}


def test_a_choice_stands_for_the_settings_that_it_implies(grouped):
    found = grouped({"planner": "cem"}, {"planner": "mcts"}, {"planner": "cem", "seed": 1})
    assert found.labels == ["planner=cem", "planner=mcts", "planner=cem"]
    assert found.names == ("planner",)


def test_settings_beyond_the_choices_are_named_where_they_differ(grouped):
    found = grouped({"planner__num_elites": 4}, {}, {"planner": "mcts"})
    assert found.labels == [
        "planner=cem, planner.num_elites=4",
        "planner=cem, planner.num_elites=8",
        "planner=mcts",
    ]


def test_a_setting_that_others_follow_stands_for_them(grouped):
    found = grouped({"horizon": 15}, {"horizon": 30, "planner__horizon": 30})
    assert found.labels == ["horizon=15", "horizon=30"]


def test_the_setting_that_the_command_line_named_stands_for_the_others(grouped):
    found = grouped(
        {}, {"horizon": 30, "planner__horizon": 30, "overrides": ("planner.horizon=30",)}
    )
    assert found.names == ("planner.horizon",)
    assert found.labels == ["planner.horizon=15", "planner.horizon=30"]


def test_two_settings_that_the_command_line_named_are_both_said(grouped):
    found = grouped(
        {},
        {"model__num_members": 3, "horizon": 9, "overrides": ("model.num_members=3", "horizon=9")},
    )
    assert set(found.names) == {"model.num_members", "horizon"}


def test_a_part_is_named_by_its_class(grouped):
    part = {"_target_": "mbrl.models.reward.KnownReward", "size": 3}
    found = grouped(
        {"model__reward": {"_target_": "mbrl.models.reward.LearnedReward", "width": 64}},
        {"model__reward": part},
    )
    assert found.labels == ["model.reward=LearnedReward", "model.reward=KnownReward"]


def test_one_number_written_in_two_ways_is_one(grouped):
    assert grouped({"horizon": 15}, {"horizon": 15.0}).labels == ["all runs"] * 2


def test_what_follows_from_the_environment_is_no_difference(grouped):
    assert (
        grouped({"env": "cartpole"}, {"env": "pendulum", "horizon": 30}).labels == ["all runs"] * 2
    )


def test_a_planner_for_each_environment_is_no_group_of_both(grouped):
    assert grouped({"env": "cartpole"}, {"env": "pendulum", "planner": "mcts"}).labels == [
        "planner=cem",
        "planner=mcts",
    ]


def test_runs_without_provenance_are_of_the_kind_that_their_config_says(grouped):
    found = grouped(
        {"planner": "cem"},
        {"planner": "mcts"},
        {"planner": "cem", "provenance": False, "seed": 1},  # the same settings as another
        {
            "planner": "mcts",
            "provenance": False,
            "model__num_members": 3,
        },  # the same class as another
        {"planner": "random", "provenance": False},
    )
    assert [values[0] for values in found.values] == ["cem", "mcts", "cem", "mcts", "RandomPlanner"]


def test_runs_are_grouped_by_what_is_asked_for_and_what_else_differs_is_said(grouped):
    runs = [
        {"planner": planner, "model__num_members": members}
        for planner in ("cem", "mcts")
        for members in (3, 5)
    ]
    found = grouped(*runs, by=("planner",))
    assert found.labels == ["planner=cem", "planner=cem", "planner=mcts", "planner=mcts"]
    assert found.mixed == ("model.num_members",)


def test_runs_are_grouped_by_a_setting(grouped):
    found = grouped(
        {"model__num_members": 3},
        {"model__num_members": 5, "planner": "mcts"},
        by=("model.num_members",),
    )
    assert found.labels == ["model.num_members=3", "model.num_members=5"]
    assert found.mixed == ()


def test_a_name_that_no_run_has_is_refused(grouped):
    with pytest.raises(
        ValueError, match=r"--by planer names nothing that these runs have: .*planner"
    ):
        grouped({}, by=("planer",))


def test_short_labels_leave_out_what_all_share_and_sections():
    names = ("planner", "model.num_members", "model.reward._target_")
    assert short_labels(names, [("cem", "3", "a.Known"), ("cem", "5", "a.Learned")]) == [
        "num_members=3, reward=Known",
        "num_members=5, reward=Learned",
    ]
    assert short_labels(names, [("cem", "3", "a.Known")]) == [
        "planner=cem, num_members=3, reward=Known"
    ]
    assert short_labels(("model.width", "planner.width"), [("1", "2"), ("2", "1")]) == [
        "model.width=1, planner.width=2",
        "model.width=2, planner.width=1",
    ]
    assert short_labels((), [()]) == ["all runs"]
