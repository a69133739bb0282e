"""What the fault tests measured, as a table at the end."""

import pytest


@pytest.fixture
def fault_report(request):
    """Reports a line of the table: fault, tries, survived, metrics lost."""

    def report(fault: str, tries: int, survived: int, lost: int) -> None:
        request.node.user_properties.append(("fault", (fault, tries, survived, lost)))

    return report


@pytest.fixture
def tries(request):
    """How often a fault is tried: so often in CI, so often with --faults=whole."""
    return lambda reduced, whole: whole if request.config.getoption("--faults") == "whole" else reduced
