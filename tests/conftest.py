"""Shared by all tests: one thread, checked annotations, strict promotion, cached compilations."""

import os

# Set before JAX starts, and inherited by processes that tests start. Programs compile in half the
# time and run as fast.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"
)

import jax
import pytest
from jaxtyping import install_import_hook

from tests import typechecking

# Checks shapes and types in every module of mbrl that is imported after this line.
install_import_hook("mbrl", f"{typechecking.__name__}.checked")

from mbrl.config.process import enable_compilation_cache, set_threads  # noqa: E402
from mbrl.types import AbstractActionSpace, Box, Discrete, MultiDiscrete  # noqa: E402

NUM_THREADS = 1  # the default of conf/config.yaml: the last digits of results depend on it

set_threads(NUM_THREADS)
enable_compilation_cache(NUM_THREADS)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--faults",
        choices=("reduced", "whole"),
        default="reduced",
        help="how many faults the fault tests try",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Files with slow tests first, so that two processes end at the same time.
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_configure(config: pytest.Config) -> None:
    # Two test processes may meet at one file of the cache. The one that finds it incomplete
    # compiles for itself.
    config.addinivalue_line(
        "filterwarnings",
        "ignore:Error (reading|writing) persistent compilation cache entry:UserWarning",
    )


@pytest.fixture(
    params=[Discrete(3), Box(2), MultiDiscrete((3, 2))], ids=["discrete", "box", "multi_discrete"]
)
def action_space(request) -> AbstractActionSpace:
    """A small space of each kind, in turn."""
    return request.param


@pytest.fixture(autouse=True, scope="module")
def clear_compiled_programs():
    """Drops compiled programs after each module: they use up the memory maps of a process."""
    yield
    jax.clear_caches()


def pytest_terminal_summary(terminalreporter) -> None:
    """Prints the measurements of the fault tests as the table of docs/runs.md."""
    reports = [
        report for name in ("passed", "failed") for report in terminalreporter.stats.get(name, ())
    ]
    lines = [
        line
        for report in reports
        for kind, line in report.user_properties
        if kind == "fault" and report.when == "call"
    ]
    if lines:
        terminalreporter.section("faults")
        terminalreporter.line(
            "| fault | tries | survived | metrics lost |\n| --- | --- | --- | --- |"
        )
        for line in sorted(lines):
            terminalreporter.line(f"| {' | '.join(map(str, line))} |")
