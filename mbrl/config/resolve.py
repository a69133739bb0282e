"""Resolving a config, once a run: interpolations replaced by values, top-level settings checked."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from mbrl.config.allowlist import refuse_interpolations, texts
from mbrl.config.limits import limited
from mbrl.config.validation import check_settings, format_value, is_part, suggest, text_hint
from mbrl.errors import ConfigError, one_line, refusal_in
from mbrl.runs.saved_config import parse

PARTS = ("env", "model", "planner", "training")
TOP_LEVEL = ("seed", "discount", "horizon", "num_threads", "compilation_cache", "trust")
SETTINGS = (*TOP_LEVEL, *PARTS, "optimizer", "logger")
DEFAULTS_TABLE = "by_termination"  # one of its rows is referred to
REFERRED_TO = (DEFAULTS_TABLE, "smoke")  # decide other settings, and are not saved
MAX_ENTRIES = 1000  # of a list or mapping: OmegaConf takes minutes for 100 000

# A resumed run may change these: no metric depends on them, the budget aside. A dot at the end
# stands for a whole group.
RESUMABLE_SETTINGS = (
    "training.env_steps",
    "training.checkpoint_every",
    "training.max_checkpoints",
    "env.step_timeout",
    "compilation_cache",
    "logger.",
)


@dataclass(frozen=True)
class ResolvedConfig:
    """A run's config without interpolations: `settings` as plain containers, `tree` as a node."""

    settings: dict[str, Any]

    @cached_property
    def tree(self) -> DictConfig:
        tree = OmegaConf.create(self.settings)
        OmegaConf.set_readonly(tree, True)
        return tree

    def to_yaml(self) -> str:
        """The text of the run's config.yaml."""
        return self._text

    @cached_property
    def _text(self) -> str:
        return OmegaConf.to_yaml(self.tree)

    def fingerprint(self, **changes: Any) -> str:
        """A hash of everything that metrics depend on; a checkpoint fits only its own."""
        decisive = OmegaConf.create(self.settings | changes)
        for name in RESUMABLE_SETTINGS:
            OmegaConf.update(decisive, name.rstrip("."), None, merge=False)
        text = re.sub(r"(: -?\d+)\.0$", r"\1", OmegaConf.to_yaml(decisive), flags=re.MULTILINE)
        return hashlib.sha256(text.encode()).hexdigest()[:16]  # 1e4 is 10000


def resolve(config: DictConfig) -> ResolvedConfig:
    """Resolves a composed or saved config.

    Raises ConfigError for a missing value, and for one that no run can have.
    """
    check_size(config)
    if not isinstance(config.get("smoke", False), bool):
        raise ConfigError(
            f"smoke={format_value(config.smoke)}: must be true or false. Try training=smoke."
        )
    try:
        _check_parts(config)
        if isinstance(config.get(DEFAULTS_TABLE), DictConfig):
            _check_table(config[DEFAULTS_TABLE], config.env.get("terminates_on"))
        missing = sorted(OmegaConf.missing_keys(config))
        with limited():
            values: Any = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        refusal = refusal_in(error)
        if refusal is not None:
            raise refusal from error
        first_line = str(error).splitlines()[0]
        name = error.full_key or "env.terminates_on"
        raise ConfigError(
            f"{name}: refers to something that does not exist ({first_line}). Correct the "
            "reference, or give a plain value."
        ) from error
    if missing:
        raise ConfigError(
            f"{missing[0]}: has no value. Give it on the command line: {missing[0]}=…"
        )
    refuse_interpolations(values)
    # A setting of the user's own is refused where nothing refers to it, as a misspelling is.
    references = " ".join(text for text in texts(OmegaConf.to_container(config)) if "${" in text)
    for name in map(str, config):
        if name not in (*SETTINGS, *REFERRED_TO) and not re.search(
            rf"\b{re.escape(name)}\b", references
        ):
            raise ConfigError(f"{name}: not a setting, nor referred to. {suggest(name, SETTINGS)}")
    for name in ("seed", "horizon", "num_threads"):
        if isinstance(values.get(name), float) and values[name].is_integer():
            values[name] = int(values[name])
    # What only others refer to is done with once they are resolved.
    resolved = ResolvedConfig({str(key): values[key] for key in values if key in SETTINGS})
    _check_top_level(resolved.tree)
    _check_readable(resolved)
    return resolved


def check_size(node: Any, name: str = "") -> None:
    """Raises ConfigError for a list or mapping that is too long to be copied and printed."""
    content = node._content if isinstance(node, DictConfig | ListConfig) else None
    if not isinstance(content, dict | list):
        return
    if len(content) > MAX_ENTRIES:
        raise ConfigError(
            f"{name}: has {len(content)} entries, and must have at most {MAX_ENTRIES}. Keep longer "
            "ones in a file of their own."
        )
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        check_size(value, f"{name}.{key!s}".lstrip("."))


def _check_readable(config: ResolvedConfig, parent: str = "") -> None:
    """Raises ConfigError for settings that config.yaml would not give back as they are."""
    settings = config.settings
    try:
        if repr(parse(config.to_yaml().encode())) == repr(settings):
            return
        reason = "it is read as another value"
    except (ValueError, YAMLError, RecursionError) as error:
        reason = one_line(error)
    name = parent
    for key, value in settings.items():  # names the innermost, or a mapping as a whole
        if len(settings) > 1:
            _check_readable(ResolvedConfig({key: value}), parent)
            continue
        name = f"{parent}.{key}".lstrip(".")
        if isinstance(value, dict):
            _check_readable(ResolvedConfig(value), name)
    raise ConfigError(
        f"{name or 'config'}: must be readable from config.yaml, where it is saved ({reason}). "
        "Give plain, shorter and fewer values."
    )


def _check_table(table: DictConfig, ending: Any) -> None:
    """Checks the rows of the defaults, also those that this environment does not use."""
    if ending not in table:
        raise ConfigError(
            f"env.terminates_on={format_value(ending)}: must be one of "
            f"{', '.join(map(str, table))}. It says what ends an episode before its time limit."
        )
    for name, row in table.items():
        if not isinstance(row, DictConfig):
            raise ConfigError(
                f"{DEFAULTS_TABLE}.{name!s}={format_value(row)}: must be a mapping of defaults. "
                "See conf/config.yaml."
            )
        check_settings(row, _defaults, find=str)


def _defaults(
    discount: float,
    pessimism: float,
    uncertainty_penalty: float,
    disagreement_bonus: float,
    bonus_floor: bool,
    center_rewards: bool,
    **own: Any,
) -> None:
    """The types of the defaults that follow from what terminates an episode, as a signature."""


def _check_parts(config: DictConfig) -> None:
    loggers = config.get("logger", None)
    if not isinstance(loggers, DictConfig):
        raise ConfigError(
            f"logger={format_value(loggers)}: must be a mapping of loggers. Try logger=files."
        )
    nodes = {name: config.get(name, None) for name in PARTS}
    nodes |= {f"logger.{name!s}": loggers[name] for name in loggers}
    for name, node in nodes.items():
        if not is_part(node):
            raise ConfigError(
                f"{name}={format_value(node)}: must be a mapping with a _target_. "
                f"See conf/{name.split('.')[0]} for examples."
            )


def _top_level(
    discount: float,
    horizon: int,
    num_threads: int,
    compilation_cache: bool,
    trust: Sequence[str] | str,
    logger: Mapping[str, Any],
    **parts: Any,
) -> None:
    """The types of the top-level settings, as a signature."""


def _check_top_level(config: DictConfig) -> None:
    """Checks what belongs to no part; a part's own settings are checked where it is built."""
    check_settings(config, _top_level, find=str)
    seed = config.get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise ConfigError(
            f"seed={format_value(seed)}: must be a whole number in [0, 2^32), the range of JAX's "
            f"keys. Try 0.{text_hint(seed)}"
        )
    if not 0 < config.discount <= 1:
        raise ConfigError(f"discount={config.discount}: must be in (0, 1]. Try 0.99.")
    if config.horizon < 1:
        raise ConfigError(f"horizon={config.horizon}: must be at least 1. Try 15.")
