"""TrainState: everything that the phases of the loop read and write on the device."""

from typing import Any, NamedTuple

import jax
from jaxtyping import PRNGKeyArray, PyTree

from mbrl.data.replay import ReplayBuffer
from mbrl.models.base import AbstractWorldModel
from mbrl.models.value import AbstractValue

# fold_in ids of the root key, one for each consumer of randomness. A new consumer appends an id, so
# that the random numbers of the others do not change.
MODEL_INIT, COLLECT, EPISODE_SEEDS, LEARN, EVALUATE, PLANNER_INIT, SPLIT, ACTION_NOISE = range(8)


class ValueState(NamedTuple):
    """State of the value learner between two phases."""

    online: AbstractValue  # after the last gradient step; planners use an average over many
    target: AbstractValue  # target network: a moving average of `online` to bootstrap from
    optimizer_state: PyTree


class BonusValue(NamedTuple):
    """The value of the model with a disagreement bonus, which collection alone plans with."""

    function: AbstractValue
    state: ValueState


class TrainState(NamedTuple):
    """What one run has learned and collected.

    The root key never changes: random numbers come from keys folded from it and a counter.
    """

    key: PRNGKeyArray
    model: AbstractWorldModel
    model_optimizer_state: PyTree
    value_state: ValueState
    bonus_value: BonusValue | None  # None without training.disagreement_bonus
    replay: ReplayBuffer


def is_key(leaf: Any) -> bool:
    """Whether the leaf is a typed PRNG key, which NumPy cannot hold."""
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
