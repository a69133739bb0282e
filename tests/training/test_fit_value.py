"""Fitted values against dynamic programming on a chain whose values are known in closed form."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mbrl.data.normaliser import fit_normaliser
from mbrl.data.replay import empty_replay
from mbrl.models.base import AbstractWorldModel, Prediction
from mbrl.models.ensemble import each_member, members_of
from mbrl.models.value import FittedValue, ZeroValue
from mbrl.training.fit_value import ValueLearner
from mbrl.training.state import TrainState
from mbrl.types import Discrete, Transition

DISCOUNT, LENGTH = 0.9, 5


class Chain(AbstractWorldModel):
    """Action 1 walks right from 0 to LENGTH, action 0 stays; a reward of 1, and the end, on arrival."""

    parts: tuple
    value_function: FittedValue | ZeroValue
    normaliser: object
    action_space: Discrete
    num_members: int = eqx.field(static=True, default=2)

    def encode(self, key, observation):
        return jnp.broadcast_to(observation, (2, 1))

    def step(self, key, state, action):
        moved = jnp.minimum(state + action.astype(float), LENGTH)
        arrived = (moved[:, 0] >= LENGTH).astype(float)
        return Prediction(moved, arrived, 1.0 - arrived)

    def value(self, state):
        return each_member(lambda value, observation: value(self.normaliser, observation), self.value_function, state)

    def combine(self, estimates):
        return jnp.mean(estimates)

    def normalised(self, normaliser):
        return eqx.tree_at(lambda model: model.normaliser, self, normaliser)

    def losses(self, key, transitions):
        return {}


def chain_state(value):
    replay = empty_replay(LENGTH + 1, 1, Discrete(2))
    positions = jnp.arange(LENGTH + 1.0)[:, None]
    ones = jnp.ones(LENGTH + 1)
    transitions = Transition(positions, ones.astype(int), (positions[:, 0] >= 4).astype(float), positions, ones > 1, ones > 1)
    replay = replay.add(transitions)
    model = Chain((), value, fit_normaliser(replay), Discrete(2))
    return TrainState(jax.random.key(0), model, (), model.value_function, (), replay)


def learner(**changes):
    settings = {"num_updates": 1500, "batch_size": 16, "num_actions": 4, "walk_steps": 3, "target_rate": 0.05}
    return ValueLearner(optimizer=optax.adam(3e-3), discount=DISCOUNT, **(settings | changes))


def test_values_are_those_of_dynamic_programming():
    value = members_of(FittedValue, jax.random.key(1), 2, observation_size=1, width=32)
    state = chain_state(value)
    fit = learner()
    state = state._replace(value_optimizer_state=fit.init(state.model))
    for phase in range(2):
        state, metrics = eqx.filter_jit(fit.learn)(jax.random.key(2 + phase), state)
    positions = jnp.arange(float(LENGTH))[:, None]
    values = jax.vmap(lambda position: state.model.value(jnp.broadcast_to(position, (2, 1))))(positions)
    # From position x the reward of 1 is LENGTH - x steps away.
    expected = DISCOUNT ** (LENGTH - 1 - np.arange(LENGTH))
    np.testing.assert_allclose(values, np.stack([expected, expected], 1), atol=0.06)
    assert metrics["loss/value"] < 0.01


def test_a_model_without_a_value_is_left_as_it_is():
    state = chain_state(ZeroValue())
    after, metrics = learner().learn(jax.random.key(0), state)
    assert after is state
    assert metrics == {}


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"walk_steps": -1}, "walk_steps=-1"), ({"target_rate": 0.0}, "target_rate=0.0"), ({"num_updates": 0}, "num_updates=0")],
)
def test_settings_that_make_no_sense_are_refused(changes, named):
    with pytest.raises(ValueError, match=named):
        learner(**changes)
