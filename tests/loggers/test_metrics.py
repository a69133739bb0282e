import re

from mbrl.loggers.metrics import METRICS

EVALUATION = ("return_mean", "return_std", "return_min", "returns", "length_mean", "lengths")
# Names that other tools rely on.
FIXED_NAMES = [
    "env_steps",
    "wall_seconds",
    *(f"loss/{name}" for name in ("dynamics", "reward", "termination", "value", "curious_value")),
    *(f"validation/{name}" for name in ("dynamics", "reward", "termination")),
    "learn/updates",
    *(f"episode/{name}" for name in ("return", "length")),
    *(f"evaluation/{name}" for name in EVALUATION),
    *(f"time/{name}" for name in ("collect", "learn", "evaluate")),
]


def test_the_fixed_names_are_documented():
    assert set(FIXED_NAMES) <= METRICS.keys()


def test_each_description_is_one_sentence():
    for name, meaning in METRICS.items():
        assert re.fullmatch(r"[a-z_]+(/[a-z_]+)?", name), name
        assert re.fullmatch(r"[A-Z][^\n]*\.", meaning), name
        assert ". " not in meaning, name


def test_each_description_names_the_unit():
    for name, meaning in METRICS.items():
        assert re.search(r"second|steps|unit|nats", meaning, re.IGNORECASE), name
