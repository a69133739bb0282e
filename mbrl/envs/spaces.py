"""Gymnasium's spaces as this project sees them: flat vectors as observations, flat actions."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces

from mbrl.types import AbstractActionSpace, Box, Discrete, MultiDiscrete

VECTORS = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)  # that become vectors
MAX_AXES = 2  # of a Box that is flattened: beyond a matrix it is an image


def check_observation_space(id: str, space: spaces.Space) -> None:
    """Raises ValueError for a space whose observations are not read as vectors."""
    for part in _parts(space):
        is_small = isinstance(part, spaces.Box) and len(part.shape) <= MAX_AXES
        if not is_small and not isinstance(part, VECTORS):
            raise ValueError(
                f"env.id={id}: the observation space {space} is not supported, since the models "
                f"read vectors, and {part} is none. Choose an environment with numbers, vectors or "
                "matrices (Box), Discrete, MultiDiscrete or MultiBinary observations, or Tuples "
                "and Dicts of them, or wrap it into one."
            )


def _parts(space: spaces.Space) -> list[spaces.Space]:
    """The space, or those that a Tuple or Dict consists of."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        inner = space.values() if isinstance(space, spaces.Dict) else space
        return [part for each in inner for part in _parts(each)]
    return [space]


def to_float32(space: spaces.Box) -> spaces.Box:
    """The same box in float32, without DtypeObservation's warnings about rounded bounds."""
    with np.errstate(over="ignore"):  # the largest double becomes infinity
        low, high = space.low.astype(np.float32), space.high.astype(np.float32)
    return spaces.Box(low, high, dtype=np.float32)


def action_space(id: str, space: spaces.Space) -> AbstractActionSpace:
    """The flat space of the actions of a Gymnasium space. Raises ValueError if there is none."""
    if isinstance(space, spaces.Discrete):
        return Discrete(int(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        return MultiDiscrete(tuple(int(size) for size in space.nvec.ravel()))
    if isinstance(space, spaces.MultiBinary):
        return MultiDiscrete((2,) * math.prod(space.shape))
    if (
        isinstance(space, spaces.Box)
        and space.is_bounded()
        and np.issubdtype(space.dtype, np.floating)
        # Gymnasium counts the largest float as a bound, but it stands for none.
        and np.abs([space.low, space.high]).max(initial=0) < np.finfo(space.dtype).max
    ):
        return Box(math.prod(space.shape))
    raise ValueError(
        f"env.id={id}: the action space {space} is not supported. Choose an environment with "
        "Discrete, MultiDiscrete or MultiBinary actions or a bounded Box of floats, or wrap it "
        "into one."
    )


def to_gymnasium(space: spaces.Space) -> Callable[[np.ndarray], Any]:
    """From the flat actions of `action_space` to those of the Gymnasium space."""
    if isinstance(space, spaces.Discrete):
        first = int(space.start)
        return lambda action: int(action) + first
    if isinstance(space, spaces.MultiDiscrete):
        return lambda action: np.asarray(action, space.dtype).reshape(space.shape) + space.start
    if isinstance(space, spaces.MultiBinary):
        return lambda action: np.asarray(action, space.dtype).reshape(space.shape)
    assert isinstance(space, spaces.Box)
    low, high = np.float64(space.low), np.float64(space.high)
    middle, half = low / 2 + high / 2, high / 2 - low / 2

    def rescale(action: np.ndarray) -> np.ndarray:
        # In double precision, and rounded last: rounding keeps the order of numbers, so the result
        # is inside the bounds.
        action = np.reshape(action, space.shape)
        inside = np.clip(middle + action * half, low, high)
        end = np.where(action > 0, high, low)
        return np.where(np.abs(action) >= 1, end, inside).astype(space.dtype)

    return rescale
