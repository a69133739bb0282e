"""The parts that a config names, built and checked against each other before anything is run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from omegaconf import DictConfig

from mbrl.config.build import build
from mbrl.config.resolve import resolve
from mbrl.envs.gymnasium import GymnasiumEnvironment
from mbrl.errors import ConfigError
from mbrl.models.base import AbstractWorldModel
from mbrl.planners.base import AbstractPlanner
from mbrl.training.loop import Training, initial_state, learn
from mbrl.training.memory_check import check_memory
from mbrl.training.state import MODEL_INIT, TrainState


def assemble(
    config: DictConfig, trust: tuple[str, ...] = ()
) -> tuple[Training, GymnasiumEnvironment, AbstractPlanner, TrainState]:
    """The schedules, the environment, the planner, and the state to learn from, each by its `_target_`."""
    resolve(config)  # which refuses what no run can have
    training = build(config.training, trust)
    _check_kind(config, "training", training, Training)
    environment = build(config.env, trust)
    _check_kind(config, "env", environment, GymnasiumEnvironment)
    planner = build(config.planner, trust, action_space=environment.action_space)
    _check_kind(config, "planner", planner, AbstractPlanner)
    spaces = {
        "observation_size": environment.observation_size,
        "action_space": environment.action_space,
    }

    def make_state(key):
        model = build(config.model, trust, key=jax.random.fold_in(key, MODEL_INIT), **spaces)
        _check_kind(config, "model", model, AbstractWorldModel)
        return initial_state(key, training, environment, model)

    with _within_memory(config):
        try:
            shapes = check_memory(make_state, jax.random.key(0))
            _check_fit(training, environment, planner, shapes)
            return training, environment, planner, make_state(jax.random.key(config.seed))
        except (
            ValueError,
            TypeError,
        ) as error:  # a TypeError: what was given for a function cannot be called like it
            raise ConfigError(
                str(error)
                if isinstance(error, ValueError)
                else f"The parts do not fit together: {error}."
            ) from error


def _check_kind(config: DictConfig, name: str, part: Any, kind: type) -> None:
    if not isinstance(part, kind):
        raise ConfigError(
            f"{name}._target_={config[name]._target_} makes no {kind.__name__}; choose one of conf/{name}."
        )


def _check_fit(
    training: Training,
    environment: GymnasiumEnvironment,
    planner: AbstractPlanner,
    state: TrainState,
) -> None:
    """Lets parts that cannot work together say so before the first step, by tracing an evaluation's decision and a phase of learning."""

    def decide(state, observation):
        return planner.plan(state.key, state.model, observation, planner.init(state.key))[0]

    observations = jax.ShapeDtypeStruct(
        (training.max_evaluation_episodes, environment.observation_size), jnp.float32
    )
    check_memory(eqx.filter_vmap(decide, in_axes=(None, 0)), state, observations)
    check_memory(learn, training, state, np.asarray(0))


@contextmanager
def _within_memory(config: DictConfig) -> Iterator[None]:
    """Turns want of memory into a ConfigError that names the settings to look at."""
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        largest = sorted(_whole_numbers("", resolve(config)), reverse=True)[:3]
        named = ", ".join(f"{name}={number}" for number, name in largest)
        reason = str(error).split("\n")[0].rstrip(".")
        raise ConfigError(
            f"This config needs too much memory ({reason}): lower what is too large; its largest numbers are {named}."
        ) from error


def _whole_numbers(name: str, value: Any) -> Iterator[tuple[int, str]]:
    """Every whole number in a resolve config, with its name."""
    if isinstance(value, dict):
        for key in value:
            yield from _whole_numbers(f"{name}.{key}".lstrip("."), value[key])
    elif isinstance(value, int) and name != "training.evaluation_seed" and name != "seed":
        yield value, name
