"""Signals: the first asks, the second does not."""

import os
import signal
import threading

import pytest

from mbrl.runs.signals import Interrupted, StopRequest


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_stops(signum, capfd):
    with StopRequest() as stopping:
        assert not stopping()
        os.kill(os.getpid(), signum)
        assert stopping()
        assert stopping.interrupted("enough").signum == signum
        assert "the same signal again stops at once" in capfd.readouterr().err
        with pytest.raises(Interrupted) as interruption:
            os.kill(os.getpid(), signum)
    assert interruption.value.signum == signum


def test_what_signals_did_before_they_do_again():
    before = [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)]
    with StopRequest():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)] == before


def test_other_threads_are_never_asked():
    found = []

    def work():
        with StopRequest() as stopping:
            found.append(stopping())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]
