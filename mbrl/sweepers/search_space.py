"""What a command line searches: each sweep in Hydra's override grammar becomes an Optuna distribution, all else is fixed."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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

from mbrl.errors import ConfigError

TAGS = ("int", "log")
DIGITS = 12  # significant ones of a stepped number: 0.1 + 2 × 0.1 is 0.3 on a command line


@dataclass(frozen=True)
class SearchSpace:
    """Overrides that every trial shares, as they were given, and what is searched, by its key on the command line."""

    fixed: tuple[str, ...]
    distributions: dict[str, BaseDistribution]

    def overrides(self, chosen: Mapping[str, Any]) -> list[str]:
        """The searched settings as a command line gives them; `chosen` are values that Optuna drew, by key."""
        return [
            f"{key}={_text(distribution, chosen[key])}"
            for key, distribution in self.distributions.items()
        ]

    def validation_points(self) -> Iterator[list[str]]:
        """Overrides in which each option of each choice is taken at least once: one at a time, the others at their first."""
        first = {key: _options(distribution)[0] for key, distribution in self.distributions.items()}
        yield self.overrides(first)
        for key, distribution in self.distributions.items():
            yield from (
                self.overrides(first | {key: option}) for option in _options(distribution)[1:]
            )

    def described(self) -> dict[str, str]:
        """The space as text, to tell whether a study that goes on searches the same."""
        return {key: str(distribution) for key, distribution in self.distributions.items()}


def search_space(overrides: Sequence[Override]) -> SearchSpace:
    """The search space of a parsed command line.

    choice(…), a,b and glob(…) are choices; range(…) has its steps; interval(a,b) is continuous and holds both ends; int(…) or
    tag(int,…) makes whole numbers of an interval, tag(log,…) searches the exponent.

    Raises ConfigError for a sweep that holds nothing or that Optuna cannot search, and where nothing is searched.
    """
    fixed = tuple(
        str(override.input_line) for override in overrides if not override.is_sweep_override()
    )
    searched = {
        override.get_key_element(): _distribution(override)
        for override in overrides
        if override.is_sweep_override()
    }
    if not searched:
        raise ConfigError(
            "hydra/sweeper=optuna has nothing to search: give at least one setting a choice(…), range(…) or interval(…) "
            "on the command line, such as 'discount=interval(0.95,0.999)'."
        )
    return SearchSpace(fixed, searched)


def _distribution(override: Override) -> BaseDistribution:
    sweep = override.value()
    tags = sweep.tags if isinstance(sweep, Sweep) else set()
    unknown = sorted(tags.difference(TAGS))
    if unknown:
        _refuse(
            override,
            f"has the tag {unknown[0]}, and only {' and '.join(TAGS)} mean something here; mend or remove it",
        )
    if isinstance(sweep, IntervalSweep):
        return _interval(override, sweep)
    if isinstance(sweep, RangeSweep):
        return _range(override, sweep)
    if tags:
        _refuse(
            override,
            "tags a choice, which has no order; remove the tag, or give a range(…) or an interval(…)",
        )
    # In the order given, even where it says shuffle(…): a study that goes on must have the same choices.
    options = (
        map(Transformer.str, sweep.list)
        if isinstance(sweep, ChoiceSweep)
        else override.sweep_string_iterator()
    )
    return CategoricalDistribution(
        list(dict.fromkeys(options)) or _refuse(override, "matches nothing; mend the pattern")
    )


def _interval(override: Override, sweep: IntervalSweep) -> BaseDistribution:
    low, high, log = sweep.start, sweep.end, "log" in sweep.tags
    if (
        low is None
        or high is None
        or not (math.isfinite(low) and math.isfinite(high) and low < high)
    ):
        _refuse(override, "must go from a finite number to a larger one; swap or mend its ends")
    if log and low <= 0:
        _refuse(override, "is on a log scale, and so must begin above 0; raise its lower end")
    if not isinstance(low, int) and "int" not in sweep.tags:  # int(interval(…)) has whole ends
        return FloatDistribution(low, high, log=log)
    if low != int(low) or high != int(high):
        _refuse(override, "searches whole numbers, and so must have whole ends; round them")
    return IntDistribution(int(low), int(high), log=log)


def _range(override: Override, sweep: RangeSweep) -> BaseDistribution:
    values, log = _steps(override, sweep), "log" in sweep.tags
    step, whole = (
        abs(sweep.step),
        all(isinstance(number, int) for number in (sweep.start, sweep.step)),
    )
    if log and not (whole and step == 1 and min(values) > 0):
        _refuse(
            override,
            "is on a log scale, which must have whole steps of 1 from above 0; use tag(log,interval(…))",
        )
    if "int" in sweep.tags and not whole:
        _refuse(
            override, "searches whole numbers, and so must have whole ends and steps; round them"
        )
    if whole:
        return IntDistribution(int(min(values)), int(max(values)), step=int(step), log=log)
    return FloatDistribution(_rounded(min(values)), _rounded(max(values)), step=step)


def _steps(override: Override, sweep: RangeSweep) -> list[float]:
    """The numbers of a range, which as in Python and in Hydra does not hold its end."""
    values = list(sweep.range()) if sweep.step else []
    return values or _refuse(
        override,
        "holds no number; its first number must be on this side of its end, and its step not 0",
    )


def _refuse(override: Override, rule: str) -> NoReturn:
    raise ConfigError(f"{override.input_line} {rule}.")


def _options(distribution: BaseDistribution) -> Sequence[Any]:
    """Each of a choice; of numbers, which all compose alike, the least."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return [distribution.low]


def _text(distribution: BaseDistribution, value: Any) -> str:
    stepped = isinstance(distribution, FloatDistribution) and distribution.step is not None
    return str(_rounded(value) if stepped else value)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
