"""The story of one run: build the parts that the config names, let them learn, record what happens, return the score.

from mbrl.config import compose
from mbrl.experiment import run

score = run(compose(["planner=mcts", "seed=3"]))
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import jax
from omegaconf import DictConfig

from mbrl.analysis.plots import learning_curve
from mbrl.config import (
    ConfigError,
    RunError,
    build,
    enable_compilation_cache,
    fingerprint,
    resolved,
    set_threads,
    to_yaml,
)
from mbrl.envs.watched import EnvironmentFault
from mbrl.launch import Launch, launch
from mbrl.loggers.base import AbstractLogger, finite_or_none
from mbrl.loggers.console import print_result, result_table
from mbrl.parts import build_parts
from mbrl.planners.base import AbstractPlanner
from mbrl.runs.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from mbrl.runs.difference import Twins
from mbrl.runs.folder import RunFolder
from mbrl.runs.provenance import provenance
from mbrl.runs.reader import read_metrics
from mbrl.runs.stopping import StopRequest
from mbrl.training.collect import NotDeterministic
from mbrl.training.loop import Row, Training, train
from mbrl.training.snapshot import Snapshot, from_arrays, to_arrays
from mbrl.training.state import TrainState

logger = logging.getLogger(__name__)


def run(config: DictConfig) -> float:
    """Runs the experiment that a composed config describes; returns the mean return of the evaluation at the budget.

    All that it leaves lies in one new run folder. Raises ConfigError for a setting that cannot be run, RunError where the
    run cannot go on, Interrupted where a signal stopped it.
    """
    return carry_out(config, launch(config))


def carry_out(
    config: DictConfig,
    started: Launch,
    again: bool = False,
    tolerance: float = 0.0,
) -> float:
    """Runs in the folder of `started`: a new run, or with `again` the one that is there from its last checkpoint on.

    `tolerance` is how much what is computed again may differ (relative) from what was recorded.
    Raises what `run` raises.
    """
    settings = resolved(config)

    def found_out() -> dict[str, Any]:
        return provenance(config.seed, config.num_threads) | started.identity()

    with (
        StopRequest() as stopping,
        RunFolder(started.folder, to_yaml(settings), again) as folder,
        _failing_plainly(folder.path),
    ):
        set_threads(config.num_threads)
        if config.compilation_cache:
            enable_compilation_cache(config.num_threads)
        if not again:
            folder.write_provenance(found_out())
        training, environment, planner, state = build_parts(config, started.trust)
        start, record = Snapshot(state), Record(fingerprint(settings))
        if again:
            start = _taken_up(folder, record, training, planner, state, tolerance)
            folder.write_provenance(found_out())
        with record.kept_by(build_loggers(config, settings, started, record.num_rows)):
            keep = _checkpoints(folder, record, training.checkpoints_kept)
            _, evaluation = train(
                training,
                environment,
                planner,
                start,
                record.log,
                keep,
                stopping,
                tolerance,
            )
            if stopping():
                raise stopping.interrupted(
                    f"Interrupted; go on with `python -m mbrl resume {folder.path}`."
                )
        score = (folder.finish("completed") | evaluation)["evaluation/return_mean"]
        rows = read_metrics(folder.path)
        try:
            learning_curve(rows, folder.path / "learning_curve.png", title=started.name)
        except OSError as reason:  # which is no reason to lose the score
            logger.warning("The learning curve cannot be drawn (%s).", reason)
    if started.alone:
        choices = (config.env.id, started.choices["model"], started.choices["planner"], config.seed)
        print_result(result_table(*choices, rows, folder.path))
    if stopping():
        raise stopping.interrupted("Interrupted, just after the run was completed.")
    return score


def build_loggers(
    config: DictConfig, settings: dict, started: Launch, rows_before: int = 0
) -> Iterator[AbstractLogger]:
    """The loggers that the config names, each built as it is asked for; it takes of the run's facts what it needs."""
    facts = {
        "folder": started.folder,
        "config": settings,
        "name": started.name,
        "group": started.group,
        "run_id": started.run_id,
        "rows_before": rows_before,
        "alone": started.alone,
        "total_env_steps": config.training.env_steps,
    }
    for node in config.logger.values():
        yield build(node, started.trust, **facts)


class Record:
    """The rows of a run: how many there are, since when, and what they must be where they are computed again."""

    def __init__(self, config: str):
        self.config = config  # its fingerprint
        self.num_rows = 0
        self._began = perf_counter()
        self._twins = Twins([])
        self._loggers: list[AbstractLogger] = []

    def facts(self, env_steps: int) -> dict[str, Any]:
        """What a checkpoint must know of it."""
        return {
            "env_steps": env_steps,
            "num_rows": self.num_rows,
            "wall_seconds": self.wall_seconds,
            "config": self.config,
        }

    def go_on(self, num_rows: int, wall_seconds: float, twins: Twins) -> None:
        """Takes up the record of a run that was interrupted after so many rows and seconds."""
        self.num_rows, self._began, self._twins = num_rows, perf_counter() - wall_seconds, twins

    @property
    def wall_seconds(self) -> float:
        return perf_counter() - self._began

    def log(self, row: Row) -> None:
        """Hands a row, with the time, to every logger. Raises RunError for one that is not what it was."""
        try:
            self._twins.check(finite_or_none(row))
        except ValueError as difference:
            raise RunError(str(difference)) from difference
        timed = {"env_steps": row["env_steps"], "wall_seconds": self.wall_seconds} | row
        for each in self._loggers:
            each.log(timed)
        self.num_rows += 1

    @contextmanager
    def kept_by(self, loggers: Iterable[AbstractLogger]) -> Iterator[None]:
        """Ends each of the loggers, however the block ends, and those built before one that cannot be."""
        with ExitStack() as ending:
            for each in loggers:
                ending.push(_finishing(each))
                self._loggers.append(each)
            yield


def _finishing(each: AbstractLogger) -> Callable[..., None]:
    """What ends a logger, by how its block ended."""

    def finish(kind: type[BaseException] | None, *_: Any) -> None:
        each.finish(
            "completed"
            if kind is None
            else "failed"
            if issubclass(kind, Exception)
            else "interrupted"
        )

    return finish


def _taken_up(
    folder: RunFolder,
    record: Record,
    training: Training,
    planner: AbstractPlanner,
    state: TrainState,
    tolerance: float,
) -> Snapshot:
    """Where a run that was interrupted goes on, by its last checkpoint, if there is one; its record goes on there too.

    Raises ConfigError where config.yaml is not what it was, or the budget is behind.
    """
    rows = read_metrics(folder.path)
    # One that counts more rows than there are is of no use: its rows would be missing.
    checkpoint = load_checkpoint(folder.path, lambda facts: facts["num_rows"] <= len(rows))
    start, num_rows, seconds = Snapshot(state), 0, 0.0
    if checkpoint is not None:
        start = _restored(checkpoint, folder, record, training, planner, state)
        num_rows, seconds = checkpoint.facts["num_rows"], checkpoint.facts["wall_seconds"]
    if start.env_steps > training.env_steps:
        raise ConfigError(
            f"training.env_steps={training.env_steps} must not be less than the {start.env_steps} real steps already taken."
        )
    folder.begin()  # nothing of the run is changed before here
    outdated = _evaluated_for_an_old_budget(start, training)
    if outdated:
        # Its row goes. First a checkpoint that does not count it, for there may be no time for another.
        start, num_rows = start._replace(evaluated_at=start.env_steps - 1), num_rows - 1
        record.go_on(num_rows, seconds, Twins([]))
        save_checkpoint(
            folder.path, to_arrays(start), record.facts(start.env_steps), training.checkpoints_kept
        )
    folder.keep_rows(num_rows)
    if outdated and start.env_steps % training.evaluate_every == 0:
        folder.set_superseded_aside()  # it will come again, with another number of episodes
    record.go_on(
        num_rows, seconds, Twins(read_metrics(folder.path, "metrics.superseded.jsonl"), tolerance)
    )
    if tolerance > 0:
        folder.set_superseded_aside()
    return start


def _restored(
    checkpoint: Checkpoint,
    folder: RunFolder,
    record: Record,
    training: Training,
    planner: AbstractPlanner,
    state: TrainState,
) -> Snapshot:
    if checkpoint.facts.get("config") != record.config:
        raise ConfigError(
            f"{folder.path / 'config.yaml'} is not what it was when the run's checkpoints were written: put back what was changed, "
            "or start a new run with it."
        )
    try:
        return from_arrays(checkpoint.arrays, state, planner, training.exploration)
    except (ValueError, KeyError, TypeError) as reason:
        raise ConfigError(
            f"The last checkpoint in {folder.path} does not fit this version of the program: {reason}."
        ) from reason


def _evaluated_for_an_old_budget(start: Snapshot, training: Training) -> bool:
    """Whether the last row is an evaluation that a run with the present budget has not, or has with another number of episodes."""
    at_the_end = 0 < start.env_steps == start.evaluated_at
    another = training.final_evaluation_episodes not in (None, training.evaluation_episodes)
    return (
        at_the_end
        and start.env_steps < training.env_steps
        and (start.env_steps % training.evaluate_every != 0 or another)
    )


def _checkpoints(folder: RunFolder, record: Record, num_kept: int):
    """A function that keeps a snapshot in the run's folder; a full disk costs the checkpoint, not the run."""

    def keep(snapshot: Snapshot) -> None:
        try:
            folder.sync_rows()
            save_checkpoint(
                folder.path, to_arrays(snapshot), record.facts(snapshot.env_steps), num_kept
            )
        except OSError as reason:
            logger.warning(
                "No checkpoint at %d real steps (%s); a resumed run would go on from an older one.",
                snapshot.env_steps,
                reason,
            )

    return keep


@contextmanager
def _failing_plainly(folder: Path) -> Iterator[None]:
    """Turns what can befall a run into one sentence; the traceback goes to its log."""
    try:
        yield
    except (
        EnvironmentFault,
        FloatingPointError,
        NotDeterministic,
        OSError,
        jax.errors.JaxRuntimeError,
    ) as error:
        logger.info("The run failed.", exc_info=True)
        again = f" The run's checkpoints are in its folder: once mended, go on with `python -m mbrl resume {folder}`."
        # What has diverged would do so again.
        raise RunError(
            str(error) + ("" if isinstance(error, FloatingPointError) else again)
        ) from error
