"""Runs that differ in nothing but their seeds, in lock-step in one process: `mbrl/training/lockstep.py` says how.

Each is a run like any other, with a thread, a folder, a record and a W&B run of its own.
"""

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from hydra.core.utils import env_override
from omegaconf import DictConfig

from mbrl.config import (
    ConfigError,
    RunError,
    enable_compilation_cache,
    resolved,
    set_threads,
    to_yaml,
)
from mbrl.launch import Launch, read_run, relaunch
from mbrl.launchers.job import refuse_live
from mbrl.launchers.way import AbstractWay
from mbrl.runs.folder import RunFolder, give_up
from mbrl.runs.log import log_of_this_thread_to
from mbrl.runs.reader import DamagedRun
from mbrl.runs.stopping import Interrupted, StopRequest

NAMES = ("act", "act_all", "learn")  # of what can be computed together
LARGEST_PRODUCT = (
    64 * 2**10
)  # bytes: about a core's innermost cache. What works on more is computed no faster together
POLL = 0.2  # seconds between two looks at the threads
GRACE = 5.0  # seconds that runs have to end by themselves where all is to stop at once

logger = logging.getLogger(__name__)


class Vectorized(AbstractWay):
    """`carry_out_together` with these arguments."""

    def __init__(self, max_together: int | None = None, together: Sequence[str] | None = None):
        if max_together is not None and max_together < 1:
            raise ConfigError(
                f"hydra.launcher.max_together={max_together} must be at least 1, or null for all."
            )
        unknown = sorted(set(together or ()) - set(NAMES))
        if unknown:
            raise ConfigError(
                f"hydra.launcher.together={unknown[0]} must be of {', '.join(NAMES)}, or null for what is faster."
            )
        self._max_together, self._together = max_together, together

    def carry_out(self, jobs):
        refuse_live(jobs)
        if jobs:
            with env_override(dict(jobs[0].environment)):  # as that of all others
                carry_out_together(
                    [job.folder for job in jobs],
                    jobs[0].arguments,
                    self._max_together,
                    self._together,
                )


@dataclass(frozen=True)
class Written:
    """A run that is written down."""

    config: DictConfig
    started: Launch

    @property
    def group(self) -> str:
        """The same for runs that differ in nothing but their seeds: not in their budgets either."""
        return to_yaml(resolved(self.config) | {"seed": None}) + repr(self.started.trust)


def carry_out_together(
    folders: Sequence[Path],
    overrides: Sequence[str] = (),
    max_together: int | None = None,
    together: Sequence[str] | None = None,
) -> None:
    """Carries out the runs that are written down in these folders, or goes on with them: those that differ in nothing but their seeds
    at once, at most `max_together` of them; one such group after the other.

    `overrides` may hold trust=[…]. `together` names what is computed together (`learn`, `act_all`, `act`): by default what
    that makes faster; nothing gives each run the bits that it would have alone.

    A run that fails ends alone: its summary.json says why. Raises Interrupted where asked to stop, once all have checkpointed.
    """
    if max_together is not None and max_together < 1:
        raise ConfigError(f"max_together={max_together} must be at least 1, or null for all.")
    with StopRequest() as stopping:
        for group in _groups(_read(folders, overrides)):
            if not stopping():
                _carry_out_group(group, stopping, max_together, together)
        if stopping():
            raise stopping.interrupted(
                "Interrupted; go on with `python -m mbrl resume` and a run's folder, or the sweep's."
            )


def _read(folders: Sequence[Path], overrides: Sequence[str]) -> Iterator[Written]:
    for folder in folders:
        try:
            config, kept, trust = read_run(folder, overrides)
            written = Written(config, relaunch(folder, kept, trust, alone=False))
            assert written.group  # which refuses what no run can have
            yield written
        except (ConfigError, DamagedRun, OSError) as error:
            _failed(folder, error)


def _groups(runs: Iterable[Written]) -> list[list[Written]]:
    groups: dict[str, list[Written]] = {}
    for run in runs:
        groups.setdefault(run.group, []).append(run)
    return list(groups.values())


def _carry_out_group(
    group: list[Written],
    stopping: StopRequest,
    max_together: int | None,
    together: Sequence[str] | None,
) -> None:
    config, trust = group[0].config, group[0].started.trust
    try:
        set_threads(config.num_threads)
        if config.compilation_cache:
            enable_compilation_cache(config.num_threads)
        import jax  # only now that it is known what it shall run on

        like, pays = _what_they_share(config, trust)
    except (ConfigError, OSError) as error:  # which each of them would meet
        for run in group:
            _record_failure(run, error)
        return
    size = max_together or len(group)
    for first in range(0, len(group), size):
        if not stopping():
            _in_lockstep(
                group[first : first + size],
                like,
                pays if together is None else {"together": together},
                stopping,
            )
    jax.clear_caches()  # what was compiled for this group takes some of the memory maps that a process may have


def _in_lockstep(
    group: list[Written], like: Any, settings: dict[str, Any], stopping: StopRequest
) -> None:
    from mbrl.training.lockstep import Lockstep

    lockstep = Lockstep(len(group), **settings)
    threads = [
        InThread(run, lockstep.place(number), like, stopping) for number, run in enumerate(group)
    ]
    for thread in threads:
        thread.start()
    _watch(threads, lockstep)


def _what_they_share(config: DictConfig, trust: tuple[str, ...]) -> tuple[Any, dict[str, Any]]:
    """The parts that do not depend on the seed, and what of their programs is computed faster together."""
    from mbrl.parts import build_parts
    from mbrl.training.lockstep import on_this_device, sizes_of_decisions

    training, environment, planner, state = build_parts(config, trust)
    sizes = sizes_of_decisions(training, environment, planner, state)
    return (training, environment, planner), on_this_device(
        [name for name, size in sizes.items() if size <= LARGEST_PRODUCT]
    )


class InThread(threading.Thread):
    """One run of a group. A daemon, so that one that hangs does not keep the process."""

    def __init__(self, run: Written, place: Any, like: Any, stopping: StopRequest):
        super().__init__(name=run.started.folder.name, daemon=True)
        self.folder, self.place = run.started.folder, place
        self._run, self._like, self._stopping = run, like, stopping
        self.given_up = False

    def run(self) -> None:
        from mbrl.experiment import carry_out

        config, started = self._run.config, self._run.started
        try:
            with self.place as compute, log_of_this_thread_to(self.folder):
                carry_out(
                    config,
                    started,
                    again=True,
                    compute=compute,
                    stopping=self._stopping,
                    like=self._like,
                )
        except KeyboardInterrupt:
            pass  # which the summary says
        except BaseException as error:
            if not self.given_up:
                _failed(self.folder, error)


def _watch(threads: Sequence[InThread], lockstep: Any) -> None:
    """Waits until all runs have ended, but for one that hangs in its environment: that is given up.

    A second signal, which raises here, ends all of them at once.
    """
    from mbrl.envs.watched import overdue

    living = list(threads)
    try:
        while living:
            living[0].join(POLL)
            for thread in living:
                if overdue(thread):
                    _give_up(thread, lockstep)
            living = [thread for thread in living if thread.is_alive() and not thread.given_up]
    except Interrupted as interruption:
        for thread in living:
            lockstep.leave(thread.place.number, interruption)
        until = monotonic() + GRACE
        for thread in living:
            thread.join(max(0.0, until - monotonic()))
            if thread.is_alive():
                give_up(thread.folder, "interrupted")
        raise


def _give_up(thread: InThread, lockstep: Any) -> None:
    sentence = "The environment did not return within env.step_timeout seconds: mend it, or raise that (null waits for ever)."
    thread.given_up = True
    lockstep.leave(thread.place.number)
    give_up(thread.folder, "failed", sentence)
    logger.warning("%s failed, and the others go on: %s", thread.folder, sentence)


def _record_failure(run: Written, error: Exception) -> None:
    try:
        with RunFolder(run.started.folder, to_yaml(resolved(run.config)), again=True) as folder:
            folder.finish("failed", error=str(error))
    except OSError as reason:  # another process has it
        error = reason
    _failed(run.started.folder, error)


def _failed(folder: Path, error: BaseException) -> None:
    """Says so, as the run's own summary.json does, but for one that could not even be taken up."""
    if isinstance(error, ConfigError | RunError | DamagedRun | OSError):
        logger.warning("%s failed, and the others go on: %s", folder, error)
    else:
        logger.error("%s failed, and the others go on.", folder, exc_info=error)
