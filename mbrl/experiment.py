"""One run, from config to result: build the parts, train, record, return the score.

import mbrl

result = mbrl.run(mbrl.compose(["planner=mcts", "seed=3"]))
"""

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
from omegaconf import DictConfig

from mbrl.assemble import Parts, assemble
from mbrl.config.build import build
from mbrl.config.compose import with_hydra
from mbrl.config.job import call_as_job
from mbrl.config.launch import (
    check_environment_id,
    check_no_empty_mapping,
    new_folder,
    permit_uploads,
    run_info_from_hydra,
)
from mbrl.config.process import check_devices, enable_compilation_cache, set_threads
from mbrl.config.resolve import ResolvedConfig, check_size, resolve
from mbrl.envs.fault_wrapper import EnvironmentFault
from mbrl.errors import ConfigError, RunError, one_line, os_error_sentence
from mbrl.loggers.base import AbstractLogger
from mbrl.loggers.console import result_table, starting
from mbrl.metrics_writer import MetricsWriter
from mbrl.run_info import RunInfo
from mbrl.runs.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from mbrl.runs.folder import FIRST_FILES, HYDRA_FILES, RunFolder, discard_refused
from mbrl.runs.log import quiet_libraries
from mbrl.runs.metric_diff import RowChecker
from mbrl.runs.provenance import provenance
from mbrl.runs.reader import read_metrics
from mbrl.runs.result import RunResult
from mbrl.runs.signals import Interrupted, StopRequest
from mbrl.tables import format_number, format_path, print_table, resume_command
from mbrl.terminal import RunConsole
from mbrl.training.collect import NonDeterministicEnvironment
from mbrl.training.loop import Training, train
from mbrl.training.snapshot import Snapshot, from_arrays, max_bytes, to_arrays

logger = logging.getLogger(__name__)

FAULTS = (EnvironmentFault, NonDeterministicEnvironment, OSError, jax.errors.JaxRuntimeError)


def run(config: DictConfig) -> RunResult:
    """Runs a composed config in a new run folder; returns the score, with the folder and metrics.

    `config` comes from `compose`, and may have changed since, or from Hydra. Raises ConfigError for
    a setting that cannot be run, RunError where the run cannot continue, and Interrupted where a
    signal stopped it.
    """
    check_size(config)  # before it is copied
    job = with_hydra(config)
    try:
        return _run(config) if job is None else call_as_job(_run, job)
    except OSError as error:
        if error.errno is None:  # an own error, such as FolderTaken
            raise
        raise RunError(os_error_sentence(error)) from error


def _run(config: DictConfig) -> RunResult:
    """Runs in the folder that Hydra has prepared."""
    with _discarded_if_refused(HYDRA_FILES):
        resolved = resolve(config)
        info = run_info_from_hydra(config)
        check_environment_id(resolved.tree.env.id, info.choices["env"])
        resolved = permit_uploads(resolved, info)
        check_no_empty_mapping(config, info.overrides)
    with _discarded_if_refused(FIRST_FILES):
        return execute(resolved, info)


def execute(
    config: ResolvedConfig, info: RunInfo, resume: bool = False, tolerance: float = 0.0
) -> RunResult:
    """Runs in `info.folder`: a new run, or with `resume` the one there, from its last checkpoint.

    `tolerance` is the relative difference allowed between repeated rows and those recorded before.
    A new job of a sweep is resumed too, since its config is saved before it starts.
    """
    settings = config.tree
    with (
        StopRequest() as should_stop,
        RunFolder(info.folder, config.to_yaml(), resume) as folder,
        _as_run_errors(folder.path),
        quiet_libraries(),
    ):
        set_threads(settings.num_threads)
        check_devices()
        if settings.compilation_cache:
            enable_compilation_cache(settings.num_threads)
        facts = info.to_provenance() | provenance(settings.seed, settings.num_threads)
        if not resume:
            folder.write_provenance(facts)
        with starting(info.owns_terminal):
            parts, writer = assemble(config, info.trust), MetricsWriter()
        start = Snapshot(parts.state)
        save = _checkpoint_saver(folder, writer, parts.training, config.fingerprint())
        if resume:
            start = _restore(folder, writer, parts, config.fingerprint(), tolerance)
            folder.write_provenance(facts)
        _log_beginning(info, parts, start)
        counts = parts.num_parameters
        run_info = replace(info, num_rows=writer.num_rows, num_parameters=counts)
        loggers = build_loggers(config, run_info)
        with writer.attached(loggers):
            _, evaluation = train(
                parts.training,
                parts.environment,
                parts.planner,
                start,
                writer.log,
                save,
                should_stop,
                tolerance,
                writer.show,
            )
            if should_stop():
                # The command has a line of its own, to be copied.
                command = resume_command(format_path(folder.path))
                raise should_stop.interrupted(f"Interrupted. To resume the run:\n    {command}")
        score = (folder.finish("completed") | evaluation)["evaluation/return_mean"]
        logger.info("Completed with a return of %s.", format_number(score))
        _report(config, info)
    if should_stop():
        raise should_stop.interrupted("Interrupted after the run was completed.")
    return RunResult(score, info.folder)


def build_loggers(config: ResolvedConfig, info: RunInfo) -> Iterator[AbstractLogger]:
    """The loggers that the config names, each built when it is asked for."""
    for name, node in config.tree.logger.items():
        run_info = replace(info, config=config.settings, logger_name=str(name))
        yield build(node, info.trust, run_info=run_info)


def _log_beginning(info: RunInfo, parts: Parts, start: Snapshot) -> None:
    """Begins the story of the run in run.log: its device, its parts and their sizes."""
    budget, device = parts.training.env_steps, jax.devices()[0].device_kind
    beginning = "Resumed at" if start.env_steps else "From"
    steps = f"{beginning} step {start.env_steps}, to {budget}"
    logger.info("%s on %s. %s.", info.name, device, steps)
    for sentence in parts.describe():
        logger.info("%s", sentence)


def _report(config: ResolvedConfig, info: RunInfo) -> None:
    """Draws the learning curve and prints the result."""
    # Imported here, since matplotlib would delay the start of the run.
    from mbrl.analysis.plots import learning_curve

    rows = read_metrics(info.folder)
    try:
        learning_curve(rows, info.folder / "learning_curve.png", title=info.name)
    except OSError as error:  # the score is worth more than its picture
        logger.warning("Cannot draw the learning curve (%s).", one_line(error))
    if info.owns_terminal:
        names = (config.tree.env.id, info.choices["model"], info.choices["planner"])
        console = RunConsole()
        print_table(result_table(*names, config.tree.seed, rows), console)
        # Outside the table, which would break it.
        console.say(f"Run folder: {format_path(info.folder)}")


def _restore(
    folder: RunFolder, writer: MetricsWriter, parts: Parts, fingerprint: str, tolerance: float
) -> Snapshot:
    """The snapshot to continue from: the last checkpoint's, or the first where there is none.

    Rows after it move to metrics.superseded.jsonl; they must come out the same again. Raises
    ConfigError where config.yaml has changed, or where the budget is already exceeded.
    """
    training, num_recorded = parts.training, len(read_metrics(folder.path))
    # A checkpoint that counts more rows than are recorded is useless: its rows would be missing.
    checkpoint = load_checkpoint(
        folder.path,
        lambda facts: facts["num_rows"] <= num_recorded,
        max_bytes(parts.state, training.env_steps),
    )
    start, num_rows, seconds = Snapshot(parts.state), 0, 0.0
    if checkpoint is not None:
        start = _load_snapshot(checkpoint, folder, parts, fingerprint)
        num_rows, seconds = checkpoint.facts["num_rows"], checkpoint.facts["wall_seconds"]
    if start.env_steps > training.env_steps:
        raise ConfigError(
            f"training.env_steps={training.env_steps}: {start.env_steps} real steps are already "
            "taken. Give at least that many."
        )
    folder.mark_running()  # changes nothing of the run before here
    is_stale = _final_evaluation_is_stale(start, training)
    if is_stale:
        # The evaluation's row is dropped. A checkpoint that does not count it is saved first,
        # since there may be no time for another.
        start, num_rows = start._replace(evaluated_at=start.env_steps - 1), num_rows - 1
        writer.resume_at(num_rows, seconds, RowChecker([]))
        facts = _checkpoint_facts(start, writer, fingerprint)
        save_checkpoint(folder.path, to_arrays(start), facts, training.max_checkpoints)
    folder.truncate_metrics(num_rows)
    if is_stale and start.env_steps % training.evaluate_every == 0:
        folder.archive_superseded()  # this row is repeated with another number of episodes
    repeated = [
        row
        for row in read_metrics(folder.path, "metrics.superseded.jsonl")
        # With another budget, an evaluation can have another number of episodes.
        if "evaluation/returns" not in row
        or len(row["evaluation/returns"]) == training.evaluation_episodes_at(row["env_steps"])
    ]
    writer.resume_at(num_rows, seconds, RowChecker(repeated, tolerance))
    if tolerance > 0:
        folder.archive_superseded()
    return start


def _load_snapshot(
    checkpoint: Checkpoint, folder: RunFolder, parts: Parts, fingerprint: str
) -> Snapshot:
    if checkpoint.facts.get("config") != fingerprint:
        raise ConfigError(
            f"{folder.path / 'config.yaml'}: changed since the run's checkpoints were saved. Undo "
            "the change, or start a new run with it."
        )
    exploration = parts.training.exploration
    try:
        return from_arrays(checkpoint.arrays, parts.state, parts.planner, exploration)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{folder.path}: its last checkpoint does not fit this version of mbrl ({error}). Use "
            "the commit in its provenance.json."
        ) from error


def _final_evaluation_is_stale(start: Snapshot, training: Training) -> bool:
    """Whether the last row is an evaluation that a run with the present budget does not have.

    Or has with another number of episodes.
    """
    is_final = 0 < start.env_steps == start.evaluated_at < training.env_steps
    episodes = (None, training.evaluation_episodes)
    differs = training.final_evaluation_episodes not in episodes
    return is_final and (start.env_steps % training.evaluate_every != 0 or differs)


def _checkpoint_facts(
    snapshot: Snapshot, writer: MetricsWriter, fingerprint: str
) -> dict[str, Any]:
    return {
        "env_steps": snapshot.env_steps,
        "num_rows": writer.num_rows,
        "wall_seconds": writer.wall_seconds,
        "config": fingerprint,
    }


def _checkpoint_saver(
    folder: RunFolder, writer: MetricsWriter, training: Training, fingerprint: str
) -> Callable[[Snapshot], None]:
    """Saves snapshots into the run's folder.

    A full disk costs the checkpoint, not the run. Only the last one must be written, since a
    completed run has it: raises RunError otherwise, and OSError if the folder is gone.
    """

    def save(snapshot: Snapshot) -> None:
        try:
            folder.sync_rows()
            facts = _checkpoint_facts(snapshot, writer, fingerprint)
            save_checkpoint(folder.path, to_arrays(snapshot), facts, training.max_checkpoints)
        except OSError as error:
            if not folder.path.is_dir():
                raise
            if snapshot.evaluated_at == training.env_steps:
                raise RunError(
                    f"The last checkpoint could not be written: {os_error_sentence(error)}",
                    f"Then finish the run: {resume_command(folder.path)}",
                ) from error
            logger.warning(
                "No checkpoint at %d real steps (%s). A resumed run starts from an older one.",
                snapshot.env_steps,
                one_line(error),
            )

    return save


@contextmanager
def _discarded_if_refused(files: Collection[str]) -> Iterator[None]:
    """A refused run leaves nothing: it would fill lists and comparisons."""
    try:
        yield
    except ConfigError:
        folder = new_folder()
        if folder is not None:
            discard_refused(folder, files)
        raise


@contextmanager
def _as_run_errors(folder: Path) -> Iterator[None]:
    """Turns the faults of a run into one sentence with a remedy; tracebacks go to run.log."""
    try:
        yield
    except Interrupted:
        logger.info("Interrupted.")
        raise
    except ConfigError:
        raise
    except Exception as error:
        logger.info("The run failed.", exc_info=True)
        if not isinstance(error, (FloatingPointError, *FAULTS)):
            raise
        text = os_error_sentence(error) if isinstance(error, OSError) else str(error)
        remedy = ""
        if not folder.is_dir():
            text = (
                f"{folder}: removed or moved while the run was writing to it. If you moved it, "
                "resume the run there; otherwise start a new one."
            )
        elif not isinstance(error, FloatingPointError):  # diverged learning would diverge again
            remedy = f"Once fixed, resume from its checkpoints: {resume_command(folder)}"
        raise RunError(text, remedy) from error
