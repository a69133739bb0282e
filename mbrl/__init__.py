"""Model-based reinforcement learning experiments: world models, planners and a training loop."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mbrl.analysis.curves import load_metrics
    from mbrl.config.compose import compose
    from mbrl.experiment import run

__all__ = ["compose", "load_metrics", "run"]

try:
    __version__ = version("mbrl-experiments")
except PackageNotFoundError:  # a checkout that is only on the path
    __version__ = "unknown"

MODULES = {
    "compose": "mbrl.config.compose",
    "load_metrics": "mbrl.analysis.curves",
    "run": "mbrl.experiment",
}


def __getattr__(name: str) -> Any:
    """Imported when first used, since `run` sets up JAX, which takes seconds."""
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
