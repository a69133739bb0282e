"""A sweep's jobs: those that its command asked for, those that are there, and what became of them."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import yaml
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from rich.table import Table
from rich.text import Text

from mbrl.config import ConfigError, compose, resolved, to_yaml
from mbrl.launch import launch
from mbrl.loggers.console import number, print_result
from mbrl.runs.finder import is_run, refuse_links_out, runs_in
from mbrl.runs.folder import write_json, write_whole
from mbrl.runs.reader import read_summary, status

BASIC_SWEEPER = f"{BasicSweeper.__module__}.{BasicSweeper.__qualname__}"


def add_missing_jobs(sweep: Path) -> None:
    """Writes what each job that was never started was to be into its folder: from there it is resumed like one killed at once.

    Raises ConfigError where the sweep's multirun.yaml cannot tell.
    """
    for job, overrides in enumerate(_jobs(sweep)):
        if not any(_number(folder) == job for folder in runs_in(sweep)):
            _write_job(sweep, job, overrides)


def run_job(command: str, *arguments: str) -> int:
    """Runs `python -m mbrl <command>` in a process of its own, so that a job that fails takes no other along; returns its exit status.

    Ctrl-C and SIGTERM are the job's, who checkpoints; this process waits for it.
    """
    process = subprocess.Popen([sys.executable, "-m", "mbrl", command, *arguments])
    # A terminal sends Ctrl-C to the job too.
    handlers = {signal.SIGINT: lambda *_: None, signal.SIGTERM: lambda *_: process.terminate()}
    before = {signum: signal.signal(signum, handler) for signum, handler in handlers.items()}
    try:
        status = process.wait()
        return status if status >= 0 else 128 - status  # of a signal, as shells say it
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def summary_of_jobs(sweep: Path) -> tuple[Table, bool]:
    """What became of each job of a sweep, as a table; and whether all are completed."""
    table, states = Table("job", "status", "env steps", "evaluation return"), []
    for folder in runs_in(sweep):
        summary = read_summary(folder) if (folder / "summary.json").exists() else {}
        states.append(status(folder))
        score = summary.get("evaluation/return_mean")
        table.add_row(Text(folder.name), states[-1], str(summary.get("env_steps", 0)), number(score))
    return table, all(state == "completed" for state in states)


def print_jobs(sweep: Path) -> int:
    """Prints the table; returns an exit status, 0 where all are completed."""
    table, completed = summary_of_jobs(sweep)
    print_result(table)
    return 0 if completed else 1


def _jobs(sweep: Path) -> Iterator[list[str]]:
    """The overrides of each job that the sweep's command asked for, in the order of their numbers."""
    file = sweep / "multirun.yaml"
    if not file.exists():
        return
    try:
        hydra = yaml.safe_load(file.read_text(encoding="utf-8"))["hydra"]
        if hydra["sweeper"]["_target_"] != BASIC_SWEEPER:
            return  # one that chooses its jobs as it goes
        given = [*(f"{name}={value}" for name, value in (hydra["sweeper"]["params"] or {}).items()), *hydra["overrides"]["task"]]
        if any("${" in override for override in given):
            raise ValueError("its jobs' settings are interpolations")
        parsed = OverridesParser.create().parse_overrides(given)
        if any(override.key_or_group.split(".")[0].split("/")[0] == "hydra" for override in parsed):
            raise ValueError("its jobs set Hydra itself")
        own_folder = any(source["provider"] == "command-line" for source in hydra["runtime"]["config_sources"])
        if own_folder or hydra["sweep"]["subdir"] != _default_subdir():
            print(f"{sweep} was started with a --config-dir or names of its own for folders: jobs that never started are not known.")
            return
        (jobs,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    except (yaml.YAMLError, KeyError, TypeError, ValueError, HydraException) as error:
        raise ConfigError(
            f"{file} does not say which jobs there are to be ({' '.join(str(error).split())}): remove it, or resume run by run."
        ) from error
    yield from jobs


def _default_subdir() -> str:
    compose()
    return str(OmegaConf.to_container(HydraConfig.get().sweep, resolve=False)["subdir"])  # type: ignore[call-overload,index]


def _write_job(sweep: Path, job: int, overrides: list[str]) -> None:
    config = compose([*overrides, f"hydra.job.num={job}"])
    folder = sweep / str(HydraConfig.get().sweep.subdir)
    if is_run(folder) or not folder.resolve().is_relative_to(sweep.resolve()):
        raise ConfigError(f"Job {job} of {sweep} would lie in {folder}, where it cannot: its multirun.yaml is not this sweep's.")
    started = replace(launch(config), folder=folder, group="/".join(sweep.absolute().parts[-2:]))
    folder.mkdir(exist_ok=True)
    refuse_links_out(folder)
    write_json(folder / "provenance.json", started.identity())
    write_whole(folder / "config.yaml", to_yaml(resolved(config)))  # last, since it makes the folder a run's


def _number(folder: Path) -> int:
    number = folder.name.split("_")[0]
    return int(number) if number.isdigit() else -1
