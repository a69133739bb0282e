"""Hyperparameter search: Optuna draws settings, Hydra's launcher runs them on each seed, their mean score goes back to Optuna."""

import math
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import optuna
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf
from optuna import Study
from optuna.exceptions import OptunaError
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from mbrl.errors import ConfigError, RunError
from mbrl.runs.folder import lock
from mbrl.runs.reader import status
from mbrl.sweepers import trials
from mbrl.sweepers.report import close, without_password
from mbrl.sweepers.search_space import search_space
from mbrl.sweepers.settings import Settings, read_settings

EVALUATION_SEED = "training.evaluation_seed"
# The default of a search: were it the runs' own default, settings would be chosen for how they do from the very start states
# on which they are reported afterwards, and the report would flatter them.
TUNING_EVALUATION_SEED = 20000
# Trials that must be completed before any is pruned: the median of fewer says little.
TRIALS_BEFORE_PRUNING = 4
# Keys of a study's user attributes.
SEARCH = "search"  # what it searches
FOLDER = "folder"  # where, if its database is not there


class OptunaSearch:
    """One search: `sweep(overrides)` runs it to its end, or goes on with the one whose study is in the storage.

    Trials are drawn `batch_size` together, and run seed after seed: after each round of seeds, each of them is pruned
    whose mean so far is worse than the median of the means over the same seeds of the trials that earlier batches completed.
    Without pruning all seeds are launched together. What is known of a trial is in the study at all times, its jobs' numbers
    before they are launched; so a search that was killed goes on with the jobs that have no score, under the numbers that they had.
    """

    def __init__(
        self, config: DictConfig, make_launcher: Callable[[], Launcher], loader: ConfigLoader
    ):
        """`make_launcher` is called once all is checked, since a launcher may lock_sweep the sweep's folder."""
        self._config = config
        self._make_launcher = make_launcher
        self._loader = loader
        self._settings = read_settings(config.hydra.sweeper)
        self._folder = Path(config.hydra.sweep.dir).absolute()
        seeds = tuple(self._settings.seeds)
        self._seeds = seeds
        self._rounds = [(seed,) for seed in seeds] if self._settings.pruning else [seeds]

    def sweep(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Searches what the command line's overrides say; returns the best trial's settings, by key.

        Raises ConfigError for what cannot be searched and where another search uses the folder or the study, RunError if every
        trial failed, and where a job is not over: killed or interrupted, or left running by a search that was killed.
        """
        parsed = OverridesParser.create(config_loader=self._loader).parse_overrides(list(arguments))
        _check_seed(parsed)
        self._space = search_space(parsed)
        own_starts = any(override.key_or_group == EVALUATION_SEED for override in parsed)
        self._shared = [
            *self._space.fixed,
            *([] if own_starts else [f"{EVALUATION_SEED}={TUNING_EVALUATION_SEED}"]),
        ]
        for corner in self._space.validation_points():  # before anything is written
            self._loader.load_sweep_config(self._config, [*self._shared, *corner])
        with self._claimed_study():
            while batch := self._next_batch():
                self._run(batch)
            return close(self._study, self._space, self._seeds, self._config, self._url)

    @contextmanager
    def _claimed_study(self) -> Iterator[None]:
        """The study, open in `_study`, and nobody else at it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = _claim(self._folder)
        try:
            self._launcher = (
                self._make_launcher()
            )  # before multirun.yaml, by which it may tell that the folder is another sweep's
            OmegaConf.save(self._config, self._folder / "multirun.yaml")
            self._open()
            yield
        except KeyboardInterrupt:
            print(
                f"The search can go on: give the same command once more, with hydra.sweep.dir={self._folder}",
                file=sys.stderr,
            )
            raise
        finally:
            os.close(descriptor)

    def _open(self) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        settings = self._settings
        self._url = settings.storage or _database_in(self._folder)
        self._study = _open(self._url, settings)
        searched = {
            "space": self._space.described(),
            "fixed": self._shared,
            "seeds": list(self._seeds),
            "direction": settings.direction,
        }
        known = self._study.user_attrs.get(SEARCH)
        if known is None:
            self._study.set_user_attr(SEARCH, searched)
        elif known != searched:
            _refuse_other(self._url, settings.study_name, known, searched)
        if settings.storage is not None:  # the one in the folder goes where the folder goes
            self._check_folder(settings.study_name)

    def _check_folder(self, study_name: str) -> None:
        """Raises ConfigError where the study is that of a search in another folder, which may be running, with jobs of its own."""
        own = str(self._folder.resolve())
        known = self._study.user_attrs.get(FOLDER)
        if known is None:
            self._study.set_user_attr(FOLDER, own)
        elif known != own:
            tell = [
                "optuna",
                "study",
                "set-user-attr",
                "--storage",
                without_password(self._url),
                "--study-name",
                study_name,
            ]
            raise ConfigError(
                f"hydra.sweeper.study_name={study_name} in {without_password(self._url)} is the search of hydra.sweep.dir={known}, not "
                f"of {own}: give that folder, or another study_name, or, if the folder was moved, "
                f"first `{shlex.join([*tell, '--key', FOLDER, '--value', own])}`."
            )

    def _next_batch(self) -> list[Trial]:
        """The trials that a process before this one left unfinished, and new ones until the batch is full; none at the end.

        A batch ends where the number of trials is a multiple of `batch_size`, so that a search that was interrupted while
        it drew trials sees just what it would have seen.
        """
        number, max_parallel_jobs = (
            len(self._study.get_trials(deepcopy=False)),
            self._settings.batch_size,
        )
        left = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        unfinished = [self._take_up(frozen) for frozen in left]
        full = (
            (number + (0 if left else 1) + max_parallel_jobs - 1)
            // max_parallel_jobs
            * max_parallel_jobs
        )
        return unfinished + [
            self._ask() for _ in range(number, min(full, self._settings.num_trials))
        ]

    def _ask(self) -> Trial:
        """A new trial."""
        self._seed_sampler(len(self._study.get_trials(deepcopy=False)))
        return self._study.ask(self._space.distributions)

    def _take_up(self, left: FrozenTrial) -> Trial:
        """A trial that another process began, to which there is no public way. What it has drawn stays; what is missing is drawn."""
        self._seed_sampler(left.number)
        trial = Trial(self._study, left._trial_id)
        for key, distribution in self._space.distributions.items():
            trial._suggest(key, distribution)
        return trial

    def _seed_sampler(self, number: int) -> None:
        """Each trial has a sampler of its own, seeded by its number, so that what is drawn does not depend on interruptions."""
        seed = int(
            np.random.SeedSequence([self._settings.sampler_seed, number]).generate_state(1)[0]
        )
        with _experimental():  # constant_liar: trials drawn together keep away from each other
            self._study.sampler = TPESampler(seed=seed, multivariate=True, constant_liar=True)

    def _run(self, batch: Sequence[Trial]) -> None:
        """Runs a batch of trials to their ends, and tells the study."""
        live = list(batch)
        for step, seeds in enumerate(self._rounds):
            missing = [
                (trial, seed) for trial in live for seed in seeds if not _has_run(trial, seed)
            ]
            self._launch(missing)
            live = [trial for trial in live if self._goes_on(trial, step)]
        for trial in live:
            self._study.tell(trial, trials.mean_score(trial, self._seeds))

    def _goes_on(self, trial: Trial, step: int) -> bool:
        """Whether a trial goes on after this round of seeds; if not, the study is told."""
        if trials.failure(trial) is not None:
            self._study.tell(trial, state=TrialState.FAIL)
            return False
        seeds = [seed for seeds in self._rounds[: step + 1] for seed in seeds]
        if step not in self._study.get_trials(deepcopy=False)[trial.number].intermediate_values:
            trial.report(
                trials.mean_score(trial, seeds), step
            )  # for the sampler, which learns from pruned trials too
        if seeds == list(self._seeds) or not self._is_below_median(trial, seeds):
            return True
        self._study.tell(trial, state=TrialState.PRUNED)
        return False

    def _is_below_median(self, trial: Trial, seeds: Sequence[int]) -> bool:
        """Whether the trial's mean over these seeds is worse than the median of the means that completed trials have over them.

        Not by Optuna's MedianPruner, which takes the best mean that a trial ever had, so that a lucky first seed would save it; nor by
        its WilcoxonPruner, made for seeds, which cannot be sure of anything with three of them: its least p is 1/8.
        """
        # Those of the batches before: were it all that are completed by now, it would matter where a search was killed.
        drawn_before = trial.number - trial.number % self._settings.batch_size
        completed = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        means = [
            trials.mean_score(other, seeds) for other in completed if other.number < drawn_before
        ]
        if len(means) < TRIALS_BEFORE_PRUNING:
            return False
        lead = trials.mean_score(trial, seeds) - median(means)
        return lead < 0 if self._settings.direction == "maximize" else lead > 0

    def _launch(self, wanted: Sequence[tuple[Trial, int]]) -> None:
        """Runs these seeds of these trials, and keeps what came of it in the trials. Raises RunError where a job is not over."""
        numbered = list(zip(self._numbers(wanted), wanted, strict=True))
        # A launcher counts its jobs on from the first; what another process left may have gaps.
        for _, block in groupby(
            enumerate(sorted(numbered, key=lambda job: job[0])),
            key=lambda item: item[1][0] - item[0],
        ):
            jobs = [job for _, job in block]
            overrides = [[*self._overrides(trial), f"seed={seed}"] for _, (trial, seed) in jobs]
            results = self._launcher.launch(overrides, initial_job_idx=jobs[0][0])
            states = {
                number: _keep_result(trial, seed, result)
                for (number, (trial, seed)), result in zip(jobs, results, strict=True)
            }
            _check_over(
                {number: state for number, state in states.items() if state is not None},
                self._folder,
            )

    def _numbers(self, wanted: Sequence[tuple[Trial, int]]) -> list[int]:
        """The number of each job: the one that it has already, or the next, which is kept before anything runs."""
        used = [
            number
            for trial in self._study.get_trials(deepcopy=False)
            for number in trials.jobs(trial).values()
        ]
        following = max(used, default=-1) + 1
        for trial, seed in wanted:
            if seed not in trials.jobs(trial):
                trials.set_job(trial, seed, following)
                following += 1
        return [trials.jobs(trial)[seed] for trial, seed in wanted]

    def _overrides(self, trial: Trial) -> list[str]:
        overrides = [*self._shared, *self._space.overrides(trial.params)]
        if trial.user_attrs.get(trials.OVERRIDES) != overrides:
            trial.set_user_attr(trials.OVERRIDES, overrides)
        return overrides


def _claim(folder: Path) -> int:
    """Takes a lock of the search's own, since the folder's the launcher may have taken; raises ConfigError where a search lives in it."""
    try:
        return lock(folder, file=".search.lock")
    except BlockingIOError:
        raise ConfigError(
            f"Another search is running in {folder}: wait until it ends, or choose another hydra.sweep.dir."
        ) from None


def _database_in(folder: Path) -> str:
    """The address of the folder's own database, whatever characters are in the folder's name."""
    return URL.create("sqlite", database=str(folder / "optuna.db")).render_as_string(
        hide_password=False
    )


def _open(url: str, settings: Settings) -> Study:
    """The study, new or as it is. Raises ConfigError where the database cannot be used."""
    try:
        return optuna.create_study(
            storage=url,
            study_name=settings.study_name,
            direction=settings.direction,
            load_if_exists=True,
        )
    # Of SQLAlchemy and Optuna; of drivers that are missing; of addresses in which the port, say, is no number; of other versions' tables.
    except (
        SQLAlchemyError,
        OptunaError,
        ImportError,
        ValueError,
        TypeError,
        RuntimeError,
    ) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ConfigError(
            f"hydra.sweeper.storage={without_password(url)} cannot be opened ({reason}): give a database that is there, whose driver is "
            "installed, such as sqlite:////absolute/path/optuna.db, or null for one in the sweep's folder."
        ) from error


def _check_seed(overrides: Sequence[Override]) -> None:
    for override in overrides:
        if override.key_or_group == "seed":
            raise ConfigError(
                f"{override.input_line} is not for the command line of a search, whose trials run on the seeds of "
                "hydra.sweeper.seeds; leave it out, or give those, from 100 on: 'hydra.sweeper.seeds=[100,101,102]'."
            )


def _refuse_other(
    url: str, study_name: str, known: dict[str, Any], searched: dict[str, Any]
) -> None:
    """Raises ConfigError: scores of different searches cannot be compared."""
    name = next(name for name in searched if known.get(name) != searched[name])
    raise ConfigError(
        f"The study {study_name} in {without_password(url)} has {name}={known.get(name)}, and this command {name}={searched[name]}: go on "
        "with the command that began it (hydra.sweeper.num_trials may grow), or leave out hydra.sweep.dir for a search of its own."
    )


def _has_run(trial: Trial, seed: int) -> bool:
    return seed in trials.scores(trial) or trials.failure(trial) is not None


def _keep_result(trial: Trial, seed: int, result: JobReturn) -> str | None:
    """Keeps what came of a job: its score, or why it failed. Of a job that is not over nothing is kept, and its state returned."""
    try:
        score = result.return_value  # raises what the job raised
    except Exception as error:
        state = _state(result)
        if state != "failed" and not isinstance(
            error, ConfigError
        ):  # of which the latter refused it before it began
            return state
        trials.set_failure(trial, seed, _sentence(error))
    else:
        if isinstance(score, int | float) and math.isfinite(score):
            trials.set_score(trial, seed, float(score))
        else:
            trials.set_failure(trial, seed, f"its score is {score}, and must be a finite number")
    return None


def _state(result: JobReturn) -> str:
    """What became of a job that has no score, by its own folder: a launcher may find it still running, left by a search that was killed."""
    folder = Path(result.working_dir or "")
    if (
        result.working_dir is None or not (folder / "config.yaml").exists()
    ):  # a launcher that does not say where its jobs are
        return "failed"
    return status(folder)


def _check_over(states: Mapping[int, str], folder: Path) -> None:
    """Raises RunError for jobs that are not over, by number."""
    if states:
        named = ", ".join(f"{number} ({state})" for number, state in states.items())
        raise RunError(
            f"These jobs of the search are not over: {named}; once none of them is running, the same command "
            f"with hydra.sweep.dir={folder} goes on with them."
        )


def _sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return (
        lines[0]
        if isinstance(error, ConfigError | RunError)
        else f"{type(error).__name__}: {lines[0]}".rstrip(": ")
    )


@contextmanager
def _experimental() -> Iterator[None]:
    """Optuna before 5.0 warns of each use of what was still an experiment then."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
