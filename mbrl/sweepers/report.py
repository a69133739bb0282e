"""What a search ends with: a table of its trials, the best one as a command line, and where to look at the rest."""

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from optuna import Study
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table
from rich.text import Text
from sqlalchemy.engine import make_url

from mbrl.errors import RunError
from mbrl.runs.folder import write_atomic
from mbrl.sweepers import trials
from mbrl.sweepers.search_space import SearchSpace
from mbrl.tables import format_number, print_table

SHOWN = 10  # trials in the table, the failed ones apart
TUNED_ON = "training.evaluation_seed"  # start states of the search, which a report does not use


def close(
    study: Study, space: SearchSpace, seeds: Sequence[int], config: DictConfig, url: str
) -> dict[str, Any]:
    """Prints what came of the search, and writes best_command.txt; returns the best trial's settings.

    Raises RunError if every trial failed.
    """
    ranked, failed = _ranked(study), _in_state(study, TrialState.FAIL)
    print_table(_table(study, space, seeds, [*ranked[:SHOWN], *failed]))
    if not ranked:
        raise RunError(
            f"All {len(failed)} trials of the search failed, the first at {trials.failure(failed[0])}."
        )
    command = _command(config, space, ranked[0])
    file = Path(config.hydra.sweep.dir).absolute() / "best_command.txt"
    write_atomic(file, command + "\n")
    print(f"The best on seeds that it was not tuned on (also in {file}):\n\n    {command}\n")
    print(
        f"To look at the search: pip install optuna-dashboard, then\n\n    optuna-dashboard {shlex.quote(without_password(url))}\n"
    )
    return dict(ranked[0].params)


def without_password(url: str) -> str:
    """A database's address as it may be shown."""
    return make_url(url).render_as_string(hide_password=True)


def _in_state(study: Study, state: TrialState) -> list[FrozenTrial]:
    return study.get_trials(states=(state,))


def _ranked(study: Study) -> list[FrozenTrial]:
    """Completed trials, the best first; those that were pruned after them, since their means are over fewer seeds."""
    best_first = study.direction == StudyDirection.MAXIMIZE
    groups = (_in_state(study, state) for state in (TrialState.COMPLETE, TrialState.PRUNED))
    return [trial for group in groups for trial in sorted(group, key=_value, reverse=best_first)]


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None  # of a pruned one, the mean of the seeds that it ran
    return trial.value


def _table(
    study: Study, space: SearchSpace, seeds: Sequence[int], trials: Sequence[FrozenTrial]
) -> Table:
    states = Counter(trial.state.name.lower() for trial in study.get_trials(deepcopy=False))
    counts = ", ".join(
        f"{states[name]} {meaning}" for name, meaning in MEANINGS.items() if states[name]
    )
    table = Table(caption=Text(f"{sum(states.values())} trials: {counts}"), caption_justify="left")
    for name in (
        "trial",
        "mean score",
        *_short_names(list(space.distributions)),
        *(f"seed {seed}" for seed in seeds),
        "",
        "jobs",
    ):
        table.add_column(Text(name), overflow="fold")
    for trial in trials:
        table.add_row(*map(Text, _cells(trial, space, seeds)))
    return table


MEANINGS = {"complete": "completed", "pruned": "pruned", "fail": "failed"}  # of Optuna's states


def _cells(trial: FrozenTrial, space: SearchSpace, seeds: Sequence[int]) -> Iterator[str]:
    scores = trials.scores(trial)
    yield str(trial.number)
    yield "–" if trial.value is None else format_number(trial.value)
    for override in space.overrides(trial.params):
        yield _shortened(override.partition("=")[2])
    yield from (format_number(scores.get(seed)) for seed in seeds)
    yield trials.failure(trial) or MEANINGS[trial.state.name.lower()]
    yield ", ".join(map(str, trials.jobs(trial).values()))


def _short_names(keys: Sequence[str]) -> list[str]:
    """The last part of each setting's name, where that tells it from the others."""
    tails = [key.rpartition(".")[2] for key in keys]
    return [tail if tails.count(tail) == 1 else key for key, tail in zip(keys, tails, strict=True)]


def _shortened(text: str) -> str:
    try:
        return text if text.lstrip("-").isdigit() else format_number(float(text))
    except ValueError:
        return text


def _command(config: DictConfig, space: SearchSpace, best: FrozenTrial) -> str:
    """The command line that runs the best settings on the seeds, and from the start states, of a report."""
    fixed = [
        override for override in space.fixed if override.lstrip("+").partition("=")[0] != TUNED_ON
    ]
    overrides = [*fixed, *space.overrides(best.params), "seed=range(10)"]
    return shlex.join(["python", "run.py", "-m", *_options(config), *overrides])


def _options(config: DictConfig) -> Iterator[str]:
    """Those of run.py's options that say which configs there are."""
    if config.hydra.job.config_name != "config":
        yield f"--config-name={config.hydra.job.config_name}"
    for source in config.hydra.runtime.config_sources:
        if source.provider == "command-line":
            yield f"--config-dir={source.path}"
