"""Small runs to be broken, and what it means that one came out the same."""

import json
import subprocess
import sys
from pathlib import Path

from mbrl.__main__ import main
from mbrl.config.compose import compose
from mbrl.experiment import run
from mbrl.runs.checkpoints import load_checkpoint
from mbrl.runs.metric_diff import differences
from mbrl.runs.reader import read_metrics, read_summary, status

ROOT = Path(__file__).parent.parent.parent

PLANNERS = {
    "cem": ("planner=cem", "planner.population_size=8", "planner.num_elites=2", "horizon=4"),
    "mcts": ("planner=mcts", "planner.num_simulations=6", "planner.max_depth=3"),
}
ENVIRONMENTS = {"discrete": "env=cartpole", "continuous": "env=pendulum"}
SCHEDULE = (
    "training.env_steps=160",
    "training.evaluate_every=60",
    "env.episode_limit=70",
    "model.num_members=2",
)
BREAKABLE = ("env=gymnasium", "env.id=tests.faults.breakable:Breakable-v0", "trust=[tests]")


def settings(planner: str, actions: str) -> tuple[str, ...]:
    """The overrides of a run of some seconds, most of them in collection, learning and evaluation alike."""
    return ("training=smoke", "logger=files", ENVIRONMENTS[actions], *PLANNERS[planner], *SCHEDULE)


def run_here(folder: Path, *overrides: str) -> Path:
    """A run in this process, to its end."""
    run(compose([*overrides, f"hydra.run.dir={folder}"]))
    return folder


def resume_here(folder: Path, *options: str) -> None:
    """A run resumed in this process, to its end."""
    assert main(["resume", str(folder), *options]) == 0


def start(folder: Path, *overrides: str, driver: tuple[str, ...] = ()) -> subprocess.Popen:
    """A run in a process of its own."""
    return _started(folder, *driver, str(ROOT / "run.py"), f"hydra.run.dir={folder}", *overrides)


def start_resuming(folder: Path, *options: str, driver: tuple[str, ...] = ()) -> subprocess.Popen:
    """The same run, taken up."""
    return _started(folder, *(driver or ("-m", "mbrl")), "resume", str(folder), *options)


def _started(folder: Path, *command: str) -> subprocess.Popen:
    with said_file(folder).open("a") as said:
        return subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=said
        )


def said_file(folder: Path) -> Path:
    """What the processes of a run wrote to stderr."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder.with_name(f"{folder.name}.stderr")


def lost(folder: Path, reference: Path) -> int:
    """How many rows of metrics are not what they are in the reference: 0 also says that both are completed, with the same weights."""
    rows, wanted = read_metrics(folder), read_metrics(reference)
    different = sum(
        bool(differences([then], [now])) for then, now in zip(wanted, rows, strict=False)
    ) + abs(len(wanted) - len(rows))
    if different == 0:
        assert read_summary(folder)["status"] == "completed"
        assert weights(folder) == weights(reference)
    return different


def weights(folder: Path) -> dict[str, bytes]:
    """Every number of the last checkpoint, but for the clock's."""
    checkpoint = load_checkpoint(folder)
    assert checkpoint is not None
    return {
        name: values.tobytes()
        for name, values in checkpoint.arrays.items()
        if name != "collecting_seconds"
    }


def status_of(folder: Path) -> str | None:
    """What became of a run; None before it began."""
    return status(folder) if (folder / "summary.json").exists() else None


def summary_error(folder: Path) -> str:
    """Why a run failed, as its summary says it."""
    return json.loads((folder / "summary.json").read_text())["error"]
