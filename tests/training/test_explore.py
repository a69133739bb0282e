"""Exploration: random actions by schedule, and action noise."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mbrl.assemble import assemble
from mbrl.config.build import build
from mbrl.errors import ConfigError
from mbrl.planners.random import RandomPlanner
from mbrl.training.collect import init_episode
from mbrl.training.explore import NOISE_STEPS, Exploration, epsilon_greedy
from mbrl.training.loop import train
from mbrl.training.snapshot import Snapshot
from mbrl.types import AbstractActionSpace, Box, Discrete, MultiDiscrete
from tests.configs import resolved
from tests.training.recall import Recall

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
    off = {"epsilon": 0.0, "action_noise_std": 0.0, "action_noise_exponent": 0.0}
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


def test_noise_depends_on_run_and_episode_alone():
    planner, model = RandomPlanner(Box(2)), Recall(jnp.array(0))

    def noise(key, episode):
        part = exploration(action_noise_std=0.5)
        return np.asarray(init_episode(planner, model, part, key, np.asarray(episode))[1])

    first, again, second, other_run = (
        noise(KEY, 0),
        noise(KEY, 0),
        noise(KEY, 1),
        noise(jax.random.key(5), 0),
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
        ("training.action_noise_std=loud", "training.action_noise_std=loud"),
    ],
)
def test_invalid_settings_are_refused(override, message):
    with pytest.raises(ConfigError) as caught:
        build(resolved("training=smoke", override).tree.training)
    assert str(caught.value).startswith(message)


SMALL = [
    "env=point_mass",
    "model/reward=known",
    "model/termination=never",
    "planner=greedy",
    "planner.num_actions=8",
]


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
        *parts, state = assemble(resolved(*settings, *SMALL))
        return train(*parts, Snapshot(state), lambda row: None)[1]["evaluation/returns"]

    quiet = evaluation()
    noisy = evaluation(
        "training.epsilon=1",
        "training.action_noise_std=3",
        "training.action_noise_exponent=2",
        "model.disagreement_bonus=50",
    )
    assert quiet == noisy
