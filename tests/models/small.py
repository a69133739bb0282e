"""Models of a few units, for tests of how components work together, not of how well they learn."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from mbrl.data.normaliser import Normaliser
from mbrl.models.ensemble.dynamics import ResidualDynamics
from mbrl.models.ensemble.propagation import Expectation
from mbrl.models.ensemble.reward import KnownReward, LearnedReward
from mbrl.models.ensemble.termination import LearnedTermination, NoTermination
from mbrl.models.ensemble.world_model import WorldModel
from mbrl.models.risk import LowerConfidenceBound
from mbrl.models.value import ValueNetwork, ZeroValue
from mbrl.types import Discrete, Transition

OBSERVATION_SIZE = 4
ACTIONS = Discrete(3)
SIZES = {"observation_size": OBSERVATION_SIZE, "num_features": ACTIONS.num_features}


def example_normaliser(size: int) -> Normaliser:
    """Distinct powers of two, so that normalising and denormalising is exact."""

    def entries(*values: float) -> jax.Array:
        return jnp.asarray(np.resize(values, size), jnp.float32)

    return Normaliser(
        observation_mean=entries(1.0, 0.0, -2.0, 0.5),
        observation_std=entries(2.0, 0.5, 1.0, 4.0),
        delta_mean=entries(0.25, 0.0, -0.5, 1.0),
        delta_std=entries(0.5, 2.0, 1.0, 0.25),
        reward_mean=jnp.float32(3.0),
        reward_std=jnp.float32(4.0),
        terminal_reward_mean=jnp.float32(7.0),
        terminal_reward_std=jnp.float32(0.5),
        reward_min=jnp.float32(-2.0),
        reward_max=jnp.float32(8.0),
        terminal_reward_min=jnp.float32(-1.0),
        terminal_reward_max=jnp.float32(4.0),
        reward_offset=jnp.float32(0.0),
        reward_rms=jnp.float32(5.0),
        seen_terminal=jnp.array(True),
    )


NORMALISER = example_normaliser(OBSERVATION_SIZE)


def no_reward(observation, action, next_observation):
    return jnp.zeros(())


# For models of nothing but dynamics.
DYNAMICS_ONLY = {
    "reward": partial(KnownReward, no_reward),
    "termination": NoTermination,
    "value": ZeroValue,
}


def small_model(seed: int = 0, **changes) -> WorldModel:
    """A world model of three members, in the scale of `example_normaliser`."""
    components = {
        "dynamics": partial(ResidualDynamics, width=8, depth=1),
        "reward": partial(LearnedReward, width=8),
        "termination": partial(LearnedTermination, width=8),
        "value": partial(ValueNetwork, width=8, depth=1),
    }
    settings = {
        "observation_size": OBSERVATION_SIZE,
        "action_space": ACTIONS,
        "num_members": 3,
        "pessimism": 1.0,
    }
    settings |= {"propagation": Expectation(), "risk": LowerConfidenceBound()}
    settings |= components | changes
    model = weighted(lambda: WorldModel(key=jax.random.key(0), **settings), seed)
    return model.with_normaliser(example_normaliser(settings["observation_size"]))


Module = TypeVar("Module", bound=eqx.Module)


def weighted(make: Callable[[], Module], seed: int = 0) -> Module:
    """The module that `make` returns, with weights from NumPy.

    Compiling JAX's generator for each of their shapes takes seconds.
    """

    def fill(leaf):
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        if not leaf.shape:  # bonus=0 and use_pessimism=True, as the constructor sets them
            return jnp.asarray(leaf.dtype == bool, leaf.dtype)
        num_inputs = leaf.shape[-1]
        return jnp.asarray(generator.normal(size=leaf.shape) / np.sqrt(num_inputs), leaf.dtype)

    generator = np.random.default_rng(seed)
    return jax.tree.map(fill, eqx.filter_eval_shape(make))


@eqx.filter_jit
def losses(model: WorldModel, key: jax.Array, transitions: Transition) -> dict[str, jax.Array]:
    return model.losses(key, transitions)


def zeroed(part: PyTree) -> PyTree:
    """The same module with zero weights, whose networks output zero."""
    return jax.tree.map(
        lambda leaf: jnp.zeros_like(leaf) if eqx.is_inexact_array(leaf) else leaf, part
    )


def poisoned(part: PyTree) -> PyTree:
    """The same module with NaN weights, whose networks output NaN."""
    return jax.tree.map(
        lambda leaf: jnp.full_like(leaf, jnp.nan) if eqx.is_inexact_array(leaf) else leaf, part
    )


def num_parameters(part: PyTree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(part, eqx.is_inexact_array)))


def member(part: PyTree, number: int) -> PyTree:
    """One member of an ensemble, for reference implementations that loop over them."""
    return jax.tree.map(lambda leaf: leaf[number] if eqx.is_array(leaf) else leaf, part)


def example_step() -> tuple[jax.Array, jax.Array, jax.Array]:
    """An observation, action features and a next observation."""
    return (
        jnp.array([0.5, -1.0, 0.0, 2.0]),
        ACTIONS.features(jnp.array(1)),
        jnp.array([1.0, -0.5, -1.0, 3.5]),
    )


def random_transitions(shape: tuple[int, ...], seed: int = 1) -> Transition:
    """Random transitions whose leaves lead with `shape`."""
    generator = np.random.default_rng(seed)
    transitions = Transition(
        observation=generator.normal(size=(*shape, OBSERVATION_SIZE)).astype(np.float32),
        action=generator.integers(0, ACTIONS.num_actions, shape, np.int32),
        reward=generator.normal(size=shape).astype(np.float32),
        next_observation=generator.normal(size=(*shape, OBSERVATION_SIZE)).astype(np.float32),
        terminated=generator.random(shape) < 0.5,
        truncated=np.zeros(shape, bool),
    )
    return jax.tree.map(jnp.asarray, transitions)


def linear_transitions(number: int, seed: int) -> Transition:
    """s' = A s + B a, with reward s₀ - a₀, terminating at s'₁ > 1."""
    generator = np.random.default_rng(seed)
    observation = generator.normal(size=(number, 2)).astype(np.float32)
    action = generator.uniform(-1, 1, (number, 1)).astype(np.float32)
    next_observation = observation @ np.array(
        [[0.9, 0.2], [-0.3, 1.1]], np.float32
    ) + action * np.array([0.5, -1.0], np.float32)
    reward = observation[:, 0] - action[:, 0]
    return Transition(
        observation,
        action,
        reward,
        next_observation,
        next_observation[:, 1] > 1,
        np.zeros(number, bool),
    )
