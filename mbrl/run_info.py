"""RunInfo."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RunInfo:
    """How a run was started: what is known of it beside its config."""

    folder: Path
    name: str
    group: str | None  # the sweep that it belongs to
    choices: dict[str, str]  # config group → the option chosen
    trust: tuple[str, ...]  # packages that the command line vouches for
    overrides: tuple[str, ...]  # as given
    environment: Mapping[str, str] = field(
        default_factory=dict
    )  # variables that hydra.job.env_set sets
    owns_terminal: bool = True  # whether the terminal is this run's, or others write to it too
    run_id: str = field(default_factory=lambda: _wandb_run_id())  # W&B's

    def to_provenance(self) -> dict[str, Any]:
        """What provenance.json keeps of it, so that the run can be taken up."""
        return {
            name: getattr(self, name)
            for name in ("name", "group", "choices", "overrides", "environment", "run_id")
        }


def _wandb_run_id() -> str:
    """The one that W&B's sweep agent began for us, so that a run resumed without the agent is still the sweep's; else a new one."""
    begun = os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None
    return begun or secrets.token_hex(4)
