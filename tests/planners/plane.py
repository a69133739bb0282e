"""The point mass of conf/env/point_mass.yaml with its true dynamics and its optimal value."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mbrl.config.build import build
from mbrl.envs.point_mass import FORCE_COST, FRICTION, TIME_STEP
from mbrl.models.ensemble.world_model import WorldModel
from mbrl.models.value import AbstractValue
from mbrl.planners.base import AbstractPlanner
from tests.configs import resolved

# Of position and velocity, along each axis.
DYNAMICS = np.array(
    [[1.0, TIME_STEP * (1 - TIME_STEP * FRICTION)], [0.0, 1 - TIME_STEP * FRICTION]]
)
CONTROL = np.array([TIME_STEP**2, TIME_STEP])
STATE_COST = np.diag([1.0, 0.0])  # of the next state


class LinearQuadraticValue(AbstractValue):
    """The optimal value for unbounded forces: -Σ z'Pz over axes, z = (position, velocity)."""

    cost: jax.Array

    def __call__(self, normaliser, observation):
        axes = observation.reshape(2, 2).T
        return -jnp.sum((axes @ self.cost) * axes)


def cost_to_go(discount: float) -> np.ndarray:
    """The matrix P, by iteration of the Riccati equation."""
    cost = STATE_COST
    for _ in range(1000):
        next_cost = STATE_COST + discount * cost
        gain = CONTROL @ next_cost @ DYNAMICS / (FORCE_COST + CONTROL @ next_cost @ CONTROL)
        cost = DYNAMICS.T @ next_cost @ (DYNAMICS - np.outer(CONTROL, gain))
    return cost


def planner_and_true_model(
    planner: str, actions: str, *overrides: str
) -> tuple[AbstractPlanner, WorldModel]:
    """A planner of conf/planner at its default size, and the true model for these actions."""
    choices = [
        f"planner={planner}",
        "env=point_mass",
        f"env.kwargs.actions={actions}",
        "model=oracle",
        "model/value=none",
    ]
    config = resolved(*choices, *overrides).tree
    environment = build(config.env)
    sizes = (environment.observation_size, environment.action_space)
    model = build(config.model).init(jax.random.key(0), *sizes).model
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
        belief, state = carry
        plan_key, step_key = jax.random.split(key)
        action, state, _ = planner.plan(plan_key, model, belief, state)
        prediction = model.step(step_key, belief, action)
        return (prediction.state, state), prediction.reward[0]

    init_key, *keys = jax.random.split(key, num_steps + 1)
    _, rewards = jax.lax.scan(
        one_step, (model.encode(start), planner.init(init_key)), jnp.stack(keys)
    )
    return jnp.sum(rewards)


def initial_observations(num_observations: int) -> jax.Array:
    """Observations away from the middle, with velocities in any direction."""
    generator, shape = np.random.default_rng(0), (num_observations, 2)
    position = generator.uniform(0.5, 1.0, shape) * generator.choice([-1, 1], shape)
    velocity = generator.uniform(-1, 1, shape)
    return jnp.asarray(np.concatenate([position, velocity], axis=1), jnp.float32)
