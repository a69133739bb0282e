import os
import signal
import threading

import pytest

from mbrl.runs.signals import Interrupted, StopRequest


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_request_and_the_second_stops(signum, capfd):
    with StopRequest() as should_stop:
        assert not should_stop()
        os.kill(os.getpid(), signum)
        assert should_stop()
        assert should_stop.interrupted("enough").signum == signum
        assert "the same signal again stops at once" in capfd.readouterr().err
        with pytest.raises(Interrupted) as interruption:
            os.kill(os.getpid(), signum)
    assert interruption.value.signum == signum


def test_signal_handlers_are_restored():
    before = [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)]
    with StopRequest():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)] == before


def test_other_threads_receive_no_request():
    answers = []

    def work():
        with StopRequest() as should_stop:
            answers.append(should_stop())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [False]
