"""Guards Hydra's settings, by which it starts callbacks, launchers and log handlers.

A config from elsewhere (--config-dir, --config-path, --config-name) may choose among this project's
launchers and sweepers, set their declared keys to numbers, booleans and null, and set hydra.mode
and plain hydra.sweeper.params. Everything else under `hydra` must be as this project and the
command line have it, or trusted by trust=[hydra].
"""

import os
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from hydra.core.config_search_path import SearchPathQuery
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mbrl.config import hydra_internals
from mbrl.config.allowlist import trusted_packages
from mbrl.config.compose import CONFIG_FOLDER
from mbrl.config.validation import format_value
from mbrl.errors import ConfigError, one_line

OWN_GROUPS = ("hydra/launcher", "hydra/sweeper")
PARAMETER = re.compile(r"hydra\.sweeper\.params\.(?!(?:trust|hydra)\b)[a-z]\w*(?:[./]\w+)*")
# Written by Hydra after it composed the rest; `hydra.overrides` has a check of its own.
WRITTEN_LATER = (
    "hydra.runtime.",
    "hydra.overrides.",
    *(f"hydra.job.{name}" for name in ("id", "num", "config_name", "override_dirname")),
)


def check_command_line(arguments: Sequence[str]) -> None:
    """Raises ConfigError where `run.py <arguments>` lets a foreign config change them."""
    given = hydra_internals.get_args_parser().parse_args(arguments)
    if given.experimental_rerun is not None:
        raise ConfigError(
            f"--experimental-rerun={given.experimental_rerun}: would unpickle that file, which can "
            "run any code. Repeat a run from its config: python -m mbrl reproduce RUN."
        )
    overrides = OverridesParser.create().parse_overrides(given.overrides)
    search_path = [each.value() for each in overrides if each.key_or_group == "hydra.searchpath"]
    is_foreign = (given.config_dir, given.config_path, given.config_name) != (None, None, None)
    if not (is_foreign or search_path) or "hydra" in trusted_packages(given.overrides):
        return
    if (given.config_path or "").startswith("pkg://"):  # importing a package runs its code
        _refuse("--config-path", given.config_path)
    loader, name = _loader(given.config_path, given.config_dir), given.config_name or "config"
    primary = loader.repository.load_config(name)
    written: Any = OmegaConf.to_container(primary.config) if primary else {}
    hydra = written.get("hydra", {})
    if search_path or not isinstance(hydra, dict) or "searchpath" in hydra:
        _refuse("hydra.searchpath", search_path[0] if search_path else hydra)
    actual = _compose(loader, name, given.overrides)
    recorded = [*actual.hydra.overrides.hydra, *actual.hydra.overrides.task]
    if sorted(recorded) != sorted(given.overrides):
        _refuse("hydra.overrides", recorded)
    own = [str(each.input_line) for each in overrides if each.is_hydra_override()]
    for group in OWN_GROUPS:
        choice = actual.hydra.runtime.choices[group]
        if choice != "basic" and not (CONFIG_FOLDER / group / f"{choice}.yaml").is_file():
            _refuse(group, choice)
        if not any(each.key_or_group == group for each in overrides):
            own.append(f"{group}={choice}")
    try:
        check_hydra_settings(actual, _compose(_loader(None, None), "config", own))
    except HydraException as error:
        raise ConfigError(f"{one_line(error)}, or is not an option of this project.") from error


def check_job(job: DictConfig, sweep: DictConfig) -> None:
    """Raises ConfigError where a job's choices from a foreign config change Hydra's settings."""
    main = os.path.realpath(CONFIG_FOLDER)
    sources = {each.provider: each.path for each in sweep.hydra.runtime.config_sources}
    is_foreign = "command-line" in sources or os.path.realpath(sources["main"]) != main
    if is_foreign and "hydra" not in trusted_packages(sweep.hydra.overrides.task):
        check_hydra_settings(job, sweep)


def check_hydra_settings(actual: DictConfig, expected: DictConfig) -> None:
    """Raises ConfigError for the first setting that is neither as expected nor harmless."""
    declared = _settings(expected)
    for name, value in _settings(actual).items():
        as_expected = name in declared and value == declared[name]
        if not as_expected and not _is_harmless(name, value, name in declared):
            _refuse(name, value)


def _is_harmless(name: str, value: Any, is_declared: bool) -> bool:
    is_plain = value is None or isinstance(value, bool | int | float | RunMode)
    if PARAMETER.fullmatch(name):
        return is_plain or (isinstance(value, str) and "${" not in value)
    may_be_plain = name == "hydra.mode" or name.startswith(("hydra.launcher.", "hydra.sweeper."))
    return is_plain and is_declared and may_be_plain


def _loader(config_path: str | None, config_dir: str | None) -> Any:
    """Hydra's loader of configs, as `hydra.main` makes it for these options."""
    setup_globals()
    main = os.path.join(os.path.realpath(CONFIG_FOLDER.parent), config_path or CONFIG_FOLDER.name)
    path = hydra_internals.create_config_search_path(os.path.normpath(main))
    if config_dir is not None:
        folder = f"file://{os.path.abspath(config_dir)}"
        path.prepend("command-line", folder, SearchPathQuery(provider="schema"))
    return hydra_internals.ConfigLoaderImpl(path)


def _compose(loader: Any, name: str, overrides: Sequence[str]) -> DictConfig:
    options: dict[str, Any] = {"from_shell": False, "validate_sweep_overrides": False}
    return loader.load_configuration(name, list(overrides), RunMode.MULTIRUN, **options)


def _settings(config: DictConfig) -> dict[str, Any]:
    """Hydra's settings by name: as written, but launcher and sweeper as they will be read."""
    sections: Any = OmegaConf.to_container(config.hydra)
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)  # for interpolations such as ${hydra:job.num}
    try:
        for name in ("launcher", "sweeper"):
            node = config.hydra[name]
            is_node = OmegaConf.is_config(node)
            sections[name] = OmegaConf.to_container(node, resolve=True) if is_node else node
    finally:
        HydraConfig.instance().cfg = before
    leaves = _leaves("hydra", sections)
    return {name: value for name, value in leaves if not name.startswith(WRITTEN_LATER)}


def _leaves(name: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict) or not value:
        return [(name, value)]
    return [leaf for key, part in value.items() for leaf in _leaves(f"{name}.{key}", part)]


def _refuse(setting: str, value: Any) -> NoReturn:
    raise ConfigError(
        f"{setting}={format_value(value)}: a config from elsewhere may not set this, since Hydra's "
        "settings run commands and write files. Set it on the command line, or add trust=[hydra]."
    )
