"""A foreign config that grows without bound is refused, before it fills the memory."""

import resource
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf

from mbrl.config import limits
from mbrl.config.compose import compose
from mbrl.config.hydra_internals import Callbacks, config_loader, use_own_plugins
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


@pytest.fixture(autouse=True)
def bounds():
    """The bounds of the process must be as they were."""

    def bounds():
        return resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGVTALRM)

    before = bounds()
    yield
    assert bounds() == before


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True)
    (folder / f"{name}.yaml").write_text(f"# @package _global_\n{text}\nseed: ${{a0}}\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_a_config_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch, name):
    write(tmp_path, "experiment/theirs", BOMBS[name])
    monkeypatch.setattr(limits, "MAX_SECONDS", 2.0)
    with pytest.raises(ConfigError, match="it would fill the memory"):
        compose(["experiment=theirs"], config_dir=tmp_path)


@pytest.mark.slow
@pytest.mark.extras
@pytest.mark.parametrize(
    ("name", "sweeper"), [("text", "basic"), ("aliases", "basic"), ("aliases", "optuna")]
)
def test_a_sweep_with_such_an_option_is_refused(tmp_path, monkeypatch, name, sweeper):
    write(tmp_path / "their", "planner/theirs", BOMBS[name])
    use_own_plugins()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(limits, "MAX_SECONDS", 2.0)
    loader, swept = config_loader(None, str(tmp_path / "their")), "planner=random,theirs"
    words = ["training=smoke", swept, f"hydra/sweeper={sweeper}", "hydra.sweep.dir=sweep"]
    before = HydraConfig.instance().cfg
    search = Plugins.instance().instantiate_sweeper(
        hydra_context=HydraContext(config_loader=loader, callbacks=Callbacks()),
        task_function=lambda config: None,
        config=loader.load_configuration("config", words, RunMode.MULTIRUN),
    )
    try:
        with pytest.raises(ConfigError, match="it would fill the memory"):
            search.sweep(["training=smoke", swept])
    finally:
        HydraConfig.instance().cfg = before
    assert not list(tmp_path.glob("**/metrics.jsonl"))


def spend(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        OmegaConf.create({"a": {"b": 1}})


@pytest.mark.parametrize("spending", [lambda: spend(2.0), lambda: bytearray(2**29)])
def test_time_and_memory_are_limited_in_the_block_only(monkeypatch, spending):
    monkeypatch.setattr(limits, "MAX_SECONDS", 0.1)
    monkeypatch.setattr(limits, "MAX_BYTES", 2**28)
    with pytest.raises(ConfigError, match="it would fill the memory"), limits.limited():
        spending()
    with limits.limited():
        pass
    spending()


def test_threads_leave_the_bounds_as_they_were():
    """Where they overlap, the one that ends last must not put back what the first has set."""
    has_entered = threading.Event()

    def other():
        with limits.limited():
            has_entered.set()
            time.sleep(0.2)

    thread = threading.Thread(target=other)
    with limits.limited(), limits.limited():
        thread.start()
        has_entered.wait(0.2)
    thread.join()


def test_the_time_of_other_threads_does_not_count(monkeypatch):
    monkeypatch.setattr(limits, "MAX_SECONDS", 0.5)
    thread = threading.Thread(target=spend, args=(1.0,))
    with limits.limited():
        thread.start()
        thread.join()


def test_an_alarm_while_the_block_is_left_changes_nothing(monkeypatch):
    """A thread sends alarms as fast as it can, and time is always up."""
    monkeypatch.setattr(limits, "MAX_SECONDS", -1.0)
    before = signal.signal(signal.SIGVTALRM, lambda *_: None)
    is_done, main = threading.Event(), threading.main_thread().ident

    def alarm():
        while not is_done.is_set():
            signal.pthread_kill(main, signal.SIGVTALRM)

    thread = threading.Thread(target=alarm)
    thread.start()
    try:
        soft = {resource.getrlimit(resource.RLIMIT_AS)[0]}
        for _ in range(100):
            with suppress(ConfigError), limits.limited():
                OmegaConf.create({})
            soft.add(resource.getrlimit(resource.RLIMIT_AS)[0])
    finally:
        is_done.set()
        thread.join()
        signal.signal(signal.SIGVTALRM, before)
    assert len(soft) == 1
