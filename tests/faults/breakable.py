"""An environment that fails when it is told to, and is whole otherwise: what a crash interrupts can be compared with what it did not."""

import math
import time
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

FAULTS = ("raise", "nan", "infinite_reward", "hang")


class Breakable(gymnasium.Env):
    """A number that an action pushes up or down; each step earns the less the further from 0 it is.

    Where the file `fault` exists, it names a fault and the step, counted over all episodes of this instance, at which it happens.
    """

    observation_space = Box(-10.0, 10.0, (2,), np.float32)
    action_space = Discrete(2)

    def __init__(self, fault: str = "", random: bool = False):
        self.fault = Path(fault) if fault else None
        self.random = random  # not by the seed: a run in it cannot be taken up
        self.steps = 0
        self.place = 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = float(self.np_random.uniform(-1, 1))
        if self.random:
            self.place += np.random.default_rng().uniform()
        return self._observation(), {}

    def step(self, action):
        self.steps += 1
        self.place += (0.1 if action else -0.1) + float(self.np_random.normal()) * 0.01
        fault = self._fault()
        if fault == "raise":
            raise KeyError("the robot fell off the table")
        if fault == "hang":
            time.sleep(600)
        observation = np.full(2, np.nan, np.float32) if fault == "nan" else self._observation()
        reward = math.inf if fault == "infinite_reward" else -abs(self.place)
        return observation, reward, abs(self.place) > 2.0, False, {}

    def _observation(self):
        return np.array([self.place, np.sin(self.place)], np.float32)

    def _fault(self) -> str | None:
        if self.fault is None or not self.fault.exists():
            return None
        kind, step = self.fault.read_text().split()
        return kind if self.steps == int(step) else None


gymnasium.register("Breakable-v0", Breakable, max_episode_steps=30)
