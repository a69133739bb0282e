import pytest

from mbrl.analysis.grouping import IGNORED, group, short_labels
from mbrl.analysis.records import read_records
from mbrl.config.resolve import RESUMABLE_SETTINGS
from tests.analysis.made_runs import make_run


@pytest.fixture
def grouped(tmp_path):
    """A function that makes runs with the given arguments and groups them."""

    def group_runs(*runs, by=()):
        for index, run in enumerate(runs):
            make_run(tmp_path / f"{index}_run", **run)
        records, unreadable = read_records([tmp_path])
        assert not unreadable
        return group(records, by)

    return group_runs


def test_seeds_and_settings_that_change_no_result_do_not_distinguish_groups(grouped):
    grouping = grouped(
        {"seed": 0},
        {"seed": 1, "training__checkpoint_every": 7},
        {"seed": 2, "env__step_timeout": None, "compilation_cache": False},
        {
            "seed": 3,
            "logger__files": {"_target_": "mbrl.loggers.wandb.WandbLogger"},
            "env__random_score": None,
        },
    )
    assert grouping.labels == ["all runs"] * 4


def test_of_the_resumable_settings_only_the_budget_distinguishes_groups():
    assert {name for name in RESUMABLE_SETTINGS if name not in IGNORED} == {"training.env_steps"}


def test_a_choice_replaces_the_settings_that_it_implies(grouped):
    grouping = grouped({"planner": "cem"}, {"planner": "mcts"}, {"planner": "cem", "seed": 1})
    assert grouping.labels == ["planner=cem", "planner=mcts", "planner=cem"]
    assert grouping.names == ("planner",)


def test_settings_that_choices_do_not_explain_are_named(grouped):
    grouping = grouped({"planner__num_elites": 4}, {}, {"planner": "mcts"})
    assert grouping.labels == [
        "planner=cem, planner.num_elites=4",
        "planner=cem, planner.num_elites=8",
        "planner=mcts",
    ]


def test_a_general_setting_replaces_those_that_follow_from_it(grouped):
    grouping = grouped({"horizon": 15}, {"horizon": 30, "planner__horizon": 30})
    assert grouping.labels == ["horizon=15", "horizon=30"]


def test_a_setting_named_on_the_command_line_replaces_those_that_follow_from_it(grouped):
    grouping = grouped(
        {}, {"horizon": 30, "planner__horizon": 30, "overrides": ("planner.horizon=30",)}
    )
    assert grouping.names == ("planner.horizon",)
    assert grouping.labels == ["planner.horizon=15", "planner.horizon=30"]


def test_all_settings_named_on_the_command_line_are_named(grouped):
    grouping = grouped(
        {},
        {"model__num_members": 3, "horizon": 9, "overrides": ("model.num_members=3", "horizon=9")},
    )
    assert set(grouping.names) == {"model.num_members", "horizon"}


def test_a_part_is_named_by_its_class(grouped):
    part = {"_target_": "mbrl.models.reward.KnownReward", "size": 3}
    grouping = grouped(
        {"model__reward": {"_target_": "mbrl.models.reward.LearnedReward", "width": 64}},
        {"model__reward": part},
    )
    assert grouping.labels == ["model.reward=LearnedReward", "model.reward=KnownReward"]


def test_equal_numbers_in_different_forms_are_equal(grouped):
    assert grouped({"horizon": 15}, {"horizon": 15.0}).labels == ["all runs"] * 2


def test_settings_that_follow_from_the_environment_do_not_distinguish_groups(grouped):
    assert (
        grouped({"env": "cartpole"}, {"env": "pendulum", "horizon": 30}).labels == ["all runs"] * 2
    )


def test_different_planners_in_different_environments_are_different_groups(grouped):
    assert grouped({"env": "cartpole"}, {"env": "pendulum", "planner": "mcts"}).labels == [
        "planner=cem",
        "planner=mcts",
    ]


def test_the_choices_of_runs_without_provenance_are_inferred_from_their_configs(grouped):
    grouping = grouped(
        {"planner": "cem"},
        {"planner": "mcts"},
        {"planner": "cem", "provenance": False, "seed": 1},  # the same settings as another
        # the same class as another
        {"planner": "mcts", "provenance": False, "model__num_members": 3},
        {"planner": "random", "provenance": False},
    )
    assert [values[0] for values in grouping.values] == [
        "cem",
        "mcts",
        "cem",
        "mcts",
        "RandomPlanner",
    ]


def test_by_a_choice_other_differences_are_recorded_as_mixed(grouped):
    runs = [
        {"planner": planner, "model__num_members": members}
        for planner in ("cem", "mcts")
        for members in (3, 5)
    ]
    grouping = grouped(*runs, by=("planner",))
    assert grouping.labels == ["planner=cem", "planner=cem", "planner=mcts", "planner=mcts"]
    assert grouping.mixed == ("model.num_members",)


def test_by_a_setting(grouped):
    grouping = grouped(
        {"model__num_members": 3},
        {"model__num_members": 5, "planner": "mcts"},
        by=("model.num_members",),
    )
    assert grouping.labels == ["model.num_members=3", "model.num_members=5"]
    assert grouping.mixed == ()


def test_a_name_that_no_run_has_is_refused(grouped):
    with pytest.raises(ValueError, match=r"--by planer: must be a choice or a setting .*planner"):
        grouped({}, by=("planer",))


def test_short_labels_leave_out_shared_settings_and_sections():
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
