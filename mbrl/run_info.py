"""What is known of a run beside its settings: how it was started, and where its files go.

A plain record, made in `mbrl/config/launch.py` and handed to loggers. Imports no JAX.
"""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 3  # of a run's config.yaml and checkpoints; raised when saved runs become unusable


def _new_run_id() -> str:
    """The id that a W&B sweep agent has set for this run, or a new one."""
    agents = os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None
    return agents or secrets.token_hex(4)


@dataclass(frozen=True)
class RunInfo:
    """One run, new or resumed."""

    folder: Path  # absolute
    name: str  # <env>_<model>_<planner>_seed<seed>
    group: str | None = None  # the sweep it belongs to
    choices: Mapping[str, str] = field(default_factory=dict)  # config group → chosen option
    trust: tuple[str, ...] = ()  # packages trusted on the command line
    overrides: tuple[str, ...] = ()  # the command line, as given
    environment: Mapping[str, str] = field(default_factory=dict)  # variables of hydra.job.env_set
    owns_terminal: bool = True  # False where other runs print to the same terminal
    run_id: str = field(default_factory=_new_run_id)  # W&B's id; kept when the run is resumed
    config: Mapping[str, Any] = field(default_factory=dict)  # resolved settings, plain containers
    num_rows: int = 0  # rows of metrics.jsonl that a resumed run keeps

    def to_provenance(self) -> dict[str, Any]:
        """What provenance.json keeps, so that the run can be resumed."""
        kept = ("name", "group", "choices", "overrides", "environment", "run_id")
        return {"format": FORMAT} | {name: getattr(self, name) for name in kept}
