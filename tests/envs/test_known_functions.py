"""True dynamics, known rewards and terminations against thousands of steps of real environments.

Every conf/env/*.yaml with true dynamics is tested.
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
from omegaconf import DictConfig

from mbrl.config.build import build
from mbrl.config.compose import compose
from mbrl.envs import acrobot, cartpole, mountain_car, mountain_car_continuous, pendulum
from tests.configs import options, resolved

NUM_STEPS = 6000
NUM_KEYS = 64  # samples of a random step
TOLERANCE = 5e-6  # in each entry of an observation: a few roundings of float32
MAX_EPISODE_STEPS = 200  # many short episodes visit more than a few long ones
HOLDS = (1, 5, 20)  # steps for which an action is held
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
    """An environment's config and random steps in it."""
    return _case(request.param)


@cache
def _case(choice: tuple[str, ...]) -> tuple[DictConfig, Steps]:
    name, *overrides = choice
    config = resolved(f"env={name}", *overrides).tree.env
    return config, random_steps(config)


def random_steps(config: DictConfig) -> Steps:
    """Steps with random actions that are held for some steps.

    In every other episode, actions are proportional to an entry of the observation, which leads to
    distant states.
    """
    generator = np.random.default_rng(0)
    kwargs = config.kwargs or {}
    env = gymnasium.make(config.id, max_episode_steps=MAX_EPISODE_STEPS, **kwargs)
    num_features, size = spaces.flatdim(env.action_space), spaces.flatdim(env.observation_space)
    steps, running, episode, scale = [], False, 0, np.full(size, 1e-3)
    for step in range(NUM_STEPS):
        if not running:
            observation, _ = env.reset(seed=step)
            episode, hold = episode + 1, generator.choice(HOLDS)
            weights, entry = generator.normal(size=num_features), generator.integers(size)
        if step % hold == 0:
            noise = generator.normal(size=num_features)
        scale = np.maximum(scale, np.abs(observation))
        wanted = weights * observation[entry] / scale[entry] if episode % 2 else noise
        action, features = action_from_features(env.action_space, wanted)
        next_observation, reward, terminated, truncated, _ = env.step(action)
        steps.append((observation, features, next_observation, reward, terminated))
        observation, running = next_observation, not (terminated or truncated)
    env.close()
    return Steps(*(np.array(column) for column in zip(*steps, strict=True)))


def action_from_features(space: spaces.Space, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The environment's action that is nearest to a vector of features, and its own features."""
    if isinstance(space, spaces.Box):
        features = np.clip(wanted, -1, 1).astype(np.float32)
        return space.low + (features + 1) / 2 * (space.high - space.low), features
    lengths = space.nvec if isinstance(space, spaces.MultiDiscrete) else [space.n]
    parts = np.split(wanted, np.cumsum(lengths)[:-1])
    features = np.concatenate(
        [np.eye(len(part), dtype=np.float32)[np.argmax(part)] for part in parts]
    )
    return spaces.unflatten(space, features), features


def test_true_dynamics_match_the_environment(case):
    config, steps = case
    dynamics = build(config.true_dynamics)

    def outcomes(observation, action):
        state = dynamics.from_observation(observation)
        return jax.vmap(lambda key: dynamics.observe(dynamics.step(key, state, action)))(keys)

    keys = jax.random.split(jax.random.key(0), NUM_KEYS)
    predicted = np.asarray(jax.jit(jax.vmap(outcomes))(steps.observation, steps.action))
    # In a random environment, the real step must be among the samples.
    errors = np.abs(predicted - steps.next_observation[:, None]).max(axis=2).min(axis=1)
    assert predicted.dtype == np.float32
    assert errors.max() <= TOLERANCE


def test_observe_inverts_from_observation(case):
    config, steps = case
    dynamics = build(config.true_dynamics)
    round_trip = jax.vmap(
        lambda observation: dynamics.observe(dynamics.from_observation(observation))
    )
    np.testing.assert_allclose(round_trip(steps.observation), steps.observation, atol=1e-6)


def test_without_a_key_a_step_is_the_mean_over_samples(case):
    config, steps = case
    dynamics = build(config.true_dynamics)
    observation, action = jnp.asarray(steps.observation[::600]), jnp.asarray(steps.action[::600])
    states = jax.vmap(dynamics.from_observation)(observation)
    keys = jax.random.split(jax.random.key(1), 10_000)
    step = jax.vmap(dynamics.step, in_axes=(None, 0, 0))
    samples = np.asarray(jax.vmap(lambda key: step(key, states, action))(keys))
    error = 4 * np.std(samples, axis=0) / np.sqrt(len(keys))  # four standard errors
    deviation = np.mean(samples, axis=0, dtype=np.float64) - step(None, states, action)
    assert np.all(np.abs(deviation) <= error + TOLERANCE)


def test_known_reward_and_termination_match_the_environment(case):
    config, steps = case
    reward = hydra.utils.instantiate(config.known_reward)
    termination = hydra.utils.instantiate(config.known_termination)
    step = (steps.observation, steps.action, steps.next_observation)
    rewards, terminated = jax.jit(jax.vmap(reward))(*step), jax.jit(jax.vmap(termination))(*step)
    np.testing.assert_allclose(rewards, steps.reward, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(terminated, steps.terminated)
    assert rewards.dtype == np.float32
    assert terminated.dtype == bool


def test_rewards_are_within_the_reward_range_of_the_config(case):
    config, steps = case
    low, high = config.reward_range
    assert np.all((steps.reward >= low) & (steps.reward <= high))


def test_episodes_terminate_unless_terminates_on_is_never(case):
    config, steps = case
    assert config.terminates_on in ("failure", "goal", "both", "never", "unknown")
    assert steps.terminated.any() == (config.terminates_on != "never")


@pytest.mark.parametrize("name", KNOWN)
def test_the_config_agrees_with_the_registered_spec(name):
    config = resolved(f"env={name}").tree.env
    registered = gymnasium.spec(config.id.split(":")[-1])
    assert config.episode_limit == registered.max_episode_steps
    assert registered.reward_threshold in (None, config.solved_score)
    module = hydra.utils.get_object(config.true_dynamics._target_.rpartition(".")[0])
    assert config.time_step == getattr(module, "TIME_STEP", None)


@pytest.mark.parametrize("name", KNOWN)
def test_random_score_is_the_return_of_random_actions(name):
    config = resolved(f"env={name}").tree.env
    env = build(config).make()
    env.action_space.seed(1)
    returns = np.array([_random_return(env, seed) for seed in range(NUM_EPISODES)])
    # Five standard errors, and a hundredth of the scale: in Acrobot one episode in some hundred
    # reaches the goal by chance.
    scale = config.solved_score - config.random_score
    tolerance = 5 * returns.std() / NUM_EPISODES**0.5 + scale / 100
    assert abs(returns.mean() - config.random_score) < tolerance
    assert scale > 0


def _random_return(env: gymnasium.Env, seed: int) -> float:
    env.reset(seed=seed)
    total, ended = 0.0, False
    while not ended:
        _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        total, ended = total + float(reward), terminated or truncated
    return total


@pytest.mark.parametrize("name", KNOWN)
def test_true_dynamics_accept_the_environments_observations(name):
    config = resolved(f"env={name}").tree.env
    env = build(config).make()
    observation, _ = env.reset(seed=0)
    assert build(config.true_dynamics).from_observation(jnp.asarray(observation)).ndim == 1
    env.close()


@pytest.mark.parametrize(
    ("position", "angle", "terminated"),
    [
        (2.39, 0.0, False),
        (2.41, 0.0, True),
        (-2.41, 0.0, True),
        (0.0, 0.209, False),
        (0.0, -0.21, True),
    ],
)
def test_cartpole_terminates_on_either_side(position, angle, terminated):
    step = (jnp.zeros(4), jnp.zeros(2), jnp.array([position, 9.0, angle, 9.0]))
    assert cartpole.termination(*step) == terminated


def test_the_shaped_reward_of_cartpole_decreases_towards_the_limits():
    def shaped(position, angle):
        next_observation = jnp.array([position, 0.0, angle, 0.0])
        return float(cartpole.shaped_reward(jnp.zeros(4), jnp.zeros(2), next_observation))

    assert shaped(0.0, 0.0) == 1
    limits = [shaped(2.4, 0.0), shaped(0.0, -np.pi / 15), shaped(-2.4, np.pi / 15)]
    np.testing.assert_allclose(limits, [0.5, 0.5, 0.0], atol=1e-6)
    assert shaped(0.5, 0.0) > shaped(1.0, 0.0) > shaped(1.0, 0.1)


@pytest.mark.parametrize(
    ("angle1", "angle2", "terminated"),
    [(0, 0, False), (1.57, 0, False), (2.1, 0, True), (-2.1, 0, True), (3.14, 3.14, False)],
)
def test_acrobot_terminates_at_a_height_of_its_free_end(angle1, angle2, terminated):
    next_observation = acrobot.TrueDynamics().observe(jnp.array([angle1, angle2, 0.0, 0.0]))
    step = (jnp.zeros(6), jnp.zeros(3), next_observation)
    assert acrobot.termination(*step) == terminated
    assert acrobot.reward(*step) == (0 if terminated else -1)


def real_step(id: str, state: list[float], action) -> np.ndarray:
    """A step of Gymnasium's environment from a state that random steps do not reach."""
    env = gymnasium.make(id).unwrapped
    env.reset(seed=0)
    env.state = np.array(state)
    return env.step(action)[0]


@pytest.mark.parametrize(
    ("state", "action", "speeds"),
    [
        ([-0.5, -1.7, -4.6, -22.2], 1, [-4 * np.pi, -9 * np.pi]),
        ([0.5, 0.2, 2.9, 25.1], 1, [4 * np.pi, 9 * np.pi]),
        ([0.1, 2.8, 3.2, 19.1], 1, [-4 * np.pi, 9 * np.pi]),
        ([-0.4, -2.7, -0.1, -20.7], 0, [4 * np.pi, -9 * np.pi]),
    ],
)
def test_acrobot_has_speed_limits(state, action, speeds):
    dynamics = acrobot.TrueDynamics()
    next_state = dynamics.step(None, jnp.array(state), jax.nn.one_hot(action, 3))
    np.testing.assert_allclose(next_state[2:], speeds, rtol=1e-6)
    # At such speeds, rounding errors grow within a step.
    real = real_step("Acrobot-v1", state, action)
    np.testing.assert_allclose(dynamics.observe(next_state), real, atol=1e-4)


@pytest.mark.parametrize("task", [pendulum, mountain_car_continuous])
def test_actions_beyond_the_bounds_are_clipped(task):
    state, dynamics = jnp.array([-0.5, 0.01]), task.TrueDynamics()
    for bound in (-1.0, 1.0):
        beyond = dynamics.step(None, state, jnp.array([1.5 * bound]))
        np.testing.assert_array_equal(beyond, dynamics.step(None, state, jnp.array([bound])))


NEAR_LIMITS = [
    (-1.19, -0.05),
    (-1.2, 0.0),
    (-1.1, -0.07),
    (0.59, 0.06),
    (0.6, 0.07),
    (0.3, 0.0699),
    (-0.5, -0.0699),
]


@pytest.mark.parametrize("state", NEAR_LIMITS)
@pytest.mark.parametrize("action", [0, 1, 2])
def test_mountain_cars_have_walls_and_a_speed_limit(state, action):
    dynamics, push = mountain_car.TrueDynamics(), jax.nn.one_hot(action, 3)
    real = real_step("MountainCar-v0", list(state), action)
    np.testing.assert_allclose(dynamics.step(None, jnp.array(state), push), real, atol=1e-7)
    dynamics, power = mountain_car_continuous.TrueDynamics(), np.array([action - 1.0], np.float32)
    real = real_step("MountainCarContinuous-v0", list(state), power)
    predicted = dynamics.step(None, jnp.array(state), jnp.asarray(power))
    np.testing.assert_allclose(predicted, real, atol=1e-7)


@pytest.mark.parametrize(
    ("task", "num_features", "goal"), [(mountain_car, 3, 0.5), (mountain_car_continuous, 1, 0.45)]
)
def test_a_mountain_car_that_rolls_back_at_the_goal_does_not_terminate(task, num_features, goal):
    def terminated(position, velocity):
        next_observation = jnp.array([position, velocity])
        return bool(task.termination(jnp.zeros(2), jnp.zeros(num_features), next_observation))

    assert terminated(goal, 0.0)
    assert terminated(goal + 0.05, 0.07)
    assert not terminated(goal - 0.001, 0.07)
    assert not terminated(goal + 0.05, -0.001)
