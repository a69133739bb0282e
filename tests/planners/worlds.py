"""Worlds with known best plans: boards, tables of combinations, a hill, a linear-quadratic mass."""

import itertools
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mbrl.models.base import AbstractWorldModel, Prediction
from mbrl.models.policy import AbstractActionDistribution, Uniform
from mbrl.types import AbstractActionSpace, Box, Discrete, MultiDiscrete

# The numbers of a world. Worlds that differ only in these are compiled once.
Facts = dict[str, jax.Array]
Path = tuple[int, ...]


class World(AbstractWorldModel):
    """A deterministic world with one particle, whose state is the observation.

    A fact is `size`, which neither a reward nor a value exceeds.
    """

    action_space: AbstractActionSpace
    facts: Facts
    # Functions of facts, state and action.
    transition: Callable[..., jax.Array] = eqx.field(static=True)
    reward: Callable[..., jax.Array] = eqx.field(static=True)
    continuation: Callable[..., jax.Array] = eqx.field(static=True)
    # A function of facts and state.
    state_value: Callable[..., jax.Array] = eqx.field(static=True)
    observation_size: int = eqx.field(static=True, default=1)
    learned_policy: AbstractActionDistribution | None = None

    def initial(self):
        return jnp.zeros(self.observation_size)

    def observe(self, key, belief, action, observation, is_first):
        return observation

    def step(self, key, state, action):
        return Prediction(
            self.transition(self.facts, state, action),
            self.reward(self.facts, state, action)[None],
            self.continuation(self.facts, state, action)[None],
        )

    def value(self, state):
        return self.state_value(self.facts, state)[None]

    def policy(self, state):
        return Uniform(self.action_space) if self.learned_policy is None else self.learned_policy

    def aggregate(self, estimates):
        return jnp.mean(estimates)

    def return_bounds(self, discount):
        size = self.facts["size"] / (1 - discount)
        return -size, size


def largest(numbers: np.ndarray | jax.Array) -> jax.Array:
    """The largest finite number in size."""
    return jnp.max(jnp.abs(jnp.where(jnp.isfinite(numbers), numbers, 0.0)))


# Boards: squares 0, 1, …, starting at 0. Each action moves to a square, earns a reward, and may end
# the episode.

NUM_SQUARES = 40  # those of a tree of depth 3: 1 + 3 + 9 + 27
CHILDREN = 3  # of each node of a tree


def board(
    moves: np.ndarray,
    rewards: np.ndarray,
    continuation: np.ndarray | float = 1.0,
    values: np.ndarray | float = 0.0,
) -> World:
    """`moves`, `rewards`, `continuation`: [square, action]; `values`: [square].

    From squares that are not given, each action stays and earns nothing.
    """
    num_actions = np.shape(rewards)[1]
    shape = (NUM_SQUARES, num_actions)
    defaults = {
        "moves": np.tile(np.arange(NUM_SQUARES)[:, None], (1, num_actions)),
        "rewards": np.zeros(shape),
        "continuation": np.ones(shape),
        "values": np.zeros(NUM_SQUARES),
    }
    facts = {}
    given = (moves, rewards, continuation, values)
    for (name, table), rows in zip(defaults.items(), given, strict=True):
        table[: np.shape(rows)[0] if np.ndim(rows) else None] = rows
        facts[name] = jnp.asarray(table, int if name == "moves" else float)
    facts["size"] = jnp.maximum(largest(facts["rewards"]), largest(facts["values"]))
    functions = (_board_transition, _board_reward, _board_continuation, _board_value)
    return World(Discrete(num_actions), facts, *functions)


def _board_transition(facts, state, action):
    return facts["moves"][state.astype(int), action].astype(float)


def _board_reward(facts, state, action):
    return facts["rewards"][state[0].astype(int), action]


def _board_continuation(facts, state, action):
    return facts["continuation"][state[0].astype(int), action]


def _board_value(facts, state):
    return facts["values"][state[0].astype(int)]


def bandit(rewards: Sequence[float], pulls: int = 1) -> World:
    """Arm k earns rewards[k]; `pulls` arms can be pulled in an episode."""
    squares = np.arange(pulls)[:, None]
    return board(np.tile(squares + 1, (1, len(rewards))), np.tile(np.array(rewards), (pulls, 1)))


def tree(
    seed: int, depth: int = 3, termination: float = 0.0, offset: float = 0.0
) -> tuple[World, Callable[[Path], float]]:
    """A tree of random rewards, and a function that computes the undiscounted return of a path.

    The children of node n are 3n + 1, 3n + 2 and 3n + 3. Each edge terminates with probability
    `termination`. Rewards are standard normal plus `offset`.
    """
    generator = np.random.default_rng(seed)
    num_inner = sum(CHILDREN**level for level in range(depth))
    rewards = offset + generator.normal(size=(num_inner, CHILDREN))
    terminates = generator.random((num_inner, CHILDREN)) < termination

    def path_return(path: Path) -> float:
        node, total = 0, 0.0
        for action in path:
            total += rewards[node, action]
            if terminates[node, action]:
                break
            node = CHILDREN * node + 1 + action
        return total

    children = CHILDREN * np.arange(num_inner)[:, None] + 1 + np.arange(CHILDREN)
    return board(children, rewards, 1.0 - terminates), path_return


def best_path(path_return: Callable[[Path], float], depth: int = 3, prefix: Path = ()) -> Path:
    """The best path with this prefix, by exhaustive search."""
    rest = itertools.product(range(CHILDREN), repeat=depth - len(prefix))
    return max((prefix + path for path in rest), key=path_return)


# A reward table: the state never changes, and an action of two entries earns an entry of the table.


def reward_table(rewards: np.ndarray) -> World:
    """`rewards`: [first entry, second entry]."""
    facts = {"rewards": jnp.asarray(rewards, float), "size": largest(rewards)}
    return World(MultiDiscrete(np.shape(rewards)), facts, _stay, _table_reward, _one, _zero)


def _table_reward(facts, state, action):
    return facts["rewards"][action[0], action[1]]


# A hill: the state never changes, and an action costs the square of its distance from the top.
# Predictions diverge for actions whose first entry is beyond the cliff.


def hill(top: Sequence[float], cliff: float = np.inf) -> World:
    facts = {
        "top": jnp.asarray(top, float),
        "cliff": jnp.asarray(cliff, float),
        "bad": jnp.asarray(np.nan, float),
        "size": jnp.asarray(np.sum((1 + np.abs(top)) ** 2), float),
    }
    return World(Box(len(top)), facts, _stay, _hill_reward, _one, _zero)


def _hill_reward(facts, state, action):
    return jnp.where(
        action[0] > facts["cliff"], facts["bad"], -jnp.sum((action - facts["top"]) ** 2)
    )


def _stay(facts, state, action):
    return state


def _one(facts, state, action):
    return jnp.ones(())


def _zero(facts, state):
    return jnp.zeros(())


# A mass on a line, with quadratic costs of state and action and of the final state.

TIME_STEP = 0.3
DYNAMICS = np.array([[1.0, TIME_STEP], [0.0, 1.0]])
CONTROL = np.array([0.5 * TIME_STEP**2, TIME_STEP])
STATE_COST = np.diag([1.0, 0.2])
ACTION_COST = 0.5
FINAL_COST = np.diag([3.0, 1.0])


def point_mass() -> World:
    matrices = {
        "dynamics": DYNAMICS,
        "control": CONTROL,
        "state cost": STATE_COST,
        "final cost": FINAL_COST,
    }
    facts = {name: jnp.asarray(matrix, float) for name, matrix in matrices.items()}
    facts["size"] = jnp.float32(1e6)
    return World(Box(1), facts, _mass_transition, _mass_reward, _one, _final_value, 2)


def _mass_transition(facts, state, action):
    return facts["dynamics"] @ state + facts["control"] * action


def _mass_reward(facts, state, action):
    return -(state @ facts["state cost"] @ state + ACTION_COST * action[0] ** 2)


def _final_value(facts, state):
    return -(state @ facts["final cost"] @ state)


def riccati(horizon: int, discount: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """The cost-to-go matrix P at the first step and the gains K of all: cost s'Ps, action -Ks."""
    cost, gains = FINAL_COST, []
    for _ in range(horizon):
        action_cost = ACTION_COST + discount * CONTROL @ cost @ CONTROL
        gain = discount * CONTROL @ cost @ DYNAMICS / action_cost
        cost = STATE_COST + discount * DYNAMICS.T @ cost @ (DYNAMICS - np.outer(CONTROL, gain))
        gains.insert(0, gain)
    return cost, gains


def optimal_plan(state: np.ndarray, horizon: int, discount: float) -> np.ndarray:
    """The best actions from a state, [horizon, 1]."""
    actions = []
    for gain in riccati(horizon, discount)[1]:
        actions.append(-gain @ state)
        state = DYNAMICS @ state + CONTROL * actions[-1]
    return np.array(actions)[:, None]
