"""The two contracts of what is learned: world models, which planners ask, and learners."""

from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree, Shaped

from mbrl.data.replay_buffer import ReplayBuffer
from mbrl.models.policy import AbstractActionDistribution
from mbrl.types import AbstractActionSpace

Metrics = dict[str, Float[Array, ""]]  # by metric name (`loggers/metrics.py`)


class Prediction(NamedTuple):
    """One predicted step of all particles."""

    state: PyTree
    reward: Float[Array, " particles"]
    continuation: Float[Array, " particles"]  # probability that the episode continues
    heads: dict[str, Array] | None = None  # other predictions of the model, by name


class AbstractWorldModel(eqx.Module):
    """Predicts the outcomes of actions with `particles` hypotheses that move side by side.

    This is all that a planner may ask, and nothing of how it was learned. A belief is a state that
    follows from what was observed; a model without memory makes it of the last observation alone.
    Everything is unbatched: callers `vmap` over candidate plans, environments and seeds.
    """

    @abstractmethod
    def initial(self) -> PyTree:
        """The belief before an episode, with the structure, shapes and dtypes of every belief."""

    @abstractmethod
    def observe(
        self,
        key: PRNGKeyArray,
        belief: PyTree,
        action: Shaped[Array, "*action"],
        observation: Float[Array, " observation"],
        is_first: Bool[Array, ""],
    ) -> PyTree:
        """The belief after a real action and the observation that followed.

        `is_first` marks the first observation of an episode, at which a model forgets what it
        believed; the action before it means nothing. After random warm-up steps, it marks the first
        one that is planned from. A belief outlasts a phase of learning within its episode.
        """

    @abstractmethod
    def step(
        self, key: PRNGKeyArray, state: PyTree, action: Shaped[Array, "*action"]
    ) -> Prediction:
        """Predicts the outcome of an action."""

    @abstractmethod
    def value(self, state: PyTree) -> Float[Array, " particles"]:
        """Expected discounted return from the state on; zero where no value is learned."""

    @abstractmethod
    def policy(self, state: PyTree) -> AbstractActionDistribution:
        """The distribution over actions there; `Uniform` where no policy is learned."""

    @abstractmethod
    def aggregate(self, estimates: Float[Array, " particles"]) -> Float[Array, ""]:
        """Aggregates the particles' estimates of a return or value into one number."""

    @abstractmethod
    def return_bounds(self, discount: float) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The smallest and the largest possible discounted return, of which one may be zero.

        Both are finite, and zero lies between them. `discount` is below 1; with zero they bound the
        reward of a single step.
        """


class AbstractLearner(eqx.Module):
    """Owns all that is learned: parameters, optimisers, target networks, the normaliser.

    `conf/model` names a learner; how it is trained is its own setting. A learner never changes
    during a run: what changes is its state, a PyTree of arrays, which checkpoints hold.
    """

    @abstractmethod
    def init(
        self, key: PRNGKeyArray, observation_size: int, action_space: AbstractActionSpace
    ) -> PyTree:
        """The state before the first update.

        `key` is the run's root key: fold ids of your own into it, from 1000 on, and do not split
        it, since the ids of `randomness.py` are taken.
        """

    @abstractmethod
    def update(
        self, key: PRNGKeyArray, state: PyTree, replay: ReplayBuffer
    ) -> tuple[PyTree, Metrics]:
        """One phase of learning; pure, and compiled by the loop. Its key is new in each phase.

        The new state has the structure, shapes and dtypes of the old one. Metrics are logged under
        their names; one that is not finite ends the run.
        """

    @abstractmethod
    def model(self, state: PyTree) -> AbstractWorldModel:
        """The world model that evaluation plans in."""

    @abstractmethod
    def collection_model(self, state: PyTree, episode: int) -> AbstractWorldModel:
        """The model that collection plans in, in the episode of this index.

        It may explore, by an exploration bonus for example. Models of all episodes have the same
        structure, so that they share a compiled program.
        """

    @abstractmethod
    def parameters(self, state: PyTree) -> dict[str, PyTree]:
        """The trained parameters by name, to count them; those of a value are named `value`."""
