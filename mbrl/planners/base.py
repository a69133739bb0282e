"""What the loop asks of a planner."""

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, Shaped

from mbrl.models.base import AbstractWorldModel
from mbrl.types import AbstractActionSpace

Info = dict[str, Float[Array, ""]]


class AbstractPlanner(eqx.Module):
    """Chooses actions by imagining with a world model, which is an argument: it changes as the run learns.

    Unbatched: callers `vmap` over episodes. What a planner carries from one decision to the next (a plan to start from)
    is its state, made anew by `init` at the start of every episode, so that nothing leaks from one into the next. A
    planner's own noise is not exploration, which belongs to collection.
    """

    action_space: eqx.AbstractVar[AbstractActionSpace]

    @abstractmethod
    def init(self, key: PRNGKeyArray) -> PyTree:
        """The planner's state at the start of an episode."""

    @abstractmethod
    def plan(
        self, key: PRNGKeyArray, model: AbstractWorldModel, observation: Float[Array, " observation"], state: PyTree
    ) -> tuple[Shaped[Array, "*action"], PyTree, Info]:
        """An action, the state for the next decision, and scalars worth recording (`planner/<key>`), always the same keys."""
