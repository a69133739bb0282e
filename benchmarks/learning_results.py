"""Results of the learning table: docs/results/<row>.csv, one line for each evaluation.

They are under version control, unlike the runs.
"""

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from mbrl.analysis.compare import Run, compare
from mbrl.regular_files import write_atomic
from mbrl.runs.reader import read_metrics


@dataclass(frozen=True)
class Evaluation:
    """One line of a file."""

    seed: int
    env_steps: int
    return_mean: float  # over episodes
    learning_seconds: float  # of collection and learning so far
    wall_seconds: float  # since the run's start
    commit: str  # of the code


@dataclass(frozen=True, eq=False)
class Result:
    """The evaluations of one run, in the order of their steps."""

    seed: int
    commit: str
    steps: np.ndarray  # [evaluations], real steps
    returns: np.ndarray  # [evaluations]
    learning_seconds: float  # of the whole run
    wall_seconds: float

    def at(self, env_steps: int) -> float:
        """The mean return of the evaluation at this number of real steps."""
        return float(self.returns[self.steps == env_steps][0])

    def first_reached(self, threshold: float) -> float:
        """Real steps at the first evaluation with at least this return; infinite if none has."""
        return self._steps(np.flatnonzero(self.returns >= threshold))

    def first_held(self, threshold: float) -> float:
        """Real steps at the first evaluation from which on all returns are at least this.

        Infinite if the last one is lower.
        """
        below = np.flatnonzero(self.returns < threshold)
        return self._steps(np.arange(below[-1] + 1 if below.size else 0, self.steps.size))

    def _steps(self, indices: np.ndarray) -> float:
        return float(self.steps[indices[0]]) if indices.size else float("inf")


def load_results(path: Path) -> list[Result]:
    """The results of a file, by seed; none if it does not exist."""
    results = []
    for evaluations in _read(path).values():
        last = evaluations[-1]
        steps = np.array([evaluation.env_steps for evaluation in evaluations])
        returns = np.array([evaluation.return_mean for evaluation in evaluations])
        results.append(
            Result(last.seed, last.commit, steps, returns, last.learning_seconds, last.wall_seconds)
        )
    return results


def save_results(sweep: Path, path: Path) -> None:
    """Writes the sweep's completed runs to the file, in place of older results of their seeds."""
    runs = compare([sweep]).runs if sweep.is_dir() else ()
    new = {run.record.seed: list(_evaluations(run)) for run in runs if run.is_completed}
    if not new:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [tuple(Evaluation.__dataclass_fields__)]
    for _, evaluations in sorted((_read(path) | new).items()):
        lines += map(astuple, evaluations)
    write_atomic(path, "".join(",".join(map(str, line)) + "\n" for line in lines))


def _read(path: Path) -> dict[int, list[Evaluation]]:
    """The evaluations of a file, by seed."""
    if not path.exists():
        return {}
    fields = Evaluation.__dataclass_fields__
    with path.open(newline="", encoding="utf-8") as file:
        evaluations = [
            Evaluation(*(field.type(line[name]) for name, field in fields.items()))
            for line in csv.DictReader(file)
        ]
    groups = groupby(evaluations, key=lambda evaluation: evaluation.seed)
    return {seed: list(group) for seed, group in groups}


def _evaluations(run: Run) -> Iterable[Evaluation]:
    rows = read_metrics(run.record.folder)
    for env_steps, wall_seconds, return_mean in zip(
        run.steps, run.seconds, run.returns, strict=True
    ):
        learning_seconds = sum(
            row.get(f"time/{phase}") or 0.0
            for row in rows
            if row["env_steps"] <= env_steps
            for phase in ("collect", "learn")
        )
        yield Evaluation(
            run.record.seed,
            int(env_steps),
            float(return_mean),
            round(float(learning_seconds), 1),
            round(float(wall_seconds), 1),
            run.record.commit,
        )
