"""Guards Hydra's settings, by which it starts callbacks, launchers and log handlers.

A config from elsewhere (--config-dir, --config-path, --config-name) may choose among this project's
launchers and sweepers, set their declared keys (but hydra.launcher.max_jobs) to numbers, booleans
and null, and set hydra.mode and plain hydra.sweeper.params. Everything else under `hydra` must be
as this project and the command line have it, or trusted by trust=[hydra].
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from mbrl.config.allowlist import trusted_packages
from mbrl.config.config_folder import CONFIG_FOLDER
from mbrl.config.environment import guarded_environment
from mbrl.config.hydra_internals import compose_unchecked, config_loader, get_args_parser
from mbrl.config.limits import limited
from mbrl.config.validation import format_value
from mbrl.errors import ConfigError, one_line

NO_OPTIONS = (None, None, None)  # of --config-dir, --config-path and --config-name
MAX_OVERRIDE = 5000  # characters: Hydra's parser takes minutes for a list of 100 000
OWN_GROUPS = ("hydra/launcher", "hydra/sweeper")
PARAMETER = re.compile(r"(?!(?:trust|hydra)\b)[a-z]\w*(?:[./]\w+)*")  # of hydra.sweeper.params
MAX_JOBS = ("launcher", "max_jobs")  # counts on the command line only
# Hydra writes these after it has composed the rest.
WRITTEN_LATER = {("runtime",), ("overrides",), ("job", "id"), ("job", "num")}
WRITTEN_LATER |= {("job", "config_name"), ("job", "override_dirname")}


@contextmanager
def guarded_command_line(arguments: Sequence[str]) -> Iterator[None]:
    """Checks `run.py <arguments>`; in the block, a foreign config reads no secrets of the shell."""
    given = get_args_parser().parse_args(arguments)
    words = [line.partition("=") for line in given.overrides]
    leads_out = any(".." in option and "." not in group.split("@")[0] for group, _, option in words)
    is_foreign = leads_out or (given.config_dir, given.config_path, given.config_name) != NO_OPTIONS
    with guarded_environment(is_foreign, given.overrides):
        check_command_line(arguments)
        yield


def has_foreign_files(hydra: Any) -> bool:
    """Whether a config has files from outside conf/, by Hydra's settings after composing it."""
    for source in hydra.runtime.config_sources:
        if source.schema == "file":
            is_own = Path(source.path).resolve() == CONFIG_FOLDER.resolve()
        else:  # Hydra and its plugins have packages, but --config-path=pkg://… is the provider main
            is_own = source.provider not in ("main", "command-line")
        if not is_own or source.provider.startswith("hydra.searchpath"):
            return True
    # An option such as experiment=../theirs leads out of conf/.
    leads_out = ".." in str(hydra.runtime.choices)
    return leads_out or hydra.job.config_name != "config"


def check_command_line(arguments: Sequence[str]) -> None:
    """Raises ConfigError where `run.py <arguments>` lets a foreign config change them.

    Also for overrides for which Hydra would not raise an error of its own.
    """
    given = get_args_parser().parse_args(arguments)
    _check_overrides(given.overrides, given.config_dir)
    if given.experimental_rerun is not None:
        raise ConfigError(
            f"--experimental-rerun={given.experimental_rerun}: would unpickle that file, which can "
            "run any code. Repeat a run from its config: python -m mbrl reproduce RUN."
        )
    for folder in filter(None, (given.config_path, given.config_dir)):
        if Path(folder, "provenance.json").exists():  # its config has no defaults
            raise ConfigError(
                f"{folder}: is the folder of a saved run, whose config is complete. Run it again "
                "by `python -m mbrl reproduce` and the folder, or continue it by `… resume`."
            )
    is_foreign = (given.config_dir, given.config_path, given.config_name) != NO_OPTIONS
    # An option such as experiment=../theirs leads out of conf/.
    leading_out = ("..", "searchpath", "env_copy")
    leads_out = any(word in line for word in leading_out for line in given.overrides)
    if not (is_foreign or leads_out) or "hydra" in trusted_packages(given.overrides):
        return
    name = "config" if given.config_name is None else given.config_name
    with limited():
        loader = _loader(given.config_path, given.config_dir, name, given.overrides)
    # A config that reads the clock could be another one when Hydra composes it later.
    no_clock = partial(_refuse, "${now:…}")
    OmegaConf.register_new_resolver("now", lambda *form: no_clock(form), replace=True)
    try:
        with limited():
            composed = compose_unchecked(loader, name, given.overrides)
            _check_composed(composed, given.overrides)
        with open_dict(composed):
            del composed.hydra  # is as expected
        with suppress(OmegaConfBaseException), limited():  # reported when the run resolves it
            OmegaConf.to_container(composed, resolve=True)
    finally:
        setup_globals()  # Hydra's own `now` again


def _check_overrides(overrides: Sequence[str], folder: str | None) -> None:
    for line in overrides:
        if len(line) > MAX_OVERRIDE:
            raise ConfigError(
                f"{format_value(line)}: has {len(line)} characters, and must have at most "
                f"{MAX_OVERRIDE}. Put the value into a config file (--config-dir)."
            )
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        is_choice = override.is_choice_sweep()
        given = list(override.sweep_iterator()) if is_choice else [override.value()]
        values = [item for value in given for item in (value if type(value) is list else [value])]
        group = override.key_or_group
        for name in ("launcher", "sweeper"):
            inner = given[0].get(name, {}) if group == "hydra" and type(given[0]) is dict else {}
            if not isinstance(given[0] if group == f"hydra.{name}" else inner, dict):
                raise ConfigError(
                    f"{override.input_line}: hydra.{name} must be a mapping. Choose one by "
                    f"hydra/{name}=…, and set its keys."
                )
        is_deleted = override.is_delete() and values == [None]
        if is_deleted or all(isinstance(value, str | dict) for value in values):
            continue
        repository = config_loader(config_dir=folder).repository
        if repository.group_exists(group):
            options = ", ".join(repository.get_group_options(group))
            raise ConfigError(
                f"{override.input_line}: no such option. {group} is one of {options}."
            )


def _check_composed(actual: DictConfig, overrides: list[str]) -> None:
    """Compares what Hydra composes with what it would without the foreign config."""
    parsed = OverridesParser.create().parse_overrides(overrides)
    hydra = {str(each.input_line): each.key_or_group for each in parsed if each.is_hydra_override()}
    for line, key in hydra.items():
        if "/" in key and ".." in line:
            _refuse(key, line)
    own = [line for line, key in hydra.items() if key not in OWN_GROUPS]
    for group in OWN_GROUPS:
        choice = actual.hydra.runtime.choices.get(group)
        if choice not in ("basic", *(file.stem for file in (CONFIG_FOLDER / group).iterdir())):
            _refuse(group, choice)
        own.append(f"{group}={choice}")
    try:
        expected = _compose_own(tuple(own))
    except HydraException as error:
        raise ConfigError(f"{one_line(error)}, or is not an option of this project.") from error
    _check_settings(actual, expected, overrides)


def _compose_own(overrides: tuple[str, ...]) -> DictConfig:
    return compose_unchecked(config_loader(), "config", overrides)


def check_job(job: DictConfig, sweep: DictConfig, overrides: Sequence[str]) -> None:
    """Raises ConfigError where a job's own choices change Hydra's settings of its sweep."""
    if "hydra" not in trusted_packages(sweep.hydra.overrides.task):
        shared: Any = OmegaConf.to_container(sweep.hydra.overrides.hydra)  # as typed
        _check_settings(job, sweep, [*shared, *overrides])


def _loader(path: str | None, folder: str | None, name: str, overrides: Sequence[str]) -> Any:
    """Hydra's loader for the foreign config, if that imports nothing: a pkg:// path runs code."""
    if path and "://" in path:
        _refuse("--config-path", path)
    loader = config_loader(path, folder)
    primary = loader.repository.load_config(name)
    written: Any = OmegaConf.to_container(primary.config) if primary else {}
    hydra = written.get("hydra", {}) if isinstance(written, dict) else written
    given = [line for line in overrides if "searchpath" in line.partition("=")[0]]
    if given or not isinstance(hydra, dict) or "searchpath" in hydra:
        _refuse("hydra.searchpath", given or hydra)
    return loader


def _check_settings(actual: DictConfig, expected: DictConfig, overrides: Sequence[str]) -> None:
    """Compares settings as written, since an interpolation may change its value later."""
    recorded: Any = OmegaConf.to_container(actual.hydra.overrides)
    if sorted([*recorded["hydra"], *recorded["task"]]) != sorted(overrides):
        _refuse("hydra.overrides", recorded)
    given, declared = (
        dict(_settings((), OmegaConf.to_container(each.hydra))) for each in (actual, expected)
    )
    for path in given | declared:  # a setting can also be deleted
        is_declared, value = path in declared, given.get(path)
        is_as_expected = path in given and is_declared and value == declared[path]
        if not is_as_expected and not _is_harmless(path, value, is_declared):
            _refuse(".".join(map(str, ("hydra", *path))), value)


def _settings(path: tuple[Any, ...], value: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """The leaves, each with its keys; those are not joined, since a key may itself hold a dot."""
    if isinstance(value, dict) and value:
        return [leaf for key, part in value.items() for leaf in _settings((*path, key), part)]
    is_written_later = path[:1] in WRITTEN_LATER or path in WRITTEN_LATER
    # Hydra cannot write into an interpolation.
    is_interpolation = isinstance(value, str) and value.startswith("${")
    return [] if is_written_later and not is_interpolation else [(path, value)]


def _is_harmless(path: tuple[Any, ...], value: Any, is_declared: bool) -> bool:
    is_plain = value is None or isinstance(value, bool | int | float | RunMode)
    if path[:2] == ("sweeper", "params") and len(path) == 3:
        is_text = isinstance(value, str) and "${" not in value and ".." not in value
        return (is_plain or is_text) and PARAMETER.fullmatch(str(path[2])) is not None
    is_choice = path[0] in ("mode", "launcher", "sweeper") and path != MAX_JOBS
    return is_plain and is_declared and is_choice


def _refuse(setting: str, value: Any) -> NoReturn:
    raise ConfigError(
        f"{setting}={format_value(value)}: a config from elsewhere may not set this, since Hydra's "
        "settings run commands and write files. Set it on the command line, or add trust=[hydra]."
    )
