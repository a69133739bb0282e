"""The loop: schedules, budgets, repeatability, and no compilation after the first phases."""

from contextlib import nullcontext

import jax
import pytest

from mbrl.assemble import assemble
from mbrl.envs.fault_wrapper import EnvironmentFault
from mbrl.envs.gymnasium import GymnasiumEnvironment
from mbrl.training.loop import train
from mbrl.training.snapshot import Snapshot
from tests.configs import resolved

pytestmark = pytest.mark.slow


# For what depends on the schedule only: no planning, no value, a small model.
FAST = ("training=smoke", "planner=random", "model/value=none", "model.disagreement_bonus=0")
FAST += ("model.num_members=2", "model.dynamics.width=8")
PLANNING = ("model/value=learned", "model.disagreement_bonus=1", "model.num_members=5")


def rows_of(*overrides):
    rows = []
    *parts, state = assemble(resolved(*FAST, *overrides))
    state, evaluation = train(*parts, Snapshot(state), rows.append)
    return (
        [
            {name: value for name, value in row.items() if not name.startswith("time/")}
            for row in rows
        ],
        evaluation,
        state,
    )


@pytest.mark.parametrize("planner", ["cem", "mcts"])
def test_a_short_run_is_the_beginning_of_a_longer_one(planner):
    short, _, _ = rows_of(f"planner={planner}", *PLANNING, "training.env_steps=80")
    long, _, _ = rows_of(f"planner={planner}", *PLANNING, "training.env_steps=120")
    assert short == long[: len(short)]
    assert len(long) > len(short)


def test_metrics_depend_on_the_seed_alone():
    first, again, other = (
        rows_of("planner=cem", *PLANNING, f"seed={seed}")[0] for seed in (5, 5, 6)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("budget", [60, 70])
def test_the_budget_is_used_exactly_and_evaluated(budget):
    rows, evaluation, state = rows_of(f"training.env_steps={budget}")
    added = int(state.replay.num_transitions[0])
    assert added == budget == rows[-1]["env_steps"] == evaluation["env_steps"]
    assert len(evaluation["evaluation/returns"]) == 2


def test_learning_starts_after_the_warm_up_and_is_regular():
    rows, _, _ = rows_of(
        "training.env_steps=100", "training.warmup_steps=40", "training.learn_every=20"
    )
    assert [row["env_steps"] for row in rows if "loss/dynamics" in row] == [40, 60, 80, 100]


def test_learning_follows_the_warm_up_even_between_two_regular_phases():
    rows, _, _ = rows_of(
        "training.env_steps=90", "training.warmup_steps=50", "training.learn_every=20"
    )
    assert [row["env_steps"] for row in rows if "loss/dynamics" in row] == [50, 60, 80]


def test_a_stopped_run_returns_no_evaluation():
    """Even if there was one before."""
    *parts, state = assemble(resolved(*FAST))
    rows = []
    _, evaluation = train(
        *parts,
        Snapshot(state),
        rows.append,
        should_stop=lambda: bool(rows) and "evaluation/returns" in rows[-1],
    )
    assert rows[-1]["env_steps"] == 40 < parts[0].env_steps
    assert evaluation == {}


@pytest.mark.parametrize("failing", [False, True], ids=["completed", "failed"])
def test_every_environment_is_closed(failing, monkeypatch):
    *parts, state = assemble(resolved(*FAST))
    opened, closed, make = [], [], GymnasiumEnvironment.make

    def counted(self):
        env = make(self)
        opened.append(env)
        monkeypatch.setattr(env, "close", lambda: closed.append(env))
        if failing and len(opened) == 3:  # the second one of the first evaluation
            monkeypatch.setattr(env, "step", raising)
        return env

    def raising(action):
        raise EnvironmentFault("It failed.")

    monkeypatch.setattr(GymnasiumEnvironment, "make", counted)
    with pytest.raises(EnvironmentFault, match="It failed") if failing else nullcontext():
        train(*parts, Snapshot(state), lambda row: None)
    assert len(opened) == (3 if failing else 5)
    assert set(map(id, opened)) == set(map(id, closed))


def test_the_interval_between_phases_of_learning_doubles_as_the_data_grow():
    """Half of 80 steps is 2 × 20, half of 160 is 4 × 20."""
    rows, _, _ = rows_of(
        "training.env_steps=250",
        "training.learn_every=20",
        "training.learn_interval_growth=0.5",
        "training.evaluate_every=50",
    )
    assert [row["env_steps"] for row in rows if "loss/dynamics" in row] == [
        40,
        60,
        80,
        120,
        160,
        240,
    ]


def test_env_steps_never_decrease():
    rows, _, _ = rows_of("training.env_steps=120")
    steps = [row["env_steps"] for row in rows]
    assert steps == sorted(steps)


FALLING = (
    "training.epsilon={_target_: optax.linear_schedule, init_value: 1.0, end_value: 0.0, "
    "transition_steps: 90}"
)
EXPLORING = (
    "planner=greedy",
    "env=point_mass",
    "model.disagreement_bonus=0.5",
    "training.action_noise_std=0.2",
    FALLING,
)
EXPLORING += ("model.fit_model.patience=1", "model.fit_model.bootstrap=true")


@pytest.mark.parametrize(
    "overrides",
    [
        ("planner=cem",),
        ("planner=mcts", "env=pendulum"),
        ("planner=random", "model=mlp"),
        EXPLORING,
    ],
)
def test_nothing_is_compiled_after_the_first_phases(overrides):
    """By 60 steps every phase has run once."""
    compiled = []

    def listen(event, seconds, **_):
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    seen = {}

    def log(row):
        seen[row["env_steps"]] = len(compiled)

    *parts, state = assemble(resolved("training=smoke", "training.env_steps=200", *overrides))
    jax.clear_caches()
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        train(*parts, Snapshot(state), log)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert seen[60] > 0, "the listener counts compilations"
    assert seen[200] == seen[60]


def test_a_second_run_compiles_nothing():
    """Where seed, budget and the optimiser's numbers differ; optimisers are functions."""
    settings = ("planner=cem", "optimizer=clipped_adamw", *PLANNING, FALLING)
    rows_of(*settings)
    compiled = []

    def listen(event, seconds, **_):
        compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        other = ("optimizer.learning_rate=3e-4", "optimizer.weight_decay=0.01")
        rows_of(*settings, "seed=1", "training.env_steps=80", *other)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert [event for event in compiled if event.endswith("backend_compile_duration")] == []


@pytest.mark.parametrize(
    "override",
    [
        "training.env_steps=0",
        "training.epsilon=2",
        "training.evaluation_episodes=0",
        "training.learn_every=-1",
        "training.learn_interval_growth=2",
    ],
)
def test_invalid_settings_are_refused_by_name_and_value(override):
    with pytest.raises(ValueError, match=override):
        assemble(resolved(override))
