"""The launchers of conf/hydra/launcher, where Hydra looks for them; mbrl/launchers has what they do."""

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
