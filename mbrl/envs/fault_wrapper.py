"""A wrapper that turns faults of an environment into one kind of error with a clear message."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np

from mbrl.errors import one_line
from mbrl.time_limit import TimeLimitExceeded, time_limit

logger = logging.getLogger(__name__)


class EnvironmentFault(RuntimeError):
    """The environment failed; the message names the call and the step of the episode."""


class FaultWrapper(gymnasium.Wrapper):
    """Turns faults of `step` and `reset` into an EnvironmentFault.

    Faults are exceptions, `sys.exit`, hangs, and values that are not finite in single precision. A
    call hangs if it takes more than `timeout` seconds (None: no limit). Faults of `close` are
    logged as warnings. A hang in compiled code cannot be interrupted; outside the main thread, a
    hang raises only after the call returns.
    """

    def __init__(self, env: gymnasium.Env, name: str, timeout: float | None):
        super().__init__(env)
        self._name = name
        self._timeout = timeout
        self._num_steps = 0  # of this episode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        self._num_steps = 0
        call = f"reset(seed={seed})"
        with self._guard(call):
            observation, info = self.env.reset(seed=seed, options=options)
            self._check_shape(observation)
        self._check_finite("observation", observation, call)
        return observation, info

    def step(self, action):
        self._num_steps += 1
        call = f"step {self._num_steps} of its episode"
        with self._guard(call):
            observation, reward, terminated, truncated, info = self.env.step(action)
            reward = float(reward)
            self._check_shape(observation)
        self._check_finite("observation", observation, call)
        self._check_finite("reward", reward, call)
        return observation, reward, terminated, truncated, info

    def close(self):
        try:
            with self._guard("close()"):
                self.env.close()
        except EnvironmentFault as fault:  # only a warning, since no result depends on it
            logger.warning("%s", fault)

    @contextmanager
    def _guard(self, call: str) -> Iterator[None]:
        try:
            with time_limit(self._timeout):
                yield
        except TimeLimitExceeded:
            raise EnvironmentFault(
                f"{self._name} did not return from {call} within {self._timeout} seconds. "
                "Fix the environment, or raise env.step_timeout (null: no limit)."
            ) from None
        except (Exception, SystemExit) as error:  # an exit would end a whole sweep
            raise EnvironmentFault(
                f"{self._name} raised {type(error).__name__} at {call} ({one_line(error)}). "
                "Fix the environment."
            ) from error

    def _check_shape(self, observation: np.ndarray) -> None:
        shape, expected = np.shape(observation), self.observation_space.shape
        if shape != expected:
            raise ValueError(f"an observation has the shape {shape} instead of {expected}")

    def _check_finite(self, kind: str, value: np.ndarray | float, call: str) -> None:
        with np.errstate(over="ignore"):
            is_finite = np.isfinite(np.float32(value)).all()
        if not is_finite:
            raise EnvironmentFault(
                f"{self._name} returned the {kind} {value} at {call}, which is not finite in "
                "single precision. Fix the environment, or wrap it in one that clips."
            )
