"""The search space of a command line: each of Hydra's sweeps becomes an Optuna distribution."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    RangeSweep,
    Sweep,
    Transformer,
)
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from mbrl.config.sweep_size import count_range
from mbrl.errors import ConfigError

TAGS = ("int", "log")
DIGITS = 12  # significant digits of a stepped number: 0.1 + 2 × 0.1 is 0.3 on a command line


@dataclass(frozen=True)
class SearchSpace:
    """The overrides that all trials share, and the distributions of the searched settings."""

    fixed: tuple[str, ...]  # as given
    distributions: dict[str, BaseDistribution]  # by key on the command line

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """The values that Optuna drew, as overrides."""
        overrides = []
        for key, dist in self.distributions.items():
            stepped = isinstance(dist, FloatDistribution) and dist.step is not None
            overrides.append(f"{key}={_rounded(params[key]) if stepped else params[key]}")
        return overrides

    def validation_points(self) -> Iterator[list[str]]:
        """Overrides that contain each option of each choice at least once.

        One choice varies at a time; the others keep their first option.
        """
        options = {key: _options(dist) for key, dist in self.distributions.items()}
        first = {key: values[0] for key, values in options.items()}
        yield self.overrides(first)
        for key, values in options.items():
            yield from (self.overrides(first | {key: value}) for value in values[1:])

    def described(self) -> dict[str, str]:
        """The space as text, to compare it with that of a resumed study."""
        return {key: str(dist) for key, dist in self.distributions.items()}


def search_space(overrides: Sequence[Override]) -> SearchSpace:
    """The search space of a parsed command line.

    choice(…), a,b and glob(…) become categories and range(…) its steps. interval(a,b) is
    continuous and includes both ends. int(…) or tag(int,…) makes an interval's values whole
    numbers; tag(log,…) makes its scale logarithmic.

    Raises ConfigError for an empty sweep, for one that Optuna cannot search, and if there is none.
    """
    fixed = tuple(str(o.input_line) for o in overrides if not o.is_sweep_override())
    swept = [override for override in overrides if override.is_sweep_override()]
    if not swept:
        raise ConfigError(
            "hydra/sweeper=optuna has nothing to search. Give at least one setting a choice(…), "
            "range(…) or interval(…) on the command line, such as 'discount=interval(0.95,0.999)'."
        )
    return SearchSpace(fixed, {o.get_key_element(): _distribution(o) for o in swept})


def _distribution(override: Override) -> BaseDistribution:
    sweep = override.value()
    tags = sweep.tags if isinstance(sweep, Sweep) else set()
    unknown = sorted(tags.difference(TAGS))
    if unknown:
        _refuse(override, f"has the unknown tag {unknown[0]}. Use {' or '.join(TAGS)}, or no tag")
    if isinstance(sweep, IntervalSweep | RangeSweep):
        return _numbers(override, sweep)
    if tags:
        _refuse(override, "tags a choice, which has no order. Remove the tag, or give a range(…)")
    # In the given order, also for shuffle(…): a resumed study must have the same choices.
    if isinstance(sweep, ChoiceSweep):
        options = [Transformer.str(option) for option in sweep.list]
    else:
        options = list(override.sweep_string_iterator())
    if not options:
        _refuse(override, "matches nothing. Correct the pattern")
    return CategoricalDistribution(list(dict.fromkeys(options)))


def _numbers(override: Override, sweep: IntervalSweep | RangeSweep) -> BaseDistribution:
    if isinstance(sweep, RangeSweep):
        count = count_range(sweep) if sweep.step and math.isfinite(sweep.step) else 0
        if not count:
            _refuse(override, "is empty. Swap its ends, or give a step that leads to its end")
        is_whole = isinstance(sweep.start, int) and isinstance(sweep.step, int)
        first = Decimal(sweep.start or 0)
        last = first + (count - 1) * Decimal(sweep.step)  # the end is excluded, as in Python
        low, high = map(int if is_whole else float, sorted((first, last)))
        step = abs(sweep.step)
    else:
        low = math.nan if sweep.start is None else sweep.start
        high = math.nan if sweep.end is None else sweep.end
        if not -math.inf < low < high < math.inf:
            _refuse(override, "must go from a finite number to a larger one. Change its ends")
        step, is_whole = None, isinstance(low, int)  # int(interval(…)) has whole ends
    log = "log" in sweep.tags
    if log and low <= 0:
        _refuse(override, "has a log scale, so it must start above 0. Raise its lower end")
    if log and step is not None and not (is_whole and step == 1):
        _refuse(override, "has a log scale, so its steps must be 1. Use tag(log,interval(…))")
    if not is_whole and "int" not in sweep.tags:
        low, high = (low, high) if step is None else (_rounded(low), _rounded(high))
        return FloatDistribution(low, high, log=log, step=step)
    if any(number != int(number) for number in (low, high, step or 1)):
        _refuse(
            override, "searches whole numbers, so it must have whole ends and steps. Round them"
        )
    return IntDistribution(int(low), int(high), log=log, step=int(step or 1))


def _refuse(override: Override, rule: str) -> NoReturn:
    raise ConfigError(f"{override.input_line} {rule}.")


def _options(distribution: BaseDistribution) -> Sequence[Any]:
    """The options of a choice. Of a number only the smallest, because all compose alike."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return [distribution.low]


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
