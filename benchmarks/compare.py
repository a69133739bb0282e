"""How long `python -m mbrl compare` and `list` take, and how much memory: on a folder of 200 made-up runs, in a process of its own.

    python benchmarks/compare.py            200 runs, 300 rows of metrics and 50 evaluations each
    python benchmarks/compare.py 20         another number of runs

The configs are composed from conf, as a run saves them; rows have the metrics of a real run. Prints seconds, the process's start
included, and the peak of its memory.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

from mbrl.config.compose import compose
from mbrl.config.resolve import resolve, to_yaml
from mbrl.loggers.metrics import METRICS

PLANNERS, ENVIRONMENTS = ("cem", "icem", "mppi", "mcts"), ("cartpole", "pendulum")
NUM_ROWS, NUM_EVALUATIONS = 300, 50


def make_runs(folder: Path, num_runs: int) -> None:
    """As many runs as asked, of 4 planners in 2 environments, in one sweep."""
    generator = np.random.default_rng(0)
    combinations = [(environment, planner) for environment in ENVIRONMENTS for planner in PLANNERS]
    texts = {
        each: to_yaml(resolve(compose([f"env={each[0]}", f"planner={each[1]}", "seed=123456"])))
        for each in combinations
    }
    for job in range(num_runs):
        environment, planner = combinations[job % len(combinations)]
        seed = job // len(combinations)
        run = folder / f"{job}_env={environment},planner={planner},seed={seed}"
        run.mkdir()
        (run / "config.yaml").write_text(
            texts[environment, planner].replace("seed: 123456", f"seed: {seed}")
        )
        choices = {
            "env": environment,
            "model": "ensemble",
            "planner": planner,
            "training": "default",
            "logger": "wandb",
        }
        kept = {
            "choices": choices,
            "started": "2026-01-01T00:00:00+00:00",
            "overrides": [f"planner={planner}", f"seed={seed}"],
        }
        (run / "provenance.json").write_text(json.dumps(kept))
        rows = list(_rows(generator))
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        final = {name: value for row in rows for name, value in row.items()}
        (run / "summary.json").write_text(json.dumps({"status": "completed"} | final))


def _rows(generator: np.random.Generator):
    losses = [name for name in METRICS if name.startswith(("loss/", "validation/", "value/"))]
    for index in range(1, NUM_ROWS + 1):
        yield {"env_steps": 10 * index, "wall_seconds": 0.5 * index} | {
            name: float(generator.uniform()) for name in losses
        }
        if index % (NUM_ROWS // NUM_EVALUATIONS) == 0:
            returns = [float(value) for value in generator.normal(5 * index, 50, 20)]
            evaluation = {
                "evaluation/return_mean": float(np.mean(returns)),
                "evaluation/returns": returns,
            }
            yield {"env_steps": 10 * index, "wall_seconds": 0.5 * index} | evaluation


def measure(*arguments: str) -> tuple[int, float, float]:
    """Exit status, seconds and peak megabytes of `python -m mbrl …`."""
    started = perf_counter()
    process = os.posix_spawn(sys.executable, [sys.executable, "-m", "mbrl", *arguments], os.environ, file_actions=[
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])  # fmt: skip
    _, status, usage = os.wait4(process, 0)
    unit = (
        2**20 if sys.platform == "darwin" else 2**10
    )  # ru_maxrss is in bytes there, in kilobytes elsewhere
    return os.waitstatus_to_exitcode(status), perf_counter() - started, usage.ru_maxrss / unit


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("num_runs", nargs="?", type=int, default=200, help="how many; default 200")
    num_runs = parser.parse_args(arguments).num_runs
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        sweep = Path(folder, "outputs", "sweeps", "2026-01-01", "00-00-00.000000")
        sweep.mkdir(parents=True)
        make_runs(sweep, num_runs)
        for command in (["compare", folder, f"--folder={folder}/comparison"], ["list", folder]):
            status, seconds, megabytes = measure(*command)
            print(
                f"{command[0]:8} {num_runs} runs: {seconds:.1f} s, {megabytes:.0f} MB at most, exit status {status}"
            )
            failed += status != 0
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
