"""The loop: warm up at random; then collect, learn, and now and then evaluate, until the budget of real steps is spent."""

import math
from collections.abc import Callable
from contextlib import closing
from time import perf_counter
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from mbrl.data.replay import init_replay
from mbrl.envs.gymnasium import GymnasiumEnvironment
from mbrl.models.base import AbstractWorldModel, with_value
from mbrl.planners.base import AbstractPlanner
from mbrl.training.collect import FIRST_COLLECTION_SEED, Collector
from mbrl.training.evaluate import evaluate
from mbrl.training.explore import EpsilonSchedule, Exploration
from mbrl.training.fit_value import ValueLearner
from mbrl.training.learn import ModelLearner
from mbrl.training.optimisation import copy_arrays
from mbrl.training.snapshot import Snapshot
from mbrl.training.state import LEARN, BonusValue, TrainState

Row = dict[str, Any]

MAX_EPISODES = 10_000  # evaluated at once, each in an environment of its own


# What there must be one of at least.
COUNTS = (
    "env_steps",
    "warmup_steps",
    "learn_every",
    "evaluate_every",
    "evaluation_episodes",
    "replay_capacity",
    "max_checkpoints",
)


class Training(eqx.Module):
    """Budgets and schedules. None depends on `env_steps`, so that a short run is the beginning of a longer one."""

    model_learner: ModelLearner
    value_learner: ValueLearner
    env_steps: int = eqx.field(static=True)  # real steps of collection, warm-up included
    warmup_steps: int = eqx.field(
        static=True
    )  # real ones at random, at whose end the first learning is
    learn_every: int = eqx.field(static=True)  # real steps between two phases of learning, at first
    learn_interval_growth: float = eqx.field(
        static=True
    )  # share of all real steps so far that there are between two phases later
    epsilon: EpsilonSchedule = eqx.field(static=True)  # this and the next four: see Exploration
    action_noise_std: float = eqx.field(static=True)
    action_noise_exponent: float = eqx.field(static=True)
    disagreement_bonus: float = eqx.field(static=True)
    bonus_floor_until_first_termination: bool = eqx.field(static=True)
    evaluate_every: int = eqx.field(static=True)  # real steps between two evaluations
    evaluation_episodes: int = eqx.field(static=True)
    final_evaluation_episodes: int | None = eqx.field(
        static=True
    )  # of the one at the budget; None: as many
    evaluation_seed: int = eqx.field(
        static=True
    )  # of the first evaluation episode; episode i adds i
    replay_capacity: int = eqx.field(static=True)  # transitions
    checkpoint_every: int | None = eqx.field(
        static=True
    )  # real steps; None: only where the run ends
    max_checkpoints: int = eqx.field(static=True)  # newest ones

    def __check_init__(self):
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(
                    f"training.{name}={getattr(self, name)} must be at least 1; raise it."
                )
        if self.checkpoint_every is not None and self.checkpoint_every < 1:
            raise ValueError(
                f"training.checkpoint_every={self.checkpoint_every} must be at least 1 real step; or null, for the end only."
            )
        if self.final_evaluation_episodes is not None and self.final_evaluation_episodes < 1:
            raise ValueError(
                f"training.final_evaluation_episodes={self.final_evaluation_episodes} must be at least 1, or null for as many as in others."
            )
        for name in ("evaluation_episodes", "final_evaluation_episodes"):
            if (getattr(self, name) or 0) > MAX_EPISODES:
                raise ValueError(
                    f"training.{name}={getattr(self, name)} must be at most {MAX_EPISODES}; lower it."
                )
        last_seed = FIRST_COLLECTION_SEED - self.max_evaluation_episodes
        if not 0 <= self.evaluation_seed <= last_seed:
            raise ValueError(
                f"training.evaluation_seed={self.evaluation_seed} must be from 0 to {last_seed}, "
                "since the seeds beyond the last episode's are those of collection; try 10000."
            )
        if not 0 <= self.learn_interval_growth <= 1:
            raise ValueError(
                f"training.learn_interval_growth={self.learn_interval_growth} must be in [0, 1]: the share of all real steps so far after which to learn "
                "again; 0 learns every training.learn_every steps."
            )
        collected_at_once = min(
            self.learning_interval(self.env_steps), self.evaluate_every, self.env_steps
        )
        if self.replay_capacity < collected_at_once:
            raise ValueError(
                f"training.replay_capacity={self.replay_capacity} is less than the {collected_at_once} transitions collected at once; raise it."
            )
        for env_steps in (
            min(self.warmup_steps, self.env_steps - 1),
            self.env_steps - 1,
        ):  # a schedule is checked at its ends
            self.exploration.epsilon_at(env_steps)

    @property
    def max_evaluation_episodes(self) -> int:
        """Of any one evaluation."""
        return max(self.evaluation_episodes, self.final_evaluation_episodes or 1)

    def evaluation_episodes_at(self, env_steps: int) -> int:
        """How many episodes the evaluation after so many real steps has."""
        if env_steps == self.env_steps and self.final_evaluation_episodes is not None:
            return self.final_evaluation_episodes
        return self.evaluation_episodes

    def learning_interval(self, env_steps: int) -> int:
        """Real steps between two phases of learning around this one: `learn_every`, doubled while `learn_interval_growth` allows it."""
        doublings = math.floor(
            math.log2(max(1.0, self.learn_interval_growth * env_steps / self.learn_every))
        )
        return self.learn_every * 2**doublings

    @property
    def exploration(self) -> Exploration:
        return Exploration(
            self.epsilon,
            self.action_noise_std,
            self.action_noise_exponent,
            self.disagreement_bonus,
            self.bonus_floor_until_first_termination,
        )


def initial_state(
    key: PRNGKeyArray,
    training: Training,
    environment: GymnasiumEnvironment,
    model: AbstractWorldModel,
) -> TrainState:
    """The state before the first step: fresh optimisers, an empty replay."""
    return TrainState(
        key=key,
        model=model,
        model_optimizer_state=training.model_learner.init(model),
        value_state=training.value_learner.init(model),
        bonus_value=_init_bonus_value(training, model),
        replay=init_replay(
            training.replay_capacity, environment.observation_size, environment.action_space
        ),
    )


def _init_bonus_value(training: Training, model: AbstractWorldModel) -> BonusValue | None:
    if (
        training.disagreement_bonus == 0 or model.num_members == 1
    ):  # a single member agrees with itself
        return None
    return BonusValue(copy_arrays(model.value_function), training.value_learner.init(model))


def train(
    training: Training,
    environment: GymnasiumEnvironment,
    planner: AbstractPlanner,
    start: Snapshot,
    log: Callable[[Row], None],
    save_checkpoint: Callable[[Snapshot], None] = lambda snapshot: None,
    should_stop: Callable[[], bool] = lambda: False,
    tolerance: float = 0.0,
) -> tuple[TrainState, Row]:
    """Runs the loop from `start` to its budget; returns the last state and the evaluation at the budget.

    `keep` is given a snapshot at the end of a phase as often as `checkpoint_every` says, and at the end of all. Soon after
    `should_stop` says so the loop ends early, with an empty evaluation. `tolerance` is for environments that do not come back
    exactly to where the episode in flight was (`replay_episode`).

    Raises FloatingPointError where what was learned is no number any more, EnvironmentFault where the environment fails,
    NonDeterministicEnvironment where it does not come back.
    """
    state, evaluated_at, seconds, evaluation = (
        start.state,
        start.evaluated_at,
        start.collecting_seconds,
        {},
    )
    collector = Collector(
        environment,
        planner,
        training.exploration,
        start.env_steps,
        start.num_episodes,
        start.episode,
    )
    with closing(collector):
        collector.restore(state, tolerance)

        def snapshot() -> Snapshot:
            return Snapshot(
                state,
                collector.env_steps,
                collector.num_episodes,
                evaluated_at,
                seconds,
                collector.episode,
            )

        while not should_stop():
            env_steps = collector.env_steps
            if evaluated_at < env_steps and (
                _is_due(env_steps, training.evaluate_every) or env_steps == training.env_steps
            ):
                evaluation = _timed_evaluation(
                    training, environment, planner, state, env_steps, should_stop
                )
                if not evaluation:
                    break
                log(evaluation | ({"time/collect": seconds} if seconds else {}))
                evaluated_at, seconds = env_steps, 0.0
            if env_steps >= training.env_steps:
                break
            until, started = _next_event(training, env_steps), perf_counter()
            state, episodes = collector.collect(
                state, until - env_steps, env_steps < training.warmup_steps, should_stop
            )
            seconds += perf_counter() - started
            for row in episodes:
                log(row)
            if collector.env_steps < until:
                break
            if until == training.warmup_steps or (
                until > training.warmup_steps and _is_due(until, training.learning_interval(until))
            ):
                state, row = _timed_learning(training, state, until)
                log(row | {"time/collect": seconds})
                _check_finite(row)
                seconds = 0.0
            if (
                training.checkpoint_every is not None
                and env_steps // training.checkpoint_every < until // training.checkpoint_every
            ):
                save_checkpoint(snapshot())
        save_checkpoint(snapshot())
    return state, evaluation if evaluated_at == training.env_steps else {}


def _next_event(training: Training, env_steps: int) -> int:
    """The next step at which something other than collecting happens."""
    intervals = (training.learning_interval(env_steps), training.evaluate_every)
    stops = [training.env_steps, *(env_steps - env_steps % every + every for every in intervals)]
    if env_steps < training.warmup_steps:
        stops.append(training.warmup_steps)
    return min(stops)


def _is_due(env_steps: int, every: int) -> bool:
    return env_steps % every == 0


def _timed_learning(
    training: Training, state: TrainState, env_steps: int
) -> tuple[TrainState, Row]:
    started = perf_counter()
    state, metrics = learn(training, state, np.asarray(env_steps))
    numbers = {name: float(value) for name, value in jax.device_get(metrics).items()}
    return state, {"env_steps": env_steps, **numbers, "time/learn": perf_counter() - started}


def _check_finite(row: Row) -> None:
    diverged = [
        name
        for name, value in row.items()
        if name.startswith(("loss/", "validation/", "value/")) and not math.isfinite(value)
    ]
    if diverged:
        learner = "value_learner" if "value" in diverged[0] else "model_learner"
        raise FloatingPointError(
            f"{diverged[0]} is {row[diverged[0]]} after the learning at {row['env_steps']} real steps, and what is no number cannot be "
            f"planned with: lower training.{learner}.optimizer.learning_rate, or clip the gradients, in a new run."
        )


def _timed_evaluation(training, environment, planner, state, env_steps, should_stop) -> Row:
    """Empty where `should_stop` cut it short."""
    started = perf_counter()
    num_episodes = training.evaluation_episodes_at(env_steps)
    returns = evaluate(
        environment, planner, state, num_episodes, training.evaluation_seed, should_stop
    )
    if returns is None:
        return {}
    return {
        "env_steps": env_steps,
        "evaluation/return_mean": float(returns.mean()),
        "evaluation/return_std": float(returns.std()),
        "evaluation/return_min": float(returns.min()),
        "evaluation/returns": returns.tolist(),
        "time/evaluate": perf_counter() - started,
    }


@eqx.filter_jit(donate="all-except-first")
def learn(training: Training, state: TrainState, env_steps):
    """A phase of learning, model then value, with the luck of real step number `env_steps`: one compiled call."""
    model_key, value_key = jax.random.split(
        jax.random.fold_in(jax.random.fold_in(state.key, LEARN), env_steps)
    )
    state, metrics = training.model_learner.learn(model_key, state)
    value, value_state, value_metrics = training.value_learner.learn(
        value_key, state.model, state.replay, state.value_state
    )
    state = state._replace(model=with_value(state.model, value), value_state=value_state)
    if state.bonus_value is None:
        return state, metrics | value_metrics
    model = training.exploration.model(state)
    value, value_state, curious_metrics = training.value_learner.learn(
        value_key, model, state.replay, state.bonus_value.state
    )
    value_metrics |= {
        name.replace("/", "/curious_"): number for name, number in curious_metrics.items()
    }
    return state._replace(bonus_value=BonusValue(value, value_state)), metrics | value_metrics
