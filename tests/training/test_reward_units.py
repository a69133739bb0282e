"""Learning and planning do not depend on the unit of reward."""

import gymnasium
import numpy as np
import pytest

from mbrl.assemble import assemble
from mbrl.training.loop import train
from mbrl.training.snapshot import Snapshot
from tests.configs import options, resolved_small

pytestmark = pytest.mark.slow


class Tracking(gymnasium.Env):
    """Five steps in which the action should equal the observation, or lose the square of the error.

    With `falls`, an episode ends as soon as the error exceeds 1.
    """

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(
        self, unit: float = 1.0, offset: float = 0.0, discrete: bool = False, falls: bool = False
    ):
        self.action_space = (
            gymnasium.spaces.Discrete(5) if discrete else gymnasium.spaces.Box(-1.0, 1.0, (1,))
        )
        self.unit, self.offset, self.discrete, self.falls = unit, offset, discrete, falls

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._observe(), {}

    def step(self, action):
        error = self.target - (action / 2 - 1 if self.discrete else float(action[0]))
        reward = self.offset - self.unit * error**2
        return self._observe(), reward, self.falls and abs(error) > 1, False, {}

    def _observe(self):
        self.target = float(self.np_random.uniform(-1, 1))
        return np.array([self.target], np.float32)


@pytest.fixture(autouse=True)
def tracking_environment():
    gymnasium.register("Tracking-v0", Tracking, max_episode_steps=5, disable_env_checker=True)
    yield
    del gymnasium.registry["Tracking-v0"]


def rows_of(*overrides, **kwargs):
    settings = ["env=gymnasium", "env.id=Tracking-v0", *overrides]
    settings += [f"+env.kwargs.{name}={value}" for name, value in kwargs.items()]
    *parts, state = assemble(
        resolved_small("training=smoke", "training.warmup_steps=30", *settings)
    )
    rows = []
    train(*parts, Snapshot(state), rows.append)
    return rows


def in_units(row, unit):
    """The row with returns, values and rewards in units; times are left out."""
    scaled = ("evaluation/return", "episode/return", "value/", "planner/score", "planner/root_val")
    return {
        name: np.divide(value, unit) if name.startswith(scaled) else value
        for name, value in row.items()
        if not name.startswith("time/")
    }


@pytest.mark.parametrize(
    ("planner", "falls"),
    [*((planner, False) for planner in options("planner")), ("cem", True), ("mcts", True)],
)
def test_powers_of_2_change_nothing(planner, falls):
    discrete = planner in ("mcts", "greedy", "mppi")
    one, small, large = (
        rows_of(f"planner={planner}", unit=unit, discrete=discrete, falls=falls)
        for unit in (1.0, 2.0**-27, 2.0**27)
    )
    assert len(one) > 5
    for rows, unit in ((small, 2.0**-27), (large, 2.0**27)):
        for expected, row in zip(one, rows, strict=True):
            np.testing.assert_equal(in_units(row, unit), in_units(expected, 1.0))


def test_a_constant_in_each_reward_changes_little_where_no_episode_terminates(caplog):
    overrides = ("planner=cem", "model.fit_value.num_updates=100")
    one, other = (rows_of(*overrides, offset=offset) for offset in (0.0, 500.0))
    assert not caplog.messages
    losses = [
        [row[name] for row in rows for name in row if name.startswith("loss/")]
        for rows in (one, other)
    ]
    np.testing.assert_allclose(*losses, rtol=0.2)
    returns = [rows[-1]["evaluation/return_mean"] for rows in (one, other)]
    assert returns[1] - 5 * 500 == pytest.approx(returns[0], abs=0.5)


@pytest.mark.parametrize("offset", [1e5, 1e7])
def test_an_offset_that_hides_the_differences_is_reported_once(caplog, offset):
    rows_of("planner=random", offset=offset)
    [sentence] = caplog.messages
    assert sentence.startswith(f"The rewards' mean, {offset:.4g}, is more than 1000 times half of")
    assert sentence.endswith("Subtract a constant in the environment.")
