import hashlib
import io
import os
import signal
import threading
from contextlib import redirect_stderr
from time import monotonic, sleep

import pytest

from mbrl.runs.signals import Interrupted, StopRequest


def wait_for(condition, seconds=30.0):
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline
        sleep(0.001)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_request_and_the_second_stops(signum):
    with redirect_stderr(io.StringIO()) as stderr, StopRequest() as should_stop:
        assert not should_stop()
        os.kill(os.getpid(), signum)
        assert should_stop()
        assert should_stop.interrupted("enough").signum == signum
        wait_for(lambda: "The same signal again stops at once" in stderr.getvalue())
        with pytest.raises(Interrupted) as interruption:
            os.kill(os.getpid(), signum)
    assert interruption.value.signum == signum
    assert len(stderr.getvalue().splitlines()) == 1


def test_a_signal_is_answered_during_compiled_code():
    """There Python runs no signal handler."""
    handled_before_the_answer = []

    def interrupt(should_stop, stderr):
        sleep(0.2)  # until the main thread computes
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(stderr.getvalue)
        handled_before_the_answer.append(should_stop())

    with redirect_stderr(io.StringIO()) as stderr, StopRequest() as should_stop:
        thread = threading.Thread(target=interrupt, args=(should_stop, stderr))
        thread.start()
        while thread.is_alive():
            hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000)  # about a second of C code
        thread.join()
        assert should_stop()
    assert handled_before_the_answer == [False]


def test_signal_handlers_are_restored():
    before = [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)]
    threads = threading.active_count()
    with StopRequest():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)] == before
    assert signal.set_wakeup_fd(-1) == -1
    assert threading.active_count() == threads


def test_other_threads_receive_no_request():
    answers = []

    def work():
        with StopRequest() as should_stop:
            answers.append(should_stop())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [False]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, which Windows has not")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*:RuntimeWarning")
def test_a_forked_child_neither_delays_the_end_nor_has_its_signals_answered():
    with redirect_stderr(io.StringIO()) as stderr:
        with StopRequest() as should_stop:
            child = os.fork()
            if child == 0:
                sleep(60)
                os._exit(0)
            started = monotonic()
        assert monotonic() - started < 30
        with StopRequest() as should_stop:
            second = os.fork()
            if second == 0:
                signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
                sleep(60)
                os._exit(1)
            sleep(0.2)
            os.kill(second, signal.SIGTERM)
            assert os.waitpid(second, 0)[1] == 0
            sleep(0.2)
            assert not should_stop()
        assert stderr.getvalue() == ""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
