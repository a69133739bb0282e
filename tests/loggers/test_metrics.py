import re

from mbrl.loggers.metrics import METRICS


def test_the_names_that_others_rely_on_are_there():
    promised = {
        "env_steps",
        "wall_seconds",
        "loss/dynamics",
        "loss/reward",
        "loss/termination",
        "loss/value",
        "episode/return",
    }
    promised |= {
        "episode/length",
        "evaluation/return_mean",
        "evaluation/return_std",
        "evaluation/return_min",
        "evaluation/returns",
    }
    promised |= {f"validation/{part}" for part in ("dynamics", "reward", "termination")} | {
        "learn/updates",
        "loss/curious_value",
    }
    promised |= {"time/collect", "time/learn", "time/evaluate"}
    assert promised <= METRICS.keys()


def test_each_is_one_sentence_under_a_proper_name():
    for name, meaning in METRICS.items():
        assert re.fullmatch(r"[a-z_]+(/[a-z_]+)?", name), name
        assert re.fullmatch(r"[A-Z][^\n]*\.", meaning), name
        assert ". " not in meaning, name


def test_units_are_named():
    for name, meaning in METRICS.items():
        assert re.search(r"second|steps|unit|nats", meaning, re.IGNORECASE), name
