"""Where Hydra finds the launchers of conf/hydra/launcher.

Hydra looks for plugins only in `hydra_plugins`. It imports all of them at every start of run.py,
and of any other Hydra program in the same environment. So this module imports nothing heavy;
mbrl/launchers does the work.
"""

from typing import Any

from hydra.plugins.launcher import Launcher


class SweepLauncher(Launcher):
    """Runs a sweep with the backend that `hydra.launcher.backend` names."""

    def __init__(self, **settings: Any):
        """Ignores the settings; `setup` reads them from the config and reports errors."""

    def setup(self, *, hydra_context, task_function, config) -> None:
        from mbrl.launchers.sweep import Sweep

        self._sweep = Sweep(hydra_context.config_loader, config)

    def launch(self, job_overrides, initial_job_idx):
        return self._sweep.launch(job_overrides, initial_job_idx)
