"""The interface of a planner."""

import math
from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, Shaped

from mbrl.models.base import AbstractWorldModel
from mbrl.types import AbstractActionSpace

Info = dict[str, Float[Array, ""]]


class Decision(NamedTuple):
    """What a planner decides at one real step."""

    action: Shaped[Array, "*action"]
    state: PyTree  # of the planner, for the next decision
    info: Info  # scalars to log as `planner/<key>`; the keys are those of METRICS in every call


class AbstractPlanner(eqx.Module):
    """Chooses actions by planning in a world model, which is an argument: it changes during a run.

    Unbatched: callers `vmap` over episodes. A planner's state is what it carries from one decision
    to the next, such as a plan to start from. `init` creates it at the start of every episode, so
    that episodes are independent. A planner's own noise is not exploration: collection adds that.
    """

    METRICS: eqx.AbstractClassVar[dict[str, str]]  # what each key of `info` means

    action_space: eqx.AbstractVar[AbstractActionSpace]

    @abstractmethod
    def init(self, key: PRNGKeyArray) -> PyTree:
        """The planner's state at the start of an episode."""

    @abstractmethod
    def plan(
        self,
        key: PRNGKeyArray,
        model: AbstractWorldModel,
        belief: PyTree,
        state: PyTree,
    ) -> Decision:
        """Decides on an action by planning from the model's belief."""


def check_discount(discount: float) -> None:
    """Raises ValueError for a discount outside (0, 1]."""
    if not 0 < discount <= 1:
        raise ValueError(
            f"discount={discount}: must be in (0, 1]. It is the factor that each step of delay "
            "applies to a reward. Try 0.99."
        )


def check_count(planner: AbstractPlanner, name: str, at_most: float = math.inf) -> None:
    """Raises ValueError for a count below one, or too large to compile in reasonable time."""
    count = getattr(planner, name)
    if count < 1:
        raise ValueError(f"planner.{name}={count}: must be at least 1. Raise it.")
    if count > at_most:
        raise ValueError(
            f"planner.{name}={count}: must be at most {at_most}, to compile in reasonable time. "
            "Lower it."
        )
