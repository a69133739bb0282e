"""The story of one run: build the parts that the config names, let them learn, writer what happens, return the score.

from mbrl.config import compose
from mbrl.experiment import run

score = run(compose(["planner=mcts", "seed=3"]))
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import jax
from omegaconf import DictConfig

from mbrl.analysis.plots import learning_curve
from mbrl.assemble import assemble
from mbrl.config.build import build
from mbrl.config.launch import run_info_from_hydra
from mbrl.config.process import enable_compilation_cache, set_threads
from mbrl.config.resolve import fingerprint, resolve, to_yaml
from mbrl.envs.fault_wrapper import EnvironmentFault
from mbrl.errors import ConfigError, RunError
from mbrl.loggers.base import AbstractLogger, finite_or_none
from mbrl.loggers.console import result_table
from mbrl.planners.base import AbstractPlanner
from mbrl.run_info import RunInfo
from mbrl.runs.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from mbrl.runs.folder import RunFolder
from mbrl.runs.metric_diff import RowChecker
from mbrl.runs.provenance import provenance
from mbrl.runs.reader import read_metrics
from mbrl.runs.signals import StopRequest
from mbrl.tables import print_table
from mbrl.training.collect import NonDeterministicEnvironment
from mbrl.training.loop import Row, Training, train
from mbrl.training.snapshot import Snapshot, from_arrays, to_arrays
from mbrl.training.state import TrainState

logger = logging.getLogger(__name__)


def run(config: DictConfig) -> float:
    """Runs the experiment that a composed config describes; returns the mean return of the evaluation at the budget.

    All that it leaves lies in one new run folder. Raises ConfigError for a setting that cannot be run, RunError where the
    run cannot go on, Interrupted where a signal stopped it.
    """
    return execute(config, run_info_from_hydra(config))


def execute(
    config: DictConfig,
    info: RunInfo,
    resume: bool = False,
    tolerance: float = 0.0,
) -> float:
    """Runs in the folder of `started`: a new run, or with `resume` the one that is there from its last checkpoint on.

    `tolerance` is how much what is computed again may differ (relative) from what was recorded.
    Raises what `run` raises.
    """
    settings = resolve(config)

    def collect_provenance() -> dict[str, Any]:
        return provenance(config.seed, config.num_threads) | info.to_provenance()

    with (
        StopRequest() as should_stop,
        RunFolder(info.folder, to_yaml(settings), resume) as folder,
        _as_run_errors(folder.path),
    ):
        set_threads(config.num_threads)
        if config.compilation_cache:
            enable_compilation_cache(config.num_threads)
        if not resume:
            folder.write_provenance(collect_provenance())
        training, environment, planner, state = assemble(config, info.trust)
        start, writer = Snapshot(state), MetricsWriter(fingerprint(settings))
        if resume:
            start = _restore(folder, writer, training, planner, state, tolerance)
            folder.write_provenance(collect_provenance())
        with writer.attached(build_loggers(config, settings, info, writer.num_rows)):
            keep = _checkpoints(folder, writer, training.max_checkpoints)
            _, evaluation = train(
                training,
                environment,
                planner,
                start,
                writer.log,
                keep,
                should_stop,
                tolerance,
            )
            if should_stop():
                raise should_stop.interrupted(
                    f"Interrupted; go on with `python -m mbrl resume {folder.path}`."
                )
        score = (folder.finish("completed") | evaluation)["evaluation/return_mean"]
        rows = read_metrics(folder.path)
        try:
            learning_curve(rows, folder.path / "learning_curve.png", title=info.name)
        except OSError as reason:  # which is no reason to lose the score
            logger.warning("The learning curve cannot be drawn (%s).", reason)
    if info.owns_terminal:
        choices = (config.env.id, info.choices["model"], info.choices["planner"], config.seed)
        print_table(result_table(*choices, rows, folder.path))
    if should_stop():
        raise should_stop.interrupted("Interrupted, just after the run was completed.")
    return score


def build_loggers(
    config: DictConfig, settings: dict, info: RunInfo, rows_before: int = 0
) -> Iterator[AbstractLogger]:
    """Yield the loggers that the config names, each built when it is asked for."""
    run_info = replace(info, config=settings, num_rows=rows_before)
    for node in config.logger.values():
        yield build(node, info.trust, run_info=run_info)


class MetricsWriter:
    """The rows of a run: how many there are, since when, and what they must be where they are computed again."""

    def __init__(self, config: str):
        self.config = config  # its fingerprint
        self.num_rows = 0
        self._began = perf_counter()
        self._twins = RowChecker([])
        self._loggers: list[AbstractLogger] = []

    def facts(self, env_steps: int) -> dict[str, Any]:
        """What a checkpoint must know of it."""
        return {
            "env_steps": env_steps,
            "num_rows": self.num_rows,
            "wall_seconds": self.wall_seconds,
            "config": self.config,
        }

    def resume_at(self, num_rows: int, wall_seconds: float, twins: RowChecker) -> None:
        """Takes up the writer of a run that was interrupted after so many rows and seconds."""
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
    def attached(self, loggers: Iterable[AbstractLogger]) -> Iterator[None]:
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


def _restore(
    folder: RunFolder,
    writer: MetricsWriter,
    training: Training,
    planner: AbstractPlanner,
    state: TrainState,
    tolerance: float,
) -> Snapshot:
    """Where a run that was interrupted goes on, by its last checkpoint, if there is one; its writer goes on there too.

    Raises ConfigError where config.yaml is not what it was, or the budget is behind.
    """
    rows = read_metrics(folder.path)
    # One that counts more rows than there are is of no use: its rows would be missing.
    checkpoint = load_checkpoint(folder.path, lambda facts: facts["num_rows"] <= len(rows))
    start, num_rows, seconds = Snapshot(state), 0, 0.0
    if checkpoint is not None:
        start = _restored(checkpoint, folder, writer, training, planner, state)
        num_rows, seconds = checkpoint.facts["num_rows"], checkpoint.facts["wall_seconds"]
    if start.env_steps > training.env_steps:
        raise ConfigError(
            f"training.env_steps={training.env_steps} must not be less than the {start.env_steps} real steps already taken."
        )
    folder.mark_running()  # nothing of the run is changed before here
    outdated = _final_evaluation_is_stale(start, training)
    if outdated:
        # Its row goes. First a checkpoint that does not count it, for there may be no time for another.
        start, num_rows = start._replace(evaluated_at=start.env_steps - 1), num_rows - 1
        writer.resume_at(num_rows, seconds, RowChecker([]))
        save_checkpoint(
            folder.path, to_arrays(start), writer.facts(start.env_steps), training.max_checkpoints
        )
    folder.truncate_metrics(num_rows)
    if outdated and start.env_steps % training.evaluate_every == 0:
        folder.archive_superseded()  # it will come again, with another number of episodes
    writer.resume_at(
        num_rows,
        seconds,
        RowChecker(read_metrics(folder.path, "metrics.superseded.jsonl"), tolerance),
    )
    if tolerance > 0:
        folder.archive_superseded()
    return start


def _restored(
    checkpoint: Checkpoint,
    folder: RunFolder,
    writer: MetricsWriter,
    training: Training,
    planner: AbstractPlanner,
    state: TrainState,
) -> Snapshot:
    if checkpoint.facts.get("config") != writer.config:
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


def _final_evaluation_is_stale(start: Snapshot, training: Training) -> bool:
    """Whether the last row is an evaluation that a run with the present budget has not, or has with another number of episodes."""
    at_the_end = 0 < start.env_steps == start.evaluated_at
    another = training.final_evaluation_episodes not in (None, training.evaluation_episodes)
    return (
        at_the_end
        and start.env_steps < training.env_steps
        and (start.env_steps % training.evaluate_every != 0 or another)
    )


def _checkpoints(folder: RunFolder, writer: MetricsWriter, num_kept: int):
    """A function that keeps a snapshot in the run's folder; a full disk costs the checkpoint, not the run."""

    def keep(snapshot: Snapshot) -> None:
        try:
            folder.sync_rows()
            save_checkpoint(
                folder.path, to_arrays(snapshot), writer.facts(snapshot.env_steps), num_kept
            )
        except OSError as reason:
            logger.warning(
                "No checkpoint at %d real steps (%s); a resumed run would go on from an older one.",
                snapshot.env_steps,
                reason,
            )

    return keep


@contextmanager
def _as_run_errors(folder: Path) -> Iterator[None]:
    """Turns what can befall a run into one sentence; the traceback goes to its log."""
    try:
        yield
    except (
        EnvironmentFault,
        FloatingPointError,
        NonDeterministicEnvironment,
        OSError,
        jax.errors.JaxRuntimeError,
    ) as error:
        logger.info("The run failed.", exc_info=True)
        again = f" The run's checkpoints are in its folder: once mended, go on with `python -m mbrl resume {folder}`."
        # What has diverged would do so again.
        raise RunError(
            str(error) + ("" if isinstance(error, FloatingPointError) else again)
        ) from error
