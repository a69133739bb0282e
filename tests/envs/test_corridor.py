"""The corridor: its environment, its probabilities, and why planning in means fails."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from mbrl.envs import corridor
from mbrl.envs.corridor import Corridor

ID = "mbrl.envs.corridor:mbrl/Corridor-v0"


def in_cell(env: Corridor, cell: int) -> Corridor:
    env.reset(seed=0)
    env.cell = cell
    return env


def test_it_passes_gymnasiums_checks():
    check_env(Corridor(), skip_render_check=True)


def test_it_is_made_by_its_id_and_truncated_after_fifty_steps():
    env = gymnasium.make(ID, max_episode_steps=None, length=200, slip=0.0)
    env.reset(seed=1)
    endings = [env.step(1)[2:4] for _ in range(50)]
    assert endings == [(False, False)] * 49 + [(False, True)]


def test_the_seed_determines_the_slips():
    def episode(seed):
        env = Corridor(length=100, slip=0.3)
        env.reset(seed=seed)
        return [float(env.step(1)[0][0]) for _ in range(40)]

    assert episode(3) == episode(3)
    assert episode(3) != episode(4)


@pytest.mark.parametrize(("length", "start"), [(5, 2), (10, 5), (11, 5)])
def test_it_starts_in_the_middle_and_observes_positions_from_minus_one_to_one(length, start):
    env = Corridor(length, slip=0.0)
    assert env.observation_space == spaces.Box(-1, 1, (1,), np.float32)
    observation, _ = env.reset(seed=0)
    np.testing.assert_allclose(observation, [-1 + 2 * start / (length - 1)], atol=1e-6)
    for end, action in ((-1, 0), (1, 1)):
        env.reset()
        terminated = False
        while not terminated:
            observation, _, terminated, truncated, _ = env.step(action)
            assert env.observation_space.contains(observation)
            assert not truncated
        assert observation[0] == end


@pytest.mark.parametrize(
    ("cell", "action", "reward", "terminated"),
    [
        (8, 1, 10, True),
        (1, 0, -10, True),
        (2, 0, 1, False),
        (1, 1, 0, False),
        (7, 1, 0, False),
        (3, 0, 0, False),
    ],
)
def test_rewards_and_terminations_of_cells(cell, action, reward, terminated):
    assert in_cell(Corridor(slip=0.0), cell).step(action)[1:3] == (reward, terminated)


@pytest.mark.parametrize(("slip", "action"), [(0.1, 0), (0.1, 1), (0.4, 1), (0.0, 0)])
def test_moves_slip_with_the_given_probability(slip, action):
    num_moves, env, dynamics = 10_000, Corridor(slip=slip), corridor.TrueDynamics(slip=slip)
    env.reset(seed=0)
    real = []
    for _ in range(num_moves):
        env.cell = 5
        env.step(action)
        real.append(env.cell)
    step = jax.vmap(lambda key: dynamics.step(key, jnp.array([5.0]), jax.nn.one_hot(action, 2))[0])
    imagined = np.asarray(step(jax.random.split(jax.random.key(0), num_moves)))
    slipped = 4 if action == 1 else 6
    error = 4 * np.sqrt(slip * (1 - slip) / num_moves)  # four standard errors
    for cells in (np.array(real), imagined):
        assert set(np.unique(cells)) == ({4, 6} if slip else {10 - slipped})
        assert abs(np.mean(cells == slipped) - slip) <= error


def test_without_a_key_a_move_is_the_mean_within_the_corridor():
    dynamics, right, left = corridor.TrueDynamics(), jnp.array([0.0, 1.0]), jnp.array([1.0, 0.0])
    np.testing.assert_allclose(dynamics.step(None, jnp.array([5.0]), right), [5.8], rtol=1e-6)
    np.testing.assert_allclose(dynamics.step(None, jnp.array([1.4]), left), [0.6], rtol=1e-6)
    assert dynamics.step(None, jnp.array([0.2]), left) == 0
    assert dynamics.step(None, jnp.array([8.9]), right) == 9


@pytest.mark.parametrize(
    ("position", "reward", "terminated"),
    [
        (0.4, -10, True),
        (0.6, 1, False),
        (1.4, 1, False),
        (1.6, 0, False),
        (8.4, 0, False),
        (8.6, 10, True),
    ],
)
def test_positions_between_cells_count_as_the_nearest_cell(position, reward, terminated):
    observation = corridor.TrueDynamics().observe(jnp.array([position]))
    step = (jnp.zeros(1), jnp.zeros(2), observation)
    assert corridor.reward(*step) == reward
    assert corridor.termination(*step) == terminated


@pytest.mark.parametrize("setting", [{"length": 4}, {"slip": -0.1}, {"slip": 0.505}])
@pytest.mark.parametrize("part", [Corridor, corridor.TrueDynamics])
def test_invalid_settings_are_rejected(part, setting):
    name, value = next(iter(setting.items()))
    with pytest.raises(ValueError, match=f"{name}={value}: must be"):
        part(**setting)


def values(
    policy: np.ndarray | None, slip: float, num_steps: int = 50
) -> tuple[np.ndarray, np.ndarray]:
    """Expected return from each cell, and the policy: probabilities [steps to go, cell] of right.

    Without a given policy, the best one.
    """
    cells = jnp.arange(10.0)[:, None]
    observations = jax.vmap(corridor.TrueDynamics().observe)(cells)
    steps = (jnp.zeros((10, 1)), jnp.zeros((10, 2)), observations)
    rewards = np.asarray(jax.vmap(corridor.reward)(*steps), np.float64)
    terminated = np.asarray(jax.vmap(corridor.termination)(*steps))
    value, probabilities = np.zeros(10), []
    for step in range(num_steps):
        next_value = rewards + np.where(terminated, 0.0, value)
        left, right = np.roll(next_value, 1), np.roll(next_value, -1)
        left, right = (1 - slip) * left + slip * right, (1 - slip) * right + slip * left
        go_right = (right > left).astype(float) if policy is None else policy[step]
        value = np.where(terminated, 0.0, go_right * right + (1 - go_right) * left)
        probabilities.append(go_right)
    return value, np.array(probabilities)


def test_a_policy_that_ignores_slips_earns_little():
    best, _ = values(None, slip=0.1)
    without_slips, ignorant_policy = values(None, slip=0.0)
    returns = [
        best[5],
        without_slips[5],
        values(ignorant_policy, slip=0.1)[0][5],
        values(np.full((50, 10), 0.5), slip=0.1)[0][5],
    ]
    np.testing.assert_allclose(returns, [10.0, 30.0, 0.82, 1.97], atol=0.01)
