import contextlib
import signal
import threading
import time

import pytest

from mbrl.time_limit import TimeLimitExceeded, time_limit


@pytest.mark.parametrize("seconds", [1e-30, 1e-5, 1e-4])
def test_an_alarm_at_the_start_or_the_end_of_its_block_leaves_none_behind(seconds):
    handler = signal.getsignal(signal.SIGALRM)
    for _ in range(300):
        with contextlib.suppress(TimeLimitExceeded), time_limit(seconds):
            time.sleep(seconds)
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        assert signal.getsignal(signal.SIGALRM) == handler


def test_a_time_limit_ends_with_its_block():
    with time_limit(0.05):
        pass
    time.sleep(0.1)
    with pytest.raises(TimeLimitExceeded), time_limit(0.05):
        time.sleep(5.0)
    time.sleep(0.1)


def test_in_another_thread_it_raises_after_the_block():
    raised, release = [], threading.Event()

    def hang():
        try:
            with time_limit(0.05):
                release.wait(60)
        except TimeLimitExceeded:
            raised.append(True)

    thread = threading.Thread(target=hang, daemon=True)
    thread.start()
    time.sleep(0.2)
    release.set()
    thread.join(60)
    assert raised == [True]
