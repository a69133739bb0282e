"""TrainState: everything that a phase of the loop reads and writes on the device."""

from typing import NamedTuple

from jaxtyping import PRNGKeyArray, PyTree

from mbrl.data.replay import Replay
from mbrl.models.base import AbstractWorldModel
from mbrl.models.value import AbstractValue


class TrainState(NamedTuple):
    """One run's learning. The root key never changes: what is random is folded from it and a counter."""

    key: PRNGKeyArray
    model: AbstractWorldModel
    model_optimizer_state: PyTree
    target_value: AbstractValue  # slowly follows model.value_function, and is what its targets bootstrap from
    value_optimizer_state: PyTree
    replay: Replay


# Who draws randomness. A new consumer takes a new number, so that it does not reshuffle the others.
MODEL_INIT, COLLECT, EPISODE_SEEDS, LEARN, EVALUATE, PLANNER_INIT = range(6)
