"""What the loop asks of a planner."""

import math
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

    METRICS: eqx.AbstractClassVar[dict[str, str]]  # the glossary of what `info` holds

    action_space: eqx.AbstractVar[AbstractActionSpace]

    @abstractmethod
    def init(self, key: PRNGKeyArray) -> PyTree:
        """The planner's state at the start of an episode."""

    @abstractmethod
    def plan(
        self,
        key: PRNGKeyArray,
        model: AbstractWorldModel,
        observation: Float[Array, " observation"],
        state: PyTree,
    ) -> tuple[Shaped[Array, "*action"], PyTree, Info]:
        """An action, the state for the next decision, and scalars worth recording (`planner/<key>`), always the same keys."""


def check_discount(discount: float) -> None:
    """Raises ValueError for a discount that no sum of rewards can have."""
    if not 0 < discount <= 1:
        raise ValueError(
            f"discount={discount} must be in (0, 1]: what a reward loses with each step until it comes; try 0.99."
        )


def check_count(planner: AbstractPlanner, name: str, at_most: float = math.inf) -> None:
    """Raises ValueError for a count that is less than one, or more than what can be compiled in good time."""
    count = getattr(planner, name)
    if count < 1:
        raise ValueError(f"planner.{name}={count} must be at least 1; raise it.")
    if count > at_most:
        raise ValueError(
            f"planner.{name}={count} must be at most {at_most}, or it would take too long to compile; lower it."
        )
