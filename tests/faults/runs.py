"""Small runs to interrupt, in this process or their own, and to compare with a whole run."""

import json
import subprocess
import sys
import time
from pathlib import Path

from mbrl.__main__ import main
from mbrl.config.compose import compose
from mbrl.experiment import run
from mbrl.runs.checkpoints import load_checkpoint
from mbrl.runs.metric_diff import differences
from mbrl.runs.reader import read_metrics, read_summary, status

ROOT = Path(__file__).parent.parent.parent
DYING = str(ROOT / "tests" / "faults" / "dying.py")

PLANNERS = {
    "cem": ("planner=cem", "planner.population_size=8", "planner.num_elites=2", "horizon=4"),
    "mcts": ("planner=mcts", "planner.num_simulations=6", "planner.max_depth=3"),
}
ENVIRONMENTS = {"discrete": "env=cartpole", "continuous": "env=pendulum"}
SMALL = ("training=smoke", "logger=files", "model.num_members=2")
# Without planner and value, which other tests have, there is less to compile.
BREAKABLE = (
    *SMALL,
    "env=gymnasium",
    "env.id=tests.faults.breakable:Breakable-v0",
    "trust=[tests]",
    "planner=random",
    "model/value=none",
    "training.env_steps=100",
)
# Nothing is learned: a run of a second, where any run will do.
QUICK = (
    "training=smoke",
    "logger=files",
    "env=pendulum",
    "env.episode_limit=50",
    "model=oracle",
    "model/value=none",
    "planner=random",
)


def settings(planner: str, actions: str) -> tuple[str, ...]:
    """The overrides of a run of seconds that collects, learns and evaluates for about as long."""
    schedule = ("training.env_steps=160", "training.evaluate_every=60", "env.episode_limit=70")
    return (*SMALL, ENVIRONMENTS[actions], *PLANNERS[planner], *schedule)


def run_here(folder: Path, *overrides: str) -> Path:
    """Run in this process, to the end."""
    run(compose([*overrides, f"hydra.run.dir={folder}"]))
    return folder


def resume_here(folder: Path, *options: str) -> None:
    """Resume a run in this process, to the end."""
    assert main(["resume", str(folder), *options]) == 0


def start(folder: Path, *overrides: str, driver: tuple[str, ...] = ()) -> subprocess.Popen:
    """Start a run in its own process."""
    return _start(folder, *driver, str(ROOT / "run.py"), f"hydra.run.dir={folder}", *overrides)


def start_resuming(folder: Path, *options: str, driver: tuple[str, ...] = ()) -> subprocess.Popen:
    """Resume a run in its own process."""
    return _start(folder, *(driver or ("-m", "mbrl")), "resume", str(folder), *options)


def _start(folder: Path, *command: str) -> subprocess.Popen:
    with stderr_file(folder).open("a") as stderr:
        return subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=stderr
        )


def wait_until_running(process: subprocess.Popen, folder: Path) -> None:
    """Return once the process has taken the folder, or has ended."""
    while process.poll() is None and status_of(folder) != "running":
        time.sleep(0.02)


def stderr_file(folder: Path) -> Path:
    """The file with what the processes of a run wrote to stderr."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder.with_name(f"{folder.name}.stderr")


def lost(folder: Path, reference: Path) -> int:
    """The number of rows of metrics that differ from those of the reference.

    If it is 0, asserts that the run is completed, with the same weights.
    """
    rows, expected = read_metrics(folder), read_metrics(reference)
    pairs = zip(expected, rows, strict=False)
    different = sum(bool(differences([then], [now])) for then, now in pairs)
    different += abs(len(expected) - len(rows))
    if different == 0:
        assert read_summary(folder)["status"] == "completed"
        assert weights(folder) == weights(reference)
    return different


def weights(folder: Path) -> dict[str, bytes]:
    """The arrays of the last checkpoint, except timings."""
    checkpoint = load_checkpoint(folder)
    assert checkpoint is not None
    arrays = {name: values.tobytes() for name, values in checkpoint.arrays.items()}
    del arrays["collecting_seconds"]
    return arrays


def status_of(folder: Path) -> str | None:
    """The status of a run; None before it has started."""
    return status(folder) if (folder / "summary.json").exists() else None


def summary_error(folder: Path) -> str:
    """The error in the summary of a failed run."""
    return json.loads((folder / "summary.json").read_text())["error"]
