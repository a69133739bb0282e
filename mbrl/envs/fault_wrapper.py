"""A watched environment: one that raises, hangs, or returns what is no number ends the run with a sentence that says so."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import gymnasium
import numpy as np

logger = logging.getLogger(__name__)


class EnvironmentFault(RuntimeError):
    """The environment failed, in one sentence that says how and at which step of its episode."""


class FaultWrapper(gymnasium.Wrapper):
    """Passes everything through, and raises EnvironmentFault where `step` or `reset` raise, return a number that is not
    finite, or take more than `timeout` seconds (None: wait for ever). Where `close` does, there is a warning.

    A call that hangs in compiled code cannot be timed out; one outside a process's main thread raises when it returns after all.
    """

    def __init__(self, env: gymnasium.Env, name: str, timeout: float | None):
        super().__init__(env)
        self._name = name
        self._timeout = timeout
        self._num_steps = 0  # of this episode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        self._num_steps = 0
        with self._guard(f"reset(seed={seed})"):
            observation, info = self.env.reset(seed=seed, options=options)
            self._check_shape(observation)
        self._check_finite(observation, 0.0, f"reset(seed={seed})")
        return observation, info

    def step(self, action):
        self._num_steps += 1
        doing = f"step {self._num_steps} of its episode"
        with self._guard(doing):
            observation, reward, terminated, truncated, info = self.env.step(action)
            reward = float(reward)
            self._check_shape(observation)
        self._check_finite(observation, reward, doing)
        return observation, reward, terminated, truncated, info

    def close(self):
        try:
            with self._guard("close()"):
                self.env.close()
        except EnvironmentFault as fault:  # which no step and no score depends on any more
            logger.warning("%s", fault)

    @contextmanager
    def _guard(self, doing: str) -> Iterator[None]:
        try:
            with time_limit(self._timeout):
                yield
        except TimeLimitExceeded:
            raise EnvironmentFault(
                f"{self._name} did not return from {doing} within {self._timeout} seconds: "
                "mend it, or raise env.step_timeout (null waits for ever)."
            ) from None
        except Exception as reason:
            raise EnvironmentFault(
                f"{self._name} raised {type(reason).__name__} at {doing} ({reason}): mend the environment."
            ) from reason

    def _check_shape(self, observation: np.ndarray) -> None:
        if np.shape(observation) != self.observation_space.shape:
            raise ValueError(
                f"an observation has the shape {np.shape(observation)} instead of {self.observation_space.shape}"
            )

    def _check_finite(self, observation: np.ndarray, reward: Any, doing: str) -> None:
        for what, value in (("observation", observation), ("reward", reward)):
            if not np.isfinite(value).all():
                raise EnvironmentFault(
                    f"{self._name} returned the {what} {value} at {doing}, which is not finite, "
                    "so that nothing can be learned from it: mend the environment, or wrap it into one that clips."
                )


class TimeLimitExceeded(BaseException):
    """Not an Exception, so that an environment which catches those cannot swallow it."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raises TimeLimitExceeded in a block that takes longer: at once in the main thread, at its end in others, which get no signals."""
    if seconds is None:
        yield
        return
    if threading.current_thread() is not threading.main_thread():
        deadline = monotonic() + seconds
        yield
        if monotonic() > deadline:
            raise TimeLimitExceeded
        return
    before = signal.signal(signal.SIGALRM, _raise_time_limit_exceeded)
    signal.setitimer(
        signal.ITIMER_REAL, seconds, 1.0
    )  # again and again, should somebody swallow it
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def _raise_time_limit_exceeded(signum, frame):
    raise TimeLimitExceeded
