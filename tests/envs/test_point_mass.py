"""The point mass: steps computed by hand. test_known_functions.py tests its functions."""

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from mbrl.envs import point_mass
from mbrl.envs.point_mass import PointMass

KINDS = ["box", "discrete", "multi_discrete"]
ID = "mbrl.envs.point_mass:mbrl/PointMass-v0"


def placed(env: PointMass, position, velocity) -> PointMass:
    env.reset(seed=0)
    env.position, env.velocity = np.array(position, np.float32), np.array(velocity, np.float32)
    return env


@pytest.mark.parametrize("actions", KINDS)
def test_it_passes_gymnasiums_checks(actions):
    check_env(PointMass(actions), skip_render_check=True)


@pytest.mark.parametrize("actions", KINDS)
def test_it_is_made_by_its_id_and_truncated_after_fifty_steps(actions):
    env = gymnasium.make(ID, max_episode_steps=None, actions=actions)
    env.reset(seed=1)
    endings = [env.step(env.action_space.sample())[2:4] for _ in range(50)]
    assert endings == [(False, False)] * 49 + [(False, True)]


@pytest.mark.parametrize("actions", KINDS)
def test_the_seed_determines_the_start_and_actions_the_rest(actions):
    def episode(seed):
        env = PointMass(actions)
        env.action_space.seed(7)
        observations = [env.reset(seed=seed)[0]]
        observations += [env.step(env.action_space.sample())[0] for _ in range(20)]
        return np.array(observations)

    np.testing.assert_array_equal(episode(3), episode(3))
    assert not np.array_equal(episode(3)[0], episode(4)[0])


def test_it_starts_at_rest_within_a_metre_of_the_middle_along_each_axis():
    env = PointMass()
    starts = np.array([env.reset(seed=seed)[0] for seed in range(500)])
    assert np.all(starts[:, 2:] == 0)
    assert np.all(np.abs(starts) <= 1)
    assert np.all(starts[:, :2].min(axis=0) < -0.95)
    assert np.all(starts[:, :2].max(axis=0) > 0.95)


def test_a_step_matches_a_computation_by_hand():
    env = placed(PointMass(), [0.5, -1.0], [1.0, 0.0])
    observation, reward, *ended, _ = env.step(np.array([0.5, -1.0], np.float32))
    # Velocity 1 + 0.1 (0.5 - 0.5 · 1) and 0 + 0.1 (-1); position 0.5 + 0.1 · 1 and -1 + 0.1 (-0.1).
    np.testing.assert_allclose(observation, [0.6, -1.01, 1.0, -0.1], rtol=1e-6)
    np.testing.assert_allclose(reward, -(0.6**2 + 1.01**2) - 0.1 * (0.5**2 + 1.0**2), rtol=1e-6)
    assert ended == [False, False]


@pytest.mark.parametrize(
    ("actions", "action", "force"),
    [
        *(
            ("discrete", action, force)
            for action, force in enumerate([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)])
        ),
        *(("multi_discrete", [i, j], (i - 1, j - 1)) for i in range(3) for j in range(3)),
        ("box", np.array([3.0, -0.25], np.float32), (1, -0.25)),
        ("box", np.array([0.75, -3.0], np.float32), (0.75, -1)),
    ],
)
def test_forces_of_actions(actions, action, force):
    observation, *_ = placed(PointMass(actions), [0, 0], [0, 0]).step(action)
    np.testing.assert_allclose(observation[2:], 0.1 * np.array(force), rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_wall_stops_the_mass_along_one_axis_only(axis, side):
    position, velocity = np.zeros(2), np.array([0.3, 0.3])
    position[axis], velocity[axis] = 1.95 * side, 1.5 * side
    observation, *_ = placed(PointMass(), position, velocity).step(np.zeros(2, np.float32))
    assert observation[axis] == 2 * side
    assert observation[2 + axis] == 0
    np.testing.assert_allclose(observation[3 - axis], 0.3 * 0.95, rtol=1e-6)


@pytest.mark.parametrize("actions", KINDS)
def test_observations_stay_within_the_space(actions):
    env = PointMass(actions)
    np.testing.assert_array_equal(env.observation_space.high, [2, 2, 2, 2])
    np.testing.assert_array_equal(env.observation_space.low, [-2, -2, -2, -2])
    env.action_space.seed(0)
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        for step in range(200):
            if step % 40 == 0:
                action = env.action_space.sample()
            observation, *_ = env.step(action)
            assert env.observation_space.contains(observation)


def test_an_unknown_kind_of_action_is_rejected():
    message = r"actions=diagonal: must be one of box, discrete, multi_discrete"
    with pytest.raises(ValueError, match=message):
        PointMass("diagonal")
    with pytest.raises(ValueError, match=message):
        point_mass.TrueDynamics("diagonal")
    with pytest.raises(ValueError, match=message):
        point_mass.reward(jnp.zeros(4), jnp.zeros(2), jnp.zeros(4), actions="diagonal")
