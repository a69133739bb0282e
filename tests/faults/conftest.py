"""How often faults are tried, on which runs, and the report of the results."""

from pathlib import Path

import pytest

from tests.faults.runs import BREAKABLE, ENVIRONMENTS, PLANNERS, run_here, settings

COMBINATIONS = [(planner, actions) for planner in PLANNERS for actions in ENVIRONMENTS]
COMBINATIONS_IN_CI = [("cem", "continuous"), ("mcts", "discrete")]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "combination" in metafunc.fixturenames:
        whole = metafunc.config.getoption("--faults") == "whole"
        combinations = COMBINATIONS if whole else COMBINATIONS_IN_CI
        metafunc.parametrize("combination", combinations, ids="-".join)


@pytest.fixture
def fault_report(request):
    """A function that reports one line of the table: fault, tries, survived, metrics lost."""

    def report(fault: str, tries: int, survived: int, lost: int) -> None:
        request.node.user_properties.append(("fault", (fault, tries, survived, lost)))

    return report


@pytest.fixture
def tries(request):
    """A function that chooses what is tried in CI, or with --faults=whole."""
    whole = request.config.getoption("--faults") == "whole"
    return lambda in_ci, in_whole: in_whole if whole else in_ci


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """A function that gives the folder of the uninterrupted run; each is made once."""
    folders: dict[tuple[str, str], Path] = {}

    def folder_of(planner: str, actions: str) -> Path:
        if (planner, actions) not in folders:
            folder = tmp_path_factory.mktemp("reference")
            folders[planner, actions] = run_here(folder, *settings(planner, actions))
        return folders[planner, actions]

    return folder_of


@pytest.fixture(scope="session")
def whole_breakable(tmp_path_factory) -> Path:
    """The run with the settings BREAKABLE without a fault."""
    return run_here(tmp_path_factory.mktemp("whole"), *BREAKABLE)
