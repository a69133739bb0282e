"""Model-based reinforcement learning experiments: world models, planners and a training loop."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("mbrl-experiments")
except PackageNotFoundError:  # a checkout that is only on the path
    __version__ = "unknown"
