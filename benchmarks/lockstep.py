"""Seeds in lock-step against the same seeds one after the other, each way in a process of its own: seconds by phase, and their ratio.

    python benchmarks/lockstep.py                                     MCTS, 16 seeds, 400 real steps; some minutes
    python benchmarks/lockstep.py --planner cem --seeds 4 training.evaluation_episodes=4
    python benchmarks/lockstep.py --num-threads 2 --together ""       nothing vmapped: the bits of runs alone

A phase's seconds are, one after the other, those of all runs together, and in lock-step the mean over runs, who wait for each
other. On a machine that others use too, compare the processor's seconds.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

from rich.console import Console
from rich.table import Table

from mbrl.config import compose, resolved, to_yaml
from mbrl.launch import launch
from mbrl.runs.folder import write_json, write_whole
from mbrl.runs.reader import read_metrics, read_summary

PHASES = ("collect", "learn", "evaluate")


def main() -> None:
    given = parsed_arguments()
    if given.way:
        print(json.dumps(measured(given)))
        return
    found: dict[str, list[dict[str, float]]] = {"one after the other": [], "lock-step": []}
    for _ in range(given.repeats):
        for way, measurements in found.items():  # interleaved, since others may use the machine
            command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
            measurements.append(
                json.loads(
                    subprocess.run(
                        command, check=True, capture_output=True, text=True
                    ).stdout.splitlines()[-1]
                )
            )
    Console().print(table(given, {way: least(measurements) for way, measurements in found.items()}))


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--planner", default="mcts")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--num-threads", type=int, default=1)
    parser.add_argument(
        "--together", help="what is vmapped, of learn,act_all,act; by default what pays"
    )
    parser.add_argument("--repeats", type=int, default=1, help="of each way; the least counts")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("overrides", nargs="*", metavar="name=value")
    return parser.parse_intermixed_args()


def measured(given: argparse.Namespace) -> dict[str, float]:
    """Seconds of one way, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        folders = [written(Path(folder, str(seed)), given, seed) for seed in range(given.seeds)]
        wall, cpu = perf_counter(), process_time()
        if given.way == "lock-step":
            in_lockstep(folders, given.together)
        else:
            one_after_the_other(folders)
        seconds = {"whole run": perf_counter() - wall, "processor": process_time() - cpu}
        assert all(read_summary(each)["status"] == "completed" for each in folders)
        share = len(folders) if given.way == "lock-step" else 1
        for phase in PHASES:
            seconds[phase] = (
                sum(row.get(f"time/{phase}", 0.0) for each in folders for row in read_metrics(each))
                / share
            )
    return seconds


def written(folder: Path, given: argparse.Namespace, seed: int) -> Path:
    """A run that is written down, as a sweep's jobs are."""
    settings = [
        f"planner={given.planner}",
        f"training.env_steps={given.steps}",
        f"num_threads={given.num_threads}",
        "logger=files",
    ]
    config = compose([*settings, *given.overrides, f"seed={seed}"])
    folder.mkdir()
    write_json(folder / "provenance.json", launch(config).identity())
    write_whole(folder / "config.yaml", to_yaml(resolved(config)))
    return folder


def in_lockstep(folders: list[Path], together: str | None) -> None:
    from mbrl.launchers.vectorized import carry_out_together

    carry_out_together(
        folders,
        together=None if together is None else [name for name in together.split(",") if name],
    )


def one_after_the_other(folders: list[Path]) -> None:
    from mbrl.launchers.job import Job

    for folder in folders:
        Job(folder).carry_out()


def least(measurements: list[dict[str, float]]) -> dict[str, float]:
    return {name: min(each[name] for each in measurements) for name in measurements[0]}


def table(given: argparse.Namespace, seconds: dict[str, dict[str, float]]) -> Table:
    title = f"{given.planner}, {given.seeds} seeds, {given.steps} steps, num_threads={given.num_threads} {' '.join(given.overrides)}"
    result = Table("seconds", *seconds, "ratio", title=title)
    alone, lockstep = seconds.values()
    for name in (*PHASES, "whole run", "processor"):
        result.add_row(
            name,
            f"{alone[name]:.1f}",
            f"{lockstep[name]:.1f}",
            f"{alone[name] / lockstep[name]:.2f}",
        )
    return result


if __name__ == "__main__":
    main()
