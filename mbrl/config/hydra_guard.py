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
PARAMETER = re.compile(r"(?!(?:trust|hydra)\b)[a-z]\w*(?:[./]\w+)*")  # of hydra.sweeper.params
# Written by Hydra after it composed the rest; `hydra.overrides` has a check of its own.
WRITTEN_LATER = (
    ("runtime",),
    ("overrides",),
    *(("job", name) for name in ("id", "num", "config_name", "override_dirname")),
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
    # An option such as experiment=../theirs leads out of conf/.
    leads_out = any(
        ".." in str(each.value()) and "." not in each.key_or_group for each in overrides
    )
    if not (is_foreign or search_path or leads_out) or "hydra" in trusted_packages(given.overrides):
        return
    if (given.config_path or "").startswith("pkg://"):  # importing a package runs its code
        _refuse("--config-path", given.config_path)
    loader, name = _loader(given.config_path, given.config_dir), given.config_name or "config"
    primary = loader.repository.load_config(name)
    written: Any = OmegaConf.to_container(primary.config) if primary else {}
    hydra = written.get("hydra", {}) if isinstance(written, dict) else written
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
        expected = _compose(_loader(None, None), "config", own)
    except HydraException as error:
        raise ConfigError(f"{one_line(error)}, or is not an option of this project.") from error
    _check_settings(actual, expected)


def check_job(job: DictConfig, sweep: DictConfig) -> None:
    """Raises ConfigError where a job's own choices change Hydra's settings of its sweep."""
    if "hydra" not in trusted_packages(sweep.hydra.overrides.task):
        _check_settings(job, sweep)


def _check_settings(actual: DictConfig, expected: DictConfig) -> None:
    """Compares them as written, and launcher and sweeper also as they will be read.

    As written, since an interpolation may change its value after this check; as read, since one of
    this project's own may refer to a foreign setting.
    """
    for resolve in (False, True):
        declared = dict(_settings(expected, resolve))
        for path, value in _settings(actual, resolve):
            as_expected = path in declared and value == declared[path]
            if not as_expected and not _is_harmless(path, value, path in declared):
                _refuse(".".join(map(str, ("hydra", *path))), value)


def _is_harmless(path: tuple[Any, ...], value: Any, is_declared: bool) -> bool:
    is_plain = value is None or isinstance(value, bool | int | float | RunMode)
    if path[:2] == ("sweeper", "params") and len(path) == 3:
        is_text = isinstance(value, str) and "${" not in value and ".." not in value
        return (is_plain or is_text) and PARAMETER.fullmatch(str(path[2])) is not None
    return is_plain and is_declared and (path == ("mode",) or path[0] in ("launcher", "sweeper"))


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
    try:
        return loader.load_configuration(name, list(overrides), RunMode.MULTIRUN, **options)
    except KeyError as error:
        raise ConfigError(f"hydra.job.env_copy: the variable {error} is not set.") from error


def _settings(config: DictConfig, resolve: bool) -> list[tuple[tuple[Any, ...], Any]]:
    """Hydra's settings, each with the keys that lead to it; of resolved ones launcher and sweeper.

    Keys are not joined by dots, since a key may itself hold one.
    """
    if not resolve:
        leaves = _leaves((), OmegaConf.to_container(config.hydra))
        return [leaf for leaf in leaves if not _is_written_later(leaf[0])]
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)  # for interpolations such as ${hydra:job.num}
    try:
        nodes = {name: config.hydra[name] for name in ("launcher", "sweeper")}
        values = {name: _to_plain(node) for name, node in nodes.items()}
    finally:
        HydraConfig.instance().cfg = before
    return _leaves((), values)


def _is_written_later(path: tuple[Any, ...]) -> bool:
    return any(path[: len(start)] == start for start in WRITTEN_LATER)


def _to_plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _leaves(path: tuple[Any, ...], value: Any) -> list[tuple[tuple[Any, ...], Any]]:
    if not isinstance(value, dict) or not value:
        return [(path, value)]
    return [leaf for key, part in value.items() for leaf in _leaves((*path, key), part)]


def _refuse(setting: str, value: Any) -> NoReturn:
    raise ConfigError(
        f"{setting}={format_value(value)}: a config from elsewhere may not set this, since Hydra's "
        "settings run commands and write files. Set it on the command line, or add trust=[hydra]."
    )
