"""True dynamics, known rewards and terminations against the real environments, over thousands of random steps.

Every conf/env/*.yaml that names true dynamics is tested by being there.
"""

from functools import cache
from typing import NamedTuple

import gymnasium
import hydra
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from omegaconf import DictConfig, OmegaConf

from mbrl.config.build import build
from mbrl.config.compose import compose
from mbrl.envs import acrobot, cartpole, mountain_car, mountain_car_continuous, pendulum
from tests.configs import options

NUM_STEPS = 6000
NUM_KEYS = 64  # draws of what is random in a step
TOLERANCE = 5e-6  # in each entry of an observation: a few roundings of float32
MAX_EPISODE_STEPS = 200  # many short episodes see more than a few long ones
HOLDS = (1, 5, 20)  # steps that an action is held for
NUM_EPISODES = 50  # of random actions

KNOWN = [name for name in options("env") if compose([f"env={name}"]).env.true_dynamics is not None]
CASES = [(name,) for name in KNOWN]
CASES += [
    ("point_mass", f"env.kwargs.actions={actions}") for actions in ("discrete", "multi_discrete")
]
CASES += [("corridor", "env.kwargs.length=7", "env.kwargs.slip=0.4")]


class Steps(NamedTuple):
    """Real steps, each leaf [steps, …]; actions as features."""

    observation: np.ndarray
    action: np.ndarray
    next_observation: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray


@pytest.fixture(scope="module", params=CASES, ids=" ".join)
def case(request) -> tuple[DictConfig, Steps]:
    """The config of each environment, and random steps in it."""
    return _case(request.param)


@cache
def _case(choice: tuple[str, ...]) -> tuple[DictConfig, Steps]:
    name, *overrides = choice
    config = compose([f"env={name}", *overrides]).env
    OmegaConf.resolve(config)
    return config, random_steps(config)


def random_steps(config: DictConfig) -> Steps:
    """Random actions, held for a while; in every other episode, proportional to an entry of the observation, which leads far."""
    generator = np.random.default_rng(0)
    instance = gymnasium.make(
        config.id, max_episode_steps=MAX_EPISODE_STEPS, **(config.kwargs or {})
    )
    num_features, size = (
        spaces.flatdim(instance.action_space),
        spaces.flatdim(instance.observation_space),
    )
    steps, running, episode, scale = [], False, 0, np.full(size, 1e-3)
    for number in range(NUM_STEPS):
        if not running:
            observation, _ = instance.reset(seed=number)
            episode, hold = episode + 1, generator.choice(HOLDS)
            weights, entry = generator.normal(size=num_features), generator.integers(size)
        if number % hold == 0:
            noise = generator.normal(size=num_features)
        scale = np.maximum(scale, np.abs(observation))
        wish = weights * observation[entry] / scale[entry] if episode % 2 else noise
        action, features = from_features(instance.action_space, wish)
        next_observation, reward, terminated, truncated, _ = instance.step(action)
        steps.append((observation, features, next_observation, reward, terminated))
        observation, running = next_observation, not (terminated or truncated)
    instance.close()
    return Steps(*(np.array(column) for column in zip(*steps, strict=True)))


def from_features(space: spaces.Space, wish: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The action nearest to a vector of features, in the environment's terms, and its features as networks see them."""
    if isinstance(space, spaces.Box):
        features = np.clip(wish, -1, 1).astype(np.float32)
        return space.low + (features + 1) / 2 * (space.high - space.low), features
    lengths = space.nvec if isinstance(space, spaces.MultiDiscrete) else [space.n]
    parts = np.split(wish, np.cumsum(lengths)[:-1])
    features = np.concatenate(
        [np.eye(len(part), dtype=np.float32)[np.argmax(part)] for part in parts]
    )
    return spaces.unflatten(space, features), features


def test_dynamics_are_the_real_ones(case):
    config, steps = case
    dynamics = build(config.true_dynamics)

    def outcomes(observation, action):
        state = dynamics.from_observation(observation)
        return jax.vmap(lambda key: dynamics.observe(dynamics.step(key, state, action)))(keys)

    keys = jax.random.split(jax.random.key(0), NUM_KEYS)
    predicted = np.asarray(jax.jit(jax.vmap(outcomes))(steps.observation, steps.action))
    # Where chance plays a part, what really happened must be among what may happen.
    errors = np.abs(predicted - steps.next_observation[:, None]).max(axis=2).min(axis=1)
    assert predicted.dtype == np.float32
    assert errors.max() <= TOLERANCE


def test_an_observation_is_what_its_state_shows(case):
    config, steps = case
    dynamics = build(config.true_dynamics)
    shown = jax.vmap(lambda observation: dynamics.observe(dynamics.from_observation(observation)))(
        steps.observation
    )
    np.testing.assert_allclose(shown, steps.observation, atol=1e-6)


def test_without_a_key_a_step_is_the_mean_of_what_may_happen(case):
    config, steps = case
    dynamics = build(config.true_dynamics)
    observation, action = jnp.asarray(steps.observation[::600]), jnp.asarray(steps.action[::600])
    states = jax.vmap(dynamics.state)(observation)
    keys = jax.random.split(jax.random.key(1), 10_000)
    drawn = np.asarray(
        jax.vmap(
            lambda key: jax.vmap(lambda state, action: dynamics.step(key, state, action))(
                states, action
            )
        )(keys)
    )
    mean = jax.vmap(lambda state, action: dynamics.step(None, state, action))(states, action)
    error = 4 * np.std(drawn, axis=0) / np.sqrt(len(keys))  # four standard errors
    assert np.all(np.abs(np.mean(drawn, axis=0, dtype=np.float64) - mean) <= error + TOLERANCE)


def test_reward_and_termination_are_the_real_ones(case):
    config, steps = case
    reward, termination = (
        hydra.utils.instantiate(config[name]) for name in ("known_reward", "known_termination")
    )
    step = (steps.observation, steps.action, steps.next_observation)
    rewards, terminated = jax.jit(jax.vmap(reward))(*step), jax.jit(jax.vmap(termination))(*step)
    np.testing.assert_allclose(rewards, steps.reward, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(terminated, steps.terminated)
    assert rewards.dtype == np.float32
    assert terminated.dtype == bool


def test_rewards_are_within_the_range_that_the_config_says(case):
    config, steps = case
    least, most = config.reward_range
    assert np.all((steps.reward >= least) & (steps.reward <= most))


def test_an_episode_ends_as_the_config_says(case):
    config, steps = case
    assert config.terminates_on in ("failure", "goal", "both", "never", "unknown")
    assert steps.terminated.any() == (config.terminates_on != "never")


@pytest.mark.parametrize("name", KNOWN)
def test_the_config_states_the_registered_facts(name):
    config = compose([f"env={name}"]).env
    registered = gymnasium.spec(config.id.split(":")[-1])
    assert config.episode_limit == registered.max_episode_steps
    assert registered.reward_threshold in (None, config.solved_score)
    module = hydra.utils.get_object(config.true_dynamics._target_.rpartition(".")[0])
    assert config.time_step == getattr(module, "TIME_STEP", None)


@pytest.mark.parametrize("name", KNOWN)
def test_the_score_of_random_actions_is_what_they_earn(name):
    config = compose([f"env={name}"]).env
    env = build(config).make()
    env.action_space.seed(1)
    returns = np.array([_random_return(env, seed) for seed in range(NUM_EPISODES)])
    # Five standard errors, and a hundredth of the scale, since in Acrobot one episode in some hundred ends by luck.
    scale = config.solved_score - config.random_score
    assert (
        abs(returns.mean() - config.random_score)
        < 5 * returns.std() / NUM_EPISODES**0.5 + scale / 100
    )
    assert scale > 0


def _random_return(env: gymnasium.Env, seed: int) -> float:
    env.reset(seed=seed)
    total, ended = 0.0, False
    while not ended:
        _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        total, ended = total + float(reward), terminated or truncated
    return total


@pytest.mark.parametrize("name", KNOWN)
def test_the_config_is_one_of_an_environment(name):
    config = compose([f"env={name}"]).env
    instance = build(config).make()
    observation, _ = instance.reset(seed=0)
    assert build(config.true_dynamics).from_observation(jnp.asarray(observation)).ndim == 1
    instance.close()


@pytest.mark.parametrize(
    ("position", "angle", "ended"),
    [
        (2.39, 0.0, False),
        (2.41, 0.0, True),
        (-2.41, 0.0, True),
        (0.0, 0.209, False),
        (0.0, -0.21, True),
    ],
)
def test_the_cart_leaves_the_track_on_either_side_and_the_pole_falls_to_either(
    position, angle, ended
):
    step = (jnp.zeros(4), jnp.zeros(2), jnp.array([position, 9.0, angle, 9.0]))
    assert cartpole.termination(*step) == ended


def test_the_shaped_reward_is_one_in_the_middle_and_less_towards_the_limits():
    def shaped(position, angle):
        return float(
            cartpole.shaped_reward(
                jnp.zeros(4), jnp.zeros(2), jnp.array([position, 0.0, angle, 0.0])
            )
        )

    assert shaped(0.0, 0.0) == 1
    np.testing.assert_allclose(
        [shaped(2.4, 0.0), shaped(0.0, -np.pi / 15), shaped(-2.4, np.pi / 15)],
        [0.5, 0.5, 0.0],
        atol=1e-6,
    )
    assert shaped(0.5, 0.0) > shaped(1.0, 0.0) > shaped(1.0, 0.1)


@pytest.mark.parametrize(
    ("first", "second", "ended"),
    [(0, 0, False), (1.57, 0, False), (2.1, 0, True), (-2.1, 0, True), (3.14, 3.14, False)],
)
def test_the_acrobots_goal_is_a_height_of_its_free_end(first, second, ended):
    at = acrobot.TrueDynamics().observe(jnp.array([first, second, 0.0, 0.0]))
    assert acrobot.termination(jnp.zeros(6), jnp.zeros(3), at) == ended
    assert acrobot.reward(jnp.zeros(6), jnp.zeros(3), at) == (0 if ended else -1)


def real_step(id: str, state: list[float], action) -> np.ndarray:
    """Where Gymnasium's own environment goes from a state that random steps do not come to."""
    instance = gymnasium.make(id).unwrapped
    instance.reset(seed=0)
    instance.state = np.array(state)
    return instance.step(action)[0]


@pytest.mark.parametrize(
    ("state", "action", "bounded"),
    [
        ([-0.5, -1.7, -4.6, -22.2], 1, [-4 * np.pi, -9 * np.pi]),
        ([0.5, 0.2, 2.9, 25.1], 1, [4 * np.pi, 9 * np.pi]),
        ([0.1, 2.8, 3.2, 19.1], 1, [-4 * np.pi, 9 * np.pi]),
        ([-0.4, -2.7, -0.1, -20.7], 0, [4 * np.pi, -9 * np.pi]),
    ],
)
def test_the_acrobots_speeds_are_bounded(state, action, bounded):
    dynamics = acrobot.TrueDynamics()
    ahead = dynamics.step(None, jnp.array(state), jax.nn.one_hot(action, 3))
    np.testing.assert_allclose(ahead[2:], bounded, rtol=1e-6)
    real = real_step("Acrobot-v1", state, action)
    np.testing.assert_allclose(
        dynamics.observe(ahead), real, atol=1e-4
    )  # at such speeds, roundings grow within a step


@pytest.mark.parametrize("task", [pendulum, mountain_car_continuous])
def test_a_motor_gives_no_more_than_its_all(task):
    state, dynamics = jnp.array([-0.5, 0.01]), task.TrueDynamics()
    for most in (-1.0, 1.0):
        np.testing.assert_array_equal(
            dynamics.step(None, state, jnp.array([1.5 * most])),
            dynamics.step(None, state, jnp.array([most])),
        )


WALLS = [
    (-1.19, -0.05),
    (-1.2, 0.0),
    (-1.1, -0.07),
    (0.59, 0.06),
    (0.6, 0.07),
    (0.3, 0.0699),
    (-0.5, -0.0699),
]


@pytest.mark.parametrize("state", WALLS)
@pytest.mark.parametrize("action", [0, 1, 2])
def test_the_mountain_car_stops_at_the_left_wall_and_keeps_to_its_speed(state, action):
    ahead = mountain_car.TrueDynamics().step(None, jnp.array(state), jax.nn.one_hot(action, 3))
    np.testing.assert_allclose(ahead, real_step("MountainCar-v0", list(state), action), atol=1e-7)
    power = np.array([action - 1.0], np.float32)
    ahead = mountain_car_continuous.TrueDynamics().step(None, jnp.array(state), jnp.asarray(power))
    np.testing.assert_allclose(
        ahead, real_step("MountainCarContinuous-v0", list(state), power), atol=1e-7
    )


@pytest.mark.parametrize(
    ("task", "num_features", "goal"), [(mountain_car, 3, 0.5), (mountain_car_continuous, 1, 0.45)]
)
def test_a_mountain_car_that_rolls_back_from_the_goal_has_not_reached_it(task, num_features, goal):
    def ended(position, velocity):
        return bool(
            task.termination(jnp.zeros(2), jnp.zeros(num_features), jnp.array([position, velocity]))
        )

    assert ended(goal, 0.0)
    assert ended(goal + 0.05, 0.07)
    assert not ended(goal - 0.001, 0.07)
    assert not ended(goal + 0.05, -0.001)
