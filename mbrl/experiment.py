"""One run, from config to result: build the parts, train, record, return the score.

import mbrl

result = mbrl.run(mbrl.compose(["planner=mcts", "seed=3"]))
"""

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import jax
from omegaconf import DictConfig

from mbrl.assemble import Parts, assemble
from mbrl.checkpointer import Checkpointer
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
from mbrl.config.process import start_jax
from mbrl.config.resolve import ResolvedConfig, check_size, resolve
from mbrl.envs.fault_wrapper import EnvironmentFault
from mbrl.errors import ConfigError, RunError, one_line, os_error_sentence
from mbrl.loggers.base import AbstractLogger
from mbrl.loggers.console import result_table, starting
from mbrl.metrics_writer import MetricsWriter
from mbrl.run_info import RunInfo
from mbrl.runs.folder import FIRST_FILES, HYDRA_FILES, RunFolder, discard_refused
from mbrl.runs.log import quiet_libraries
from mbrl.runs.provenance import provenance
from mbrl.runs.reader import read_metrics
from mbrl.runs.result import RunResult
from mbrl.runs.signals import Interrupted, StopRequest
from mbrl.tables import format_number, format_path, print_table, resume_command
from mbrl.terminal import RunConsole
from mbrl.training.collect import NonDeterministicEnvironment
from mbrl.training.loop import train
from mbrl.training.snapshot import Snapshot

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
        start_jax(settings.num_threads, settings.compilation_cache)
        facts = info.to_provenance() | provenance(settings.seed, settings.num_threads)
        if not resume:
            folder.write_provenance(facts)
        with starting(info.owns_terminal):
            parts, writer = assemble(config, info.trust), MetricsWriter()
        checkpointer = Checkpointer(folder, writer, parts, config.fingerprint())
        start = Snapshot(parts.state)
        if resume:
            start = checkpointer.restore(tolerance)
            folder.write_provenance(facts)
        _log_beginning(info, parts, start)
        run_info = replace(info, num_rows=writer.num_rows, num_parameters=parts.num_parameters)
        with writer.attached(build_loggers(config, run_info)):
            _, evaluation = train(
                parts.training,
                parts.environment,
                parts.learner,
                parts.planner,
                start,
                writer.log,
                checkpointer.save,
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
