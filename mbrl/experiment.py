"""The story of one run: build the parts that the config names, let them learn, record what happens, return the score.

from mbrl.config import compose
from mbrl.experiment import run

score = run(compose(["planner=mcts", "seed=3"]))
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

import equinox as eqx
import jax
import jax.numpy as jnp
from omegaconf import DictConfig

from mbrl.analysis.plots import learning_curve
from mbrl.config import ConfigError, Launch, build, enable_compilation_cache, launch, resolved, set_threads, to_yaml
from mbrl.loggers.base import AbstractLogger
from mbrl.loggers.console import print_result, result_table
from mbrl.models.base import AbstractWorldModel
from mbrl.planners.base import AbstractPlanner
from mbrl.runs.folder import RunFolder
from mbrl.runs.provenance import provenance
from mbrl.runs.reader import read_metrics
from mbrl.training.loop import Row, initial_state, train
from mbrl.training.state import MODEL_INIT


def run(config: DictConfig) -> float:
    """Runs the experiment that a composed config describes; returns the mean return of the evaluation at the budget.

    All that it leaves lies in one new run folder. Raises ConfigError for a setting that cannot be run.
    """
    started, settings = launch(config), resolved(config)
    set_threads(config.num_threads)
    if config.compilation_cache:
        enable_compilation_cache(config.num_threads)
    with RunFolder(started.folder, to_yaml(settings)) as folder:
        folder.write_provenance(provenance(config.seed, config.num_threads))
        training, environment, planner, state = build_parts(config, started.trust)
        with recorded(build_loggers(config, settings, started)) as log:
            _, evaluation = train(training, environment, planner, state, log)
        folder.finish("completed")
        rows = read_metrics(folder.path)
        learning_curve(rows, folder.path / "learning_curve.png", title=started.name)
    choices = (config.env.id, started.choices["model"], started.choices["planner"], config.seed)
    print_result(result_table(*choices, rows, folder.path))
    return evaluation["evaluation/return_mean"]


def build_parts(config: DictConfig, trust: tuple[str, ...] = ()) -> tuple:
    """The schedules, the environment, the planner, and the state to learn from, each by its `_target_`."""
    key = jax.random.key(config.seed)
    training = build(config.training, trust)
    environment = build(config.env, trust)
    planner = build(config.planner, trust, action_space=environment.action_space)
    spaces = {"observation_size": environment.observation_size, "action_space": environment.action_space}
    model = build(config.model, trust, key=jax.random.fold_in(key, MODEL_INIT), **spaces)
    try:
        state = initial_state(key, training, environment, model)
        _check_fit(planner, model, environment.observation_size)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return training, environment, planner, state


def _check_fit(planner: AbstractPlanner, model: AbstractWorldModel, observation_size: int) -> None:
    """Lets a planner that cannot plan in this model say so before the first step, by tracing a decision without computing it."""

    def decide(key, observation):
        return planner.plan(key, model, observation, planner.init(key))[0]

    eqx.filter_eval_shape(decide, jax.random.key(0), jnp.zeros(observation_size))


def build_loggers(config: DictConfig, settings: dict, started: Launch) -> list[AbstractLogger]:
    """The loggers that the config names; each takes of the run's facts what it needs."""
    facts = {
        "folder": started.folder,
        "config": settings,
        "name": started.name,
        "group": started.group,
        "total_env_steps": config.training.env_steps,
    }
    return [build(node, started.trust, **facts) for node in config.logger.values()]


@contextmanager
def recorded(loggers: list[AbstractLogger]) -> Iterator[Callable[[Row], None]]:
    """Gives a function that hands a row, with the time, to every logger; and ends each of them, however the run ends."""
    began, status = perf_counter(), "interrupted"

    def log(row: Row) -> None:
        timed = {"env_steps": row["env_steps"], "wall_seconds": perf_counter() - began} | row
        for logger in loggers:
            logger.log(timed)

    try:
        yield log
        status = "completed"
    except Exception:
        status = "failed"
        raise
    finally:
        for logger in loggers:
            logger.finish(status)
