"""World models: the contract between what is learned and the planners that use it."""

from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree, Shaped

from mbrl.data.normaliser import Normaliser
from mbrl.models.value import AbstractValue
from mbrl.types import AbstractActionSpace, Transition


class Prediction(NamedTuple):
    """One predicted step of all particles."""

    state: PyTree
    reward: Float[Array, " particles"]
    continuation: Float[Array, " particles"]  # probability that the episode continues
    disagreement: Float[Array, ""]  # of the members on the next observation, from 0 to 1
    penalty: Float[Array, ""] | float = 0.0  # already subtracted from each reward


class AbstractWorldModel(eqx.Module):
    """Predicts the outcomes of actions with `particles` hypotheses that move side by side.

    Everything is unbatched: callers `vmap` over candidate plans, environments and seeds. How
    particles are assigned to the members of an ensemble is private to the model; `aggregate` turns
    their estimates into one number. `training/learn.py` fits `components` to data with the
    gradients of `losses`, and `training/fit_value.py` fits `value_function` to predicted returns;
    either may have no parameters.

    `models/bonus.py` sets `bonus` and `use_pessimism`, so that models with and without a bonus
    share one compiled program. With a single member they have no effect.
    """

    components: eqx.AbstractVar[PyTree]
    value_function: eqx.AbstractVar[AbstractValue]
    action_space: eqx.AbstractVar[AbstractActionSpace]
    normaliser: eqx.AbstractVar[Normaliser]
    num_members: eqx.AbstractVar[int]
    bonus: eqx.AbstractVar[Float[Array, ""]]  # reward for full disagreement, in units of reward
    use_pessimism: eqx.AbstractVar[Bool[Array, ""]]  # False: no uncertainty penalty, plain mean

    @abstractmethod
    def encode(self, key: PRNGKeyArray, observation: Float[Array, " observation"]) -> PyTree:
        """The model's state for an observation, to plan from."""

    @abstractmethod
    def step(
        self, key: PRNGKeyArray, state: PyTree, action: Shaped[Array, "*action"]
    ) -> Prediction:
        """Predicts the outcome of an action."""

    @abstractmethod
    def collapse_particles(self, key: PRNGKeyArray, state: PyTree) -> PyTree:
        """Moves all particles to one of them, drawn at random, so that the state has one value."""

    @abstractmethod
    def value(self, state: PyTree) -> Float[Array, " particles"]:
        """Expected discounted return from the state on; zero where no value is learned."""

    @abstractmethod
    def aggregate(self, estimates: Float[Array, " particles"]) -> Float[Array, ""]:
        """Aggregates the particles' estimates of a return or value into one number."""

    @abstractmethod
    def with_normaliser(self, normaliser: Normaliser) -> "AbstractWorldModel":
        """The same model with another normaliser."""

    @abstractmethod
    def losses(self, key: PRNGKeyArray, transitions: Transition) -> dict[str, Float[Array, ""]]:
        """Losses of `components` by metric name, of which learning minimises the sum.

        Leaves of `transitions` lead with [members, batch].
        """


def with_value(model: AbstractWorldModel, value: AbstractValue) -> AbstractWorldModel:
    """The model with another value function."""
    return eqx.tree_at(lambda model: model.value_function, model, value)
