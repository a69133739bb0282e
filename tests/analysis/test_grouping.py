import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mbrl.analysis.grouping import IGNORED, group, short_labels
from mbrl.analysis.records import Record, read_record, read_records
from mbrl.config.resolve import RESUMABLE_SETTINGS
from mbrl.runs.saved_config import leaves
from tests.analysis.made_runs import make_run, settings

TEXTS = st.sampled_from(("", "a", "b", "1", "null", "{}", "a, b=1", "x.A", "y.A", "A", " ", "\t"))
NAMES = st.sampled_from(("a", "b", "a.b", "_target_", "a=1", "")) | st.integers(0, 1)
NUMBERS = st.sampled_from((0, 1, 1.0, 1.5, 1e30, 1000000, 1000001)) | st.booleans() | st.none()
VALUES = st.recursive(
    TEXTS | st.text() | NUMBERS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


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
    part = {"_target_": "mbrl.models.ensemble.reward.KnownReward", "size": 3}
    grouping = grouped(
        {"model__reward": {"_target_": "mbrl.models.ensemble.reward.LearnedReward", "width": 64}},
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


def canonical(value: Any) -> str:
    """Equal for equal values: 1 is 1.0, but neither True nor "1"."""
    if isinstance(value, dict):
        parts = {canonical(key): canonical(each) for key, each in value.items()}
        return f"mapping {sorted(parts.items())}"
    if isinstance(value, list | tuple):
        return f"list {[canonical(each) for each in value]}"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    return json.dumps(value)


@pytest.fixture(scope="module")
def record(tmp_path_factory) -> Record:
    return read_record(make_run(tmp_path_factory.mktemp("made") / "run"))


@given(st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=4))
@example([({}, 1), ({"a": 1, "b": 2, "c": 3}, 1)])
@example([(None, 1), ({"a": {"b": 1}}, 1), ({"a": {"b": 2}}, 1), ({"a": {}}, 1)])
@example([({"_target_": "x.A"}, 1), ({"_target_": "y.A"}, 1), ("A", 1), (None, 1)])
@example([(1000000, 1.0), (1000001, 1), ("1000000", 1)])
@example([([1, [2.0]], 1), ([1.0, [2]], 1)])
@example([("1, planner.extra=2", 3), ("1", "2, planner.extra=3")])
def test_runs_have_equal_labels_if_and_only_if_their_settings_are_equal(record, changes):
    configs = [
        settings(env__kwargs=kwargs, planner__extra=extra, seed=seed)
        for seed, (kwargs, extra) in enumerate(changes)
    ]
    grouping = group([replace(record, settings=dict(leaves(config))) for config in configs])
    different = len({canonical(change) for change in changes})
    assert len(set(grouping.labels)) == len(set(grouping.values)) == different
    short = short_labels(grouping.names, list(dict.fromkeys(grouping.values)))
    assert len(set(short)) == different
    assert all(label.isprintable() for label in grouping.labels)


def test_a_mapping_is_named_by_its_content_where_another_run_has_a_value(grouped):
    three = {"a": 1, "b": 2, "c": {"d": 3}}
    grouping = grouped(
        *({"env__kwargs": kwargs} for kwargs in (None, {}, three)), {"env__kwargs": {"a": 1}}
    )
    assert grouping.labels == [
        "env.kwargs=null",
        "env.kwargs={}",
        "env.kwargs={a: 1, b: 2, c.d: 3}",
        "env.kwargs={a: 1}",
    ]
