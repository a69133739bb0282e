"""Fitted values against dynamic programming, on a chain and in a slippery corridor."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mbrl.config.build import build
from mbrl.data.normaliser import fit_normaliser
from mbrl.envs.corridor import TrueDynamics
from mbrl.envs.true_dynamics import AbstractTrueDynamics
from mbrl.models.ensemble.dynamics import KnownDynamics
from mbrl.models.ensemble.fit_value import ValueFitter
from mbrl.models.ensemble.reward import KnownReward
from mbrl.models.ensemble.termination import KnownTermination, NoTermination
from mbrl.models.ensemble.world_model import with_value
from mbrl.models.value import ValueNetwork, ZeroValue
from mbrl.types import Discrete, Transition
from tests.configs import resolved
from tests.data.made import all_valid
from tests.models.small import small_model, weighted

DISCOUNT, LENGTH = 0.9, 5
CORRIDOR = TrueDynamics()


class Chain(AbstractTrueDynamics):
    """Action 1 walks right from 0 to LENGTH, the others stay."""

    def from_observation(self, observation):
        return observation

    def step(self, key, state, action):
        return jnp.minimum(state + action[1], LENGTH)

    def observe(self, state):
        return state


def arrives(observation, action, next_observation):
    return next_observation[0] >= LENGTH


def arrival_reward(observation, action, next_observation):
    return arrives(observation, action, next_observation).astype(float)


def chain(width=8, num_actions=2, **changes):
    """Two members that know the chain, where arrival earns 1 and terminates, and steps on it."""
    positions = jnp.arange(LENGTH + 1.0)[:, None]
    ones = jnp.ones(LENGTH + 1)
    transitions = Transition(
        positions,
        ones.astype(int),
        (positions[:, 0] >= 4).astype(float),
        positions,
        ones > 1,
        ones > 1,
    )
    data = all_valid(transitions)
    components = {
        "dynamics": partial(KnownDynamics, Chain()),
        "reward": partial(KnownReward, arrival_reward),
        "termination": partial(KnownTermination, arrives),
        "value": partial(ValueNetwork, width=width),
    }
    sizes = {"observation_size": 1, "action_space": Discrete(num_actions), "num_members": 2}
    model = small_model(**(components | sizes | {"pessimism": 0.0} | changes))
    return model.with_normaliser(fit_normaliser(data)), data


def learner(**changes):
    settings = {
        "num_updates": 1500,
        "batch_size": 16,
        "num_states": 2000,
        "num_actions": 4,
        "rollout_length": 3,
        "tau": 0.05,
    }
    return ValueFitter(optimizer=optax.adam(3e-3), discount=DISCOUNT, **(settings | changes))


def test_values_match_dynamic_programming():
    model, data = chain(width=32)
    fit = learner()
    state = fit.init(model)
    for phase in range(2):
        value, state, metrics = eqx.filter_jit(fit)(jax.random.key(2 + phase), model, data, state)
        model = with_value(model, value)
    positions = jnp.arange(float(LENGTH))[:, None]
    values = jax.vmap(lambda position: model.value(jnp.broadcast_to(position, (2, 1))))(positions)
    # From position x the reward of 1 is LENGTH - x steps away.
    expected = DISCOUNT ** (LENGTH - 1 - np.arange(LENGTH))
    np.testing.assert_allclose(values, np.stack([expected, expected], 1), atol=0.06)
    assert metrics["loss/value"] < 0.01
    # The target network has followed the value.
    target_values = jax.vmap(
        lambda position: with_value(model, state.target).value(jnp.broadcast_to(position, (2, 1)))
    )(positions)
    np.testing.assert_allclose(target_values, values, atol=0.03)


@pytest.mark.parametrize(("num_actions", "predicted"), [(3, 3), (8, 8), (9, 4), (100, 4)])
def test_the_cost_of_a_state_does_not_grow_with_the_number_of_actions(num_actions, predicted):
    """At most twice the sampled candidates are predicted."""
    model, data = chain(num_actions=num_actions)
    transitions = eqx.filter_eval_shape(
        learner()._imagined_transitions, jax.random.key(0), model, data
    )
    assert transitions.rewards.shape[1] == predicted


@pytest.mark.parametrize("propagation", ["ts1", "ts_infinity"])
def test_values_match_dynamic_programming_where_sampling_spreads_the_particles(propagation):
    """In the slippery corridor each state has its own value, not the mean of its neighbours'."""
    particles = (f"model/propagation={propagation}", "model.propagation.particles_per_member=4")
    config = resolved("env=corridor", "model=oracle", *particles).tree
    model = weighted(lambda: build(config.model).init(jax.random.key(0), 1, Discrete(2)).model)
    starts = CORRIDOR.observe(jnp.arange(1.0, 9.0)[:, None])  # all cells but the ends
    rewards = jnp.zeros(8).at[0].set(-10.0).at[7].set(10.0)
    data = all_valid(
        Transition(starts, jnp.zeros(8, int), rewards, starts, rewards != 0, jnp.zeros(8, bool))
    )
    model = model.with_normaliser(fit_normaliser(data))
    fit = learner(rollout_length=15)
    state = fit.init(model)
    for phase in range(3):
        value, state, _ = eqx.filter_jit(fit)(jax.random.key(phase), model, data, state)
        model = with_value(model, value)
    values = jax.vmap(lambda start: model.aggregate(model.value(model.encode(start))))(starts)
    # The network rounds the value's corner at the cliff; without collapsing the particles, the
    # errors elsewhere are 0.7.
    np.testing.assert_allclose(values[1:], corridor_values()[1:], atol=0.4)


def corridor_values() -> np.ndarray:
    """Value iteration on the cells between the ends."""
    rewards, value = np.array([-10.0, 1, 0, 0, 0, 0, 0, 0, 0, 10]), np.zeros(10)
    for _ in range(300):
        ahead = rewards + DISCOUNT * value
        left, right = ahead[:-2], ahead[2:]
        value[1:9] = np.maximum(0.9 * left + 0.1 * right, 0.9 * right + 0.1 * left)
    return value[1:9]


@pytest.mark.parametrize(
    ("terminal", "largest"),
    [(False, 10.0), (True, 1.0)],
    ids=["nonterminal reward", "terminal reward"],
)
def test_values_are_clipped_to_the_return_bounds(terminal, largest):
    """The model predicts 5 per step for ever, a return of 50; the largest reward seen is 1."""

    def reward(observation, action, next_observation):
        return jnp.full((), 5.0)

    model, data = chain(reward=partial(KnownReward, reward), termination=NoTermination)
    terminated = (data.rows.reward > 0) & terminal
    seen = data._replace(rows=data.rows._replace(terminated=terminated))
    model = model.with_normaliser(fit_normaliser(seen))
    fit = learner(num_updates=300, num_states=64)
    value, state, _ = eqx.filter_jit(fit)(jax.random.key(2), model, seen, fit.init(model))
    for _ in range(3):
        value, state, _ = eqx.filter_jit(fit)(jax.random.key(3), model, seen, state)
    np.testing.assert_allclose(
        with_value(model, value).value(jnp.full((2, 1), 2.0)), largest, rtol=0.05
    )


def test_a_model_without_a_value_is_unchanged():
    model, data = chain(value=ZeroValue)
    state = learner().init(model)
    value, after, metrics = learner()(jax.random.key(0), model, data, state)
    assert value is model.value_function
    assert after is state
    assert metrics == {}


def test_the_initial_target_is_a_copy_of_the_value():
    """The compiled phases donate their buffers, and no buffer can be donated twice."""
    model, _ = chain(width=4)
    target = learner().init(model).target
    for ours, theirs in zip(
        *(
            jax.tree.leaves(eqx.filter(value, eqx.is_array))
            for value in (target, model.value_function)
        ),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.unsafe_buffer_pointer() != theirs.unsafe_buffer_pointer()


def test_a_discount_of_1_is_refused_only_for_a_learned_value():
    fit = ValueFitter(
        optax.adam(3e-3),
        1.0,
        num_updates=1,
        batch_size=1,
        num_states=1,
        num_actions=1,
        rollout_length=0,
        tau=1.0,
    )
    with pytest.raises(ValueError, match=r"discount=1.0: must be in \(0, 1\) to learn a value"):
        fit.init(chain()[0])
    fit.init(chain(value=ZeroValue)[0])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"rollout_length": -1}, "rollout_length=-1"),
        ({"tau": 0.0}, "tau=0.0"),
        ({"num_updates": 0}, "num_updates=0"),
    ],
)
def test_invalid_settings_are_refused(changes, named):
    with pytest.raises(ValueError, match=named):
        learner(**changes)


def test_planners_use_the_mean_weights_over_the_second_half_of_the_updates():
    """Of four updates: the mean of the third, which a phase of three ends with, and the fourth."""
    model, data = chain(width=4)
    start = learner().init(model)
    (_, after_three, _), (value, after_four, _) = (
        eqx.filter_jit(learner(num_updates=number))(jax.random.key(2), model, data, start)
        for number in (3, 4)
    )
    third, fourth, mean = (
        jax.tree.leaves(eqx.filter(each, eqx.is_array))
        for each in (after_three.online, after_four.online, value)
    )
    assert any(np.any(one != other) for one, other in zip(third, fourth, strict=True))
    for one, other, both in zip(third, fourth, mean, strict=True):
        np.testing.assert_allclose(both, (one + other) / 2, rtol=1e-5, atol=1e-6)
