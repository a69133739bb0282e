"""Gymnasium environments: their observations and actions, and messages for unsupported ones."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from mbrl.envs.fault_wrapper import EnvironmentFault
from mbrl.envs.gymnasium import GymnasiumEnvironment
from mbrl.envs.spaces import to_gymnasium
from mbrl.types import Box, Discrete, MultiDiscrete


class Echo(gymnasium.Env):
    """Stores the last action that it received."""

    def __init__(self, action_space, observation_space=None):
        self.action_space = action_space
        self.observation_space = observation_space or spaces.Box(-1.0, 1.0, (3,))
        self.received = None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        self.received = action
        return self.observation_space.sample(), 0.0, False, False, {}


@pytest.fixture
def echo():
    """Makes an environment of Echo with the given spaces."""

    def make(
        *spaces: spaces.Space, registered_limit: int | None = 7, **facts
    ) -> GymnasiumEnvironment:
        gymnasium.register(
            "Echo-v0", entry_point=lambda: Echo(*spaces), max_episode_steps=registered_limit
        )
        return GymnasiumEnvironment("Echo-v0", **facts)

    yield make
    gymnasium.registry.pop("Echo-v0", None)


def test_box_actions_reach_both_ends_of_the_environments_bounds(echo):
    environment = echo(
        spaces.Box(np.array([-3.0, 0.0], np.float32), np.array([1.0, 10.0], np.float32))
    )
    assert environment.action_space == Box(2)
    env = environment.make()
    env.reset(seed=0)
    for inside, outside in (
        ([-1, -1], [-3, 0]),
        ([1, 1], [1, 10]),
        ([0, 0.5], [-1, 7.5]),
        ([-1, 1], [-3, 10]),
    ):
        env.step(np.array(inside, np.float32))
        np.testing.assert_allclose(env.unwrapped.received, outside, rtol=1e-6)
        assert env.unwrapped.action_space.contains(env.unwrapped.received.astype(np.float32))


def test_double_precision_bounds_are_reached_too(echo):
    env = echo(spaces.Box(-2.0, 2.0, (1,), np.float64)).make()
    env.reset(seed=0)
    env.step(np.array([-1], np.float32))
    np.testing.assert_array_equal(env.unwrapped.received, [-2])


def test_an_action_that_is_no_number_stays_one():
    """So that the environment's fault shows it."""
    space = spaces.Box(-2.0, 2.0, (2,))
    assert np.isnan(to_gymnasium(space)(np.full(2, np.nan, np.float32))).all()


NUMBERS = st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False)
ACTIONS = st.floats(-1, 1, width=32, allow_subnormal=False) | st.sampled_from([-1.0, 1.0])


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=4), st.data())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_sent_is_inside_any_bounds(dtype, bounds, data):
    low, high = np.sort(np.array(bounds, dtype), axis=1).T
    space = spaces.Box(low, high, dtype=dtype)
    rescale = to_gymnasium(space)
    action = data.draw(st.lists(ACTIONS, min_size=len(bounds), max_size=len(bounds)))
    sent = rescale(np.array(action, np.float32))
    assert sent.dtype == dtype
    assert space.contains(sent)
    np.testing.assert_array_equal(rescale(-np.ones(len(bounds), np.float32)), low)
    np.testing.assert_array_equal(rescale(np.ones(len(bounds), np.float32)), high)


@pytest.mark.filterwarnings("ignore:.*maximum and minimum values are equal")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bounds", [(0.2, 0.9), (0.1, 0.1), (-1e-30, 1e-30), (-3e38, 3e38)])
def test_ends_of_bounds_that_are_no_round_numbers_are_sent_exactly(echo, bounds, dtype):
    env = echo(spaces.Box(*bounds, (1,), dtype)).make()
    env.reset(seed=0)
    for action, bound in zip((-1, 1), bounds, strict=True):
        env.step(np.array([action], np.float32))
        assert env.unwrapped.received == dtype(bound)


def test_discrete_actions_are_offset_by_the_start_of_the_space(echo):
    environment = echo(spaces.Discrete(3, start=5))
    assert environment.action_space == Discrete(3)
    env = environment.make()
    env.reset(seed=0)
    for action in range(3):
        env.step(np.int32(action))
        assert env.unwrapped.received == action + 5
        assert isinstance(env.unwrapped.received, int)


@pytest.mark.parametrize("start", [None, [5, -1, 0]], ids=["zero", "nonzero"])
def test_multi_discrete_actions_are_offset_by_the_start_of_the_space(echo, start):
    environment = echo(spaces.MultiDiscrete([3, 2, 4], start=start))
    assert environment.action_space == MultiDiscrete((3, 2, 4))
    env = environment.make()
    env.reset(seed=0)
    for action in ([0, 0, 0], [2, 1, 3], [1, 0, 2]):
        env.step(np.array(action, np.int32))
        np.testing.assert_array_equal(
            env.unwrapped.received, np.array(action) + np.array(start or [0, 0, 0])
        )
        assert env.unwrapped.action_space.contains(env.unwrapped.received)


@pytest.mark.parametrize(
    ("space", "flat", "actions"),
    [
        (spaces.Box(-1.0, 3.0, (2, 3)), Box(6), [[-1, 1, 0, -1, 1, 0.5], [1] * 6]),
        (spaces.Box(-1.0, 3.0, ()), Box(1), [[-1], [0.25], [1]]),
        (spaces.MultiBinary(3), MultiDiscrete((2, 2, 2)), [[0, 1, 1], [1, 0, 0]]),
        (spaces.MultiBinary((2, 2)), MultiDiscrete((2, 2, 2, 2)), [[0, 1, 1, 0]]),
        (spaces.MultiDiscrete([[2, 3], [2, 2]]), MultiDiscrete((2, 3, 2, 2)), [[1, 2, 0, 1]]),
    ],
    ids=["matrix", "scalar", "MultiBinary", "MultiBinary of a table", "MultiDiscrete of a table"],
)
def test_actions_of_any_shape_are_flat_inside(echo, space, flat, actions):
    environment = echo(space)
    assert environment.action_space == flat
    env = environment.make()
    env.reset(seed=0)
    for action in actions:
        env.step(np.array(action, np.float32 if isinstance(flat, Box) else np.int32))
        received = env.unwrapped.received
        assert space.contains(received)
        expected = 1 + 2 * np.array(action) if isinstance(flat, Box) else np.array(action)
        np.testing.assert_allclose(received, np.reshape(expected, space.shape))


@pytest.mark.parametrize(
    ("space", "size"),
    [
        (spaces.Box(-1.0, 1.0, (4,), np.float64), 4),
        (spaces.Box(-1.0, 1.0, ()), 1),
        (spaces.Box(-1.0, 1.0, (3, 2)), 6),
        (spaces.Tuple([spaces.Discrete(2), spaces.Box(-1.0, 1.0, (2, 2))]), 6),
        (
            spaces.Dict({"hand": spaces.Tuple([spaces.Discrete(3), spaces.MultiBinary(2)])}),
            5,
        ),
        (spaces.Box(0, 255, (5,), np.uint8), 5),
        (spaces.Discrete(6), 6),
        (spaces.Discrete(6, start=-2), 6),
        (spaces.MultiDiscrete([2, 3]), 5),
        (spaces.MultiBinary(4), 4),
        (spaces.Dict({"position": spaces.Box(-1.0, 1.0, (2,)), "gear": spaces.Discrete(3)}), 5),
    ],
    ids=str,
)
def test_observations_are_float32_vectors(echo, space, size):
    environment = echo(spaces.Discrete(2), space)
    assert environment.observation_size == size
    env = environment.make()
    for observation in (env.reset(seed=0)[0], env.step(np.int32(0))[0]):
        assert observation.shape == (size,)
        assert observation.dtype == np.float32


@pytest.mark.parametrize("id", ["FrozenLake-v1", "Taxi-v4"])
def test_discrete_observations_are_one_hot(id):
    environment = GymnasiumEnvironment(id)
    env = environment.make()
    observation, _ = env.reset(seed=0)
    assert environment.observation_size == env.unwrapped.observation_space.n
    np.testing.assert_array_equal(np.flatnonzero(observation), [env.unwrapped.s])
    assert observation.max() == 1
    env.close()


def test_observations_rewards_and_terminations_are_gymnasiums():
    environment = GymnasiumEnvironment("CartPole-v1")
    env, original = environment.make(), gymnasium.make("CartPole-v1")
    env.reset(seed=3)
    original.reset(seed=3)
    ended = False
    while not ended:
        observation, *rest = env.step(np.int32(1))
        expected, *expected_rest = original.step(1)
        np.testing.assert_array_equal(observation, expected)
        assert rest == expected_rest
        ended = rest[1] or rest[2]
    assert rest[1]


@pytest.mark.parametrize(("limit", "expected"), [(None, 7), (3, 3), (20, 20)])
def test_an_episode_limit_replaces_the_registered_one(echo, limit, expected):
    env = echo(spaces.Discrete(2), episode_limit=limit).make()
    env.reset(seed=0)
    num_steps, truncated = 0, False
    while not truncated:
        _, _, terminated, truncated, _ = env.step(np.int32(0))
        num_steps += 1
        assert not terminated
    assert num_steps == expected


def test_keyword_arguments_reach_the_environment():
    env = GymnasiumEnvironment(
        "FrozenLake-v1", kwargs={"map_name": "8x8", "is_slippery": False}
    ).make()
    assert env.unwrapped.observation_space.n == 64


def test_environments_of_make_are_independent(echo):
    environment = echo(spaces.Discrete(2))
    first, second = environment.make(), environment.make()
    first.reset(seed=0)
    first.step(np.int32(1))
    assert second.unwrapped.received is None


def error_message(make) -> str:
    with pytest.raises(ValueError) as caught:
        make()
    return str(caught.value)


@pytest.mark.parametrize(
    ("id", "kwargs", "parts"),
    [
        (
            "NoSuchTask-v3",
            {},
            ["env.id=NoSuchTask-v3 is not an environment that Gymnasium can make", "NoSuchTask"],
        ),
        (
            "CartPole-v7",
            {},
            ["env.id=CartPole-v7 is not an environment that Gymnasium can make", "v1"],
        ),
        ("not an id", {}, ["env.id=not an id is not an environment"]),
        ("no.such.module:Task-v0", {}, ["env.id=no.such.module:Task-v0 is not an environment"]),
        (
            "CartPole-v1",
            {"gravitty": 1},
            ["env.kwargs={'gravitty': 1} do not fit env.id=CartPole-v1", "gravitty"],
        ),
        (
            "FrozenLake-v1",
            {"map_name": "9x9"},
            ["env.kwargs={'map_name': '9x9'} do not fit env.id=FrozenLake-v1", "9x9"],
        ),
        (
            "FrozenLake-v1",
            {"success_rate": "high"},
            ["env.kwargs={'success_rate': 'high'} do not fit env.id=FrozenLake-v1"],
        ),
    ],
)
def test_invalid_ids_and_arguments_are_rejected_with_a_clear_message(id, kwargs, parts):
    message = error_message(lambda: GymnasiumEnvironment(id, kwargs=kwargs))
    assert all(part in message for part in parts), message
    assert "\n" not in message
    assert message.endswith(".")


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("time_step", 0.0),
        ("time_step", -1.0),
        ("suggested_steps", 0),
        ("reward_range", [1]),
        ("reward_range", [1, 0]),
        ("reward_range", []),
        ("step_timeout", 0),
        ("step_timeout", 1e30),
        ("episode_limit", 0),
    ],
)
def test_a_fact_that_no_environment_has_is_refused(fact, value):
    message = error_message(lambda: GymnasiumEnvironment("CartPole-v1", **{fact: value}))
    assert message.startswith(f"env.{fact}={value}: must be ")


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(0, 255, (8, 8, 3), np.uint8),
        spaces.Dict(
            {
                "camera": spaces.Box(0, 255, (8, 8, 3), np.uint8),
                "speed": spaces.Box(-1.0, 1.0, (1,)),
            }
        ),
        spaces.Text(5),
        spaces.Tuple([spaces.Discrete(2), spaces.Dict({"name": spaces.Text(5)})]),
        spaces.Sequence(spaces.Discrete(2)),
    ],
    ids=["image", "dict with an image", "text", "text inside", "sequence"],
)
def test_observations_that_are_not_vectors_are_rejected(echo, space):
    message = error_message(lambda: echo(spaces.Discrete(2), space))
    assert "env.id=Echo-v0: the observation space" in message
    assert "Choose an environment with numbers, vectors or matrices (Box)" in message


@pytest.mark.parametrize(
    "space",
    [
        spaces.Tuple([spaces.Discrete(2), spaces.Discrete(2)]),
        spaces.Box(-np.inf, np.inf, (2,)),
        spaces.Box(0, 5, (2,), np.int32),
        spaces.Box(-np.finfo(np.float32).max, np.finfo(np.float32).max, (2,)),
        spaces.Box(0, np.finfo(np.float64).max, (2,), np.float64),
    ],
    ids=[
        "tuple",
        "unbounded",
        "integers",
        "all of float32",
        "all of float64",
    ],
)
def test_unsupported_actions_are_rejected(echo, space):
    message = error_message(lambda: echo(space))
    assert "env.id=Echo-v0: the action space" in message
    assert "Discrete, MultiDiscrete or MultiBinary actions or a bounded Box of floats" in message


def test_episodes_without_a_limit_are_rejected(echo):
    message = error_message(lambda: echo(spaces.Discrete(2), registered_limit=None))
    assert message.startswith("env.id=Echo-v0: has no limit on the steps of an episode")
    assert message.endswith("Set one, such as env.episode_limit=200.")


def test_a_limit_in_the_config_is_enough(echo):
    env = echo(spaces.Discrete(2), registered_limit=None, episode_limit=2).make()
    env.reset(seed=0)
    assert [env.step(np.int32(0))[3] for _ in range(2)] == [False, True]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("no display"),
        FileNotFoundError(2, "No such file", "model.xml"),
        ImportError("mujoco_py is gone"),
        AttributeError("no action_space"),
        AssertionError("The environment must specify an action space"),
        SystemExit(3),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_constructor_raises_is_one_sentence_that_names_the_environment(error):
    def make():
        if len(made) == limit:
            raise error
        made.append(Echo(spaces.Discrete(2)))
        return made[-1]

    made, limit = [], 0
    gymnasium.register("Broken-v0", entry_point=make, max_episode_steps=5)
    try:
        message = error_message(lambda: GymnasiumEnvironment("Broken-v0"))
        assert f"env.id=Broken-v0 cannot be made, since it raised {type(error).__name__}" in message
        assert "\n" not in message
        limit = 1
        environment = GymnasiumEnvironment("Broken-v0")
        with pytest.raises(EnvironmentFault, match=r"env\.id=Broken-v0 cannot be made"):
            environment.make()
    finally:
        gymnasium.registry.pop("Broken-v0")
