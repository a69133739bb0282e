"""Notes on a comparison: where groups are not alike, and which runs the scores leave out."""

from collections import Counter
from collections.abc import Iterator

from mbrl.analysis.compare import Comparison
from mbrl.analysis.records import HINTS
from mbrl.analysis.statistics import Interval
from mbrl.analysis.summary import GroupSummary, Run, Section
from mbrl.errors import printable

FEW_RUNS = 3  # fewer do not support an interval
ENOUGH_RUNS = 10  # from here on, the bootstrap's intervals are wide enough
MAX_DRAWN = 8  # groups that a reader of the figure can distinguish


def unfinished(comparison: Comparison) -> list[tuple[str, str, str, str]]:
    """Status, group, folder and reason of each run that is not completed or cannot be read."""
    rows = []
    for run in comparison.runs:
        record = run.record
        if not run.is_completed:
            reason = record.error or HINTS.get(record.status, "")
            rows.append((record.status, run.label, printable(str(record.folder)), reason))
    return rows + [
        (entry.status, "", printable(str(entry.folder)), entry.reason)
        for entry in comparison.unreadable
    ]


def notes(comparison: Comparison) -> list[str]:
    """All notes, one sentence or two each; those on environments come first."""
    several = len(comparison.sections) > 1
    sentences = []
    for section in comparison.sections:
        prefix = f"{section.environment}: " if several else ""
        for check in (_budgets, _seeds, _each_group, _zero_width_intervals, _environment_settings):
            sentences += [prefix + sentence for sentence in check(section)]
    if comparison.grouping.mixed:
        mixed = ", ".join(comparison.grouping.mixed)
        sentences.append(f"Runs within a group differ in {mixed}, which --by leaves out.")
    num_unfinished = len(unfinished(comparison))
    if num_unfinished:
        total = len(comparison.runs) + len(comparison.unreadable)
        sentences.append(
            f"{num_unfinished} of {total} runs are not completed. They are listed below and are in "
            "no return; those that ended early may be the worst."
        )
    for folder, count in comparison.left_out.items():
        plural = "s" if count > 1 else ""
        sentences.append(
            f"{printable(str(folder))} is left out, with {count} run{plural}. "
            "Name it as well to include them."
        )
    num_groups = len(comparison.labels)
    if num_groups > MAX_DRAWN:
        sentences.append(
            f"The figure shows the first {MAX_DRAWN} of {num_groups} groups. Name fewer folders, "
            "or group --by fewer settings."
        )
    if comparison.why_no_aggregate:
        sentences.append(comparison.why_no_aggregate)
    return sentences


def completed(summary: GroupSummary) -> list[Run]:
    """The runs of a group that reached their budget."""
    return [run for run in summary.runs if run.is_completed]


def _budgets(section: Section) -> Iterator[str]:
    steps_of = {
        summary.label: sorted({run.record.env_steps for run in completed(summary)})
        for summary in section.groups
    }
    if len({steps for group_steps in steps_of.values() for steps in group_steps}) > 1:
        listed = "; ".join(
            f"{label}: {' and '.join(map(str, steps))}"
            for label, steps in steps_of.items()
            if steps
        )
        yield (
            f"The budgets of env steps differ ({listed}). Returns are those at each run's last "
            "evaluation, so more steps may explain higher ones."
        )


def _seeds(section: Section) -> Iterator[str]:
    seeds_of = {
        summary.label: [run.record.seed for run in runs]
        for summary in section.groups
        if (runs := completed(summary))
    }
    if len({frozenset(seeds) for seeds in seeds_of.values()}) > 1:
        listed = "; ".join(
            f"{label}: {', '.join(map(str, sorted(set(seeds))))}"
            for label, seeds in seeds_of.items()
        )
        yield f"The seeds of the completed runs differ ({listed})."
    for label, seeds in seeds_of.items():
        repeated = sorted(seed for seed, count in Counter(seeds).items() if count > 1)
        if repeated:
            yield (
                f"{label}: seed {', '.join(map(str, repeated))} more than once. Such runs are not "
                "independent, and the intervals are too narrow."
            )


def _each_group(section: Section) -> Iterator[str]:
    few = [
        f"{summary.label} ({summary.scores[0].size})"
        for summary in section.groups
        if summary.scores[0].size < FEW_RUNS
    ]
    if few:
        yield (
            f"Fewer than {FEW_RUNS} completed runs with a score: {', '.join(few)}. An interval of "
            "so few is not meaningful."
        )
    for summary in section.groups:
        label = summary.label
        without = len(completed(summary)) - summary.scores[0].size
        if without:
            have = "run has" if without == 1 else "runs have"
            yield f"{label}: {without} completed {have} no finite final return and no score."
        threads = sorted({run.record.settings.get("num_threads", "") for run in summary.runs})
        if len(threads) > 1:
            yield (
                f"{label}: its runs have num_threads={' and '.join(threads)}, so their times are "
                "not comparable."
            )
        commits = {run.record.commit for run in summary.runs if run.record.commit}
        if len(commits) > 1:
            yield f"{label}: its runs were computed by {len(commits)} commits of the code."


def _zero_width_intervals(section: Section) -> Iterator[str]:
    """The bootstrap knows only the runs seen: if these agree, its interval is a point."""
    num_first = section.groups[0].scores[0].size
    same_return, same_order = [], []
    for summary in section.groups:
        num_runs = summary.scores[0].size
        if num_runs < ENOUGH_RUNS and _is_a_point(summary.interval):
            same_return.append(f"{summary.label} ({num_runs} runs)")
        if min(num_runs, num_first) < ENOUGH_RUNS and _is_a_point(summary.improvement_interval):
            same_order.append(f"{summary.label} ({num_runs} × {num_first} pairs)")
    ending = "With so few runs, the interval is not meaningful."
    if same_return:
        yield f"All runs have the same return: {', '.join(same_return)}. {ending}"
    if same_order:
        yield f"All pairs with runs of the first group agree: {', '.join(same_order)}. {ending}"


def _is_a_point(interval: Interval | None) -> bool:
    return interval is not None and bool(interval.low == interval.high)


def _environment_settings(section: Section) -> Iterator[str]:
    runs = [run for summary in section.groups for run in summary.runs]
    for name in ("solved_score", "random_score"):
        values = {getattr(run.record, name) for run in runs} - {None}
        if len(values) > 1:
            listed = ", ".join(f"{value:.15g}" for value in sorted(values))
            yield f"The runs have different env.{name} ({listed}); that of the last run is used."
