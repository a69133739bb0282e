"""TrainState: everything that a phase of the loop reads and writes on the device."""

from typing import Any, NamedTuple

import jax
from jaxtyping import PRNGKeyArray, PyTree

from mbrl.data.replay import ReplayBuffer
from mbrl.models.base import AbstractWorldModel
from mbrl.models.value import AbstractValue


class ValueState(NamedTuple):
    """What fitting a value carries from one gradient step to the next."""

    online: AbstractValue  # as the last gradient step left it; planners use the mean over many
    target: AbstractValue  # slowly follows the value, and is what its targets bootstrap from
    optimizer_state: PyTree


class BonusValue(NamedTuple):
    """The value of the model with a bonus for disagreement (`models/curious.py`), which only collection plans with."""

    function: AbstractValue
    state: ValueState


class TrainState(NamedTuple):
    """One run's learning. The root key never changes: what is random is folded from it and a counter."""

    key: PRNGKeyArray
    model: AbstractWorldModel
    model_optimizer_state: PyTree
    value_state: ValueState
    bonus_value: BonusValue | None  # where training.disagreement_bonus is not 0
    replay: ReplayBuffer


# Who draws randomness. A new consumer takes a new number, so that it does not reshuffle the others.
MODEL_INIT, COLLECT, EPISODE_SEEDS, LEARN, EVALUATE, PLANNER_INIT, SPLIT, ACTION_NOISE = range(8)


def is_key(leaf: Any) -> bool:
    """Whether it is a typed PRNG key, which NumPy cannot hold."""
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
