"""The ensemble learner: an ensemble world model, its value, and a value for exploration.

A phase fits the model to real transitions (`fit_model.py`), then the value inside the model
(`fit_value.py`), then a second value inside the model with a disagreement bonus (`bonus.py`), with
which collection plans in every other episode.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray, PyTree

from mbrl.data.replay_buffer import ReplayBuffer
from mbrl.models.base import AbstractLearner, Metrics
from mbrl.models.ensemble.bonus import with_bonus
from mbrl.models.ensemble.dynamics import AbstractDynamics
from mbrl.models.ensemble.fit_model import ModelFitter
from mbrl.models.ensemble.fit_value import ValueFitter, ValueState
from mbrl.models.ensemble.propagation import AbstractPropagation
from mbrl.models.ensemble.reward import AbstractReward
from mbrl.models.ensemble.termination import AbstractTermination
from mbrl.models.ensemble.world_model import WorldModel, with_value
from mbrl.models.optimisation import copy_arrays
from mbrl.models.risk import AbstractRiskMeasure
from mbrl.models.value import AbstractValue
from mbrl.randomness import MODEL_INIT, SPLIT
from mbrl.types import MAX_FACTOR, AbstractActionSpace


class BonusValue(NamedTuple):
    """The value of the model with a disagreement bonus, which collection alone plans with."""

    function: AbstractValue
    state: ValueState


class EnsembleState(NamedTuple):
    """What an ensemble learner has learned."""

    model: WorldModel
    optimizer_state: PyTree  # of the model's components
    value: ValueState
    bonus_value: BonusValue | None  # None without a disagreement bonus
    split_key: PRNGKeyArray  # of training and validation sets; constant, since the sets are


def _comparable(part: Callable[..., Any]) -> Callable[..., Any]:
    """A partial as a PyTree: equal settings make equal ones, which share a compiled program."""
    return (
        eqx.Partial(part.func, *part.args, **part.keywords) if isinstance(part, partial) else part
    )


class EnsembleLearner(AbstractLearner):
    """Learns an ensemble of dynamics, reward, termination and value from real transitions."""

    dynamics: Callable[..., AbstractDynamics] = eqx.field(converter=_comparable)
    reward: Callable[..., AbstractReward] = eqx.field(converter=_comparable)
    termination: Callable[..., AbstractTermination] = eqx.field(converter=_comparable)
    value: Callable[..., AbstractValue] = eqx.field(converter=_comparable)
    propagation: AbstractPropagation
    risk: AbstractRiskMeasure
    fit_model: ModelFitter
    fit_value: ValueFitter
    num_members: int = eqx.field(static=True)
    pessimism: float = eqx.field(static=True)  # standard deviations over members
    # Subtracted reward for full disagreement, in units of a typical reward.
    uncertainty_penalty: float = eqx.field(static=True)
    # Reward in collection for full disagreement of the members, in units of a typical reward.
    disagreement_bonus: float = eqx.field(static=True)
    # Whether that unit is at least the largest cost seen until an episode has terminated.
    bonus_floor_until_first_termination: bool = eqx.field(static=True)

    def __check_init__(self):
        if not 0 <= self.disagreement_bonus <= MAX_FACTOR:
            raise ValueError(
                f"model.disagreement_bonus={self.disagreement_bonus}: must be in [0, "
                f"{MAX_FACTOR}], beyond which single precision loses what it is added to. Try 0, "
                "which turns it off."
            )

    def init(
        self, key: PRNGKeyArray, observation_size: int, action_space: AbstractActionSpace
    ) -> EnsembleState:
        model = WorldModel(
            self.dynamics,
            self.reward,
            self.termination,
            self.value,
            self.propagation,
            self.risk,
            observation_size,
            action_space,
            jax.random.fold_in(key, MODEL_INIT),
            self.num_members,
            self.pessimism,
            self.uncertainty_penalty,
        )
        bonus_value = None
        if self.disagreement_bonus != 0 and self.num_members > 1:  # one cannot disagree
            value_state = self.fit_value.init(model)
            bonus_value = BonusValue(copy_arrays(model.value_function), value_state)
        return EnsembleState(
            model,
            self.fit_model.init(model),
            self.fit_value.init(model),
            bonus_value,
            jax.random.fold_in(key, SPLIT),
        )

    def update(
        self, key: PRNGKeyArray, state: EnsembleState, replay: ReplayBuffer
    ) -> tuple[EnsembleState, Metrics]:
        model_key, value_key = jax.random.split(key)
        data = replay.transitions()
        model, optimizer_state, metrics = self.fit_model(
            model_key, state.model, data, state.optimizer_state, state.split_key
        )
        value, value_state, value_metrics = self.fit_value(value_key, model, data, state.value)
        state = state._replace(
            model=with_value(model, value), optimizer_state=optimizer_state, value=value_state
        )
        if state.bonus_value is None:
            return state, metrics | value_metrics
        value, value_state, bonus_metrics = self.fit_value(
            value_key, self._bonus_model(state, state.bonus_value), data, state.bonus_value.state
        )
        for name, metric in bonus_metrics.items():
            value_metrics[name.replace("/", "/curious_")] = metric
        return state._replace(bonus_value=BonusValue(value, value_state)), metrics | value_metrics

    def model(self, state: EnsembleState) -> WorldModel:
        return state.model

    def collection_model(self, state: EnsembleState, episode: int) -> WorldModel:
        # Only every other episode has the bonus. The others are planned like evaluation episodes,
        # so that the agent tests what its plain model is wrong about.
        if state.bonus_value is None or episode % 2 == 1:
            return state.model
        return self._bonus_model(state, state.bonus_value)

    def _bonus_model(self, state: EnsembleState, bonus_value: BonusValue) -> WorldModel:
        return with_bonus(
            with_value(state.model, bonus_value.function),
            self.disagreement_bonus,
            self.bonus_floor_until_first_termination,
        )

    def parameters(self, state: EnsembleState) -> dict[str, PyTree]:
        return {"model": state.model.components, "value": state.model.value_function}
