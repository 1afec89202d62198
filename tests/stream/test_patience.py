from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from stream.drive import Stop
from stream.patience import ending_within


def test_what_does_not_end_in_time_is_ended():
    stop, ended, reasons = Stop(), threading.Event(), []

    def end(reason):
        reasons.append(reason)
        ended.set()

    with ending_within(stop, 0.01, end):
        stop.request()
        assert ended.wait(30)
    assert "did not end within 0.01 s" in reasons[0]


@pytest.mark.parametrize("asked", [True, False])
def test_what_ends_in_time_is_left_alone(asked):
    stop, before = Stop(), set(threading.enumerate())
    with ending_within(stop, 3600.0, pytest.fail):
        [thread] = set(threading.enumerate()) - before
        stop.requested = asked
    thread.join(30)
    assert not thread.is_alive()


SLOW = """
import sys
from stream.drive import Stop
from stream.patience import ending_within, leave
stop = Stop()
class Slow:
    def __del__(self):
        print("taken apart", flush=True)
kept = Slow()
with ending_within(stop):
    stop.requested = sys.argv[1] == "asked"
print("flushed", end=" ")
leave(3)
sys.exit(4)
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("asked", "out"), [("asked", "flushed "), ("not", "flushed taken apart\n")]
)
def test_who_was_asked_to_end_does_not_take_the_interpreter_apart(asked, out):
    command = [sys.executable, "-c", SLOW, asked]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == ({"asked": 3, "not": 4}[asked], out)
