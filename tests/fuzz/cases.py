"""The cases of the fuzz test: a case number and a seed give overrides and changed settings.

First every key of every base config with every value, in an order that the seed shuffles, and
between them pairs of keys at random, in configs with other parts.
"""

import contextlib
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from mbrl.config.compose import compose, with_hydra
from mbrl.config.validation import format_value
from tests.configs import options

SMOKE = ("training=smoke", "logger=files")
# What experiment=oracle sets itself, as training=smoke has it.
SHORT = (
    "training.env_steps=60",
    "training.evaluate_every=40",
    "training.final_evaluation_episodes=null",
    "model.fit_value.num_updates=5",
    "model.fit_value.num_states=500",
    "model.fit_value.rollout_length=20",
)
GROUPS = (
    "env",
    "model",
    "model/reward",
    "model/termination",
    "model/value",
    "model/propagation",
    "model/risk",
    "planner",
    "optimizer",
)
OTHER_GROUPS = ("training", "logger", "experiment", "hydra/launcher", "hydra/sweeper")
# Keys of Hydra, without those that only name folders, list what was composed, format the help, or
# configure the command line's logging.
NOT_FUZZED = ("run", "sweep", "runtime", "overrides", "help", "hydra_help")
NOT_FUZZED += ("job_logging", "hydra_logging")

LONG = 100_000
DELETED = object()
# As text of the override grammar. The last two are changed in the composed config instead.
VALUES: dict[str, Any] = {
    "null": None,
    "-1": -1,
    "0": 0,
    "1": 1,
    "1e30": 1e30,
    "nan": math.nan,
    "inf": math.inf,
    "''": "",
    "x": "x",
    "'🐍'": "🐍",
    "[]": [],
    "[1]": [1],
    "{}": {},
    "{a: 1}": {"a": 1},
    "true": True,
    "a list of 10^5": [1] * LONG,
    "a text of 10^5": "x" * LONG,
}
NOT_TYPED = ("a list of 10^5", "a text of 10^5")

INTEGERS = [2, 3, 7, 200, 2**31 - 1, 2**31, 2**32, 2**63, -(2**31), -(2**63), 10**400]
FLOATS = [-0.0, 0.5, 1.5, 4.0, -0.1, 1e-9, 1e-308, 5e-324, 1e9, 1e12, 3e38, 1e308, -1e308, -1e30]
FLOATS += [-math.inf]
WORDS = [" ", "none", "null", "true", "3", "nan", "1e-3", "two\nlines", "x" * 300, "é∞"]
WORDS += ["os.system", "optax.adamw", "???", "${nowhere}", "${seed}", "box", "discrete"]
WORDS += [
    "mbrl.planners.cem.CEM",
    "mbrl.models.ensemble.propagation.TS1",
    "mbrl.envs.cartpole.reward",
]
WORDS += ["mbrl.envs.cartpole.TIME_STEP"]
SCHEDULE = {"_target_": "optax.linear_schedule", "transition_steps": 10}
PARTS: list[Any] = [
    SCHEDULE | {"init_value": 0.5, "end_value": 0.0},
    SCHEDULE | {"init_value": 2.0, "end_value": -1.0},
    {"_target_": "optax.sgd", "learning_rate": "fast"},
    {"_target_": "optax.sgd", "learning_rate": -0.1},
    {"_target_": "mbrl.envs.pendulum.reward", "_partial_": True},
    {"_target_": "mbrl.envs.pendulum.reward"},
    {"_target_": "mbrl.models.value.ZeroValue", "_partial_": True},
    {"_target_": "mbrl.models.ensemble.propagation.TS1", "particles_per_member": 1},
    {"_target_": 3},
    {"_target_": None, "_partial_": "perhaps"},
]
MAX_NUMBER = 200  # of steps, plans, …: with larger whole numbers a run is not trained, but built
PAIRS = 12  # one case in so many is a pair


@dataclass(frozen=True)
class Setting:
    """A key that is set: in the words of an override, or changed in the composed config."""

    key: str
    value: Any
    override: str | None

    def __str__(self) -> str:
        return format_value(self.override or f"{self.key}:={self.value}")


@dataclass(frozen=True)
class Case:
    """One config to compose and run; `base` overrides come before those of the `settings`."""

    number: int
    base: tuple[str, ...]
    settings: tuple[Setting, ...]
    may_train: bool

    def __str__(self) -> str:
        return " ".join([*self.base[1:], "|", *map(str, self.settings)])

    @property
    def overrides(self) -> list[str]:
        return [*self.base, *(each.override for each in self.settings if each.override)]

    def config(self) -> DictConfig:
        """The composed config with its changes."""
        config = compose(self.overrides)
        for setting in self.settings:
            if setting.override is None:
                _change(config, setting)
        return config


def _change(config: DictConfig, setting: Setting) -> None:
    OmegaConf.set_struct(config, False)
    parent, _, key = setting.key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    value = _long_list() if setting.value is VALUES["a list of 10^5"] else setting.value
    # A value that OmegaConf refuses cannot be in a config.
    with (
        contextlib.suppress(OmegaConfBaseException, TypeError),
        flag_override(config, "no_deepcopy_set_nodes", True),
    ):
        node[key] = value
    OmegaConf.set_struct(config, True)


@cache
def _long_list() -> ListConfig:
    """The same node in each case, since OmegaConf takes seconds to make it."""
    return OmegaConf.create(VALUES["a list of 10^5"])


@cache
def base_settings(base: tuple[str, ...]) -> dict[str, Any]:
    """All keys of a base config, with their values."""
    config = compose(base)
    found = {name: _value(config, name) for name in _names(config)}
    hydra = with_hydra(config)
    assert hydra is not None
    for name in _names(hydra.hydra, "hydra."):
        if name.split(".")[1] not in NOT_FUZZED:
            found[name] = _value(hydra, name)
    return found


def _names(node: Any, prefix: str = "") -> Iterator[str]:
    for key in node if isinstance(node, DictConfig) else ():
        yield f"{prefix}{key}"
        yield from _names(node._get_node(key), f"{prefix}{key}.")


def _value(config: DictConfig, name: str) -> Any:
    try:
        value = OmegaConf.select(config, name)
    except OmegaConfBaseException:
        return None
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def bases() -> list[tuple[str, ...]]:
    """The configs whose keys are all set: the experiments, then those with each other part."""
    experiments = [_experiment(name) for name in options("experiment")]
    parts = [(f"{group}={name}",) for group in GROUPS for name in options(group)]
    parts = [part for part in parts if part != ("env=gymnasium",)]  # the others extend it
    return [SMOKE, *((*SMOKE, *words) for words in [*experiments, *parts])]


def _experiment(name: str) -> tuple[str, ...]:
    return (f"experiment={name}", *(SHORT if name == "oracle" else ()))


@cache
def singles() -> list[tuple[tuple[str, ...], str]]:
    """Each base with each of its keys; of bases with another part, those that are new."""
    found: list[tuple[tuple[str, ...], str]] = []
    seen: set[str] = set()
    for base in bases():
        is_whole = base == SMOKE or any(word.startswith("experiment=") for word in base)
        names = base_settings(base)
        new = [name for name in names if is_whole or name not in seen]
        if base != SMOKE:  # these are the same everywhere
            new = [name for name in new if not name.startswith(("hydra.", "by_termination."))]
        found += [(base, name) for name in new if not name.startswith("logger")]
        seen |= set(names)
    loggers = ("training=smoke", "logger=wandb")
    found += [(loggers, name) for name in base_settings(loggers) if name.startswith("logger")]
    return found + [(SMOKE, group) for group in (*GROUPS, *OTHER_GROUPS) if group not in seen]


@cache
def _order(seed: int) -> list[tuple[tuple[str, ...], str, str]]:
    every = [(*single, text) for single in singles() for text in VALUES]
    random.Random(f"order {seed}").shuffle(every)
    return every


def case(number: int, seed: int = 0) -> Case:
    """The case of this number."""
    draw, (turn, place) = random.Random(f"{seed} {number}"), divmod(number, PAIRS)
    order = _order(seed)
    index = turn * (PAIRS - 1) + place
    if place == PAIRS - 1 or index >= len(order):
        base = _random_base(draw)
        names = list(base_settings(base))
        keys = draw.sample(names, 2)
        settings = tuple(_random_setting(draw, key, base_settings(base)[key]) for key in keys)
    else:
        base, key, text = order[index]
        settings = (setting(key, text),)
    may_train = draw.random() < 0.5 and not any(_is_long(each.value) for each in settings)
    return Case(number, base, settings, may_train)


def setting(key: str, text: str) -> Setting:
    """A key with a value of VALUES, or `~` to delete it."""
    value = VALUES.get(text, DELETED)
    if text in NOT_TYPED and not key.startswith("hydra.") and "/" not in key:
        return Setting(key, value, None)
    if value is DELETED:
        return Setting(key, value, f"~{key}")
    return Setting(key, value, f"{key}={value if text in NOT_TYPED else text}")


def _random_base(draw: random.Random) -> tuple[str, ...]:
    words = list(SMOKE)
    if draw.random() < 0.2:
        return (*SMOKE, *_experiment(draw.choice(options("experiment"))))
    groups = draw.sample(GROUPS, 3)
    for group in filter(groups.__contains__, GROUPS):
        choices = [name for name in options(group) if name != "gymnasium"]
        words.append(f"{group}={draw.choice(choices)}")
    return tuple(words)


def _random_setting(draw: random.Random, key: str, default: Any) -> Setting:
    """With a value of the list or another, often of the type of the default, to pass more often."""
    if draw.random() < 0.4 or key.startswith("hydra."):
        return setting(key, draw.choice([*VALUES, "~"]))
    same = {int: INTEGERS, float: [*FLOATS, 0.0, 1.0], str: WORDS, dict: PARTS}.get(type(default))
    if same is None or draw.random() < 0.3:
        same = [*INTEGERS, *FLOATS, *WORDS, *PARTS]
    elif draw.random() < 0.5 and type(default) in (int, float):
        return Setting(key, type(default)(draw.randint(0, 20)), None)
    return Setting(key, draw.choice(same), None)


def _is_long(value: Any) -> bool:
    return isinstance(value, int) and abs(value) > MAX_NUMBER
