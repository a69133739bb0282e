"""Exploration: random actions by schedule, action noise, a disagreement bonus."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mbrl.assemble import assemble
from mbrl.config.build import build
from mbrl.errors import ConfigError
from mbrl.training.collect import act, init_episode
from mbrl.training.evaluate import evaluate
from mbrl.training.explore import NOISE_STEPS, Exploration, epsilon_greedy
from mbrl.training.loop import train
from mbrl.training.snapshot import Snapshot
from mbrl.training.state import ValueState
from mbrl.types import AbstractActionSpace, Box, Discrete, MultiDiscrete
from tests.configs import resolved

KEY = jax.random.key(4)
FALLING = (
    "training.epsilon={_target_: optax.linear_schedule, init_value: 1.0, end_value: 0.0, "
    "transition_steps: 10}"
)


@pytest.fixture(
    params=[Discrete(5), Box(2), MultiDiscrete((3, 2))], ids=["discrete", "box", "multi_discrete"]
)
def action_space(request) -> AbstractActionSpace:
    return request.param


def exploration(**changes) -> Exploration:
    off = {
        "epsilon": 0.0,
        "action_noise_std": 0.0,
        "action_noise_exponent": 0.0,
        "disagreement_bonus": 0.0,
        "bonus_floor_until_first_termination": False,
    }
    return Exploration(**(off | changes))


@eqx.filter_jit
def random_actions(space, number):
    return jax.vmap(space.sample)(jax.random.split(jax.random.key(0), number))


@eqx.filter_jit
def explore_all(space, actions, epsilon, noise):
    keys = jax.random.split(KEY, len(actions))
    return jax.vmap(lambda key, action: epsilon_greedy(key, space, action, epsilon, noise))(
        keys, actions
    )


def test_without_exploration_the_planners_actions_are_unchanged(action_space):
    actions = random_actions(action_space, 200)
    noise = exploration().noise(KEY, action_space)
    assert noise.shape == (NOISE_STEPS, action_space.num_features)
    assert np.all(noise == 0)
    after = explore_all(action_space, actions, jnp.float32(0), noise[0])
    assert after.dtype == actions.dtype
    np.testing.assert_array_equal(after, actions)


def test_epsilon_is_the_fraction_of_random_actions(action_space):
    """Random actions are spread over the whole space."""
    planned = jnp.tile(
        random_actions(action_space, 1), (4000,) + (1,) * random_actions(action_space, 1)[0].ndim
    )
    for epsilon in (0.3, 1.0):
        after = np.asarray(
            explore_all(
                action_space, planned, jnp.float32(epsilon), jnp.zeros(action_space.num_features)
            )
        )
        changed = np.any((after != np.asarray(planned)).reshape(4000, -1), axis=1)
        # A random action equals the planned one by chance: one in five, none, or one in six.
        other = {Discrete: 4 / 5, Box: 1.0, MultiDiscrete: 5 / 6}[type(action_space)]
        fraction = epsilon * other
        # Binomial: five standard deviations.
        deviation = np.sqrt(fraction * (1 - fraction) / 4000)
        np.testing.assert_allclose(changed.mean(), fraction, atol=5 * deviation + 1e-9)
        features = np.asarray(jax.vmap(action_space.features)(after[changed])).mean(0)
        assert np.all(np.abs(features - np.asarray(action_space.mean_features)) < 0.21)


def test_noise_moves_box_actions_within_their_bounds():
    after = explore_all(Box(2), jnp.array([[0.5, 0.9]]), jnp.float32(0), jnp.array([0.25, 0.25]))
    np.testing.assert_allclose(after, [[0.75, 1.0]])


def test_noise_larger_than_a_discrete_actions_feature_changes_it():
    small, large = (
        explore_all(Discrete(3), jnp.array([1]), jnp.float32(0), jnp.array([size, 0.0, 0.0]))
        for size in (0.9, 1.1)
    )
    assert (small[0], large[0]) == (1, 0)
    both = explore_all(
        MultiDiscrete((3, 2)),
        jnp.array([[1, 0]]),
        jnp.float32(0),
        jnp.array([0.0, 0.0, 1.1, 0.0, 0.9]),
    )
    np.testing.assert_array_equal(both, [[2, 0]])


@eqx.filter_jit
def noises(part: Exploration, keys):
    return jax.vmap(lambda key: part.noise(key, Box(2)))(keys)


@pytest.mark.parametrize(("exponent", "correlation"), [(0.0, 0.0), (1.0, 0.5), (2.0, 0.95)])
def test_noise_has_the_given_standard_deviation_and_colour(exponent, correlation):
    """Neighbouring steps of white noise are independent, of pink and red noise correlated."""
    steps = np.asarray(
        noises(
            exploration(action_noise_std=0.3, action_noise_exponent=exponent),
            jax.random.split(KEY, 200),
        )
    )
    assert steps.shape == (200, NOISE_STEPS, 2)
    np.testing.assert_allclose(steps[:, 0].std(), 0.3, rtol=0.2)
    np.testing.assert_allclose(steps.std(), 0.3, rtol=0.15)
    np.testing.assert_allclose(steps.mean(), 0, atol=0.08)
    neighbours = np.corrcoef(steps[:, :-1].ravel(), steps[:, 1:].ravel())[0, 1]
    if exponent == 0:
        np.testing.assert_allclose(neighbours, 0, atol=5 / np.sqrt(steps.size))
    else:
        assert correlation < neighbours < 1
    # Dimensions are independent; red noise has hardly more than one independent sample per episode.
    np.testing.assert_allclose(
        np.corrcoef(steps[:, ::500, 0].ravel(), steps[:, ::500, 1].ravel())[0, 1],
        0,
        atol=5 / np.sqrt(200),
    )


def config_of(*overrides: str):
    return resolved("training=smoke", "planner=random", *overrides)


def test_noise_depends_on_run_and_episode_alone():
    training, _, planner, state = assemble(config_of("training.action_noise_std=0.5"))

    def noise(key, episode):
        return np.asarray(init_episode(planner, training.exploration, key, np.asarray(episode))[1])

    first, again, second, other_run = (
        noise(state.key, 0),
        noise(state.key, 0),
        noise(state.key, 1),
        noise(KEY, 0),
    )
    np.testing.assert_array_equal(first, again)
    assert np.mean(first == second) < 0.01
    assert np.mean(first == other_run) < 0.01


def test_a_constant_epsilon_does_not_depend_on_real_steps():
    assert [exploration(epsilon=0.25).epsilon_at(steps) for steps in (0, 7, 10**6)] == [0.25] * 3
    assert exploration(epsilon=1).epsilon_at(3) == 1


def test_a_schedule_is_evaluated_at_real_steps():
    part = exploration(
        epsilon=optax.linear_schedule(init_value=1.0, end_value=0.0, transition_steps=10)
    )
    np.testing.assert_allclose(
        [part.epsilon_at(steps) for steps in (0, 1, 5, 10, 99)],
        [1.0, 0.9, 0.5, 0.0, 0.0],
        atol=1e-6,
    )
    assert isinstance(part.epsilon_at(5), float)


def test_a_schedule_can_be_given_on_the_command_line():
    training = build(resolved("training=smoke", "planner=random", FALLING).tree.training)
    np.testing.assert_allclose(
        [training.exploration.epsilon_at(steps) for steps in (0, 5, 10, 20)],
        [1.0, 0.5, 0.0, 0.0],
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "training.epsilon=1.5",
            "training.epsilon=1.5: must be in [0, 1], the fraction of random actions. Try 0.05.",
        ),
        ("training.epsilon=-0.1", "training.epsilon=-0.1: must be in [0, 1]"),
        (
            "training.action_noise_std=-0.5",
            "training.action_noise_std=-0.5: must be in [0, 16777216], beyond which single",
        ),
        (
            "training.action_noise_exponent=-1",
            "training.action_noise_exponent=-1: must be in [0, 10]",
        ),
        (
            "training.disagreement_bonus=-2",
            "training.disagreement_bonus=-2: must be in [0, 16777216]",
        ),
        (
            "training.disagreement_bonus=1e30",
            "training.disagreement_bonus=1e+30: must be in [0, 16777216]",
        ),
        ("training.action_noise_std=loud", "training.action_noise_std=loud"),
    ],
)
def test_invalid_settings_are_refused(override, message):
    with pytest.raises(ConfigError) as caught:
        build(config_of(override).tree.training)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "overrides", [("model=mlp",), ("model.num_members=1",), ("model=oracle",)], ids=" ".join
)
def test_a_single_member_earns_no_bonus(overrides):
    training, _, _, state = assemble(config_of("training.disagreement_bonus=0.5", *overrides))
    assert state.bonus_value is None
    assert training.exploration.model(state) is state.model


SMALL = [
    "env=point_mass",
    "model/reward=known",
    "model/termination=never",
    "planner=greedy",
    "planner.num_actions=8",
]


@pytest.fixture(scope="module")
def bonus_run():
    """A finished run with a bonus, and its rows."""
    rows = []
    training, environment, planner, state = assemble(
        resolved("training=smoke", "training.disagreement_bonus=0.5", *SMALL)
    )
    state, _ = train(training, environment, planner, Snapshot(state), rows.append)
    return training, environment, planner, state, rows


def test_a_run_with_a_bonus_fits_a_second_value(bonus_run):
    *_, state, rows = bonus_run
    learned = [row for row in rows if "loss/value" in row]
    assert [row["env_steps"] for row in learned] == [40, 60]
    for row in learned:
        assert {
            "loss/curious_value",
            "value/curious_mean",
            "value/curious_disagreement",
        } <= row.keys()
        assert np.isfinite(row["loss/curious_value"])
        assert row["loss/curious_value"] != row["loss/value"]
    assert isinstance(state.bonus_value.state, ValueState)
    ours, theirs = (
        jax.tree.leaves(eqx.filter(value, eqx.is_array))
        for value in (state.bonus_value.function, state.model.value_function)
    )
    assert any(np.any(one != other) for one, other in zip(ours, theirs, strict=True))


def test_collection_plans_with_the_bonus_and_its_value(bonus_run):
    training, _, planner, state, _ = bonus_run
    model = training.exploration.model(state)
    assert not model.use_pessimism
    np.testing.assert_allclose(model.bonus, 0.5 * state.model.normaliser.reward_rms)
    for ours, theirs in zip(
        jax.tree.leaves(model.value_function),
        jax.tree.leaves(state.bonus_value.function),
        strict=True,
    ):
        assert ours is theirs
    observation, settings = (
        np.array([0.5, -0.5, 0.0, 0.0], np.float32),
        (np.float32(0), np.zeros(2, np.float32)),
    )
    scores = [
        act(planner, each, state.key, np.asarray(0), observation, (), *settings)[2]["score_best"]
        for each in (model, state.model)
    ]
    assert scores[0] != scores[1]


def test_the_floor_makes_the_largest_cost_the_unit_of_the_bonus(bonus_run):
    """Episodes of the point mass never terminate."""
    training, _, _, state, _ = bonus_run
    with_floor = replace(training.exploration, bonus_floor_until_first_termination=True).model(
        state
    )
    np.testing.assert_allclose(with_floor.bonus, -0.5 * state.model.normaliser.reward_min)
    assert with_floor.bonus > 1.5 * training.exploration.model(state).bonus


@pytest.mark.parametrize(
    ("env", "floor"),
    [("mountain_car_continuous", True), ("cartpole", False), ("pendulum", False)],
)
def test_the_floor_is_on_where_episodes_terminate_on_a_goal(env, floor):
    config = resolved(f"env={env}").tree.training
    assert build(config).exploration.bonus_floor_until_first_termination is floor


def test_every_other_episode_is_planned_without_the_bonus(bonus_run):
    """With the same compiled program as the others."""
    training, _, planner, state, _ = bonus_run
    even, odd = (training.exploration.model(state, episode) for episode in (4, 5))
    assert odd is state.model
    assert jax.tree.structure(even) == jax.tree.structure(odd)
    observation = np.array([0.5, -0.5, 0.0, 0.0], np.float32)
    scores = [
        act(
            *(planner, model, state.key, np.asarray(0), observation, ()),
            epsilon=np.float32(0),
            noise=np.zeros(2, np.float32),
        )[2]["score_best"]
        for model in (even, odd)
    ]
    assert abs(scores[0] - scores[1]) > 1e-3


def test_without_a_bonus_collection_plans_with_the_model_itself():
    training, _, _, state = assemble(config_of("training.disagreement_bonus=0"))
    assert state.bonus_value is None
    assert training.exploration.model(state) is state.model


def test_evaluation_never_explores(bonus_run):
    """The bonus value does not affect the returns."""
    _, environment, planner, state, rows = bonus_run
    with_value = evaluate(environment, planner, state, 2, 10_000)
    without = evaluate(environment, planner, state._replace(bonus_value=None), 2, 10_000)
    np.testing.assert_array_equal(with_value, without)
    assert rows[-1]["evaluation/returns"] == with_value.returns.tolist()


def test_exploration_settings_do_not_affect_an_evaluation_after_the_warm_up():
    """Warm-up steps do not explore, so that only evaluation could differ."""

    def evaluation(*overrides):
        settings = [
            "training=smoke",
            "training.env_steps=20",
            "training.warmup_steps=20",
            "training.learn_every=1000",
            *overrides,
        ]
        training, environment, planner, state = assemble(resolved(*settings, *SMALL))
        return train(training, environment, planner, Snapshot(state), lambda row: None)[1][
            "evaluation/returns"
        ]

    quiet = evaluation()
    noisy = evaluation(
        "training.epsilon=1",
        "training.action_noise_std=3",
        "training.action_noise_exponent=2",
        "training.disagreement_bonus=50",
    )
    assert quiet == noisy
