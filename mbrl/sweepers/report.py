"""The report at the end of a search: its trials, and the best one as a command."""

import shlex
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from optuna import Study
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table

from mbrl.errors import RunError
from mbrl.regular_files import write_atomic
from mbrl.sweepers.search_space import SearchSpace
from mbrl.sweepers.study import database_in
from mbrl.tables import format_number, print_table
from mbrl.terminal import RunConsole

MAX_ROWS = 10  # trials in the table, besides the failed ones
COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
STATES = {COMPLETE: "completed", PRUNED: "pruned", FAIL: "failed"}
EVALUATION_SEED = "training.evaluation_seed"  # the search's start states, not a report's


def report(
    study: Study, space: SearchSpace, seeds: Sequence[int], config: DictConfig
) -> dict[str, Any]:
    """Print the result and write best_command.txt. Returns the best trial's settings.

    Raises RunError if every trial failed.
    """
    best_first = study.direction == StudyDirection.MAXIMIZE
    groups = (study.get_trials(states=(state,)) for state in (COMPLETE, PRUNED))
    # Completed trials, best first, then pruned ones, whose means are over fewer seeds.
    ranked = [t for group in groups for t in sorted(group, key=_score, reverse=best_first)]
    failed = study.get_trials(states=(FAIL,))
    console = RunConsole()
    print_table(_table(study, space, seeds, [*ranked[:MAX_ROWS], *failed]), console)
    if not ranked:
        raise RunError(
            f"All {len(failed)} trials of the search failed. "
            f"The first failed at {failed[0].user_attrs['failure']}."
        )
    command, folder = _best_command(config, space, ranked[0]), Path(config.hydra.sweep.dir)
    file = folder.absolute() / "best_command.txt"
    write_atomic(file, command + "\n")
    console.say(f"The best settings on the seeds for reports (also in {file}):", "")
    console.say(f"    {command}", "")
    console.say("To browse the search: pip install optuna-dashboard, then", "")
    console.say(f"    optuna-dashboard {shlex.quote(database_in(folder))}", "")
    return dict(ranked[0].params)


def _score(trial: FrozenTrial) -> float:
    assert trial.value is not None  # a pruned trial has the mean of the seeds that it ran
    return trial.value


def _table(
    study: Study, space: SearchSpace, seeds: Sequence[int], trials: Sequence[FrozenTrial]
) -> Table:
    states = Counter(trial.state for trial in study.get_trials(deepcopy=False))
    counts = ", ".join(f"{states[state]} {name}" for state, name in STATES.items() if states[state])
    table = Table(caption=f"{states.total()} trials: {counts}", caption_justify="left")
    # The last part of each setting's name where it is unique, else the whole name.
    tails = [key.rpartition(".")[2] for key in space.distributions]
    pairs = zip(space.distributions, tails, strict=True)
    settings = [tail if tails.count(tail) == 1 else key for key, tail in pairs]
    for name in ("trial", "mean score", *settings, *(f"seed {s}" for s in seeds), "", "jobs"):
        table.add_column(name, overflow="fold")
    for trial in trials:
        attributes = trial.user_attrs
        cells = [str(trial.number), format_number(trial.value)]
        for override in space.overrides(trial.params):
            text = override.partition("=")[2]
            # Four significant digits of a number; other text and whole numbers unchanged.
            with suppress(ValueError):
                text = text if text.lstrip("-").isdigit() else format_number(float(text))
            cells.append(text)
        cells += [format_number(attributes["scores"].get(str(seed))) for seed in seeds]
        cells.append(attributes["failure"] or STATES[trial.state])
        cells.append(", ".join(map(str, attributes["jobs"].values())))
        table.add_row(*cells)
    return table


def _best_command(config: DictConfig, space: SearchSpace, best: FrozenTrial) -> str:
    """The command that runs the best settings on the seeds and start states of a report."""
    fixed = [o for o in space.fixed if o.lstrip("+").partition("=")[0] != EVALUATION_SEED]
    name, sources = config.hydra.job.config_name, config.hydra.runtime.config_sources
    options = [] if name == "config" else [f"--config-name={name}"]
    options += [f"--config-dir={each.path}" for each in sources if each.provider == "command-line"]
    overrides = [*fixed, *space.overrides(best.params), "seed=range(10)"]
    return shlex.join(["python", "run.py", "-m", *options, *overrides])
