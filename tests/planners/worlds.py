"""Worlds whose best plans are known: boards that can be searched by hand, choices, a hill, and a linear-quadratic point mass."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mbrl.data.normaliser import Normaliser, identity_normaliser
from mbrl.models.base import AbstractWorldModel, Prediction
from mbrl.models.value import AbstractValue
from mbrl.types import AbstractActionSpace, Box, Discrete, MultiDiscrete

Facts = dict[
    str, jax.Array
]  # the numbers of a world: what differs in nothing else is compiled once
Path = tuple[int, ...]


class Worth(AbstractValue):
    """Says that a world's states have a value, which the world itself knows; nobody asks this one."""

    def __call__(self, normaliser, observation):
        raise NotImplementedError


class World(AbstractWorldModel):
    """A deterministic world, known for certain: its state is the observation, its one particle moves by plain functions."""

    action_space: AbstractActionSpace
    facts: Facts
    transition: Callable[..., jax.Array] = eqx.field(
        static=True
    )  # of facts, state and action, as the next two
    reward: Callable[..., jax.Array] = eqx.field(static=True)
    continuation: Callable[..., jax.Array] = eqx.field(static=True)
    worth: Callable[..., jax.Array] = eqx.field(static=True)  # of facts and state
    components: tuple = ()
    value_function: AbstractValue = Worth()
    normaliser: Normaliser = eqx.field(
        default_factory=lambda: replace(identity_normaliser(1), reward_max=jnp.float32(1e6))
    )
    num_members: int = eqx.field(static=True, default=1)
    bonus: jax.Array = eqx.field(default_factory=lambda: jnp.zeros(()))
    use_pessimism: jax.Array = eqx.field(default_factory=lambda: jnp.array(True))

    def encode(self, key, observation):
        return observation[None]

    def step(self, key, state, action):
        step = (self.facts, state[0], action)
        return Prediction(
            self.transition(*step)[None],
            self.reward(*step)[None],
            self.continuation(*step)[None],
            jnp.zeros(()),
        )

    def collapse_particles(self, key, state):
        return state

    def value(self, state):
        return self.worth(self.facts, state[0])[None]

    def aggregate(self, estimates):
        return jnp.mean(estimates)

    def with_normaliser(self, normaliser):
        return replace(self, normaliser=normaliser)

    def losses(self, key, transitions):
        return {}

    def knowing(self, **facts: jax.Array) -> "World":
        """The same world with some numbers changed."""
        return replace(
            self,
            facts=self.facts
            | {name: jnp.asarray(value, self.facts[name].dtype) for name, value in facts.items()},
        )


# Boards: places 0, 1, …; each action moves somewhere, earns a reward, and perhaps ends the episode. Play starts at place 0.

NUM_PLACES = 40  # a tree of depth 3 fills them: 1 + 3 + 9 + 27
CHILDREN = 3  # of each of a tree's nodes


def board(
    moves: np.ndarray,
    rewards: np.ndarray,
    continuation: np.ndarray | float = 1.0,
    values: np.ndarray | float = 0.0,
) -> World:
    """`moves`, `rewards` and `continuation` by [place, action], `values` by [place]; places that are not given lead nowhere."""
    num_actions = np.shape(rewards)[1]
    tables = {
        "moves": np.tile(np.arange(NUM_PLACES)[:, None], (1, num_actions)),
        "rewards": np.zeros((NUM_PLACES, num_actions)),
    }
    tables |= {"continuation": np.ones((NUM_PLACES, num_actions)), "values": np.zeros(NUM_PLACES)}
    for name, given in (
        ("moves", moves),
        ("rewards", rewards),
        ("continuation", continuation),
        ("values", values),
    ):
        tables[name][: np.shape(given)[0] if np.ndim(given) else None] = given
    facts = {
        name: jnp.asarray(table, int if name == "moves" else float)
        for name, table in tables.items()
    }
    return World(Discrete(num_actions), facts, _move, _earn, _go_on, _be_there)


def _move(facts, state, action):
    return facts["moves"][state.astype(int), action].astype(float)


def _earn(facts, state, action):
    return facts["rewards"][state[0].astype(int), action]


def _go_on(facts, state, action):
    return facts["continuation"][state[0].astype(int), action]


def _be_there(facts, state):
    return facts["values"][state[0].astype(int)]


def bandit(rewards: Sequence[float], pulls: int = 1) -> World:
    """Arm k earns rewards[k], up to three times."""
    places = np.arange(pulls)[:, None]
    return board(np.tile(places + 1, (1, len(rewards))), np.tile(np.array(rewards), (pulls, 1)))


def tree(
    seed: int, depth: int = 3, ending: float = 0.0, offset: float = 0.0
) -> tuple[World, Callable[[Path], float]]:
    """A tree of random rewards, and the return of a path through it by plain arithmetic, undiscounted.

    Node n's children are 3n + 1, 3n + 2 and 3n + 3; a share of `ending` of the steps end the episode. Rewards are standard
    normal plus `offset`.
    """
    generator = np.random.default_rng(seed)
    num_inner = sum(CHILDREN**level for level in range(depth))
    rewards = offset + generator.normal(size=(num_inner, CHILDREN))
    ends = generator.random((num_inner, CHILDREN)) < ending

    def path_return(path: Path) -> float:
        node, total = 0, 0.0
        for action in path:
            total += rewards[node, action]
            if ends[node, action]:
                break
            node = CHILDREN * node + 1 + action
        return total

    children = CHILDREN * np.arange(num_inner)[:, None] + 1 + np.arange(CHILDREN)
    return board(children, rewards, 1.0 - ends), path_return


def best_path(path_return: Callable[[Path], float], depth: int = 3, beginning: Path = ()) -> Path:
    """The best of all paths with this beginning, by trying them all."""
    rest = itertools.product(range(CHILDREN), repeat=depth - len(beginning))
    return max((beginning + path for path in rest), key=path_return)


# Choices: nothing changes, and an action of two entries earns what the table says of both together.


def choices(rewards: np.ndarray) -> World:
    """`rewards` by [first entry, second entry]."""
    return World(
        MultiDiscrete(np.shape(rewards)),
        {"rewards": jnp.asarray(rewards, float)},
        _stay,
        _earn_both,
        _surely,
        _nothing,
    )


def _earn_both(facts, state, action):
    return facts["rewards"][action[0], action[1]]


# A hill: nothing changes, and an action costs the square of its distance from the top. Beyond the cliff predictions diverge.


def hill(top: Sequence[float], cliff: float = np.inf) -> World:
    facts = {
        "top": jnp.asarray(top, float),
        "cliff": jnp.asarray(cliff, float),
        "bad": jnp.asarray(np.nan, float),
    }
    return World(Box(len(top)), facts, _stay, _height, _surely, _nothing)


def _height(facts, state, action):
    return jnp.where(
        action[0] > facts["cliff"], facts["bad"], -jnp.sum((action - facts["top"]) ** 2)
    )


def _stay(facts, state, action):
    return state


def _surely(facts, state, action):
    return jnp.ones(())


def _nothing(facts, state):
    return jnp.zeros(())


# A mass on a line, pushed towards the origin; quadratic costs of state and action, and of the state that is left at the end.

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
    return World(Box(1), facts, _pushed, _push_reward, _surely, _end_reward)


def _pushed(facts, state, action):
    return facts["dynamics"] @ state + facts["control"] * action


def _push_reward(facts, state, action):
    return -(state @ facts["state cost"] @ state + ACTION_COST * action[0] ** 2)


def _end_reward(facts, state):
    return -(state @ facts["final cost"] @ state)


def riccati(horizon: int, discount: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """The cost-to-go matrix P and the gains K of each step of the finite horizon: cost s'Ps, action -Ks."""
    cost, gains = FINAL_COST, []
    for _ in range(horizon):
        gain = (
            discount
            * CONTROL
            @ cost
            @ DYNAMICS
            / (ACTION_COST + discount * CONTROL @ cost @ CONTROL)
        )
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
