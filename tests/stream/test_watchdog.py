"""When a worker that has stopped reading ends, and when it is left alone."""

from stream.kafka.faust.watchdog import Watchdog
from stream.testing import ManualClock


def watched(work):
    clock, ended = ManualClock(), []
    return clock, Watchdog(10.0, work, ended.append, clock), ended


def test_a_worker_with_nothing_to_read_is_left_alone():
    clock, dog, ended = watched(lambda: "")
    clock.now = 1000.0
    dog.check()
    assert ended == []


def test_a_worker_that_makes_progress_is_not_checked():
    def work():
        raise AssertionError

    clock, dog, ended = watched(work)
    for clock.now in range(0, 100, 9):
        dog.progress()
        clock.now += 9.9
        dog.check()
    assert ended == []


def test_a_worker_that_stalls_ends_with_one_line():
    clock, dog, ended = watched(lambda: "kafka_offset 7 of x partition 0 waits")
    clock.now = 9.9
    dog.check()
    assert ended == []
    clock.now = 10.0
    dog.check()
    [line] = ended
    assert line.startswith("no message was processed for kafka.stall_s=10, and kafka_offset 7")
    assert "\n" not in line


def test_progress_during_the_broker_check_counts():
    clock, dog, ended = watched(lambda: dog.progress() or "something waits")
    clock.now = 10.0
    dog.check()
    assert ended == []
