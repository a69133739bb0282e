"""Where Hydra finds the launchers of conf/hydra/launcher: it takes plugins from `hydra_plugins` only, and imports them all at every start
of run.py, and of any other program beside which mbrl is installed.

So nothing heavy is imported here, and nothing is chosen for others; mbrl/launchers does the work.
"""

from abc import abstractmethod
from typing import Any

from hydra.plugins.launcher import Launcher


class SweepLauncher(Launcher):
    """The launcher of a sweep whose jobs are carried out in a way of its own."""

    def __init__(self, **settings: Any):
        """The settings are read from the config in `setup`, where what is wrong with them can be said in one sentence."""

    @staticmethod
    @abstractmethod
    def way() -> Any:
        """The class in mbrl/launchers that carries out jobs."""

    def setup(self, *, hydra_context, task_function, config) -> None:
        from mbrl.launchers.sweep import Sweep

        self._sweep = Sweep(self.way(), hydra_context.config_loader, config)

    def launch(self, job_overrides, initial_job_idx):
        return self._sweep.launch(job_overrides, initial_job_idx)


class LocalLauncher(SweepLauncher):
    @staticmethod
    def way() -> Any:
        from mbrl.launchers.local import Local

        return Local


class JoblibLauncher(SweepLauncher):
    @staticmethod
    def way() -> Any:
        from mbrl.launchers.joblib import ProcessPool

        return ProcessPool


class SubmititLauncher(SweepLauncher):
    @staticmethod
    def way() -> Any:
        from mbrl.launchers.submitit import Submitit

        return Submitit


class RayLauncher(SweepLauncher):
    @staticmethod
    def way() -> Any:
        from mbrl.launchers.ray import Ray

        return Ray
