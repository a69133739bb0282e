"""Run folders made by hand: the files of a run, without running one."""

import json
from pathlib import Path
from typing import Any

import yaml

ENVIRONMENTS = {
    "cartpole": {
        "id": "CartPole-v1",
        "solved_score": 475,
        "random_score": 22.1,
        "step_timeout": 60,
    },
    "pendulum": {
        "id": "Pendulum-v1",
        "solved_score": -160,
        "random_score": -1235.9,
        "step_timeout": 60,
    },
}
CLASSES = {
    "cem": "mbrl.planners.cem.CEM",
    "mcts": "mbrl.planners.mcts.MCTS",
    "random": "mbrl.planners.random.RandomPlanner",
}
PLANNER_SETTINGS = {"cem": {"num_elites": 8}, "mcts": {"num_simulations": 48}, "random": {}}


def settings(
    planner: str = "cem", env: str = "cartpole", seed: int = 0, **changes: Any
) -> dict[str, Any]:
    """A short config. `changes` are settings by their dotted names, with `__` for a dot."""
    config: dict[str, Any] = {
        "seed": seed,
        "discount": 0.99,
        "horizon": 15,
        "num_threads": 1,
        "compilation_cache": True,
        "env": dict(ENVIRONMENTS[env]),
        "model": {
            "_target_": "mbrl.models.ensemble.learner.EnsembleLearner",
            "num_members": 5,
            "dynamics": {"width": 64},
        },
        "planner": {"_target_": CLASSES[planner], "horizon": 15, **PLANNER_SETTINGS[planner]},
        "training": {"env_steps": 100, "checkpoint_every": 100},
        "logger": {"files": {"_target_": "mbrl.loggers.files.FilesLogger"}},
    }
    for name, value in changes.items():
        *path, last = name.split("__")
        node = config
        for key in path:
            node = node[key]
        node[last] = value
    return config


def make_run(
    folder: Path,
    returns: tuple[float | None, ...] = (10.0, 20.0),
    status: str | None = "completed",
    planner: str = "cem",
    env: str = "cartpole",
    seed: int = 0,
    error: str | None = None,
    overrides: tuple[str, ...] = (),
    provenance: bool = True,
    **changes: Any,
) -> Path:
    """Make a run with an evaluation every 50 steps, at 10 steps/s; `status=None`: never started."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(
        yaml.safe_dump(settings(planner, env, seed, **changes), sort_keys=False)
    )
    if provenance:
        choices = {
            "env": env,
            "model": "ensemble",
            "planner": planner,
            "training": "default",
            "logger": "files",
        }
        started = f"2026-01-01T00:00:{abs(seed):02}+00:00"
        content = {"choices": choices, "overrides": overrides, "started": started}
        (folder / "provenance.json").write_text(json.dumps(content))
    if status is None:
        return folder
    rows = [
        {
            "env_steps": 50 * (index + 1),
            "wall_seconds": 5.0 * (index + 1),
            "evaluation/return_mean": score,
        }
        for index, score in enumerate(returns)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    is_final = status not in ("running", "killed")
    summary: dict[str, Any] = {"env_steps": 0, "wall_seconds": 0.0}
    if is_final:
        summary |= {name: value for row in rows for name, value in row.items()}
    summary["status"] = status if is_final else "running"
    if error is not None:
        summary["error"] = error
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder
