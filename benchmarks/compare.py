"""Time and memory of `python -m mbrl compare` and `list`, on a folder of synthetic runs.

    python benchmarks/compare.py            200 runs, each with 300 rows of metrics, 50 evaluations
    python benchmarks/compare.py 20         another number of runs

The configs are composed from conf, as in a real run, and rows have the metrics of a real run. Each
command is a process of its own. Prints its seconds, including its start, and its peak memory.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import numpy as np

from mbrl.config.compose import compose
from mbrl.config.resolve import resolve
from mbrl.loggers.metrics import METRICS

PLANNERS, ENVIRONMENTS = ("cem", "icem", "mppi", "mcts"), ("cartpole", "pendulum")
NUM_ROWS, NUM_EVALUATIONS = 300, 50
PLACEHOLDER_SEED = 123456


def make_runs(folder: Path, num_runs: int) -> None:
    """Writes the runs of one sweep over 4 planners, 2 environments and seeds."""
    generator = np.random.default_rng(0)
    combinations = [(env, planner) for env in ENVIRONMENTS for planner in PLANNERS]
    configs = [composed_config(*combination) for combination in combinations]
    for job in range(num_runs):
        seed, index = divmod(job, len(combinations))
        env, planner = combinations[index]
        run = folder / f"{job}_env={env},planner={planner},seed={seed}"
        run.mkdir()
        config = configs[index].replace(f"seed: {PLACEHOLDER_SEED}", f"seed: {seed}")
        (run / "config.yaml").write_text(config)
        (run / "provenance.json").write_text(json.dumps(provenance(env, planner, seed)))
        rows = list(metric_rows(generator))
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        final = {name: value for row in rows for name, value in row.items()}
        (run / "summary.json").write_text(json.dumps({"status": "completed"} | final))


def composed_config(env: str, planner: str) -> str:
    """The config as YAML, with a placeholder for the seed."""
    overrides = [f"env={env}", f"planner={planner}", f"seed={PLACEHOLDER_SEED}"]
    return resolve(compose(overrides)).to_yaml()


def provenance(env: str, planner: str, seed: int) -> dict:
    choices = {"env": env, "model": "ensemble", "planner": planner, "training": "default"}
    return {
        "choices": choices | {"logger": "wandb"},
        "started": "2026-01-01T00:00:00+00:00",
        "overrides": [f"planner={planner}", f"seed={seed}"],
    }


def metric_rows(generator: np.random.Generator) -> Iterator[dict]:
    losses = [name for name in METRICS if name.startswith(("loss/", "validation/", "value/"))]
    for index in range(1, NUM_ROWS + 1):
        progress = {"env_steps": 10 * index, "wall_seconds": 0.5 * index}
        yield progress | {name: float(generator.uniform()) for name in losses}
        if index % (NUM_ROWS // NUM_EVALUATIONS) == 0:
            returns = [float(value) for value in generator.normal(5 * index, 50, 20)]
            yield progress | {
                "evaluation/return_mean": float(np.mean(returns)),
                "evaluation/returns": returns,
            }


def measure(*arguments: str) -> tuple[int, float, float]:
    """Exit status, seconds and peak megabytes of `python -m mbrl …`."""
    start = perf_counter()
    command = [sys.executable, "-m", "mbrl", *arguments]
    discard_stdout = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
    process = os.posix_spawn(sys.executable, command, os.environ, file_actions=[discard_stdout])
    _, status, usage = os.wait4(process, 0)
    seconds = perf_counter() - start
    unit = 2**20 if sys.platform == "darwin" else 2**10  # ru_maxrss: bytes on macOS, else kilobytes
    return os.waitstatus_to_exitcode(status), seconds, usage.ru_maxrss / unit


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("num_runs", nargs="?", type=int, default=200, help="default: 200")
    num_runs = parser.parse_args(arguments).num_runs
    num_failed = 0
    with tempfile.TemporaryDirectory() as folder:
        sweep = Path(folder, "outputs", "sweeps", "2026-01-01", "00-00-00.000000")
        sweep.mkdir(parents=True)
        make_runs(sweep, num_runs)
        for command in (["compare", folder, f"--folder={folder}/comparison"], ["list", folder]):
            status, seconds, megabytes = measure(*command)
            print(
                f"{command[0]:8} {num_runs} runs: {seconds:.1f} s, peak memory {megabytes:.0f} MB, "
                f"exit status {status}"
            )
            num_failed += status != 0
    return num_failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
