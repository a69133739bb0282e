"""The fault wrapper reports which fault occurred at which step, and otherwise changes nothing."""

import time

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from mbrl.envs.fault_wrapper import EnvironmentFault, FaultWrapper


class Scripted(gymnasium.Env):
    """An environment that fails in a given way at step 3."""

    observation_space = Box(-1.0, 1.0, (2,), np.float32)
    action_space = Discrete(2)

    def __init__(self, **script):
        self.script = script
        self.num_steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.num_steps = 0
        return self.script.get("start", np.zeros(2, np.float32)), {}

    def step(self, action):
        self.num_steps += 1
        observation, reward = np.full(2, self.num_steps / 10, np.float32), 1.0
        if self.num_steps == 3:
            if "seconds" in self.script:
                time.sleep(self.script["seconds"])
            if "error" in self.script:
                raise self.script["error"]
            observation = self.script.get("observation", observation)
            reward = self.script.get("reward", reward)
        return observation, reward, False, False, {"num_steps": self.num_steps}


def third_step(timeout: float | None = None, **script):
    env = FaultWrapper(Scripted(**script), "env.id=Scripted-v0", timeout)
    env.reset(seed=1)
    for _ in range(2):
        env.step(0)
    return env.step(0)


def test_a_close_that_fails_is_only_a_warning(caplog):
    """No result depends on it."""

    class Stuck(Scripted):
        def close(self):
            raise RuntimeError("cannot close")

    FaultWrapper(Stuck(), "env.id=Stuck-v0", None).close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages == [
        "env.id=Stuck-v0 raised RuntimeError at close() (cannot close). Fix the environment."
    ]


def test_without_faults_steps_pass_through():
    observation, reward, terminated, truncated, info = third_step(timeout=60.0)
    assert observation.tolist() == pytest.approx([0.3, 0.3])
    assert (reward, terminated, truncated, info) == (1.0, False, False, {"num_steps": 3})


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            {"error": RuntimeError("no\nlight.")},
            r"raised RuntimeError at step 3 of its episode \(no light\)\.",
        ),
        (
            {"observation": np.array([0.0, np.nan], np.float32)},
            "returned the observation .* at step 3 of its episode, which is not finite",
        ),
        ({"observation": np.array([np.inf, 0.0], np.float32)}, "returned the observation"),
        ({"reward": float("nan")}, "returned the reward nan"),
        ({"reward": -np.inf}, "returned the reward -inf"),
        ({"reward": 1e39}, r"returned the reward 1e\+39 .* not finite in single precision"),
        ({"reward": np.float64(-4e38)}, "returned the reward -4e\\+38"),
        ({"observation": np.array([1e39, 0.0])}, "returned the observation"),
        ({"error": SystemExit(3)}, r"raised SystemExit at step 3 of its episode \(3\)\."),
        ({"seconds": 5.0}, r"did not return from step 3 of its episode within 0\.1 seconds"),
    ],
)
def test_faults_are_reported_with_their_step(script, message):
    with pytest.raises(EnvironmentFault, match=f"env.id=Scripted-v0 {message}"):
        third_step(timeout=0.1, **script)


def test_a_first_observation_that_is_not_finite_is_reported():
    with pytest.raises(EnvironmentFault, match=r"observation .* at reset\(seed=4\)"):
        FaultWrapper(Scripted(start=np.full(2, np.nan)), "it", None).reset(seed=4)
