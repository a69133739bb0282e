"""The learning table: every classic control task with CEM and with MCTS; writes docs/results.md.

    python benchmarks/learning.py                                 all rows, some hours on two cores
    python benchmarks/learning.py cartpole_mcts pendulum_cem      these rows
    python benchmarks/learning.py --report                        only write the page

Each row is one sweep, whose command is printed. If it is interrupted, repeat the same command:
completed runs are skipped and the others resume from their checkpoints. Results are saved in
docs/results, a file for each row, from which the page is generated. Rows differ in their budgets
only; all settings of learning and planning are the defaults.
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

from learning_results import Result, load_results, save_results
from mbrl.analysis.comparison_plot import COLOURS, DASHES, INK, MARKERS, style
from mbrl.analysis.statistics import bootstrap_interval, mean
from mbrl.config.compose import compose
from mbrl.regular_files import write_atomic

ROOT = Path(__file__).resolve().parent.parent
NUM_SEEDS = 10
FINAL_EPISODES = 50  # of each return in the table
# Of a curve's other points: with more, CEM would take longer to evaluate than to learn.
INTERMEDIATE_EPISODES = 10


@dataclass(frozen=True, eq=False)
class Row:
    """An environment, a planner, and target returns at given numbers of real steps."""

    env: str
    planner: str
    targets: dict[int, float]  # real steps → mean return; the last one is the budget
    evaluate_every: int  # real steps
    episodes: int = INTERMEDIATE_EPISODES

    @property
    def name(self) -> str:
        return f"{self.env}_{self.planner}"

    @property
    def env_steps(self) -> int:
        return max(self.targets)

    def command(self, folder: Path, num_jobs: int) -> list[str]:
        """The arguments of the sweep."""
        return [
            "run.py",
            "-m",
            f"env={self.env}",
            f"planner={self.planner}",
            f"seed=range({NUM_SEEDS})",
            f"training.env_steps={self.env_steps}",
            f"training.evaluate_every={self.evaluate_every}",
            f"training.evaluation_episodes={self.episodes}",
            f"training.final_evaluation_episodes={FINAL_EPISODES}",
            "logger=files",
            "hydra/launcher=joblib",
            f"hydra.launcher.n_jobs={num_jobs}",
            f"hydra.sweep.dir={folder / self.name}",
        ]


Results = dict[Row, list[Result]]


@dataclass(frozen=True)
class Task:
    """An environment and the best result recorded for it elsewhere."""

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

# Short ones first, so that there are early results. With CEM, only Pendulum is evaluated with all
# episodes each time: its start states differ too much for ten.
ROWS = (
    Row("cartpole", "mcts", {1000: 490, 2000: 490, 3000: 490}, 500, FINAL_EPISODES),
    Row("pendulum", "cem", {1000: -150}, 250, FINAL_EPISODES),
    Row("pendulum", "mcts", {3000: -160}, 500, FINAL_EPISODES),
    Row("cartpole", "cem", {2000: 490}, 500),
    Row("acrobot", "mcts", {6000: -72}, 500, FINAL_EPISODES),
    Row("mountain_car", "mcts", {10_000: -105}, 1000, FINAL_EPISODES),
    Row("mountain_car_continuous", "mcts", {10_000: 88}, 1000, FINAL_EPISODES),
    Row("acrobot", "cem", {10_000: -85}, 1000),
    Row("mountain_car", "cem", {10_000: -115}, 1000),
    Row("mountain_car_continuous", "cem", {10_000: 92}, 1000),
)


def main() -> None:
    arguments = parse_arguments()
    if not arguments.report:
        for row in [row for row in ROWS if not arguments.rows or row.name in arguments.rows]:
            command = row.command(arguments.folder, arguments.jobs)
            print("\npython", *command, flush=True)
            subprocess.run([sys.executable, *command], check=True, cwd=ROOT)
            report(arguments.folder)
    report(arguments.folder)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(row.name for row in ROWS)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"any of {names}")
    parser.add_argument("--jobs", type=int, default=2, help="parallel runs, of one thread each")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("outputs/learning"),
        help="of the sweeps, relative to the repository's root",
    )
    parser.add_argument(
        "--report", action="store_true", help="only write docs/results.md, from existing results"
    )
    arguments = parser.parse_args()
    unknown = set(arguments.rows) - {row.name for row in ROWS}
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}. Choose from {names}.")
    return arguments


def report(folder: Path) -> None:
    """Saves the results of completed runs; writes docs/results.md and its figures."""
    results: Results = {}
    for row in ROWS:
        path = ROOT / "docs" / "results" / f"{row.name}.csv"
        save_results(ROOT / folder / row.name, path)
        results[row] = load_results(path)
    for env, task in TASKS.items():
        of_task = {row: runs for row, runs in results.items() if row.env == env and runs}
        if of_task:
            draw(task, of_task, ROOT / "docs" / "images" / f"results_{env}.png")
    write_atomic(ROOT / "docs" / "results.md", page(results, folder))
    print("docs/results.md")


@cache
def env_config(env: str) -> DictConfig:
    return compose([f"env={env}"]).env


def page(results: Results, folder: Path) -> str:
    """The text of docs/results.md."""
    columns = ["task", "planner", "real steps"]
    seeds = [f"seed {seed}" for seed in range(NUM_SEEDS)]
    lines = [
        HEAD.format(
            seeds=NUM_SEEDS,
            last_seed=NUM_SEEDS - 1,
            episodes=FINAL_EPISODES,
            intermediate=INTERMEDIATE_EPISODES,
        )
    ]
    lines += table([*columns, *RESULT_COLUMNS, *RUN_COLUMNS], main_rows(results))
    lines += ["", "## Curves", ""]
    for env, task in TASKS.items():
        if any(runs for row, runs in results.items() if row.env == env):
            title = f"{task.title}: evaluation return against real steps"
            lines += [f"![{title}](images/results_{env}.png)", ""]
    lines += ["## Every seed", "", *table([*columns, *seeds], seed_rows(results)), ""]
    lines += ["## Commands", "", "```"]
    lines += [f"python {' '.join(quoted(row.command(folder, 2)))}" for row in ROWS]
    return "\n".join([*lines, "```"]) + "\n"


HEAD = """# Results

`python benchmarks/learning.py` runs the experiments and generates this page. If it is interrupted,
repeat the command: it resumes. [results/](results) has a file for each row, with the return, the
seconds and the commit of every evaluation. [The lab notes](lab-notes/README.md) describe what was
tried on the way.

Each row is the mean return over {seeds} seeds (0 to {last_seed}), with {episodes} episodes for each
seed. They start from held-out states, without exploration. The score is that after the given number
of real steps, never the best so far. Real steps include the random ones of the warm-up. Dynamics,
reward, termination and value are learned from these steps alone. All settings of learning and
planning are the defaults; those that differ between tasks follow from `env.terminates_on`.

| column | meaning |
| --- | --- |
| target | the mean return that this project aims for; a mean in bold reaches it |
| best possible | `env.best_score`, for the same start states, by dynamic programming or search in \
the true dynamics (`python benchmarks/best_score.py`); an estimate for Acrobot-v1 |
| 90 % first reached | real steps at the first evaluation with a return of at least \
random + 0.9 (best possible − random); median over seeds |
| first held | real steps at the first evaluation from which on all have at least that return, \
even if it is the last one; median over seeds |
| collect + learn, whole run | seconds; median over seeds |

With CEM, evaluations before the last have {intermediate} episodes (on Pendulum-v1 {episodes}).
Each run had one thread, and two ran at a time on two shared cores, with the exceptions that
[the lab notes](lab-notes/README.md) list.
"""
RESULT_COLUMNS = ("mean return", "worst seed", "target", "best recorded elsewhere", "best possible")
RUN_COLUMNS = ("90 % first reached", "first held", "collect + learn", "whole run", "commit")


def main_rows(results: Results) -> list[list[str]]:
    rows: list[list[str]] = []
    for row, runs in results.items():
        task = TASKS[row.env]
        record = f"{task.record:g} at {task.record_steps:,} ({task.source})"
        best = f"{env_config(row.env).best_score:g}"
        for env_steps, target in row.targets.items():
            titles = [task.title, row.planner.upper(), f"{env_steps:,}"]
            known = [f"{target:g}", record, best]
            if not runs:
                rows.append([*titles, "not run yet", "", *known, *[""] * len(RUN_COLUMNS)])
                continue
            returns = np.array([run.at(env_steps) for run in runs])
            score = f"{returns.mean():.1f}"
            if len(runs) < NUM_SEEDS:
                score += f" ({len(runs)} seeds)"
            if returns.mean() >= target:
                score = f"**{score}**"
            last = env_steps == row.env_steps
            cells = run_cells(row, runs) if last else [""] * len(RUN_COLUMNS)
            rows.append([*titles, score, f"{returns.min():.1f}", *known, *cells])
    return rows


def run_cells(row: Row, runs: Sequence[Result]) -> list[str]:
    """The cells of RUN_COLUMNS, which are about whole runs."""
    random, best = env_config(row.env).random_score, env_config(row.env).best_score
    threshold = random + 0.9 * (best - random)
    steps = [(run.first_reached(threshold), run.first_held(threshold)) for run in runs]
    seconds = [(run.learning_seconds, run.wall_seconds) for run in runs]
    commits = sorted({run.commit[:7] for run in runs})
    return [
        *(f"{n:,.0f}" if np.isfinite(n) else "never" for n in np.median(steps, axis=0)),
        *(f"{n:.0f} s" for n in np.median(seconds, axis=0)),
        ", ".join(commits),
    ]


def seed_rows(results: Results) -> list[list[str]]:
    rows: list[list[str]] = []
    for row, runs in results.items():
        by_seed = {run.seed: run for run in runs}
        for env_steps in row.targets:
            cells = [TASKS[row.env].title, row.planner.upper(), f"{env_steps:,}"]
            for seed in range(NUM_SEEDS):
                cell = f"{by_seed[seed].at(env_steps):.1f}" if seed in by_seed else "–"
                if env_steps == row.env_steps and seed in by_seed:
                    cell += f" ({by_seed[seed].wall_seconds:.0f} s)"
                cells.append(cell)
            rows.append(cells)
    return rows


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows)]


def quoted(command: Sequence[str]) -> list[str]:
    return [f"'{word}'" if "(" in word else word for word in command]


def draw(task: Task, results: Results, path: Path) -> None:
    """Draws a task's learning curves: means over seeds, bootstrap intervals and baselines."""
    figure = Figure(figsize=(8, 4.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(task.title, loc="left", color=INK, fontweight="bold")
    axes.set_xlabel("real env steps, warm-up included")
    axes.set_ylabel("evaluation return\nmean over seeds, 95 % interval")
    for index, (row, runs) in enumerate(sorted(results.items(), key=lambda item: item[0].planner)):
        draw_curve(axes, index, f"{row.planner.upper()}, {len(runs)} seeds", runs)
    env = env_config(next(iter(results)).env)
    record_label = f"best recorded elsewhere: {task.source}, {task.record_steps:,} steps"
    for value, label, dashes in (
        (env.best_score, "best possible", "-"),
        (task.record, record_label, "--"),
        (env.random_score, "random actions", ":"),
    ):
        axes.axhline(value, color=INK, linewidth=1, linestyle=dashes, label=label, zorder=1)
    axes.xaxis.set_major_formatter("{x:,.10g}")
    style(axes)
    axes.set_xlim(left=0)
    figure.legend(
        loc="outside lower center", ncols=2, frameon=False, fontsize="small", labelcolor=INK
    )
    figure.savefig(path)


def draw_curve(axes: Axes, index: int, label: str, runs: Sequence[Result]) -> None:
    env_steps, returns = runs[0].steps, np.stack([run.returns for run in runs], axis=-1)
    line_style = {"color": COLOURS[index], "marker": MARKERS[index], "linestyle": DASHES[index]}
    axes.plot(env_steps, mean(returns), label=label, linewidth=1.8, markersize=4.5, **line_style)
    if len(runs) > 1:
        low, high = bootstrap_interval([returns], mean)
        axes.fill_between(env_steps, low, high, color=COLOURS[index], alpha=0.18, linewidth=0)


if __name__ == "__main__":
    main()
