"""The training loop: random warm-up, then phases of collection, learning and evaluation."""

import logging
import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from mbrl.data.replay_buffer import ReplayBuffer, init_replay
from mbrl.envs.gymnasium import GymnasiumEnvironment
from mbrl.models.base import AbstractLearner, Metrics
from mbrl.models.optimisation import copy_arrays
from mbrl.planners.base import AbstractPlanner
from mbrl.progress import Phase, Progress
from mbrl.randomness import LEARN
from mbrl.training.collect import FIRST_COLLECTION_SEED, Collector
from mbrl.training.evaluate import evaluate
from mbrl.training.explore import EpsilonSchedule, Exploration
from mbrl.training.report import ProgressReporter, Remaining
from mbrl.training.snapshot import Snapshot
from mbrl.training.state import TrainState

logger = logging.getLogger(__name__)

Row = dict[str, Any]

MAX_EPISODES = 10_000  # per evaluation, each in its own environment
MAX_REWARD_OFFSET = 1000  # times half the range of the rewards

# Settings of Training that must be at least 1; those that may be null only if given.
POSITIVE = (
    "env_steps",
    "warmup_steps",
    "learn_every",
    "evaluate_every",
    "evaluation_episodes",
    "replay_capacity",
    "max_checkpoints",
)
POSITIVE_OR_NULL = ("checkpoint_every", "final_evaluation_episodes")


class Training(eqx.Module):
    """Budgets and schedules.

    No schedule depends on `env_steps`, so that a short run is the beginning of a longer one.
    """

    env_steps: int = eqx.field(static=True)  # real steps of collection, warm-up included
    warmup_steps: int = eqx.field(static=True)  # random real steps before the first learning
    learn_every: int = eqx.field(static=True)  # real steps between phases of learning, at first
    # Later interval between phases of learning, as a fraction of all real steps so far.
    learn_interval_growth: float = eqx.field(static=True)
    epsilon: EpsilonSchedule = eqx.field(static=True)  # this and the next two: see Exploration
    action_noise_std: float = eqx.field(static=True)
    action_noise_exponent: float = eqx.field(static=True)
    evaluate_every: int = eqx.field(static=True)  # real steps between evaluations
    evaluation_episodes: int = eqx.field(static=True)
    # Episodes of the evaluation at the budget; None: evaluation_episodes.
    final_evaluation_episodes: int | None = eqx.field(static=True)
    evaluation_seed: int = eqx.field(static=True)  # of the first evaluation episode
    replay_capacity: int = eqx.field(static=True)  # time steps
    checkpoint_every: int | None = eqx.field(static=True)  # real steps; None: only at the end
    max_checkpoints: int = eqx.field(static=True)  # how many of the newest are kept

    def __check_init__(self):
        optional = [name for name in POSITIVE_OR_NULL if getattr(self, name) is not None]
        for name in (*POSITIVE, *optional):
            if getattr(self, name) < 1:
                remedy = "Raise it, or set it to null." if name in optional else "Raise it."
                raise ValueError(
                    f"training.{name}={getattr(self, name)}: must be at least 1. {remedy}"
                )
        if not 0 <= self.learn_interval_growth <= 1:
            raise ValueError(
                f"training.learn_interval_growth={self.learn_interval_growth}: must be in [0, 1], "
                "a fraction of all real steps. Try 0.05, or 0 to learn every training.learn_every "
                "steps."
            )
        self._check_evaluation()
        longest_phase = min(
            self.learning_interval(self.env_steps), self.evaluate_every, self.env_steps
        )
        if self.replay_capacity < 2 * longest_phase:
            raise ValueError(
                f"training.replay_capacity={self.replay_capacity}: must be at least "
                f"{2 * longest_phase}, the time steps collected between two phases where each "
                "episode has one step. Raise it."
            )
        # A schedule is checked at both ends.
        for env_steps in (min(self.warmup_steps, self.env_steps - 1), self.env_steps - 1):
            self.exploration.epsilon_at(env_steps)

    def _check_evaluation(self) -> None:
        for name in ("evaluation_episodes", "final_evaluation_episodes"):
            if (getattr(self, name) or 0) > MAX_EPISODES:
                raise ValueError(
                    f"training.{name}={getattr(self, name)}: must be at most {MAX_EPISODES}. "
                    "Lower it."
                )
        last_seed = FIRST_COLLECTION_SEED - self.max_evaluation_episodes
        if not 0 <= self.evaluation_seed <= last_seed:
            raise ValueError(
                f"training.evaluation_seed={self.evaluation_seed}: must be from 0 to {last_seed}, "
                "since larger seeds are used for collection. Try 10000."
            )

    @property
    def max_evaluation_episodes(self) -> int:
        """Episodes of the largest evaluation."""
        return max(self.evaluation_episodes, self.final_evaluation_episodes or 1)

    def evaluation_episodes_at(self, env_steps: int) -> int:
        """Episodes of the evaluation after `env_steps` real steps."""
        if env_steps == self.env_steps and self.final_evaluation_episodes is not None:
            return self.final_evaluation_episodes
        return self.evaluation_episodes

    def learning_interval(self, env_steps: int) -> int:
        """Real steps between phases of learning after `env_steps`, a power of 2 × `learn_every`."""
        growth = self.learn_interval_growth * env_steps / self.learn_every
        return self.learn_every * 2 ** math.floor(math.log2(max(1.0, growth)))

    def learning_is_due(self, env_steps: int) -> bool:
        """Whether a phase of learning follows after `env_steps`; the first one ends the warm-up."""
        if env_steps <= self.warmup_steps:
            return env_steps == self.warmup_steps
        return env_steps % self.learning_interval(env_steps) == 0

    def evaluation_is_due(self, env_steps: int) -> bool:
        """Whether an evaluation follows after `env_steps` real steps."""
        return env_steps % self.evaluate_every == 0 or env_steps == self.env_steps

    def next_event(self, env_steps: int) -> int:
        """The real step until which to collect: the next that may need learning or evaluation."""
        events = [self.env_steps]
        for interval in (self.learning_interval(env_steps), self.evaluate_every):
            events.append(env_steps - env_steps % interval + interval)
        if env_steps < self.warmup_steps:
            events.append(self.warmup_steps)
        return min(events)

    def remaining(self, phase: Phase, env_steps: int) -> Remaining:
        """What follows from the start of `phase` at `env_steps`; learning precedes evaluation."""
        evaluated = env_steps if phase == "collecting" else env_steps - 1
        # The evaluation at the budget is counted apart.
        earlier = (self.env_steps - 1) // self.evaluate_every - evaluated // self.evaluate_every
        return Remaining(
            steps=self.env_steps - env_steps,
            learning_phases=self._later_learning_phases(env_steps) + (phase == "learning"),
            evaluation_episodes=max(0, earlier) * self.evaluation_episodes
            + self.evaluation_episodes_at(self.env_steps),
        )

    def _later_learning_phases(self, env_steps: int) -> int:
        """Phases of learning after `env_steps`, counted between the doublings of the interval."""
        count = int(env_steps < self.warmup_steps <= self.env_steps)
        steps = max(env_steps, self.warmup_steps)
        while steps < self.env_steps:
            interval, end = self.learning_interval(steps + 1), self.env_steps
            if self.learn_interval_growth:
                doubled = math.ceil(2 * interval / self.learn_interval_growth)
                end = min(end, max(doubled - 1, steps + 1))
            count += end // interval - steps // interval
            steps = end
        return count

    @property
    def exploration(self) -> Exploration:
        return Exploration(self.epsilon, self.action_noise_std, self.action_noise_exponent)


def initial_state(
    key: PRNGKeyArray,
    training: Training,
    environment: GymnasiumEnvironment,
    learner: AbstractLearner,
) -> TrainState:
    """The state before the first step: an initial learner and an empty replay buffer."""
    size, action_space = environment.observation_size, environment.action_space
    observation = jax.ShapeDtypeStruct((size,), jnp.float32)
    # The loop donates the state to its compiled calls, and no buffer can be donated twice.
    learned = copy_arrays(learner.init(key, size, action_space))
    return TrainState(
        key,
        learned,
        init_replay(training.replay_capacity, observation, action_space),
    )


def train(
    training: Training,
    environment: GymnasiumEnvironment,
    learner: AbstractLearner,
    planner: AbstractPlanner,
    start: Snapshot,
    log: Callable[[Row], None],
    save_checkpoint: Callable[[Snapshot], None] = lambda snapshot: None,
    should_stop: Callable[[], bool] = lambda: False,
    tolerance: float = 0.0,
    show: Callable[[Progress], None] = lambda progress: None,
) -> tuple[TrainState, Row]:
    """Runs the loop from `start` to its budget; returns the last state and the final evaluation.

    Calls `save_checkpoint` every `checkpoint_every` real steps, at the end of a phase, and at the
    end. Soon after `should_stop` returns True the loop ends with an empty evaluation. `tolerance`
    allows for differences when the episode in progress is replayed (`replay_episode`). `show`
    receives what the loop is doing: every phase, and every step of collection and evaluation.

    Raises FloatingPointError if a loss is not finite, EnvironmentFault if the environment fails,
    and NonDeterministicEnvironment if the episode in progress cannot be replayed.
    """
    collector = Collector(
        environment,
        learner,
        planner,
        training.exploration,
        start.env_steps,
        start.num_episodes,
        start.episode,
    )
    with closing(collector):
        collector.restore(start.state, tolerance)
        loop = _Loop(
            training,
            collector,
            log,
            should_stop,
            ProgressReporter(show, training.remaining, environment.episode_limit),
            start.state,
            start.evaluated_at,
            start.collecting_seconds,
        )
        loop.run(save_checkpoint)
    return loop.state, loop.evaluation if loop.evaluated_at == training.env_steps else {}


@dataclass
class _Loop:
    """The variables of `train`, and its phases."""

    training: Training
    collector: Collector
    log: Callable[[Row], None]
    should_stop: Callable[[], bool]
    reporter: ProgressReporter
    state: TrainState
    evaluated_at: int  # real steps at the last evaluation
    collecting_seconds: float  # since the last row that reports them
    evaluation: Row = field(default_factory=dict)  # the last one
    is_first_phase: bool = True  # of learning, in this process

    def run(self, save_checkpoint: Callable[[Snapshot], None]) -> None:
        """Runs the phases in turn, to the budget or until `should_stop` returns True."""
        budget, every = self.training.env_steps, self.training.checkpoint_every
        while not self.should_stop():
            before = self.collector.env_steps
            if not self.evaluate_if_due() or before >= budget or not self.collect():
                break
            self.learn_if_due()
            if every is not None and before // every < self.collector.env_steps // every:
                save_checkpoint(self.snapshot())
        save_checkpoint(self.snapshot())

    def snapshot(self) -> Snapshot:
        return Snapshot(
            self.state,
            self.collector.env_steps,
            self.collector.num_episodes,
            self.evaluated_at,
            self.collecting_seconds,
            self.collector.episode,
        )

    def evaluate_if_due(self) -> bool:
        """Evaluates and logs the result, if due; False if `should_stop` interrupted it."""
        env_steps = self.collector.env_steps
        if self.evaluated_at >= env_steps or not self.training.evaluation_is_due(env_steps):
            return True
        num_episodes = self.training.evaluation_episodes_at(env_steps)
        self.reporter.begin("evaluating", env_steps, num_episodes)
        evaluation = evaluate(
            self.collector.environment,
            self.collector.planner,
            self.collector.learner.model(self.state.learner),
            self.state.key,
            num_episodes,
            self.training.evaluation_seed,
            self.should_stop,
            lambda *finished_and_step: self.reporter.advance(env_steps, *finished_and_step),
        )
        if evaluation is None:
            return False
        returns, lengths = evaluation
        self.evaluation = {
            "env_steps": env_steps,
            "evaluation/return_mean": float(returns.mean()),
            "evaluation/return_std": float(returns.std()),
            "evaluation/return_min": float(returns.min()),
            "evaluation/returns": returns.tolist(),
            "evaluation/length_mean": float(lengths.mean()),
            "evaluation/lengths": lengths.tolist(),
            "time/evaluate": self.reporter.end(num_episodes),
        }
        seconds = {"time/collect": self.collecting_seconds} if self.collecting_seconds else {}
        self.log(self.evaluation | seconds)
        self.evaluated_at, self.collecting_seconds = env_steps, 0.0
        return True

    def collect(self) -> bool:
        """Collects until the next event; False if `should_stop` interrupted it."""
        env_steps = self.collector.env_steps
        until = self.training.next_event(env_steps)
        at_random = env_steps < self.training.warmup_steps
        self.reporter.begin("collecting", env_steps)
        self.state, rows = self.collector.collect(
            self.state, until - env_steps, at_random, self.should_stop, self.reporter.advance
        )
        num_planned = 0 if at_random else self.collector.env_steps - env_steps
        self.collecting_seconds += self.reporter.end(num_planned)
        for row in rows:
            self.log(row)
        return self.collector.env_steps == until

    def learn_if_due(self) -> None:
        """Learns and logs the metrics, if due. Raises FloatingPointError if one is not finite."""
        env_steps = self.collector.env_steps
        if not self.training.learning_is_due(env_steps):
            return
        self.reporter.begin("learning", env_steps)
        self.state, metrics = update(self.collector.learner, self.state, np.asarray(env_steps))
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        seconds = {
            "time/learn": self.reporter.end(),
            "time/collect": self.collecting_seconds,
        }
        self.log({**values, "env_steps": env_steps, **seconds})
        for name, value in values.items():
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"{name} became {value} at step {env_steps}. Lower optimizer.learning_rate or "
                    "set optimizer=clipped_adamw, then start a new run."
                )
        self.collecting_seconds = 0.0
        self._warn_of_offset()

    def _warn_of_offset(self) -> None:
        if not self.is_first_phase:
            return
        self.is_first_phase = False
        mean, low, high = map(float, jax.device_get(reward_statistics(self.state.replay)))
        half = (high - low) / 2
        if 0 < MAX_REWARD_OFFSET * half < abs(mean):  # constants have no differences to hide
            logger.warning(
                "The rewards' mean, %.4g, is more than %d times half of their range, %.4g, so that "
                "rounding hides their differences. Subtract a constant in the environment.",
                mean,
                MAX_REWARD_OFFSET,
                half,
            )


@eqx.filter_jit
def reward_statistics(replay: ReplayBuffer) -> tuple[Array, Array, Array]:
    """Mean, minimum and maximum of the rewards of all steps that did not terminate."""
    data = replay.transitions()
    rewards, counted = data.rows.reward, data.valid & ~data.rows.terminated
    low = jnp.min(rewards, where=counted, initial=jnp.inf)
    high = jnp.max(rewards, where=counted, initial=-jnp.inf)
    return jnp.mean(rewards, where=counted), low, high


@eqx.filter_jit(donate="all-except-first")
def update(learner: AbstractLearner, state: TrainState, env_steps) -> tuple[TrainState, Metrics]:
    """One phase of learning at real step `env_steps`, in one compiled call."""
    key = jax.random.fold_in(jax.random.fold_in(state.key, LEARN), env_steps)
    learned, metrics = learner.update(key, state.learner, state.replay)
    return state._replace(learner=learned), metrics
