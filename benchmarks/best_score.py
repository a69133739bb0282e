"""Estimates the best possible returns (`env.best_score`) by dynamic programming.

    python benchmarks/best_score.py                         all environments below, some minutes
    python benchmarks/best_score.py pendulum --points 800   a finer grid
    python benchmarks/best_score.py mountain_car --planner "planner=mcts"    search over the value

Value iteration (Bellman 1957) on a grid of physical states, with linear interpolation and the true
motion, reward and termination of model=oracle: V(s) ← max_a r + c V(s'), undiscounted, until it
converges or for as many sweeps as an episode has steps. A planner with that value then acts in the
environment, from the held-out start states of evaluation. Its mean return is a lower bound of the
best possible. It is close if a finer grid, more candidates and a deeper search do not improve it.

For mountain_car_continuous no grid is fine enough for the cost of one step's power, and the best
policy takes all the time it has. Power proportional to velocity gains the most energy for its
cost, so the script searches for the best factor for each start state.
"""

import argparse
import itertools
from dataclasses import dataclass
from time import perf_counter
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mbrl.assemble import assemble
from mbrl.config.build import build
from mbrl.config.compose import compose
from mbrl.config.process import set_threads
from mbrl.config.resolve import resolve
from mbrl.envs.true_dynamics import AbstractTrueDynamics
from mbrl.models import rollout
from mbrl.models.base import with_value
from mbrl.models.ensemble.world_model import WorldModel
from mbrl.models.value import AbstractValue
from mbrl.planners.base import AbstractPlanner
from mbrl.training.evaluate import evaluate
from mbrl.types import AbstractActionSpace, Box

NUM_EPISODES, FIRST_SEED = 50, 10_000  # the start states of reported results
NUM_BOX_ACTIONS = 41  # values of a Box action
STATE_BATCH_SIZE = 4096
TOLERANCE = 1e-3  # largest change of a converged value, in units of reward


@dataclass(frozen=True)
class Axis:
    """A coordinate of the physical state."""

    low: float
    high: float
    wraps: bool = False  # an angle

    def points(self, num_points: int) -> np.ndarray:
        return np.linspace(self.low, self.high, num_points, endpoint=not self.wraps)


AXES = {
    "pendulum": (Axis(-np.pi, np.pi, wraps=True), Axis(-8.0, 8.0)),
    "mountain_car": (Axis(-1.2, 0.6), Axis(-0.07, 0.07)),
}
PROPORTIONAL = "mountain_car_continuous"
FACTORS = np.linspace(4.5, 7.5, 31)  # power / velocity


class ProportionalPower(AbstractPlanner):
    """Power proportional to the car's velocity."""

    METRICS: ClassVar[dict[str, str]] = {}

    action_space: AbstractActionSpace
    factor: Array

    def init(self, key):
        return ()

    def plan(self, key, model, observation, state):
        return jnp.clip(self.factor * observation[1:], -1.0, 1.0), state, {}


class GridValue(AbstractValue):
    """Values on a grid of physical states: multilinear inside, constant beyond its borders."""

    values: Float[Array, "..."]  # one axis for each coordinate of the state
    dynamics: AbstractTrueDynamics
    axes: tuple[Axis, ...] = eqx.field(static=True)

    def __call__(self, normaliser, observation):
        state = self.dynamics.from_observation(observation)
        below, above, weights = zip(
            *map(self._neighbours, self.axes, self.values.shape, state), strict=True
        )
        corners = itertools.product(
            *(
                [(low, 1 - weight), (high, weight)]
                for low, high, weight in zip(below, above, weights, strict=True)
            )
        )
        return sum(
            (
                self.values[tuple(index for index, _ in corner)]
                * jnp.prod(jnp.stack([weight for _, weight in corner]))
                for corner in corners
            ),
            jnp.zeros(()),
        )

    @staticmethod
    def _neighbours(axis: Axis, num_points: int, coordinate: Float[Array, ""]):
        """Indices of the points below and above a coordinate, and the weight of the second."""
        intervals = num_points if axis.wraps else num_points - 1
        position = (coordinate - axis.low) / (axis.high - axis.low) * intervals
        position = position % intervals if axis.wraps else jnp.clip(position, 0, intervals)
        below = jnp.minimum(position.astype(jnp.int32), intervals - 1)
        return below, (below + 1) % num_points, position - below


def main() -> None:
    arguments = parse_arguments()
    set_threads(1)
    for env in arguments.envs or (*AXES, PROPORTIONAL):
        start = perf_counter()
        if env == PROPORTIONAL:
            result = evaluate_proportional_power()
        else:
            result = evaluate_grid_policy(env, arguments.planner.split(), arguments.points)
        print(f"{env}: {result}, {perf_counter() - start:.0f} s", flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*AXES, PROPORTIONAL]
    parser.add_argument(
        "envs", nargs="*", choices=[*names, []], metavar="ENV", help=f"any of {', '.join(names)}"
    )
    parser.add_argument(
        "--planner", default="planner=greedy", help="overrides of the planner, in quotes"
    )
    parser.add_argument(
        "--points",
        type=int,
        default=400,
        help="grid points of each axis; an even number includes the angle 0",
    )
    return parser.parse_args()


def evaluate_proportional_power() -> str:
    """Returns of the best factor for each start state, as text."""
    config = compose([f"env={PROPORTIONAL}", "model/value=none", "planner=random"])
    _, environment, _, state = assemble(resolve(config))
    planners = [
        ProportionalPower(environment.action_space, jnp.asarray(factor, jnp.float32))
        for factor in FACTORS
    ]
    evaluations = [
        evaluate(environment, planner, state, NUM_EPISODES, FIRST_SEED) for planner in planners
    ]
    returns = [evaluation.returns for evaluation in evaluations if evaluation is not None]
    best = np.argmax(returns, axis=0)
    low, high = FACTORS[best.min()], FACTORS[best.max()]
    return f"{summary(np.max(returns, axis=0))}, with power {low:.2g} to {high:.2g} times velocity"


def evaluate_grid_policy(env: str, planner: list[str], num_points: int) -> str:
    """Returns of a planner with the value of a grid, as text."""
    common = [f"env={env}", "model=oracle", "model/value=none", "discount=1"]
    _, environment, _, state = assemble(resolve(compose([*common, "planner=random"])))
    axes = AXES[env]
    grid = [axis.points(num_points) for axis in axes]
    dynamics = state.model.components.dynamics.function
    value = GridValue(jnp.zeros([points.size for points in grid]), dynamics, axes)
    states = np.stack(np.meshgrid(*grid, indexing="ij"), axis=-1).reshape(-1, len(grid))
    states = jnp.asarray(states, jnp.float32)
    actions, changes = all_actions(environment.action_space), []
    while not changes or (changes[-1] > TOLERANCE and len(changes) < environment.episode_limit):
        value, change = sweep(state.model, value, states, actions)
        changes.append(float(change))
    config = resolve(compose([*common, *planner]))
    acting = build(config.tree.planner, action_space=environment.action_space)
    state = state._replace(model=with_grid_value(state.model, value))
    evaluation = evaluate(environment, acting, state, NUM_EPISODES, FIRST_SEED)
    assert evaluation is not None
    return (
        f"{summary(evaluation.returns)}, {num_points} points an axis, {len(changes)} sweeps, "
        f"the last of which changes {changes[-1]:.2g}"
    )


def summary(returns: np.ndarray) -> str:
    return (
        f"{returns.mean():.2f} on {NUM_EPISODES} start states, "
        f"from {returns.min():.1f} to {returns.max():.1f}"
    )


def all_actions(space: AbstractActionSpace) -> Array:
    """All actions of a discrete space, or a fine grid of a one-dimensional Box."""
    if isinstance(space, Box):
        assert space.size == 1
        return jnp.linspace(-1.0, 1.0, NUM_BOX_ACTIONS)[:, None]
    return space.candidates(jax.random.key(0), 0)


@eqx.filter_jit
def sweep(
    model: WorldModel, value: GridValue, states: Float[Array, "points coordinates"], actions: Array
):
    """The value after one sweep of value iteration, and its largest change."""
    model, key = with_grid_value(model, value), jax.random.key(0)  # nothing is random here

    def best_return(state: Float[Array, " coordinates"]) -> Float[Array, ""]:
        start = rollout.start(key, model, value.dynamics.observe(state))
        returns = jax.vmap(
            lambda action: rollout.plan_return(key, model, start, action[None], 1.0)
        )(actions)
        return jnp.max(returns)

    values = jax.lax.map(best_return, states, batch_size=STATE_BATCH_SIZE)
    values = values.reshape(value.values.shape)
    change = jnp.max(jnp.abs(values - value.values))
    return eqx.tree_at(lambda value: value.values, value, values), change


def with_grid_value(model: WorldModel, value: GridValue) -> WorldModel:
    """The model with a value for its only member."""
    member_values = jax.tree.map(lambda leaf: leaf[None] if eqx.is_array(leaf) else leaf, value)
    return with_value(model, member_values)


if __name__ == "__main__":
    main()
