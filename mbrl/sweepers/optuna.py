"""Hyperparameter search: Optuna draws settings, and Hydra's launcher runs them on each seed.

The mean score over the seeds goes back to Optuna.
"""

import math
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import optuna
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState

from mbrl.config.launch import check_no_wandb_agent
from mbrl.config.limits import limited
from mbrl.config.sweep_size import check_num_jobs
from mbrl.errors import ConfigError, RunError, one_line
from mbrl.regular_files import write_atomic
from mbrl.run_info import FORMAT
from mbrl.runs.folder import lock
from mbrl.runs.reader import status
from mbrl.runs.sweep_files import check_sweep
from mbrl.sweepers.report import EVALUATION_SEED, report
from mbrl.sweepers.search_space import search_space
from mbrl.sweepers.settings import search_settings
from mbrl.sweepers.study import BATCH, check_same_search, open_study
from mbrl.terminal import RunConsole

# Other start states than those on which results are reported, which tuning would bias.
TUNING_EVALUATION_SEED = 20000
# No trial is pruned before this many are completed: the median of fewer is too noisy.
TRIALS_BEFORE_PRUNING = 4
GROWING = ("num_trials", "batch_size")  # settings that a resumed search may change


class Unfinished(Exception):
    """A job was killed or interrupted, or still runs after its search was killed."""


class OptunaSearch:
    """A search. `sweep(overrides)` runs it to its end, or resumes the one in the folder.

    Trials are drawn in batches and run seed after seed; after each seed some are pruned. Without
    pruning, all seeds run together.

    The study in the folder holds the trials of finished batches, and which jobs of the current one
    have failed. The rest follows: after a kill the same trials are drawn again, and the launcher,
    which gets the same jobs again, runs only those that have no score.
    """

    def __init__(
        self, config: DictConfig, make_launcher: Callable[[], Launcher], loader: ConfigLoader
    ):
        """`make_launcher` is called after all checks, because it locks the sweep's folder."""
        check_no_wandb_agent()
        self._config, self._make_launcher, self._loader = config, make_launcher, loader
        self._settings = settings = search_settings(config.hydra.sweeper)
        check_num_jobs(settings.num_trials * len(settings.seeds), config.hydra.launcher)
        self._folder = Path(config.hydra.sweep.dir).absolute()
        self._resume = f"give the same command with hydra.sweep.dir={self._folder}"

    def sweep(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Search the space that the overrides describe. Returns the best trial's settings, by key.

        Raises ConfigError for an invalid space, and if another search uses the folder. Raises
        RunError if every trial failed, or if a job is unfinished.
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
            with limited():
                self._loader.load_sweep_config(self._config, [*self._shared, *point])
        self._folder.mkdir(parents=True, exist_ok=True)
        check_sweep(self._folder)
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
            search = {"format": FORMAT, "space": self._space.described(), "fixed": self._shared}
            fixed = {k: v for k, v in asdict(self._settings).items() if k not in GROWING}
            self._study = open_study(self._folder, self._settings.direction)
            check_same_search(self._study, search | fixed, self._folder)
            while self._run_batch():
                pass
            return report(self._study, self._space, self._settings.seeds, self._config)
        except KeyboardInterrupt:
            RunConsole(stderr=True).say(f"To resume the search, {self._resume}")
            raise
        finally:
            os.close(descriptor)

    def _run_batch(self) -> bool:
        """Run the next batch, or a killed process's batch again. Returns whether there was one.

        Batches end at multiples of `batch_size`.
        """
        settings, stored = self._settings, self._study.get_trials(deepcopy=False)
        self._batch = self._study.user_attrs.get(BATCH, {"start": 0, "end": 0})
        if len(stored) >= self._batch["end"]:
            start, size = len(stored), settings.batch_size
            end = min(start - start % size + size, settings.num_trials)
            if start >= end:
                return False
            self._batch = {"start": start, "end": end, "failures": {}}
            self._study.set_user_attr(BATCH, self._batch)
        start, end = self._batch["start"], self._batch["end"]
        # In memory, since a trial that the stored study has drawn stays in it.
        study, earlier = optuna.create_study(direction=settings.direction), stored[:start]
        study.add_trials(earlier)
        trials = [self._draw(study, number) for number in range(start, end)]
        jobs = [job for trial in earlier for job in trial.user_attrs["jobs"].values()]
        num_jobs, active, seeds = 1 + max(jobs, default=-1), trials, settings.seeds
        for each in [[seed] for seed in seeds] if settings.pruning else [seeds]:
            self._launch([(trial, seed) for trial in active for seed in each], num_jobs)
            num_jobs += len(active) * len(each)
            active = [trial for trial in active if self._continues(trial, earlier)]
        for trial in trials:
            is_whole = len(trial.user_attrs["scores"]) == len(seeds)
            state = TrialState.COMPLETE if is_whole else TrialState.PRUNED
            state = TrialState.FAIL if trial.user_attrs["failure"] else state
            study.tell(trial, _mean(trial) if state == TrialState.COMPLETE else None, state)
        self._study.add_trials(study.get_trials(deepcopy=False)[len(stored) :])
        return True

    def _draw(self, study: optuna.Study, number: int) -> Trial:
        # Seeded by the trial's number, so that draws do not depend on interruptions.
        entropy = [self._settings.sampler_seed, number]
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        with warnings.catch_warnings():  # these options are experimental before Optuna 5
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # constant_liar keeps the trials of a batch apart.
            study.sampler = TPESampler(seed=seed, multivariate=True, constant_liar=True)
        trial = study.ask(self._space.distributions)
        overrides = [*self._shared, *self._space.overrides(trial.params)]
        attributes: Any = {"overrides": overrides, "jobs": {}, "scores": {}, "failure": None}
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        return trial

    def _launch(self, jobs: Sequence[tuple[Trial, int]], first: int) -> None:
        """Run seeds of trials, the first as job `first`, except those that failed before a kill.

        Raises RunError if a job is unfinished.
        """
        indices, failures = range(first, first + len(jobs)), self._batch["failures"]
        pending = [index for index in indices if str(index) not in failures]
        unfinished = []
        # A launcher counts up from its first index, but there can be gaps.
        for _, block in groupby(enumerate(pending), key=lambda item: item[1] - item[0]):
            run = [(index, *jobs[index - first]) for _, index in block]
            overrides = [[*t.user_attrs["overrides"], f"seed={seed}"] for _, t, seed in run]
            results = self._launcher.launch(overrides, initial_job_idx=run[0][0])
            for (index, trial, seed), result in zip(run, results, strict=True):
                try:
                    scores = trial.user_attrs["scores"] | {str(seed): _score(result)}
                    trial.set_user_attr("scores", scores)
                except Unfinished as state:
                    unfinished.append(f"{index} ({state})")
                except RunError as error:
                    failures[str(index)] = f"seed {seed} (job {index}): {error}"
            self._study.set_user_attr(BATCH, self._batch)
        if unfinished:
            raise RunError(
                f"These jobs of the search are not finished: {', '.join(unfinished)}. When none of "
                f"them is running, {self._resume}."
            )
        for index, (trial, seed) in zip(indices, jobs, strict=True):
            attributes = trial.user_attrs
            trial.set_user_attr("jobs", attributes["jobs"] | {str(seed): index})
            # The first failure counts, because it can cause others.
            trial.set_user_attr("failure", attributes["failure"] or failures.get(str(index)))

    def _continues(self, trial: Trial, earlier: Sequence[FrozenTrial]) -> bool:
        """Whether the trial runs further seeds: it has not failed and is not pruned.

        It is pruned if its mean so far is worse than the median of the completed trials of earlier
        batches over the same seeds. Optuna's MedianPruner compares the best mean that a trial ever
        had, so one good seed would protect it. Its WilcoxonPruner, made for seeds, never prunes
        with three of them, because the smallest possible p is 1/8.
        """
        if trial.user_attrs["failure"]:
            return False
        mean, step = _mean(trial), len(trial.user_attrs["scores"]) - 1
        trial.report(mean, step)  # the sampler learns from those of pruned trials too
        completed = [each for each in earlier if each.state == TrialState.COMPLETE]
        if not self._settings.pruning or len(completed) < TRIALS_BEFORE_PRUNING:
            return True
        lead = mean - median(each.intermediate_values[step] for each in completed)
        return lead >= 0 if self._settings.direction == "maximize" else lead <= 0


def _mean(trial: Trial) -> float:
    return fmean(trial.user_attrs["scores"].values())


def _score(result: JobReturn) -> float:
    """A job's score. Raises RunError with the reason of a failure, or Unfinished.

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
            raise Unfinished(state) from error
        own = isinstance(error, ConfigError | RunError)
        reason = one_line(error) if own else f"{type(error).__name__}: {one_line(error)}"
        raise RunError(reason) from error
    if not (isinstance(score, int | float) and math.isfinite(score)):
        raise RunError(f"its score is {score}, but must be a finite number")
    return float(score)
