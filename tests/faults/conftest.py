"""The runs that faults are tried on, how often, and what came of it."""

from pathlib import Path

import pytest

from tests.faults.runs import ENVIRONMENTS, PLANNERS, run_here, settings


@pytest.fixture
def fault_report(request):
    """Reports a line of the table: fault, tries, survived, metrics lost."""

    def report(fault: str, tries: int, survived: int, lost: int) -> None:
        request.node.user_properties.append(("fault", (fault, tries, survived, lost)))

    return report


@pytest.fixture
def tries(request):
    """How often a fault is tried: so often in CI, so often with --faults=whole."""
    return lambda reduced, whole: (
        whole if request.config.getoption("--faults") == "whole" else reduced
    )


@pytest.fixture(
    params=[(planner, actions) for planner in PLANNERS for actions in ENVIRONMENTS],
    ids=lambda pair: "-".join(pair),
)
def combination(request) -> tuple[str, str]:
    return request.param


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """The same runs, never interrupted; each is made once."""
    made: dict[tuple[str, str], Path] = {}

    def folder(planner: str, actions: str) -> Path:
        if (planner, actions) not in made:
            made[planner, actions] = run_here(
                tmp_path_factory.mktemp("reference"), *settings(planner, actions)
            )
        return made[planner, actions]

    return folder
