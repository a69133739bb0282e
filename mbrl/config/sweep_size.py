"""The number of jobs of a sweep, known before they are listed: a range can have millions."""

import math
from collections.abc import Sequence
from decimal import Decimal

from hydra.core.override_parser.types import Override, RangeSweep
from omegaconf import DictConfig

from mbrl.config.validation import format_value
from mbrl.errors import ConfigError

MAX_JOBS = 10_000  # where a launcher has no max_jobs


def count_jobs(overrides: Sequence[Override]) -> int:
    """The number of combinations. Raises ConfigError for an override that cannot be listed."""
    # Of a setting that is given twice, the last one counts.
    return math.prod({each.get_key_element(): _count(each) for each in overrides}.values())


def count_range(sweep: RangeSweep) -> int:
    """The number of values of a range. Raises ConfigError for a step of 0 and for infinite ends."""
    start, stop, step = sweep.start, sweep.stop, sweep.step
    assert start is not None
    assert stop is not None
    if step == 0 or not all(math.isfinite(number) for number in (start, stop, step)):
        raise ConfigError(
            f"range({start},{stop},{step}): must have finite ends and a step other than 0. "
            "Correct it."
        )
    return max(0, math.ceil((Decimal(stop) - Decimal(start)) / Decimal(step)))


def check_num_jobs(num_jobs: int, launcher: DictConfig) -> None:
    """Raises ConfigError if a sweep has more jobs than hydra.launcher.max_jobs."""
    limit = launcher.get("max_jobs", MAX_JOBS)
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise ConfigError(
            f"hydra.launcher.max_jobs={format_value(limit)}: must be a whole number of at least 1. "
            f"Try {MAX_JOBS}."
        )
    if num_jobs > limit:
        raise ConfigError(
            f"hydra.launcher.max_jobs={limit}: this sweep would have {num_jobs} jobs. Give fewer "
            f"values, or allow them: hydra.launcher.max_jobs={num_jobs}."
        )


def _count(override: Override) -> int:
    if not override.is_sweep_override():
        return 1
    if override.is_interval_sweep():
        raise ConfigError(
            f"{override.input_line}: has no values to list. Give a range(…) or choice(…), or "
            "search it with hydra/sweeper=optuna."
        )
    sweep = override.value()
    if isinstance(sweep, RangeSweep):
        return count_range(sweep)
    return sum(1 for _ in override.sweep_string_iterator())
