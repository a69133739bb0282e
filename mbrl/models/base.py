"""What a planner may ask of a world model."""

from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree, Shaped

from mbrl.data.normaliser import Normaliser
from mbrl.models.value import AbstractValue
from mbrl.types import AbstractActionSpace, Transition


class Prediction(NamedTuple):
    """One imagined step, each particle on its own account."""

    state: PyTree
    reward: Float[Array, " particles"]
    continuation: Float[Array, " particles"]  # probability that the episode goes on
    disagreement: Float[Array, ""]  # of the members on the next observation, from 0 to 1
    penalty: Float[Array, ""] | float = 0.0  # what was taken off each reward for it


class AbstractWorldModel(eqx.Module):
    """A belief about the environment: `particles` hypotheses that move side by side.

    Everything is unbatched: callers `vmap` over candidate plans, environments and seeds. How particles pass from member
    to member of an ensemble is the model's own affair; what they mean together, `aggregate` says. `components` is what
    `training/learn.py` fits to data with the gradients of `losses`, and `value_function` is what
    `training/fit_value.py` fits to imagined returns; a model that has nothing of the kind to learn leaves it empty.
    """

    components: eqx.AbstractVar[PyTree]
    value_function: eqx.AbstractVar[AbstractValue]
    action_space: eqx.AbstractVar[AbstractActionSpace]
    normaliser: eqx.AbstractVar[Normaliser]
    num_members: eqx.AbstractVar[int]
    bonus: eqx.AbstractVar[Float[Array, ""]]  # reward for full disagreement, in units of reward
    use_pessimism: eqx.AbstractVar[Bool[Array, ""]]  # False: no uncertainty penalty, plain means

    @abstractmethod
    def encode(self, key: PRNGKeyArray, observation: Float[Array, " observation"]) -> PyTree:
        """The model's state after an observation, to plan from."""

    @abstractmethod
    def step(
        self, key: PRNGKeyArray, state: PyTree, action: Shaped[Array, "*action"]
    ) -> Prediction:
        """What an action leads to."""

    @abstractmethod
    def collapse_particles(self, key: PRNGKeyArray, state: PyTree) -> PyTree:
        """The state with all particles where one of them is: one place, of which it can be asked what it is worth."""

    @abstractmethod
    def value(self, state: PyTree) -> Float[Array, " particles"]:
        """Expected discounted return from here on; zero where no value is learned."""

    @abstractmethod
    def aggregate(self, estimates: Float[Array, " particles"]) -> Float[Array, ""]:
        """One number for what the particles make of a plan, a return or a value."""

    @abstractmethod
    def with_normaliser(self, normaliser: Normaliser) -> "AbstractWorldModel":
        """The same model in the scale of the data seen so far."""

    @abstractmethod
    def losses(self, key: PRNGKeyArray, transitions: Transition) -> dict[str, Float[Array, ""]]:
        """What to minimise for `components`, by metric name, on a batch for each member (leaves lead with [members, batch])."""


def with_value(model: AbstractWorldModel, value: AbstractValue) -> AbstractWorldModel:
    """The model with another value function."""
    return eqx.tree_at(lambda model: model.value_function, model, value)
