"""What the runs of the learning table came to: docs/results/<row>.csv, a line an evaluation. Kept with the code, since runs are not."""

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from mbrl.analysis.compare import Run, compare
from mbrl.runs.folder import write_atomic
from mbrl.runs.reader import read_metrics


@dataclass(frozen=True)
class Evaluation:
    """A line of the file."""

    seed: int
    env_steps: int  # real ones
    return_mean: float  # over episodes
    learning_seconds: float  # spent in collecting and learning until then
    wall_seconds: float  # since the run began
    commit: str  # that the run was computed by


@dataclass(frozen=True, eq=False)
class Result:
    """A run's evaluations, in the order of their steps."""

    seed: int
    commit: str
    steps: np.ndarray  # [evaluations], real ones
    returns: np.ndarray  # [evaluations]
    learning_seconds: float  # of the whole run
    wall_seconds: float

    def at(self, env_steps: int) -> float:
        """The mean return of the evaluation after so many real steps."""
        return float(self.returns[self.steps == env_steps][0])

    def first_reached(self, threshold: float) -> float:
        """Real steps at the first evaluation with this return; infinite where there is none."""
        return self._steps(np.flatnonzero(self.returns >= threshold))

    def first_held(self, threshold: float) -> float:
        """Real steps at the first evaluation with this return behind which none has less; infinite where the last one has."""
        below = np.flatnonzero(self.returns < threshold)
        return self._steps(np.arange(below[-1] + 1 if below.size else 0, self.steps.size))

    def _steps(self, indices: np.ndarray) -> float:
        return float(self.steps[indices[0]]) if indices.size else float("inf")


def kept(path: Path) -> list[Result]:
    """What the file holds, by seed; nothing where there is no file."""
    return [_result(lines) for lines in _read(path).values()]


def keep(sweep: Path, path: Path) -> None:
    """Writes the sweep's completed runs into the file, in place of what it held of their seeds."""
    runs = compare([sweep]).runs if sweep.is_dir() else ()
    found = {run.record.seed: list(_evaluations(run)) for run in runs if run.is_completed}
    if not found:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [line for _, lines in sorted((_read(path) | found).items()) for line in lines]
    write_atomic(
        path,
        "".join(
            ",".join(map(str, each)) + "\n"
            for each in (Evaluation.__dataclass_fields__, *map(astuple, lines))
        ),
    )


def _read(path: Path) -> dict[int, list[Evaluation]]:
    """Lines by seed."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        lines = [_evaluation(line) for line in csv.DictReader(file)]
    return {seed: list(each) for seed, each in groupby(lines, key=lambda line: line.seed)}


def _evaluations(run: Run) -> Iterable[Evaluation]:
    rows = read_metrics(run.record.folder)
    for env_steps, wall_seconds, return_mean in zip(
        run.steps, run.seconds, run.returns, strict=True
    ):
        before = [row for row in rows if row["env_steps"] <= env_steps]
        learning = sum(
            row.get(f"time/{phase}") or 0.0 for row in before for phase in ("collect", "learn")
        )
        seconds = (round(float(each), 1) for each in (learning, wall_seconds))
        yield Evaluation(
            run.record.seed, int(env_steps), float(return_mean), *seconds, run.record.commit
        )


def _evaluation(line: dict[str, str]) -> Evaluation:
    return Evaluation(
        *(field.type(line[name]) for name, field in Evaluation.__dataclass_fields__.items())
    )


def _result(lines: list[Evaluation]) -> Result:
    last = lines[-1]
    steps, returns = (
        np.array([line.env_steps for line in lines]),
        np.array([line.return_mean for line in lines]),
    )
    return Result(last.seed, last.commit, steps, returns, last.learning_seconds, last.wall_seconds)
