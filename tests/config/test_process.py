"""Settings of the whole process."""

import pytest

from mbrl.config.process import set_threads
from mbrl.errors import ConfigError


def test_a_process_has_one_number_of_threads():
    with pytest.raises(ConfigError, match="num_threads=7: this process already runs JAX with 1"):
        set_threads(7)


def test_at_least_one_thread():
    with pytest.raises(ConfigError, match="num_threads=0: must be at least 1"):
        set_threads(0)
