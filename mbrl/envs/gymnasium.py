"""Gymnasium environments, on the host: flat float32 observations, actions as `types.py` describes them."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import error, spaces
from gymnasium.wrappers import (
    FlattenObservation,
    RescaleAction,
    TransformAction,
    TransformObservation,
)

from mbrl.envs.fault_wrapper import FaultWrapper
from mbrl.types import AbstractActionSpace, Box, Discrete, MultiDiscrete


class GymnasiumEnvironment:
    """An environment by its Gymnasium id.

    `episode_limit` (steps), where given, replaces the registered limit; `step_timeout` (seconds; None: wait for ever) is how
    long one step or reset may take. The other facts are for the config, which derives
    other defaults from them, and for the analysis: time_step (seconds), terminates_on (what ends an episode before its limit),
    suggested_steps (a budget of real ones), solved_score (a return), random_score (the mean return of uniformly random actions),
    best_score (that of the best policy), known_reward, reward_range (what it can be), known_termination and true_dynamics (of `envs/`).

    Raises ValueError for an id that is not registered or lacks its extra, for spaces that cannot be planned in, and for
    episodes without a limit.
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
        true_dynamics: Any = None,
        step_timeout: float | None = 60.0,
    ):
        if step_timeout is not None and not 0 < step_timeout < math.inf:
            raise ValueError(
                f"env.step_timeout={step_timeout} must be a number of seconds above 0, or null to wait for ever."
            )
        if episode_limit is not None and episode_limit < 1:
            raise ValueError(
                f"env.episode_limit={episode_limit} must be at least 1, or null for the registered limit."
            )
        self.id = id
        self.step_timeout = step_timeout
        self.kwargs = dict(kwargs or {})
        self.episode_limit = episode_limit
        instance = self._gymnasium_make()
        _check_limit(id, instance)
        _check_observation_space(id, instance.observation_space)
        self.action_space = _action_space(id, instance.action_space)
        self.observation_size = spaces.flatdim(instance.observation_space)
        instance.close()

    def make(self) -> FaultWrapper:
        """A new instance that speaks this project's language: see the module's first line."""
        return FaultWrapper(self._wrapped(), f"env.id={self.id}", self.step_timeout)

    def _wrapped(self) -> gymnasium.Env:
        flat = FlattenObservation(self._gymnasium_make())
        assert isinstance(flat.observation_space, spaces.Box)
        env = TransformObservation(
            flat,
            lambda observation: np.asarray(observation, np.float32),
            _single_precision(flat.observation_space),
        )
        if isinstance(env.action_space, spaces.Box):
            number = env.action_space.dtype.type
            return RescaleAction(env, number(-1.0), number(1.0))
        if isinstance(env.action_space, spaces.MultiDiscrete):
            first, dtype = env.action_space.start, env.action_space.dtype
            return TransformAction(
                env, lambda action: np.asarray(action, dtype) + first, env.action_space
            )
        assert isinstance(env.action_space, spaces.Discrete)
        start = int(env.action_space.start)
        return TransformAction(env, lambda action: int(action) + start, env.action_space)

    def _gymnasium_make(self) -> gymnasium.Env:
        name = f"env.id={self.id}"
        try:
            return gymnasium.make(self.id, max_episode_steps=self.episode_limit, **self.kwargs)
        except error.DependencyNotInstalled as reason:
            raise ValueError(
                f"{name} needs a package that is not installed: {_sentence(reason)}"
            ) from reason
        except (error.Error, ModuleNotFoundError) as reason:
            raise ValueError(
                f"{name} is not an environment that Gymnasium can make: {_sentence(reason)}"
            ) from reason
        except (
            TypeError,
            ValueError,
            KeyError,
            AssertionError,
        ) as reason:  # how constructors refuse what they are given
            raise ValueError(
                f"env.kwargs={self.kwargs} do not fit {name}: {_sentence(reason)}"
            ) from reason


def _single_precision(space: spaces.Box) -> spaces.Box:
    """The same box, of float32; Gymnasium's DtypeObservation warns of each bound that loses digits."""
    with np.errstate(over="ignore"):  # the largest double becomes infinity
        return spaces.Box(
            space.low.astype(np.float32), space.high.astype(np.float32), dtype=np.float32
        )


def _sentence(reason: Exception) -> str:
    return " ".join(str(reason).split()).rstrip(".") + "."


def _check_limit(id: str, instance: gymnasium.Env) -> None:
    if instance.spec is None or instance.spec.max_episode_steps is None:
        raise ValueError(
            f"env.id={id} has no limit to the steps of an episode, "
            "so that an evaluation may never end; give it one: env.episode_limit=200, say."
        )


def _check_observation_space(id: str, space: spaces.Space) -> None:
    parts = space.spaces.values() if isinstance(space, spaces.Dict) else [space]
    for part in parts:
        flat = isinstance(part, spaces.Box) and len(part.shape) <= 1
        if not flat and not isinstance(
            part, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary
        ):
            raise ValueError(
                f"env.id={id} has the observation space {space}, which is not supported: models here read vectors, "
                "so choose an environment with a one-dimensional Box, Discrete, MultiDiscrete or MultiBinary observation "
                "(or a Dict of them), or wrap it into one."
            )


def _action_space(id: str, space: spaces.Space) -> AbstractActionSpace:
    if isinstance(space, spaces.Discrete):
        return Discrete(int(space.n))
    if (
        isinstance(space, spaces.Box)
        and len(space.shape) == 1
        and space.is_bounded()
        and np.issubdtype(space.dtype, np.floating)
    ):
        return Box(int(space.shape[0]))
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
        return MultiDiscrete(tuple(int(size) for size in space.nvec))
    raise ValueError(
        f"env.id={id} has the action space {space}, which is not supported: "
        "choose an environment with Discrete or MultiDiscrete actions or a one-dimensional bounded Box of floats, or wrap it into one."
    )
