"""What the planners' tests share."""

import pytest

from mbrl.types import AbstractActionSpace, Box, Discrete, MultiDiscrete


@pytest.fixture(params=[Discrete(3), Box(2), MultiDiscrete((3, 2))], ids=["discrete", "box", "multi_discrete"])
def action_space(request) -> AbstractActionSpace:
    """A small space of each kind, in turn."""
    return request.param
