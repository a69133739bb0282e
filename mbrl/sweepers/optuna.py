"""Hyperparameter search: Optuna draws settings, and Hydra's launcher runs them on each seed.

The mean score over the seeds goes back to Optuna.
"""

import math
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import count, groupby
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import optuna
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf
from optuna.samplers import TPESampler
from optuna.trial import TrialState, create_trial

from mbrl.errors import ConfigError, RunError, one_line
from mbrl.run_info import FORMAT
from mbrl.runs.folder import lock, write_atomic
from mbrl.runs.reader import status
from mbrl.sweepers.report import report
from mbrl.sweepers.search_space import search_space
from mbrl.sweepers.settings import search_settings
from mbrl.sweepers.study import check_same_folder, check_same_search, database_in, open_study
from mbrl.sweepers.trials import SearchTrial, from_optuna

EVALUATION_SEED = "training.evaluation_seed"
# Other start states than those on which results are reported, which tuning would bias.
TUNING_EVALUATION_SEED = 20000
# No trial is pruned before this many are completed: the median of fewer is too noisy.
TRIALS_BEFORE_PRUNING = 4
UNFINISHED = "unfinished"  # the study's user attribute with the trials of the current batch


class OptunaSearch:
    """A search. `sweep(overrides)` runs it to its end, or resumes the one in the storage.

    Trials are drawn in batches and run seed after seed. After each seed, a trial whose mean so far
    is worse than the median of earlier batches is pruned. Without pruning, all seeds run together.

    The study holds the finished trials. Those of the current batch are in a user attribute of the
    study, with the indices of their jobs before these are launched. So a killed search resumes with
    the jobs that have no score, under the same indices.
    """

    def __init__(
        self, config: DictConfig, make_launcher: Callable[[], Launcher], loader: ConfigLoader
    ):
        """`make_launcher` is called after all checks, because it locks the sweep's folder."""
        self._config, self._make_launcher, self._loader = config, make_launcher, loader
        self._settings = search_settings(config.hydra.sweeper)
        self._folder = Path(config.hydra.sweep.dir).absolute()
        self._url = self._settings.storage or database_in(self._folder)
        seeds = [str(seed) for seed in self._settings.seeds]
        # The seeds that a trial has run after each round.
        first = 1 if self._settings.pruning else len(seeds)
        self._rounds = [seeds[:end] for end in range(first, len(seeds) + 1)]

    def sweep(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Search the space that the overrides describe. Returns the best trial's settings, by key.

        Raises ConfigError for an invalid space, and if another search uses the folder or the study.
        Raises RunError if every trial failed, or if a job is unfinished: killed, interrupted, or
        still running after its search was killed.
        """
        parsed = OverridesParser.create(config_loader=self._loader).parse_overrides(list(arguments))
        for override in parsed:
            if override.key_or_group == "seed":
                raise ConfigError(
                    f"{override.input_line}: must not be given to a search, whose trials run on "
                    "hydra.sweeper.seeds. Give those, from 100 on: "
                    "'hydra.sweeper.seeds=[100,101,102]'."
                )
        self._space = search_space(parsed)
        self._shared = list(self._space.fixed)
        if not any(override.key_or_group == EVALUATION_SEED for override in parsed):
            self._shared.append(f"{EVALUATION_SEED}={TUNING_EVALUATION_SEED}")
        for point in self._space.validation_points():  # raises before anything is written
            self._loader.load_sweep_config(self._config, [*self._shared, *point])
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            # The launcher locks the folder itself.
            descriptor = lock(self._folder, file=".search.lock")
        except BlockingIOError:
            raise ConfigError(
                f"Another search is running in {self._folder}. "
                "Wait until it ends, or choose another hydra.sweep.dir."
            ) from None
        try:
            # Before multirun.yaml, by which the launcher recognises another sweep's folder.
            self._launcher = self._make_launcher()
            write_atomic(self._folder / "multirun.yaml", OmegaConf.to_yaml(self._config))
            self._open_study()
            while batch := self._next_batch():
                self._run(batch)
            return report(self._study, self._space, self._rounds[-1], self._config, self._url)
        except KeyboardInterrupt:
            command = f"give the same command with hydra.sweep.dir={self._folder}"
            print(f"To resume the search, {command}", file=sys.stderr)
            raise
        finally:
            os.close(descriptor)

    def _open_study(self) -> None:
        settings = self._settings
        self._study = open_study(self._url, settings.study_name, settings.direction)
        search = {
            "format": FORMAT,
            "space": self._space.described(),
            "fixed": self._shared,
            "seeds": list(settings.seeds),
            "direction": settings.direction,
        }
        check_same_search(self._study, search, self._url)
        if settings.storage is not None:  # a database in the folder moves with it
            check_same_folder(self._study, self._folder, self._url)

    def _next_batch(self) -> list[SearchTrial]:
        """The unfinished trials of a killed process, and new ones up to the end of the batch.

        Empty at the end of the search. Batches end at multiples of `batch_size`, so that a search
        that was killed while it drew trials draws the same ones again.
        """
        finished = self._study.get_trials(deepcopy=False)
        saved = [SearchTrial(**trial) for trial in self._study.user_attrs.get(UNFINISHED, [])]
        batch = [trial for trial in saved if trial.number >= len(finished)]
        # Drawn in a study in memory, since a trial that the stored one has drawn stays in it.
        study = optuna.create_study(direction=self._settings.direction)
        study.add_trials(finished)
        distributions = self._space.distributions
        study.add_trials(
            create_trial(state=TrialState.RUNNING, params=t.params, distributions=distributions)
            for t in batch
        )
        size = self._settings.batch_size
        end = min(len(finished) // size * size + size, self._settings.num_trials)
        for number in range(len(finished) + len(batch), end):
            # Seeded by the trial's number, so that draws do not depend on interruptions.
            sequence = np.random.SeedSequence([self._settings.sampler_seed, number])
            seed = int(sequence.generate_state(1)[0])
            with warnings.catch_warnings():  # these options are experimental before Optuna 5
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                # constant_liar keeps the trials of a batch apart.
                study.sampler = TPESampler(seed=seed, multivariate=True, constant_liar=True)
            batch.append(SearchTrial(number, study.ask(distributions).params))
        return batch

    def _run(self, batch: list[SearchTrial]) -> None:
        """Run a batch of trials and add them to the study."""
        active = [trial for trial in batch if trial.failure is None]
        for seeds in self._rounds:
            jobs = [(t, seed) for t in active for seed in seeds if seed not in t.scores]
            self._launch(batch, jobs)
            active = [t for t in active if t.failure is None and not self._is_pruned(t, seeds)]
        self._study.add_trials(
            trial.to_optuna(self._space.distributions, self._rounds, self._overrides(trial))
            for trial in batch
        )
        self._save([])

    def _is_pruned(self, trial: SearchTrial, seeds: list[str]) -> bool:
        """Whether the trial's mean over these seeds is worse than the median of completed trials.

        Optuna's MedianPruner compares the best mean that a trial ever had, so one good seed would
        protect it. Its WilcoxonPruner, made for seeds, never prunes with three of them, because the
        smallest possible p is 1/8.
        """
        # Only earlier batches count, so that the decision does not depend on interruptions.
        batch_start = trial.number - trial.number % self._settings.batch_size
        completed = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        means = [from_optuna(t).mean(seeds) for t in completed if t.number < batch_start]
        if seeds == self._rounds[-1] or len(means) < TRIALS_BEFORE_PRUNING:
            return False
        lead = trial.mean(seeds) - median(means)
        return lead < 0 if self._settings.direction == "maximize" else lead > 0

    def _launch(self, batch: list[SearchTrial], jobs: list[tuple[SearchTrial, str]]) -> None:
        """Run these seeds of these trials and save their scores in the study.

        Raises RunError if a job is unfinished.
        """
        trials = [*map(from_optuna, self._study.get_trials(deepcopy=False)), *batch]
        unused = count(1 + max((job for t in trials for job in t.jobs.values()), default=-1))
        for trial, seed in jobs:
            if seed not in trial.jobs:
                trial.jobs[seed] = next(unused)
        self._save(batch)
        jobs = sorted(jobs, key=_index)
        # A launcher counts up from the first index, but those of a resumed batch can have gaps.
        for _, block in groupby(enumerate(jobs), key=lambda item: _index(item[1]) - item[0]):
            run = [job for _, job in block]
            overrides = [[*self._overrides(trial), f"seed={seed}"] for trial, seed in run]
            results = self._launcher.launch(overrides, initial_job_idx=_index(run[0]))
            states = [_add_result(*job, result) for job, result in zip(run, results, strict=True)]
            self._save(batch)
            unfinished = [f"{_index(j)} ({s})" for j, s in zip(run, states, strict=True) if s]
            if unfinished:
                raise RunError(
                    f"These jobs of the search are not finished: {', '.join(unfinished)}. When "
                    "none of them is running, resume the search by the same command with "
                    f"hydra.sweep.dir={self._folder}."
                )

    def _overrides(self, trial: SearchTrial) -> list[str]:
        return [*self._shared, *self._space.overrides(trial.params)]

    def _save(self, batch: list[SearchTrial]) -> None:
        self._study.set_user_attr(UNFINISHED, [asdict(trial) for trial in batch])


def _index(job: tuple[SearchTrial, str]) -> int:
    """The index in the sweep of a job, which is a trial and a seed."""
    return job[0].jobs[job[1]]


def _add_result(trial: SearchTrial, seed: str, result: JobReturn) -> str | None:
    """Add a job's score or failure to its trial. Returns the status of an unfinished job.

    The status is read from the job's folder: the job can still run after its search was killed.
    """
    try:
        score = result.return_value  # raises the job's error
    except Exception as error:
        # Launchers of other projects may not tell the folder.
        folder = Path(result.working_dir) if result.working_dir else None
        state = status(folder) if folder and (folder / "config.yaml").exists() else "failed"
        # A ConfigError means that the job was refused before it started.
        if state != "failed" and not isinstance(error, ConfigError):
            return state
        own = isinstance(error, ConfigError | RunError)
        trial.fail(seed, one_line(error) if own else f"{type(error).__name__}: {one_line(error)}")
        return None
    if isinstance(score, int | float) and math.isfinite(score):
        trial.scores[seed] = float(score)
    else:
        trial.fail(seed, f"its score is {score}, but must be a finite number")
    return None
