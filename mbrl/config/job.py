"""A run from Python as a job of Hydra: the same folder, files and variables as from run.py."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.utils import JobStatus, run_job
from hydra.types import HydraContext
from omegaconf import DictConfig

from mbrl.config.environment import guarded_environment
from mbrl.config.hydra_guard import has_foreign_files
from mbrl.config.hydra_internals import Callbacks, config_loader, named_as_run
from mbrl.config.output_folder import check_output_folder
from mbrl.runs.log import logged_to


def call_as_job(task: Callable[[DictConfig], Any], config: DictConfig) -> Any:
    """Calls `task` with the config in a new folder, with Hydra's files and a run.log.

    `config` has Hydra's settings under `hydra`. Hydra's callbacks, launchers and logging belong to
    the command line; here the program's own logging stays as it is. Raises what `task` raises, and
    CorruptRun for a folder that holds a link or a pipe.
    """

    def logged(task_config: DictConfig) -> Any:
        with logged_to(Path(config.hydra.runtime.output_dir)):
            return task(task_config)

    check_output_folder(config)
    context = HydraContext(config_loader(), Callbacks())
    command_line = [*config.hydra.overrides.hydra, *config.hydra.overrides.task]
    is_foreign = has_foreign_files(config.hydra)
    with named_as_run(), guarded_environment(is_foreign, command_line):
        result = run_job(logged, config, "hydra.run.dir", None, context, configure_logging=False)
    if result.status == JobStatus.FAILED:
        raise result._return_value  # `return_value` would print to stderr first
    return result.return_value
