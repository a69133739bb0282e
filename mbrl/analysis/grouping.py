"""Which runs are of one kind: told apart by what differs in their configs, seeds apart, in as few words as say it all."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mbrl.analysis.records import Record

# What cannot change a run's results, and facts about an environment that only the analysis reads; all of a group by its dot.
IGNORED = frozenset(
    {
        *(
            "seed",
            "trust",
            "logger.",
            "compilation_cache",
            "training.checkpoint_every",
            "training.max_checkpoints",
            "env.step_timeout",
        ),
        "num_threads",  # changes last digits, as another machine does, which no config knows
        *(
            "env.id",
            "env.time_step",
            "env.solved_score",
            "env.random_score",
            "env.best_score",
            "env.suggested_steps",
        ),
    }
)
IGNORED_CHOICES = (
    "logger",
    "env",
)  # what an environment's file says shows as settings: env.id is a section of its own
ABSENT = "–"  # of a setting that a run does not have


@dataclass(frozen=True)
class Grouping:
    """`names` are what tells the groups apart; `values` [run] are each run's, and `labels` [run] how it is called."""

    names: tuple[str, ...]
    values: list[tuple[str, ...]]
    labels: list[str]
    mixed: tuple[str, ...]  # what differs within groups, where the caller chose the names


def group(records: Sequence[Record], by: Sequence[str] = ()) -> Grouping:
    """Groups runs by `by`, choices or dotted settings; without it, by all that differs. Environments are the caller's to keep apart.

    Raises ValueError where no run has what `by` names.
    """
    traits = [
        _traits(record, choices)
        for record, choices in zip(records, infer_choices(records), strict=True)
    ]
    _check_names(by, traits)
    told_apart = _distinguishing(records, traits, by)
    names = tuple(by) or told_apart
    values = [tuple(trait.get(name, ABSENT) for name in names) for trait in traits]
    return Grouping(
        names, values, [label(names, each) for each in values], told_apart if by else ()
    )


def label(names: Sequence[str], values: Sequence[str]) -> str:
    """`planner=cem, model.num_members=3`; a class by its name alone; what a group does not have is left out."""
    parts = [
        _part(name, value) for name, value in zip(names, values, strict=True) if value != ABSENT
    ]
    return ", ".join(parts) or (f"no {names[0]}" if names else "all runs")


def short_labels(names: Sequence[str], values: Sequence[Sequence[str]]) -> list[str]:
    """Labels of groups with these `values` [group], without what all groups share and the sections that settings are in."""
    kept = [
        index for index in range(len(names)) if len({each[index] for each in values}) > 1
    ] or range(len(names))
    last = {index: _last_name(names[index]) for index in kept}
    alone = [
        last[index] if list(last.values()).count(last[index]) == 1 else names[index]
        for index in kept
    ]
    return [label(alone, [each[index] for index in kept]) for each in values]


def infer_choices(records: Sequence[Record]) -> list[Mapping[str, str]]:
    """The choices of each run. One that was killed before it wrote them has those of a run with the same settings, or else those
    that the classes in its config stand for."""
    known = {_config_key(record): record.choices for record in records if record.choices}
    groups = sorted({name for record in records for name in record.choices} | {"model", "planner"})
    options = _by_class(records)
    return [
        record.choices or known.get(_config_key(record)) or _classes(record, groups, options)
        for record in records
    ]


def _by_class(records: Sequence[Record]) -> dict[tuple[str, str], str]:
    """The option that a group's class stands for, where the runs that know theirs know but one."""
    options: dict[tuple[str, str], set[str]] = {}
    for record in records:
        for name, option in record.choices.items():
            options.setdefault((name, record.settings.get(f"{name}._target_", "")), set()).add(
                option
            )
    return {key: next(iter(each)) for key, each in options.items() if len(each) == 1}


def _classes(
    record: Record, groups: Iterable[str], options: Mapping[tuple[str, str], str]
) -> dict[str, str]:
    targets = {name: record.settings.get(f"{name}._target_") for name in groups}
    return {
        name: options.get((name, target), target.rpartition(".")[2])
        for name, target in targets.items()
        if target
    }


def _config_key(record: Record) -> tuple[tuple[str, str], ...]:
    """All in a run's config that its results depend on, the seed apart."""
    return tuple(
        sorted(
            (name, value)
            for name, value in record.settings.items()
            if name == "env.id" or not _is_ignored(name)
        )
    )


def _traits(record: Record, choices: Mapping[str, str]) -> dict[str, str]:
    """What a run can be grouped by. A choice hides a setting of the same name, and an experiment is one even where none was chosen."""
    targets = {name: value for name, value in record.settings.items() if name.endswith("._target_")}
    classes = {
        name.removesuffix("._target_"): value.rpartition(".")[2] for name, value in targets.items()
    }
    return classes | dict(record.settings) | {"experiment": "none"} | dict(choices)


def _check_names(by: Sequence[str], traits: Sequence[Mapping[str, str]]) -> None:
    for name in by:
        if not any(name in trait for trait in traits):
            choices = ", ".join(
                sorted({each for trait in traits for each in trait if "." not in each})
            )
            raise ValueError(
                f"--by {name} names nothing that these runs have: name a choice or setting ({choices}), or a dotted one as their "
                "config.yaml has it, such as model.num_members."
            )


def _distinguishing(
    records: Sequence[Record], traits: Sequence[Mapping[str, str]], given: Sequence[str]
) -> tuple[str, ...]:
    """The names that differ beyond what `given` explains: choices first, then settings that these do not explain."""
    typed = frozenset(name for record in records for name in record.overrides)
    choices = list(
        dict.fromkeys(name for record in records for name in (*record.choices, "experiment"))
    )
    differing = [
        name
        for name in choices
        if name not in IGNORED_CHOICES and len({trait.get(name, ABSENT) for trait in traits}) > 1
    ]
    kept = [name for name in differing if name in typed and name not in given] if not given else []
    kept += _unexplained(records, traits, differing, [*given, *kept], across_environments=not given)
    return tuple(kept + _settings(records, traits, [*given, *kept], typed, choices))


def _settings(
    records: Sequence[Record],
    traits: Sequence[Mapping[str, str]],
    given: Sequence[str],
    typed: frozenset[str],
    choices: Sequence[str],
) -> list[str]:
    """Settings that differ between runs of the same environment and choices: those that the command line named, and of the others
    (planner.horizon follows from horizon) those that they do not explain, the general ones first."""
    position = {
        name: index
        for index, name in enumerate(
            dict.fromkeys(name for record in records for name in record.settings)
        )
    }
    names = [name for name in position if not _is_ignored(name) and name not in choices]
    differing = [name for name in names if not _explains(records, traits, given, name)]
    said = [name for name in differing if name.removesuffix("._target_") in typed]
    rest = sorted((name for name in differing if name not in said), key=_generality(position))
    return said + _unexplained(records, traits, rest, [*given, *said])


def _generality(position: Mapping[str, int]) -> Callable[[str], tuple[int, bool, int]]:
    return lambda name: (
        name.removesuffix("._target_").count("."),
        not name.endswith("._target_"),
        position[name],
    )


def _unexplained(
    records: Sequence[Record],
    traits: Sequence[Mapping[str, str]],
    candidates: Iterable[str],
    given: Sequence[str],
    across_environments: bool = False,
) -> list[str]:
    """Of the candidates, in order, those that neither what is given nor those before explain."""
    kept: list[str] = []
    for name in candidates:
        if name not in given and not _explains(
            records, traits, [*given, *kept], name, across_environments
        ):
            kept.append(name)
    return kept


def _explains(
    records: Sequence[Record],
    traits: Sequence[Mapping[str, str]],
    given: Sequence[str],
    name: str,
    across_environments: bool = False,
) -> bool:
    """Whether runs that share what is given share this too; the environment is given, but where it must not count as a reason."""
    seen: dict[tuple[str, ...], str] = {}
    for record, trait in zip(records, traits, strict=True):
        key = (
            "" if across_environments else record.environment,
            *(trait.get(each, ABSENT) for each in given),
        )
        value = trait.get(name, ABSENT)
        if seen.setdefault(key, value) != value:
            return False
    return True


def _is_ignored(name: str) -> bool:
    return name in IGNORED or f"{name.partition('.')[0]}." in IGNORED


def _last_name(name: str) -> str:
    """`num_members` of `model.num_members`; a class keeps its part's name."""
    ending = "._target_" if name.endswith("._target_") else ""
    return name.removesuffix(ending).rpartition(".")[2] + ending


def _part(name: str, value: str) -> str:
    if name.endswith("._target_"):
        return f"{name.removesuffix('._target_')}={value.rpartition('.')[2]}"
    return f"{name}={value}"
