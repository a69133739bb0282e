"""The best possible returns (`env.best_score`): dynamic programming in the true dynamics, acted on in the environment itself.

    python benchmarks/best_score.py                         pendulum, mountain_car and mountain_car_continuous; some minutes
    python benchmarks/best_score.py pendulum --points 800   a finer grid
    python benchmarks/best_score.py mountain_car --planner "planner=mcts planner.num_simulations=200"    search over the value

Values of a grid of physical states, linear in between, are swept until they stay, or as often as an episode has steps:
V(s) ← max_a r + c V(s'), undiscounted, with the environment's own motion, reward and termination as model=oracle has them (value
iteration; Bellman 1957). A planner with that value acts on the held-out start states of every evaluation. What it earns is a lower
bound of the best possible, and close to it where neither a finer grid nor more candidates nor a deeper search add anything.

MountainCarContinuous is another matter: what one step's power costs is less than any grid can tell, and the best takes all the time
there is. Power in proportion to velocity adds the most energy for its cost; what is searched for is the factor, for each start state.
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
from mbrl.envs.true_dynamics import AbstractTrueDynamics
from mbrl.models import rollout
from mbrl.models.base import with_value
from mbrl.models.value import AbstractValue
from mbrl.models.world_model import WorldModel
from mbrl.planners.base import AbstractPlanner
from mbrl.training.evaluate import evaluate
from mbrl.types import AbstractActionSpace, Box

EPISODES, FIRST_SEED = 50, 10_000  # the held-out start states that results are reported on
LEVELS = 41  # that the action of a Box is cut into
STATES_AT_ONCE = 4096
SETTLED = 1e-3  # change of a value, in units of reward, that ends the sweeps


@dataclass(frozen=True)
class Axis:
    """A coordinate of the physical state."""

    low: float
    high: float
    wraps: bool = False  # an angle

    def points(self, number: int) -> np.ndarray:
        return np.linspace(self.low, self.high, number, endpoint=not self.wraps)


AXES = {
    "pendulum": (Axis(-np.pi, np.pi, wraps=True), Axis(-8.0, 8.0)),
    "mountain_car": (Axis(-1.2, 0.6), Axis(-0.07, 0.07)),
}
PUSHED = "mountain_car_continuous"
FACTORS = np.linspace(4.5, 7.5, 31)  # power for each unit of velocity


class Pushing(AbstractPlanner):
    """Power in proportion to the car's velocity."""

    METRICS: ClassVar[dict[str, str]] = {}

    action_space: AbstractActionSpace
    factor: Array

    def init(self, key):
        return ()

    def plan(self, key, model, observation, state):
        return jnp.clip(self.factor * observation[1:], -1.0, 1.0), state, {}


class GridValue(AbstractValue):
    """Values of a grid of physical states, multilinear in between; beyond its borders those at the border."""

    values: Float[Array, "..."]  # one axis for each of the state's
    dynamics: AbstractTrueDynamics
    axes: tuple[Axis, ...] = eqx.field(static=True)

    def __call__(self, normaliser, observation):
        below, above, shares = zip(
            *map(
                self._neighbours,
                self.axes,
                self.values.shape,
                self.dynamics.from_observation(observation),
            ),
            strict=True,
        )
        corners = itertools.product(
            *(
                [(low, 1 - share), (high, share)]
                for low, high, share in zip(below, above, shares, strict=True)
            )
        )
        return sum(
            (
                self.values[tuple(place for place, _ in corner)]
                * jnp.prod(jnp.stack([share for _, share in corner]))
                for corner in corners
            ),
            jnp.zeros(()),
        )

    @staticmethod
    def _neighbours(axis: Axis, number: int, coordinate: Float[Array, ""]):
        """The points below and above a coordinate, and the share of the one above."""
        intervals = number if axis.wraps else number - 1
        place = (coordinate - axis.low) / (axis.high - axis.low) * intervals
        place = place % intervals if axis.wraps else jnp.clip(place, 0, intervals)
        below = jnp.minimum(place.astype(jnp.int32), intervals - 1)
        return below, (below + 1) % number, place - below


def main() -> None:
    given = parsed_arguments()
    set_threads(1)
    for env in given.envs or (*AXES, PUSHED):
        started = perf_counter()
        found = pushed() if env == PUSHED else planned(env, given.planner.split(), given.points)
        print(f"{env}: {found}, {perf_counter() - started:.0f} s", flush=True)


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "envs",
        nargs="*",
        choices=[*AXES, PUSHED, []],
        metavar="ENV",
        help=f"of {', '.join(AXES)}, {PUSHED}",
    )
    parser.add_argument(
        "--planner", default="planner=greedy", help="overrides that choose the planner, in quotes"
    )
    parser.add_argument(
        "--points",
        type=int,
        default=400,
        help="of each axis of the grid; an even number has one at the angle 0",
    )
    return parser.parse_args()


def pushed() -> str:
    """What the best factors earn."""
    config = compose([f"env={PUSHED}", "model/value=none", "planner=random"])
    _, environment, _, state = assemble(config)
    pushing = [
        Pushing(environment.action_space, jnp.asarray(factor, jnp.float32)) for factor in FACTORS
    ]
    returns = [evaluate(environment, planner, state, EPISODES, FIRST_SEED) for planner in pushing]
    best = np.argmax(returns, axis=0)
    return f"{summary(np.max(returns, axis=0))}, with power {FACTORS[best.min()]:.2g} to {FACTORS[best.max()]:.2g} times the velocity"


def planned(env: str, planner: list[str], points: int) -> str:
    """What the best policy of a grid earns."""
    common = [f"env={env}", "model=oracle", "model/value=none", "discount=1"]
    _, environment, _, state = assemble(compose([*common, "planner=random"]))
    axes = AXES[env]
    grid = [axis.points(points) for axis in axes]
    value = GridValue(
        jnp.zeros([each.size for each in grid]), state.model.components.dynamics.function, axes
    )
    states = jnp.asarray(
        np.stack(np.meshgrid(*grid, indexing="ij"), axis=-1).reshape(-1, len(grid)), jnp.float32
    )
    actions, changes = every_action(environment.action_space), []
    while not changes or (changes[-1] > SETTLED and len(changes) < environment.episode_limit):
        value, change = swept(state.model, value, states, actions)
        changes.append(float(change))
    acting = build(compose([*common, *planner]).planner, (), action_space=environment.action_space)
    returns = evaluate(
        environment, acting, state._replace(model=valued(state.model, value)), EPISODES, FIRST_SEED
    )
    assert returns is not None
    return f"{summary(returns)}, {grid[0].size} points an axis, {len(changes)} sweeps, the last changes: {changes[-1]:.2g}"


def summary(returns: np.ndarray) -> str:
    return f"{returns.mean():.2f} on {EPISODES} start states, from {returns.min():.1f} to {returns.max():.1f}"


def every_action(space: AbstractActionSpace) -> Array:
    """All actions, or as good as all."""
    if isinstance(space, Box):
        assert space.size == 1
        return jnp.linspace(-1.0, 1.0, LEVELS)[:, None]
    return space.candidates(jax.random.key(0), 0)


@eqx.filter_jit
def swept(
    model: WorldModel, value: GridValue, states: Float[Array, "points coordinates"], actions: Array
):
    """The value one step farther from the end of an episode, and the largest change."""
    before, key = valued(model, value), jax.random.key(0)  # nothing is random here

    def best_of(state: Float[Array, " coordinates"]) -> Float[Array, ""]:
        start = rollout.start(key, before, value.dynamics.observe(state))
        return jnp.max(
            jax.vmap(lambda action: rollout.plan_return(key, before, start, action[None], 1.0))(
                actions
            )
        )

    values = jax.lax.map(best_of, states, batch_size=STATES_AT_ONCE).reshape(value.values.shape)
    return eqx.tree_at(lambda value: value.values, value, values), jnp.max(
        jnp.abs(values - value.values)
    )


def valued(model: WorldModel, value: GridValue) -> WorldModel:
    """The model with a value for its only member."""
    return with_value(
        model, jax.tree.map(lambda leaf: leaf[None] if eqx.is_array(leaf) else leaf, value)
    )


if __name__ == "__main__":
    main()
