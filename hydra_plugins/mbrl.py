"""The launchers of conf/hydra/launcher, where Hydra looks for them; mbrl/launchers has what they do."""

from hydra.core.config_store import ConfigStore

from mbrl.launchers.joblib import Joblib
from mbrl.launchers.local import Local
from mbrl.launchers.ray import Ray
from mbrl.launchers.submitit import Submitit
from mbrl.launchers.sweep import SweepLauncher


class LocalLauncher(SweepLauncher):
    make_way = staticmethod(Local)


class JoblibLauncher(SweepLauncher):
    make_way = staticmethod(Joblib)


class SubmititLauncher(SweepLauncher):
    make_way = staticmethod(Submitit)


class RayLauncher(SweepLauncher):
    make_way = staticmethod(Ray)


# Where nothing is said, Hydra takes `basic`. A default in conf/config.yaml would keep experiments from choosing another launcher.
ConfigStore.instance().store(group="hydra/launcher", name="basic", node={"_target_": f"{__name__}.LocalLauncher"}, provider="mbrl")
