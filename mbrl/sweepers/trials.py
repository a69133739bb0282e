"""One trial of a search: its settings, its jobs and their scores."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial


@dataclass
class SearchTrial:
    """A trial. Seeds are text, since they are keys of the JSON in which a study stores this."""

    number: int
    params: dict[str, Any]  # drawn by Optuna; by key on the command line
    jobs: dict[str, int] = field(default_factory=dict)  # seed → index of its job in the sweep
    scores: dict[str, float] = field(default_factory=dict)  # seed → mean evaluation return
    failure: str | None = None  # why the trial failed, in one sentence

    def mean(self, seeds: Sequence[str]) -> float:
        return fmean(self.scores[seed] for seed in seeds)

    def fail(self, seed: str, reason: str) -> None:
        """Record a failure. The first one counts, because it can cause others."""
        self.failure = self.failure or f"seed {seed} (job {self.jobs[seed]}): {reason}"

    def to_optuna(
        self,
        distributions: dict[str, BaseDistribution],
        rounds: Sequence[Sequence[str]],
        overrides: Sequence[str],
    ) -> FrozenTrial:
        """The trial at its end: failed, completed, or pruned if some seeds did not run.

        The mean after each round is an intermediate value; from those of pruned trials the sampler
        learns too.
        """
        done = [seeds for seeds in rounds if self.scores.keys() >= set(seeds)]
        state = TrialState.COMPLETE if len(done) == len(rounds) else TrialState.PRUNED
        return create_trial(
            state=TrialState.FAIL if self.failure else state,
            value=None if self.failure else self.mean(done[-1]),
            params=self.params,
            distributions=distributions,
            user_attrs={"overrides": list(overrides)}
            | {"jobs": self.jobs, "scores": self.scores, "failure": self.failure},
            intermediate_values={step: self.mean(seeds) for step, seeds in enumerate(done)},
        )


def from_optuna(trial: FrozenTrial) -> SearchTrial:
    """The trial that `to_optuna` gave to the study."""
    jobs, scores, failure = (trial.user_attrs[name] for name in ("jobs", "scores", "failure"))
    return SearchTrial(trial.number, trial.params, jobs, scores, failure)
