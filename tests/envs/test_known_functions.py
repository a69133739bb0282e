"""Known rewards and terminations against Gymnasium's own, over thousands of random steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl.envs import cartpole, pendulum
from mbrl.envs.gymnasium import GymnasiumEnvironment

NUM_STEPS = 3000


def random_steps(id: str) -> dict[str, np.ndarray]:
    """Steps of random actions, each held for a few so that they lead further; action features as a model reads them."""
    environment = GymnasiumEnvironment(id)
    space, generator = environment.action_space, np.random.default_rng(0)
    instance, steps, running = environment.make(), [], False
    for number in range(NUM_STEPS):
        if not running:
            observation, _ = instance.reset(seed=number)
        if number % 4 == 0:
            features = np.eye(2)[generator.integers(2)] if id == "CartPole-v1" else generator.uniform(-1, 1, space.num_features)
            features = features.astype(np.float32)
        action = np.argmax(features) if id == "CartPole-v1" else features
        next_observation, reward, terminated, truncated, _ = instance.step(action)
        steps.append((observation, features, next_observation, reward, terminated))
        observation, running = next_observation, not (terminated or truncated)
    columns = [np.array(column) for column in zip(*steps, strict=True)]
    return dict(zip(("observation", "action", "next observation", "reward", "terminated"), columns, strict=True))


@pytest.mark.parametrize(("id", "task"), [("CartPole-v1", cartpole), ("Pendulum-v1", pendulum)])
def test_reward_and_termination_are_gymnasiums(id, task):
    steps = random_steps(id)
    ends = tuple(jnp.asarray(steps[name], jnp.float32) for name in ("observation", "action", "next observation"))
    rewards, terminated = jax.vmap(task.reward)(*ends), jax.vmap(task.termination)(*ends)
    np.testing.assert_allclose(rewards, steps["reward"], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(terminated, steps["terminated"])
    assert terminated.dtype == bool
    assert steps["terminated"].any() == (id == "CartPole-v1")


@pytest.mark.parametrize(
    ("position", "angle", "ended"), [(2.39, 0.0, False), (2.41, 0.0, True), (-2.41, 0.0, True), (0.0, 0.209, False), (0.0, -0.21, True)]
)
def test_the_cart_leaves_the_track_on_either_side_and_the_pole_falls_to_either(position, angle, ended):
    step = (jnp.zeros(4), jnp.zeros(2), jnp.array([position, 9.0, angle, 9.0]))
    assert cartpole.termination(*step) == ended


def test_the_shaped_reward_is_one_in_the_middle_and_less_towards_the_limits():
    def shaped(position, angle):
        return float(cartpole.shaped_reward(jnp.zeros(4), jnp.zeros(2), jnp.array([position, 0.0, angle, 0.0])))

    assert shaped(0.0, 0.0) == 1
    np.testing.assert_allclose([shaped(2.4, 0.0), shaped(0.0, -np.pi / 15), shaped(-2.4, np.pi / 15)], [0.5, 0.5, 0.0], atol=1e-6)
    assert shaped(0.5, 0.0) > shaped(1.0, 0.0) > shaped(1.0, 0.1)
