"""The point mass of conf/env/point_mass.yaml, known for certain: its own dynamics, and the value of its best control."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mbrl.config.build import build
from mbrl.config.compose import compose
from mbrl.envs.point_mass import FORCE_COST, FRICTION, TIME_STEP
from mbrl.models.value import AbstractValue
from mbrl.models.world_model import WorldModel
from mbrl.planners.base import AbstractPlanner

# Along each axis, of position and velocity.
DYNAMICS = np.array(
    [[1.0, TIME_STEP * (1 - TIME_STEP * FRICTION)], [0.0, 1 - TIME_STEP * FRICTION]]
)
CONTROL = np.array([TIME_STEP**2, TIME_STEP])
STATE_COST = np.diag([1.0, 0.0])  # of where a step leads


class LinearQuadraticValue(AbstractValue):
    """What the best control of a mass earns whose force has no bounds: -Σ z'Pz over the axes, z their position and velocity."""

    cost: jax.Array

    def __call__(self, normaliser, observation):
        axes = observation.reshape(2, 2).T
        return -jnp.sum((axes @ self.cost) * axes)


def cost_to_go(discount: float) -> np.ndarray:
    """The matrix P, by iterating the Riccati equation."""
    cost = STATE_COST
    for _ in range(1000):
        ahead = STATE_COST + discount * cost
        gain = CONTROL @ ahead @ DYNAMICS / (FORCE_COST + CONTROL @ ahead @ CONTROL)
        cost = DYNAMICS.T @ ahead @ (DYNAMICS - np.outer(CONTROL, gain))
    return cost


def known_plane(planner: str, actions: str, *overrides: str) -> tuple[AbstractPlanner, WorldModel]:
    """A planner of conf/planner in its own size, and the plane with that kind of action."""
    choices = [
        f"planner={planner}",
        "env=point_mass",
        f"env.kwargs.actions={actions}",
        "model=oracle",
        "model/value=none",
    ]
    config = compose([*choices, *overrides])
    environment = build(config.env)
    sizes = {
        "action_space": environment.action_space,
        "observation_size": environment.observation_size,
    }
    model = build(config.model, key=jax.random.key(0), **sizes)
    value = LinearQuadraticValue(jnp.asarray(cost_to_go(config.discount), jnp.float32)[None])
    model = eqx.tree_at(
        lambda model: model.value_function,
        model,
        value,
        is_leaf=lambda leaf: leaf is model.value_function,
    )
    return build(config.planner, action_space=environment.action_space), model


def episode_return(
    key: jax.Array, planner: AbstractPlanner, model: WorldModel, start: jax.Array, num_steps: int
) -> jax.Array:
    """The undiscounted return of an episode from an observation."""

    def one_step(carry, key):
        observation, state = carry
        plan_key, step_key = jax.random.split(key)
        action, state, _ = planner.plan(plan_key, model, observation, state)
        prediction = model.step(step_key, observation[None], action)
        return (prediction.state[0], state), prediction.reward[0]

    init_key, *keys = jax.random.split(key, num_steps + 1)
    _, rewards = jax.lax.scan(one_step, (start, planner.init(init_key)), jnp.stack(keys))
    return jnp.sum(rewards)


def some_starts(number: int) -> jax.Array:
    """Observations away from the middle, moving anywhere."""
    generator = np.random.default_rng(0)
    position = generator.uniform(0.5, 1.0, (number, 2)) * generator.choice([-1, 1], (number, 2))
    return jnp.asarray(
        np.concatenate([position, generator.uniform(-1, 1, (number, 2))], axis=1), jnp.float32
    )
