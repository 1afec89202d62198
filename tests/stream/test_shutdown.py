from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from airsift import shutdown
from airsift.shutdown import shutdown_deadline
from stream.runner import Stop


@pytest.fixture(autouse=True)
def _no_fast_exit_of_later_tests(monkeypatch):
    monkeypatch.setattr(shutdown, "_stopped", threading.Event())


def test_what_does_not_end_in_time_is_ended():
    stop, ended, reasons = Stop(), threading.Event(), []

    def end(reason):
        reasons.append(reason)
        ended.set()

    with shutdown_deadline(stop, 0.01, end):
        stop.request()
        assert ended.wait(30)
    assert "did not end within 0.01 s" in reasons[0]
    assert "is processed again" in reasons[0]


@pytest.mark.parametrize(("settled", "fate"), [(True, ""), (False, "may be missing")])
def test_the_reason_names_the_loss(settled, fate):
    stop, ended, reasons = Stop(), threading.Event(), []

    def end(reason):
        reasons.append(reason)
        ended.set()

    with shutdown_deadline(stop, 0.01, end, resumable=False):
        stop.is_safe = settled
        stop.request()
        assert ended.wait(30)
    [reason] = reasons
    assert fate in reason
    assert bool(reason) is not settled


@pytest.mark.parametrize("requested", [True, False])
def test_what_ends_in_time_is_left_alone(requested):
    stop, before = Stop(), set(threading.enumerate())
    with shutdown_deadline(stop, 3600.0, pytest.fail):
        [thread] = set(threading.enumerate()) - before
        stop.requested = requested
    thread.join(30)
    assert not thread.is_alive()


SLOW = """
import sys
from stream.runner import Stop
from airsift.shutdown import exit_fast, shutdown_deadline
stop = Stop()
class Slow:
    def __del__(self):
        print("taken apart", flush=True)
slow = Slow()
with shutdown_deadline(stop):
    stop.requested = sys.argv[1] == "requested"
print("flushed", end=" ")
exit_fast(3)
sys.exit(4)
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("requested", "out"), [("requested", "flushed "), ("not", "flushed taken apart\n")]
)
def test_a_requested_end_skips_interpreter_teardown(requested, out):
    command = [sys.executable, "-c", SLOW, requested]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == ({"requested": 3, "not": 4}[requested], out)


# A main thread that the signal does not wake, as within a name resolver or FFmpeg.
BUSY = """
import signal, sys, time
from stream.runner import stop_on_signals
from airsift.shutdown import SIGNALS, exit_on_signals, shutdown_deadline
exit_on_signals()
if sys.argv[1] == "starts":
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    print("ready", flush=True)
    time.sleep(60)
with stop_on_signals() as stop, shutdown_deadline(stop, 0.2, resumable=sys.argv[1] != "loses"):
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("doing", "code"), [("starts", 0), ("works", 0), ("loses", 1)])
def test_a_signal_ends_a_process_whose_main_thread_is_busy(doing, code, number):
    command = [sys.executable, "-c", BUSY, doing]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, printed = process.communicate(timeout=30)
    assert process.returncode == code
    assert ("did not end within 0.2 s" in printed) is (doing != "starts")


@pytest.mark.process
def test_a_parent_that_blocks_signals_does_not_block_ours():
    command = "import signal, sys, os; signal.pthread_sigmask(signal.SIG_BLOCK, [15]); "
    command += "os.execv(sys.executable, [sys.executable, '-c', sys.argv[1], 'starts'])"
    busy = BUSY.replace("    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)\n", "", 1)
    with subprocess.Popen(
        [sys.executable, "-c", command, busy], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0


AFTER = """
import signal
from stream.runner import stop_on_signals
from airsift.shutdown import exit_on_signals, shutdown_deadline
exit_on_signals()
with stop_on_signals() as stop, shutdown_deadline(stop):
    signal.raise_signal(signal.SIGTERM)
print("flushed", flush=True)
signal.raise_signal(signal.SIGTERM)
print("still there")
"""


@pytest.mark.process
def test_another_signal_after_the_work_ends_the_process_at_once():
    command = [sys.executable, "-c", AFTER]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "flushed\n")
