"""Where Hydra finds the launchers of conf/hydra/launcher, and the sweeper of sweeps.

Hydra looks for plugins only in `hydra_plugins`. It imports all of them at every start of run.py,
and of any other Hydra program in the same environment. So this module imports nothing heavy;
mbrl/launchers does the work.
"""

from typing import Any

from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper


class SweepLauncher(Launcher):
    """Runs a sweep with the backend that `hydra.launcher.backend` names."""

    def __init__(self, **settings: Any):
        """Ignores the settings; `setup` reads them from the config and reports errors."""

    def setup(self, *, hydra_context, task_function, config) -> None:
        from mbrl.launchers.sweep import Sweep

        self._sweep = Sweep(hydra_context.config_loader, config)

    def launch(self, job_overrides, initial_job_idx):
        return self._sweep.launch(job_overrides, initial_job_idx)


class GridSweeper(Sweeper):
    """Runs all combinations of the settings that have several values."""

    def __init__(self, **settings: Any):
        """Ignores the settings, as SweepLauncher does."""

    def setup(self, *, hydra_context, task_function, config) -> None:
        from functools import partial

        from hydra.core.plugins import Plugins

        from mbrl.launchers.grid import Grid

        make_launcher = partial(
            Plugins.instance().instantiate_launcher,
            hydra_context=hydra_context,
            task_function=task_function,
            config=config,
        )
        self._grid = Grid(config, make_launcher, hydra_context.config_loader)

    def sweep(self, arguments: list[str]) -> Any:
        return self._grid.sweep(arguments)
