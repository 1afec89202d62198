from __future__ import annotations

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
