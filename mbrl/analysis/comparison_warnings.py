"""What a reader of a comparison must know, a sentence each: where groups are not alike, and what the figures leave out."""

from collections import Counter
from collections.abc import Iterator

from mbrl.analysis.compare import Comparison, GroupSummary, Run, Section
from mbrl.analysis.statistics import Interval

HINTS = {
    "killed": "it ended without a word; `python -m mbrl resume` goes on with it",
    "interrupted": "somebody stopped it; `python -m mbrl resume` goes on with it",
    "running": "it is still running",
    "never started": "only its config is there; `python -m mbrl resume` starts it",
}
FEW = 3  # runs
ENOUGH = 10  # runs, of which the bootstrap's intervals are wide enough
MOST_DRAWN = 8  # groups that a reader of the figure can tell apart


def unfinished(comparison: Comparison) -> list[tuple[str, str, str, str]]:
    """Status, group, folder and reason of each run that is not completed, or cannot be read."""
    runs = [run for run in comparison.runs if not run.is_completed]
    found = [
        (
            run.record.status,
            run.label,
            str(run.record.folder),
            run.record.error or HINTS.get(run.record.status, ""),
        )
        for run in runs
    ]
    return found + [(each.status, "", str(each.folder), each.reason) for each in comparison.damaged]


def notes(comparison: Comparison) -> list[str]:
    """All sentences, those of each environment after each other."""
    found = [
        sentence
        for section in comparison.sections
        for sentence in _of_section(section, several=len(comparison.sections) > 1)
    ]
    if comparison.grouping.mixed:
        found.append(
            f"Runs within a group differ in {', '.join(comparison.grouping.mixed)}, which --by leaves out: a group mixes them."
        )
    left_out = len(unfinished(comparison))
    if left_out:
        found.append(f"{left_out} of {len(comparison.runs) + len(comparison.damaged)} runs are not completed: they are listed below, and "
                     "count in no return; those that ended early may be the worst.")  # fmt: skip
    for folder, number in comparison.left_out.items():
        found.append(
            f"{folder} is left out, with {number} run{'s' if number > 1 else ''}: name it too to have them."
        )
    if len(comparison.labels) > MOST_DRAWN:
        found.append(
            f"The figure shows the first {MOST_DRAWN} of {len(comparison.labels)} groups: name fewer folders, or group --by less."
        )
    return [*found, *([comparison.why_no_aggregate] if comparison.why_no_aggregate else [])]


def _of_section(section: Section, several: bool) -> Iterator[str]:
    where = f"{section.environment}: " if several else ""
    for sentence in (
        *_budgets(section),
        *_seeds(section),
        *_each_group(section),
        *_without_width(section),
        *_facts(section),
    ):
        yield where + sentence


def _budgets(section: Section) -> Iterator[str]:
    taken = {
        figures.label: sorted({run.record.env_steps for run in completed(figures)})
        for figures in section.groups
    }
    if len({step for steps in taken.values() for step in steps}) > 1:
        said = "; ".join(
            f"{label}: {' and '.join(map(str, steps))}" for label, steps in taken.items() if steps
        )
        yield f"The budgets of env steps differ ({said}), and returns are those at each run's last evaluation: more steps may explain more."


def _seeds(section: Section) -> Iterator[str]:
    seeds = {
        figures.label: [run.record.seed for run in completed(figures)] for figures in section.groups
    }
    if len({frozenset(each) for each in seeds.values()}) > 1:
        said = "; ".join(
            f"{label}: {', '.join(map(str, sorted(set(each)))) or 'none'}"
            for label, each in seeds.items()
        )
        yield f"The seeds of the completed runs differ ({said})."
    for label, each in seeds.items():
        twice = sorted(seed for seed, times in Counter(each).items() if times > 1)
        if twice:
            yield f"{label}: seed {', '.join(map(str, twice))} more than once; such runs are no independent ones, and intervals too narrow."


def _each_group(section: Section) -> Iterator[str]:
    few = [
        f"{figures.label} ({figures.scores[0].size})"
        for figures in section.groups
        if figures.scores[0].size < FEW
    ]
    if few:
        yield f"Fewer than {FEW} completed runs with a score: {', '.join(few)}; an interval of so few says nothing."
    for figures in section.groups:
        without = sum(1 for run in completed(figures)) - figures.scores[0].size
        if without:
            yield f"{figures.label}: {without} completed runs have no finite return at their end, and count in no return."
        threads = sorted({run.record.settings.get("num_threads", "") for run in figures.runs})
        if len(threads) > 1:
            yield f"{figures.label}: its runs have num_threads={' and '.join(threads)}, so that their times are not of one kind."
        commits = {run.record.commit for run in figures.runs if run.record.commit}
        if len(commits) > 1:
            yield f"{figures.label}: its runs were computed by {len(commits)} commits of the code."


def _without_width(section: Section) -> Iterator[str]:
    """The bootstrap knows no runs but those seen: where these agree, its interval is a point, however few they are."""
    others = section.groups[0].scores[0].size
    alike, agreeing = [], []
    for figures in section.groups:
        number = figures.scores[0].size
        if number < ENOUGH and _is_a_point(figures.interval):
            alike.append(f"{figures.label} ({number} runs)")
        if min(number, others) < ENOUGH and _is_a_point(figures.improvement_interval):
            agreeing.append(f"{figures.label} ({number} × {others} pairs)")
    if alike:
        yield f"All runs have the same return: {', '.join(alike)}; with so few runs the interval says nothing."
    if agreeing:
        yield f"All pairs with runs of the first group agree: {', '.join(agreeing)}; with so few runs the interval says nothing."


def _is_a_point(interval: Interval | None) -> bool:
    return interval is not None and bool(interval.low == interval.high)


def _facts(section: Section) -> Iterator[str]:
    runs = [run for figures in section.groups for run in figures.runs]
    for name in ("solved_score", "random_score"):
        values = {getattr(run.record, name) for run in runs} - {None}
        if len(values) > 1:
            yield f"The runs' config.yaml have several env.{name} ({', '.join(map(str, sorted(values)))}); that of the last run is used."


def completed(figures: GroupSummary) -> list[Run]:
    """Those of a group's runs that reached their budget."""
    return [run for run in figures.runs if run.is_completed]
