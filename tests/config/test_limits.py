"""A foreign config that grows without bound is refused, before it fills the memory."""

import resource
import signal
import time

import pytest

from mbrl.config import limits
from mbrl.config.compose import compose
from mbrl.errors import ConfigError


def chain(value: str, last: str, length: int = 40) -> str:
    """Settings of which each has the next one twice."""
    names = [f"a{number}" for number in range(length)]
    lines = [value.replace("NEXT", after) for after in names[1:]]
    return "".join(f"{name}: {line}\n" for name, line in zip(names, [*lines, last], strict=True))


ALIASES = "a0: &a0 [x]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 12)
)
WIDE = f"a0: {'x' * 100_000}\na1: {'${a0}' * 1000}\na2: {'${a1}' * 1000}\n"
BOMBS = {
    "text": chain('"${NEXT}${NEXT}"', "x"),
    "mappings": chain('{b: "${NEXT}", c: "${NEXT}"}', "{d: 1}"),
    "lists": chain('["${NEXT}", "${NEXT}"]', "[1]"),
    "wide text": WIDE,
    "aliases": ALIASES,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_a_config_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch, name):
    (tmp_path / "experiment").mkdir()
    text = f"# @package _global_\n{BOMBS[name]}seed: ${{a0}}\n"
    (tmp_path / "experiment" / "theirs.yaml").write_text(text)
    monkeypatch.setattr(limits, "MAX_SECONDS", 5.0)
    before = resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGVTALRM)
    with pytest.raises(ConfigError, match="it would fill the memory"):
        compose(["experiment=theirs"], config_dir=tmp_path)
    after = resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGVTALRM)
    assert after == before


def spend(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@pytest.mark.parametrize("spending", [lambda: spend(2.0), lambda: bytearray(2**29)])
def test_time_and_memory_are_limited_in_the_block_only(monkeypatch, spending):
    monkeypatch.setattr(limits, "MAX_SECONDS", 0.1)
    monkeypatch.setattr(limits, "MAX_BYTES", 2**28)
    with pytest.raises(ConfigError, match="it would fill the memory"), limits.limited():
        spending()
    with limits.limited():
        pass
    spending()
