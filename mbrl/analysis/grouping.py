"""Grouping runs by what differs in their configs, seeds excluded, in as few names as possible."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mbrl.analysis.records import Record

# Settings that do not change a run's results, and facts about an environment that only the analysis
# reads. A final dot stands for all settings of a group.
IGNORED = frozenset(
    {
        "seed",
        "trust",
        "logger.",
        "compilation_cache",
        "training.checkpoint_every",
        "training.max_checkpoints",
        "env.step_timeout",
        "num_threads",  # changes last digits, as another machine does, which no config names
        "env.id",
        "env.time_step",
        "env.solved_score",
        "env.random_score",
        "env.best_score",
        "env.suggested_steps",
    }
)
# An environment's choice shows in its settings; env.id has a section of its own.
IGNORED_CHOICES = ("logger", "env")
ABSENT = ""  # the value of a setting that a run does not have; no setting has this text

Traits = Mapping[str, str]  # what a run can be grouped by: name → text


@dataclass(frozen=True)
class Grouping:
    """The groups of runs, given as one entry per run."""

    names: tuple[str, ...]  # of the settings that distinguish the groups
    values: list[tuple[str, ...]]  # [run], of these settings
    labels: list[str]  # [run], equal for runs of one group
    mixed: tuple[str, ...]  # settings that differ within groups, if the caller chose the names


def group(records: Sequence[Record], by: Sequence[str] = ()) -> Grouping:
    """Group runs by the choices or dotted settings in `by`, by default by all that differs.

    Runs of different environments may share a group; the caller separates them. Raises ValueError
    if no run has what `by` names.
    """
    traits: list[Traits] = []
    all_names = {name for record in records for name in record.settings}
    for record, choices in zip(records, infer_choices(records), strict=True):
        settings = dict(record.settings)
        classes = {
            name.removesuffix("._target_"): text.rpartition(".")[2]
            for name, text in settings.items()
            if name.endswith("._target_")
        }
        # A choice hides a setting of the same name. Every run has an `experiment`, even if none was
        # chosen.
        shared: dict[str, str] = classes | settings | {"experiment": "none"} | dict(choices)
        traits.append(_mappings(settings, all_names) | shared)
    for name in by:
        if not any(name in trait for trait in traits):
            known = sorted({choice for trait in traits for choice in trait if "." not in choice})
            raise ValueError(
                f"--by {name}: must be a choice or a setting that these runs have "
                f"({', '.join(known)}), or a dotted one of their config.yaml, such as "
                "model.num_members."
            )
    distinguishing = _distinguishing(records, traits, by)
    names = tuple(by) or distinguishing
    values = [tuple(trait.get(name, ABSENT) for name in names) for trait in traits]
    return Grouping(names, values, _labels(names, names, values), distinguishing if by else ())


def short_labels(names: Sequence[str], values: Sequence[Sequence[str]]) -> list[str]:
    """Labels of groups with these `values` [group].

    They leave out settings that all groups share, and the sections that settings are in.
    """
    all_indices = range(len(names))
    differing = [index for index in all_indices if len({row[index] for row in values}) > 1]
    indices = differing or all_indices
    kept = [names[index] for index in indices]
    # `num_members` for `model.num_members`, `reward._target_` for `model.reward._target_`
    last = []
    for name in kept:
        ending = "._target_" if name.endswith("._target_") else ""
        last.append(name.removesuffix(ending).rpartition(".")[2] + ending)
    plain = [name.removesuffix("._target_") for name in last]
    shown = [
        short if plain.count(short.removesuffix("._target_")) == 1 else name
        for short, name in zip(last, kept, strict=True)
    ]
    return _labels(kept, shown, [[row[index] for index in indices] for row in values])


def _labels(
    names: Sequence[str], shown: Sequence[str], values: Sequence[Sequence[str]]
) -> list[str]:
    """`planner=cem, model.num_members=3`, one per row of values, without absent settings.

    `shown` has the names as they are to be written. Different rows have different labels: classes
    lose their module, and names their ending `_target_`, only where what is left is unique.
    """
    columns = []
    for index, name in enumerate(names):
        texts = {row[index] for row in values}
        short = {text: text.rpartition(".")[2] for text in texts}
        is_class = name.endswith("._target_") and len(set(short.values())) == len(texts)
        columns.append(short if is_class else {text: text for text in texts})
    plain = [name.removesuffix("._target_") for name in shown]
    written = [
        short if plain.count(short) == 1 else name for short, name in zip(plain, shown, strict=True)
    ]
    labels = []
    for row in values:
        parts = [
            f"{name}={column[value]}"
            for name, column, value in zip(written, columns, row, strict=True)
            if value != ABSENT
        ]
        labels.append(", ".join(parts) or (f"no {written[0]}" if written else "all runs"))
    return labels


def _mappings(settings: Mapping[str, str], all_names: Collection[str]) -> dict[str, str]:
    """The content of each mapping that is a single value in another run, by its name.

    `{a: 1, b.c: 2}`, to be compared with `null` or `{}`.
    """
    contents: dict[str, list[str]] = {}
    for name, text in settings.items():
        outer, dot, _ = name.rpartition(".")
        while dot:
            if outer in all_names:
                contents.setdefault(outer, []).append(f"{name[len(outer) + 1 :]}: {text}")
            outer, dot, _ = outer.rpartition(".")
    return {name: f"{{{', '.join(sorted(parts))}}}" for name, parts in contents.items()}


def infer_choices(records: Sequence[Record]) -> list[Mapping[str, str]]:
    """The choices of each run.

    A run that was killed before it wrote them gets those of a run with the same settings, or else
    those that the classes in its config stand for.
    """
    by_config = {_config_key(record): record.choices for record in records if record.choices}
    groups = sorted({name for record in records for name in record.choices} | {"model", "planner"})
    options = _options_by_class(records)
    inferred = []
    for record in records:
        choices = record.choices or by_config.get(_config_key(record))
        if not choices:
            targets = {name: record.settings.get(f"{name}._target_") for name in groups}
            choices = {
                name: options.get((name, target), target.rpartition(".")[2])
                for name, target in targets.items()
                if target
            }
        inferred.append(choices)
    return inferred


def _options_by_class(records: Sequence[Record]) -> dict[tuple[str, str], str]:
    """(group, class) → option, where all runs with this class and known choices agree on one."""
    options: dict[tuple[str, str], set[str]] = {}
    for record in records:
        for name, option in record.choices.items():
            target = record.settings.get(f"{name}._target_", "")
            options.setdefault((name, target), set()).add(option)
    return {key: next(iter(names)) for key, names in options.items() if len(names) == 1}


def _config_key(record: Record) -> tuple[tuple[str, str], ...]:
    """All settings of a run that its results depend on, except the seed."""
    settings = record.settings.items()
    return tuple(
        sorted((name, text) for name, text in settings if name == "env.id" or not _is_ignored(name))
    )


def _distinguishing(
    records: Sequence[Record], traits: Sequence[Traits], given: Sequence[str]
) -> tuple[str, ...]:
    """The names that differ beyond what `given` explains.

    Choices come first, then settings that these do not explain.
    """
    overridden = frozenset(name for record in records for name in record.overrides)
    names = [name for record in records for name in (*record.choices, "experiment")]
    choices = list(dict.fromkeys(names))
    differing = [
        name
        for name in choices
        if name not in IGNORED_CHOICES and len({trait.get(name, ABSENT) for trait in traits}) > 1
    ]
    # Without `given`, what the command line chose comes first.
    chosen = [] if given else [name for name in differing if name in overridden]
    known = [*given, *chosen]
    chosen += _unexplained(records, traits, differing, known, across_environments=not given)
    return tuple(chosen + _settings(records, traits, [*given, *chosen], overridden, choices))


def _settings(
    records: Sequence[Record],
    traits: Sequence[Traits],
    given: Sequence[str],
    overridden: frozenset[str],
    choices: Sequence[str],
) -> list[str]:
    """Settings that differ between runs of the same environment and choices.

    First those that the command line named, then those of the others that these do not explain
    (planner.horizon follows from horizon), the most general ones first.
    """
    all_names = dict.fromkeys(name for record in records for name in record.settings)
    position = {name: index for index, name in enumerate(all_names)}
    names = [name for name in position if not _is_ignored(name) and name not in choices]
    differing = [name for name in names if not _explains(records, traits, given, name)]
    named = [name for name in differing if name.removesuffix("._target_") in overridden]

    def generality(name: str) -> tuple[int, bool, int]:
        """Few dots first, then classes, then the order of the configs."""
        is_class = name.endswith("._target_")
        return name.removesuffix("._target_").count("."), not is_class, position[name]

    rest = sorted((name for name in differing if name not in named), key=generality)
    return named + _unexplained(records, traits, rest, [*given, *named])


def _unexplained(
    records: Sequence[Record],
    traits: Sequence[Traits],
    candidates: Iterable[str],
    given: Sequence[str],
    across_environments: bool = False,
) -> list[str]:
    """The candidates that neither `given` nor earlier candidates explain, in order."""
    chosen: list[str] = []
    for name in candidates:
        known = [*given, *chosen]
        if name not in given and not _explains(records, traits, known, name, across_environments):
            chosen.append(name)
    return chosen


def _explains(
    records: Sequence[Record],
    traits: Sequence[Traits],
    given: Sequence[str],
    name: str,
    across_environments: bool = False,
) -> bool:
    """Whether runs with equal values of `given` have equal values of `name`.

    Only runs of the same environment are compared, unless `across_environments`.
    """
    value_of: dict[tuple[str, ...], str] = {}
    for record, trait in zip(records, traits, strict=True):
        environment = "" if across_environments else record.environment
        key = (environment, *(trait.get(given_name, ABSENT) for given_name in given))
        value = trait.get(name, ABSENT)
        if value_of.setdefault(key, value) != value:
            return False
    return True


def _is_ignored(name: str) -> bool:
    return name in IGNORED or f"{name.partition('.')[0]}." in IGNORED
