"""Hydra's default sweep: one job for each combination of the settings that have several values."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from mbrl.config.hydra_internals import BasicSweeper
from mbrl.config.sweep_size import check_num_jobs, count_jobs
from mbrl.errors import RunError
from mbrl.launchers.report import print_jobs, shown_path
from mbrl.regular_files import write_atomic
from mbrl.runs.signals import Interrupted
from mbrl.terminal import RunConsole


class Grid:
    """Lists the jobs as Hydra's own sweeper does, but counts them first and composes each once."""

    def __init__(
        self, config: DictConfig, make_launcher: Callable[[], Launcher], loader: ConfigLoader
    ):
        """`make_launcher` is called after all checks, because it locks the sweep's folder."""
        self._config, self._make_launcher, self._loader = config, make_launcher, loader

    def sweep(self, arguments: Sequence[str]) -> Any:
        """Run all combinations of the overrides. Returns the jobs' results, as Hydra does.

        Raises ConfigError if there are too many, and RunError if a job is not completed.
        """
        params = self._config.hydra.sweeper.params or {}
        given = [*(f"{name}={value}" for name, value in params.items()), *arguments]
        parser = OverridesParser.create(config_loader=self._loader)
        overrides = parser.parse_overrides(given)
        num_jobs = count_jobs(overrides)
        check_num_jobs(num_jobs, self._config.hydra.launcher)
        launcher = self._make_launcher()
        RunConsole().say(f"{num_jobs} jobs" if num_jobs != 1 else "1 job")
        [jobs] = BasicSweeper.split_arguments(overrides, max_batch_size=None)
        folder = Path(self._config.hydra.sweep.dir).absolute()
        write_atomic(folder / "multirun.yaml", OmegaConf.to_yaml(self._config))
        try:
            results = launcher.launch(jobs, initial_job_idx=0)
        except Interrupted:
            print_jobs(shown_path(folder))
            raise
        print_jobs(shown_path(folder))
        unfinished = sum(result.status != JobStatus.COMPLETED for result in results)
        if unfinished:
            raise RunError(f"{unfinished} of {len(results)} jobs are not completed.")
        return [results]
