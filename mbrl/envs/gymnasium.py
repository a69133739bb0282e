"""Gymnasium environments on the host: flat float32 observations, actions as in `types.py`."""

from collections.abc import Callable, Mapping, Sequence
from threading import TIMEOUT_MAX
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import error, spaces
from gymnasium.wrappers import FlattenObservation, TransformAction, TransformObservation

from mbrl.envs.fault_wrapper import EnvironmentFault, FaultWrapper
from mbrl.envs.spaces import action_space, check_observation_space, to_float32, to_gymnasium
from mbrl.envs.true_dynamics import AbstractTrueDynamics
from mbrl.errors import one_line
from mbrl.types import AbstractActionSpace


class GymnasiumEnvironment:
    """An environment by its Gymnasium id.

    `episode_limit` (steps) replaces the registered limit. `step_timeout` is how many seconds one
    step or reset may take (None: no limit). The other arguments are facts about the task, which
    the config uses to derive defaults and the analysis uses to judge results:

        time_step           seconds
        terminates_on       what ends an episode before its limit
        suggested_steps     a budget of real steps
        solved_score        return
        random_score        mean return of uniformly random actions
        best_score          mean return of the best policy
        known_reward        the reward function, in JAX
        reward_range        smallest and largest reward of a step
        known_termination   the termination function, in JAX
        true_dynamics       the equations of motion, in JAX (true_dynamics.py)

    Raises ValueError if the id is not registered or needs a package that is not installed, if a
    space is not supported, and if episodes have no limit.
    """

    observation_size: int
    action_space: AbstractActionSpace

    def __init__(
        self,
        id: str,
        kwargs: Mapping[str, Any] | None = None,
        time_step: float | None = None,
        episode_limit: int | None = None,
        terminates_on: Literal["failure", "goal", "both", "never", "unknown"] = "unknown",
        suggested_steps: int | None = None,
        solved_score: float | None = None,
        random_score: float | None = None,
        best_score: float | None = None,
        known_reward: Callable | None = None,
        reward_range: Sequence[float] | None = None,
        known_termination: Callable | None = None,
        true_dynamics: AbstractTrueDynamics | None = None,
        step_timeout: float | None = 60.0,
    ):
        if step_timeout is not None and not 0 < step_timeout <= TIMEOUT_MAX:
            raise ValueError(
                f"env.step_timeout={step_timeout}: must be a positive number of seconds, at most "
                f"{TIMEOUT_MAX:.0f}, or null for no limit."
            )
        if episode_limit is not None and episode_limit < 1:
            raise ValueError(
                f"env.episode_limit={episode_limit}: must be at least 1, or null for the "
                "registered limit."
            )
        _check_facts(time_step, suggested_steps, reward_range)
        self.id = id
        self.step_timeout = step_timeout
        self.kwargs = dict(kwargs or {})
        env = self._gymnasium_make(episode_limit)
        self.episode_limit = _episode_limit(id, env)
        check_observation_space(id, env.observation_space)
        self.action_space = action_space(id, env.action_space)
        self.observation_size = spaces.flatdim(env.observation_space)
        self._wrapped(env).close()

    def make(self) -> FaultWrapper:
        """A new environment with this project's observations and actions.

        Raises EnvironmentFault if it can no longer be made.
        """
        try:
            env = self._gymnasium_make(self.episode_limit)
        except ValueError as reason:
            raise EnvironmentFault(str(reason)) from reason
        return self._wrapped(env)

    def _wrapped(self, env: gymnasium.Env) -> FaultWrapper:
        """With float32 vectors as observations, and actions as in `types.py`."""
        flat = FlattenObservation(env)
        assert isinstance(flat.observation_space, spaces.Box)
        env = TransformObservation(
            flat,
            lambda observation: np.asarray(observation, np.float32),
            to_float32(flat.observation_space),
        )
        env = TransformAction(env, to_gymnasium(env.action_space), env.action_space)
        return FaultWrapper(env, f"env.id={self.id}", self.step_timeout)

    def _gymnasium_make(self, episode_limit: int | None) -> gymnasium.Env:
        name = f"env.id={self.id}"
        try:
            return gymnasium.make(self.id, max_episode_steps=episode_limit, **self.kwargs)
        except error.DependencyNotInstalled as reason:
            raise ValueError(
                f"{name} needs a package that is not installed: {one_line(reason)}."
            ) from reason
        except (error.Error, ModuleNotFoundError) as reason:
            raise ValueError(
                f"{name} is not an environment that Gymnasium can make: {one_line(reason)}."
            ) from reason
        except (Exception, SystemExit) as reason:
            # These are the errors with which constructors refuse their arguments.
            refusals = (TypeError, ValueError, KeyError, AssertionError)
            if self.kwargs and isinstance(reason, refusals):
                raise ValueError(
                    f"env.kwargs={self.kwargs} do not fit {name}: {one_line(reason)}."
                ) from reason
            raise ValueError(
                f"{name} cannot be made, since it raised {type(reason).__name__} "
                f"({one_line(reason)}). Fix the environment, or set env.kwargs."
            ) from reason


def _check_facts(
    time_step: float | None, suggested_steps: int | None, reward_range: Sequence[float] | None
) -> None:
    if time_step is not None and time_step <= 0:
        raise ValueError(
            f"env.time_step={time_step}: must be a positive number of seconds, or null if it is "
            "unknown."
        )
    if suggested_steps is not None and suggested_steps < 1:
        raise ValueError(
            f"env.suggested_steps={suggested_steps}: must be at least 1, a budget of real steps. "
            "Try 10000."
        )
    if reward_range is not None and (
        len(reward_range) != 2 or not reward_range[0] <= reward_range[1]
    ):
        raise ValueError(
            f"env.reward_range={list(reward_range)}: must be the smallest and the largest reward "
            "of a step, or null if they are unknown."
        )


def _episode_limit(id: str, env: gymnasium.Env) -> int:
    if env.spec is None or env.spec.max_episode_steps is None:
        raise ValueError(
            f"env.id={id}: has no limit on the steps of an episode, so an evaluation might never "
            "end. Set one, such as env.episode_limit=200."
        )
    return env.spec.max_episode_steps
