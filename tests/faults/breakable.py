"""An environment that fails on demand, to compare an interrupted run with a whole one."""

import math
import time
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete


class Breakable(gymnasium.Env):
    """A position that actions push up or down; the reward is minus its distance from 0.

    If the file `fault` exists, it names a fault ("raise", "nan", "infinite_reward" or "hang") and
    the step at which it happens, counted over all episodes of this instance.
    """

    observation_space = Box(-10.0, 10.0, (2,), np.float32)
    action_space = Discrete(2)

    def __init__(self, fault: str = "", random: bool = False):
        self.fault = Path(fault) if fault else None
        self.random = random  # not determined by the seed, so a run cannot be resumed
        self.steps = 0
        self.position = 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = float(self.np_random.uniform(-1, 1))
        if self.random:
            self.position += np.random.default_rng().uniform()
        return self._observation(), {}

    def step(self, action):
        self.steps += 1
        self.position += (0.1 if action else -0.1) + float(self.np_random.normal()) * 0.01
        fault = self._fault()
        if fault == "raise":
            raise KeyError("the robot fell off the table")
        if fault == "hang":
            time.sleep(600)
        observation = np.full(2, np.nan, np.float32) if fault == "nan" else self._observation()
        reward = math.inf if fault == "infinite_reward" else -abs(self.position)
        return observation, reward, abs(self.position) > 2.0, False, {}

    def _observation(self):
        return np.array([self.position, np.sin(self.position)], np.float32)

    def _fault(self) -> str | None:
        if self.fault is None or not self.fault.exists():
            return None
        kind, step = self.fault.read_text().split()
        return kind if self.steps == int(step) else None


gymnasium.register("Breakable-v0", Breakable, max_episode_steps=30)
