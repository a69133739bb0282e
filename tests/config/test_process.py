"""Settings of the whole process."""

import pytest

from mbrl.config.process import set_threads
from mbrl.errors import ConfigError


def test_a_process_has_one_number_of_threads():
    with pytest.raises(ConfigError, match="num_threads=7: this process already runs JAX with 1"):
        set_threads(7)


@pytest.mark.parametrize("number", [0, 1025, 10**9])
def test_a_number_of_threads_that_no_machine_has_is_refused(number):
    with pytest.raises(ConfigError, match=f"num_threads={number}: must be from 1 to 1024"):
        set_threads(number)
