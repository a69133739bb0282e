"""Assembles the parts that a config names, and checks that they fit each other."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mbrl.config.build import build
from mbrl.config.resolve import ResolvedConfig
from mbrl.envs.gymnasium import GymnasiumEnvironment
from mbrl.errors import ConfigError, one_line
from mbrl.models.base import AbstractLearner
from mbrl.models.optimisation import num_parameters
from mbrl.planners.base import AbstractPlanner
from mbrl.planners.greedy import Greedy
from mbrl.training.evaluate import act_all, init_actors
from mbrl.training.loop import Training, initial_state, update
from mbrl.training.memory_check import check_memory
from mbrl.training.state import TrainState


class Parts(NamedTuple):
    """What a run is made of."""

    training: Training
    environment: GymnasiumEnvironment
    learner: AbstractLearner
    planner: AbstractPlanner
    state: TrainState  # before the first step

    @property
    def num_parameters(self) -> dict[str, int]:
        """Trainable parameters by the learner's names for them."""
        trained = self.learner.parameters(self.state.learner)
        return {name: num_parameters(part) for name, part in trained.items()}

    def describe(self) -> Iterator[str]:
        """Sentences on the parts and their sizes."""
        environment = self.environment
        counts = ", ".join(f"{count} ({name})" for name, count in self.num_parameters.items())
        yield (
            f"Environment {environment.id}: {environment.observation_size} numbers an observation, "
            f"actions {environment.action_space}, at most {environment.episode_limit} steps an "
            "episode."
        )
        yield f"Learner {type(self.learner).__name__}. Trainable parameters: {counts}."
        num_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(self.state.replay))
        yield (
            f"Planner {type(self.planner).__name__}. Replay buffer: "
            f"{self.training.replay_capacity} time steps, {num_bytes / 1e6:.1f} MB."
        )


def assemble(config: ResolvedConfig, trust: tuple[str, ...] = ()) -> Parts:
    """Builds each part by its `_target_`.

    Raises ConfigError for settings that a part refuses, for parts that do not fit each other, and
    for arrays that do not fit into memory.
    """
    tree = config.tree
    training = _checked(build(tree.training, trust), "training", Training, config)
    environment = _checked(build(tree.env, trust), "env", GymnasiumEnvironment, config)
    action_space = environment.action_space
    planner = build(tree.planner, trust, action_space=action_space)
    planner = _checked(planner, "planner", AbstractPlanner, config)
    learner = _checked(build(tree.model, trust), "model", AbstractLearner, config)

    def make_state(key):
        return initial_state(key, training, environment, learner)

    with _memory_errors(config):
        try:
            shapes = check_memory(make_state, jax.random.key(0))
            _check_fit(training, environment, learner, planner, shapes)
            state = make_state(jax.random.key(tree.seed))
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(str(error)) from error
        except TypeError as error:  # a given function cannot be called like the expected one
            raise ConfigError(f"The parts do not fit together ({one_line(error)}).") from error
    parts = Parts(training, environment, learner, planner, state)
    if isinstance(planner, Greedy) and not parts.num_parameters.get("value"):
        raise ConfigError(
            "planner=greedy: needs a learned value, without which it looks one reward ahead. "
            "Choose another model/value than none, or another planner."
        )
    return parts


def _checked(part: Any, name: str, kind: type, config: ResolvedConfig) -> Any:
    if isinstance(part, kind):
        return part
    target = config.tree[name]._target_
    raise ConfigError(f"{name}._target_={target}: makes no {kind.__name__}. See conf/{name}.")


def _check_fit(
    training: Training,
    environment: GymnasiumEnvironment,
    learner: AbstractLearner,
    planner: AbstractPlanner,
    state: TrainState,
) -> None:
    """Traces a decision of evaluation and a phase of learning, so that misfits show at once.

    These are the loop's own functions, so it need not trace them again for the same shapes.
    """
    episodes = np.arange(training.max_evaluation_episodes)
    shape = (len(episodes), environment.observation_size)
    observations = jax.ShapeDtypeStruct(shape, jnp.float32)
    model = eqx.filter_eval_shape(learner.model, state.learner)
    actors = eqx.filter_eval_shape(init_actors, planner, model, state.key, episodes)
    counters = (episodes, np.asarray(0))
    check_memory(act_all, planner, model, state.key, *counters, observations, actors)
    check_memory(update, learner, state, np.asarray(0))


@contextmanager
def _memory_errors(config: ResolvedConfig) -> Iterator[None]:
    """Turns a lack of memory into a ConfigError that names the largest settings."""
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        largest = sorted(_whole_numbers("", config.settings), reverse=True)[:3]
        named = ", ".join(f"{name}={value}" for value, name in largest)
        reason = str(error).split("\n")[0].rstrip(".")
        raise ConfigError(
            f"This config needs too much memory ({reason}). Lower what is too large: its largest "
            f"numbers are {named}."
        ) from error


def _whole_numbers(name: str, value: Any) -> Iterator[tuple[int, str]]:
    """Every whole number of the settings with its name, but for seeds."""
    if isinstance(value, dict):
        for key in value:
            yield from _whole_numbers(f"{name}.{key}".lstrip("."), value[key])
    elif name not in ("training.evaluation_seed", "seed") and _is_whole(value):
        yield int(value), name


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
