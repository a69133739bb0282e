"""The learning table: every task of classic control with CEM and with MCTS, by the project's own sweeps; then docs/results.md.

    python benchmarks/learning.py                                 all of it: 10 seeds a row, some hours on two cores
    python benchmarks/learning.py cartpole_mcts pendulum_cem      these rows
    python benchmarks/learning.py --report                        the page alone, without running anything

Each row is one sweep, whose command is printed. What is killed or interrupted goes on with the same command: finished runs stay,
the others go on from their checkpoints. What they came to is kept in docs/results, a file a row, and the page is made of these files.
The budgets differ only in where a run ends; no setting of learning or planning is given.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from omegaconf import DictConfig

from learning_results import Result, keep, kept
from mbrl.analysis.comparison_plot import COLOURS, DASHES, INK, MARKERS, style
from mbrl.analysis.statistics import bootstrap_interval, mean
from mbrl.config.compose import compose
from mbrl.runs.folder import write_atomic

ROOT = Path(__file__).resolve().parent.parent
SEEDS = 10
EPISODES = 50  # of each figure in the table
EPISODES_ON_THE_WAY = (
    10  # of a curve's other points, where CEM would take longer to evaluate than to learn
)


@dataclass(frozen=True, eq=False)
class Row:
    """A task, a planner, and the real steps at which the table asks for a mean return."""

    env: str
    planner: str
    asked: dict[int, float]  # real steps → mean return; the last one is the budget
    evaluate_every: int  # real steps
    episodes: int = EPISODES_ON_THE_WAY

    @property
    def name(self) -> str:
        return f"{self.env}_{self.planner}"

    @property
    def env_steps(self) -> int:
        return max(self.asked)

    def command(self, folder: Path, num_jobs: int) -> list[str]:
        """The sweep."""
        return [
            *("run.py", "-m", f"env={self.env}", f"planner={self.planner}", f"seed=range({SEEDS})"),
            *(
                f"training.env_steps={self.env_steps}",
                f"training.evaluate_every={self.evaluate_every}",
            ),
            *(
                f"training.evaluation_episodes={self.episodes}",
                f"training.final_evaluation_episodes={EPISODES}",
            ),
            *(
                "logger=files",
                "hydra/launcher=joblib",
                f"hydra.launcher.n_jobs={num_jobs}",
                f"hydra.sweep.dir={folder / self.name}",
            ),
        ]


@dataclass(frozen=True)
class Task:
    """An environment, and the best result that anybody has recorded for it."""

    title: str
    record: float  # mean return
    record_steps: int
    source: str


TASKS = {
    "cartpole": Task("CartPole-v1", 500, 50_000, "DQN, RL Zoo"),
    "pendulum": Task("Pendulum-v1", -151.3, 20_000, "TQC, RL Zoo"),
    "acrobot": Task("Acrobot-v1", -69.1, 100_000, "QR-DQN, RL Zoo"),
    "mountain_car": Task("MountainCar-v0", -100.8, 120_000, "DQN, RL Zoo"),
    "mountain_car_continuous": Task("MountainCarContinuous-v0", 94.7, 50_000, "SAC, RL Zoo"),
}

# The short ones first, so that there is something to look at.
ROWS = (
    Row("cartpole", "mcts", {1000: 490, 2000: 490, 3000: 490}, 500, EPISODES),
    Row(
        "pendulum", "cem", {1000: -150}, 250, EPISODES
    ),  # its start states differ too much for ten of them
    Row("pendulum", "mcts", {3000: -160}, 500, EPISODES),
    Row("cartpole", "cem", {2000: 490}, 500),
    Row("acrobot", "mcts", {6000: -72}, 500, EPISODES),
    Row("mountain_car", "mcts", {10_000: -105}, 1000, EPISODES),
    Row("mountain_car_continuous", "mcts", {10_000: 88}, 1000, EPISODES),
    Row("acrobot", "cem", {10_000: -85}, 1000),
    Row("mountain_car", "cem", {10_000: -115}, 1000),
    Row("mountain_car_continuous", "cem", {10_000: 92}, 1000),
)


def main() -> None:
    given = parsed_arguments()
    if not given.report:
        for row in [row for row in ROWS if not given.rows or row.name in given.rows]:
            command = row.command(given.folder, given.jobs)
            print("\npython", *command, flush=True)
            subprocess.run([sys.executable, *command], check=True, cwd=ROOT)
            report(given.folder)
    report(given.folder)


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help=f"of {', '.join(row.name for row in ROWS)}"
    )
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, of a thread each")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("outputs/learning"),
        help="of the sweeps; seen from the repository's root",
    )
    parser.add_argument(
        "--report", action="store_true", help="run nothing; write docs/results.md of what there is"
    )
    given = parser.parse_args()
    unknown = set(given.rows) - {row.name for row in ROWS}
    if unknown:
        parser.error(
            f"{', '.join(sorted(unknown))} is no row of the table: name some of {', '.join(row.name for row in ROWS)}."
        )
    return given


def report(folder: Path) -> None:
    """Keeps what there is of the runs, and writes docs/results.md and its figures."""
    found: dict[Row, list[Result]] = {}
    for row in ROWS:
        path = ROOT / "docs" / "results" / f"{row.name}.csv"
        keep(ROOT / folder / row.name, path)
        found[row] = kept(path)
    for env, task in TASKS.items():
        rows = {row: results for row, results in found.items() if row.env == env and results}
        if rows:
            draw(task, rows, ROOT / "docs" / "images" / f"results_{env}.png")
    write_atomic(ROOT / "docs" / "results.md", page(found, folder))
    print("docs/results.md")


@cache
def facts(env: str) -> DictConfig:
    """What conf/env says of a task."""
    return compose([f"env={env}"]).env


def level(env: str) -> float:
    """The return with 90 % of what lies between random actions and the best policy."""
    random, best = facts(env).random_score, facts(env).best_score
    return random + 0.9 * (best - random)


def page(found: dict[Row, list[Result]], folder: Path) -> str:
    """docs/results.md."""
    lines = [
        HEAD.format(seeds=SEEDS, last_seed=SEEDS - 1, episodes=EPISODES, way=EPISODES_ON_THE_WAY)
    ]
    columns = (
        "task",
        "planner",
        "real steps",
        "mean return",
        "worst seed",
        "asked",
        "best recorded elsewhere",
        "best possible",
    )
    lines += table(
        (*columns, "90 % first reached", "first held", "collect + learn", "whole run", "commit"),
        main_rows(found),
    )
    lines += ["", "## Curves", ""]
    for env, task in TASKS.items():
        if any(results for row, results in found.items() if row.env == env):
            lines += [
                f"![{task.title}: evaluation return against real steps](images/results_{env}.png)",
                "",
            ]
    by_seed = table(
        ("task", "planner", "real steps", *(f"seed {seed}" for seed in range(SEEDS))),
        seed_rows(found),
    )
    lines += ["## Every seed", "", *by_seed, ""]
    lines += [
        "## Commands",
        "",
        "```",
        *(f"python {' '.join(quoted(row.command(folder, 2)))}" for row in ROWS),
        "```",
    ]
    return "\n".join(lines) + "\n"


HEAD = """# Results

`python benchmarks/learning.py` makes this page and all that is on it; it goes on where it was stopped. Every evaluation's return, its
seconds and the commit that it was computed by are in [results/](results), a file a row. What was tried on the way there is in
[lab-notes/](lab-notes/README.md).

Each row is the mean over {seeds} seeds (0 to {last_seed}) of the mean return of {episodes} episodes from held-out start states, without
exploration, after that many real steps, random ones of the warm-up included; never the best so far. Dynamics, reward, termination
and value are learned from these steps alone, with the default settings: no setting of learning or planning is given, and what
differs between tasks follows from `env.terminates_on`. *Best possible* is `env.best_score`, on the same start states, by dynamic programming
or search in the true dynamics (`python benchmarks/best_score.py`; Acrobot-v1's is no more than an estimate). *90 % first reached*: real
steps at the first evaluation with a return of at least random + 0.9 (best possible − random), median over seeds; *first held*: at the
first one behind which no evaluation has less; the last one alone is also the first held. *Asked* is what the project set itself; a
mean in bold comes up to it. With CEM evaluations on the way have {way}
episodes (on Pendulum-v1 {episodes}). Seconds are medians over seeds, of runs of one thread each, two at a time on two shared cores unless
[lab-notes/reproducibility.md](lab-notes/reproducibility.md) says otherwise.
"""


def main_rows(found: dict[Row, list[Result]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for row, results in found.items():
        task = TASKS[row.env]
        for env_steps, asked in row.asked.items():
            titles = (task.title, row.planner.upper(), f"{env_steps:,}")
            record = f"{task.record:g} at {task.record_steps:,} ({task.source})"
            best = f"{facts(row.env).best_score:g}"
            if not results:
                rows.append((*titles, "not run yet", "", f"{asked:g}", record, best, *[""] * 5))
                continue
            returns = np.array([result.at(env_steps) for result in results])
            number = (
                f"{returns.mean():.1f}"
                if len(results) == SEEDS
                else f"{returns.mean():.1f} ({len(results)} seeds)"
            )
            number = f"**{number}**" if returns.mean() >= asked else number
            whole = whole_run(row, results) if env_steps == row.env_steps else [""] * 5
            rows.append(
                (*titles, number, f"{returns.min():.1f}", f"{asked:g}", record, best, *whole)
            )
    return rows


def whole_run(row: Row, results: Sequence[Result]) -> list[str]:
    """What is said of a row once: steps to 90 %, seconds, commits."""
    threshold = level(row.env)
    marks = np.median(
        [(result.first_reached(threshold), result.first_held(threshold)) for result in results],
        axis=0,
    )
    times = np.median(
        [(result.learning_seconds, result.wall_seconds) for result in results], axis=0
    )
    commits = sorted({result.commit[:7] for result in results})
    return [
        *(steps(float(each)) for each in marks),
        *(f"{each:.0f} s" for each in times),
        ", ".join(commits),
    ]


def seed_rows(found: dict[Row, list[Result]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for row, results in found.items():
        by_seed = {result.seed: result for result in results}
        for env_steps in row.asked:
            cells = [
                f"{by_seed[seed].at(env_steps):.1f}" if seed in by_seed else "–"
                for seed in range(SEEDS)
            ]
            if env_steps == row.env_steps:
                cells = [
                    f"{cell} ({by_seed[seed].wall_seconds:.0f} s)" if seed in by_seed else cell
                    for seed, cell in enumerate(cells)
                ]
            rows.append((TASKS[row.env].title, row.planner.upper(), f"{env_steps:,}", *cells))
    return rows


def steps(number: float) -> str:
    return f"{number:,.0f}" if np.isfinite(number) else "never"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """In Markdown."""
    return [f"| {' | '.join(each)} |" for each in (columns, ["---"] * len(columns), *rows)]


def quoted(command: Sequence[str]) -> list[str]:
    return [f"'{word}'" if "(" in word else word for word in command]


def draw(task: Task, found: dict[Row, list[Result]], path: Path) -> None:
    """Learning curves of a task: means over seeds, their bootstrap intervals, and what there is to compare them with."""
    figure = Figure(figsize=(8, 4.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(task.title, loc="left", color=INK, fontweight="bold")
    axes.set_xlabel("real env steps, warm-up included")
    axes.set_ylabel("evaluation return\nmean over seeds, 95 % interval")
    for index, (row, results) in enumerate(sorted(found.items(), key=lambda each: each[0].planner)):
        draw_curve(axes, index, f"{row.planner.upper()}, {len(results)} seeds", results)
    known = facts(next(iter(found)).env)
    for value, text, dashes in (
        (known.best_score, "best possible", "-"),
        (task.record, f"best recorded elsewhere: {task.source}, {task.record_steps:,} steps", "--"),
        (known.random_score, "random actions", ":"),
    ):
        axes.axhline(value, color=INK, linewidth=1, linestyle=dashes, label=text, zorder=1)
    axes.xaxis.set_major_formatter("{x:,.10g}")
    style(axes)
    axes.set_xlim(left=0)
    figure.legend(
        loc="outside lower center", ncols=2, frameon=False, fontsize="small", labelcolor=INK
    )
    figure.savefig(path)


def draw_curve(axes: Axes, index: int, label: str, results: Sequence[Result]) -> None:
    env_steps, returns = results[0].steps, np.stack([result.returns for result in results], axis=-1)
    looks = {"color": COLOURS[index], "marker": MARKERS[index], "linestyle": DASHES[index]}
    axes.plot(env_steps, mean(returns), label=label, linewidth=1.8, markersize=4.5, **looks)
    if len(results) > 1:
        low, high = bootstrap_interval([returns], mean)
        axes.fill_between(env_steps, low, high, color=COLOURS[index], alpha=0.18, linewidth=0)


if __name__ == "__main__":
    main()
