"""Model-based reinforcement learning experiments: world models, planners and a training loop."""

from importlib.metadata import version

__version__ = version("mbrl-experiments")
