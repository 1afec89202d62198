"""The rule of the recorder: no offset is committed before the rows below it are safe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import Backpressure
from airsift.recorder import Recorder
from stream.events import Segment
from stream.history.rows import Row
from stream.kafka.records.consumer_record import ConsumerRecord, Received

RATE = 16_000
KINDS = ["segment"]


class Topic:
    """A topic of one partition, and what the group has committed of it."""

    def __init__(self, values: Sequence[bytes], sink: Store) -> None:
        self.values = values
        self.committed = 0
        self._sink = sink

    def record(self, offset: int) -> ConsumerRecord:
        return make_record(offset, self.values[offset])


class Reader:
    """A member of the group, from the committed offset on."""

    def __init__(self, topic: Topic, sizes: list[int]) -> None:
        self._topic, self._sizes = topic, sizes
        self._at = topic.committed
        self.counts: Counter[str] = Counter()
        self.paused = False

    def poll(self) -> list[ConsumerRecord]:
        if self.paused:
            return []
        size = self._sizes.pop() if self._sizes else 3
        until = min(self._at + size, len(self._topic.values))
        found = [self._topic.record(offset) for offset in range(self._at, until)]
        self._at = until
        return found

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def commit(self) -> None:
        self._topic.committed = self._at
        # The law.
        assert set(range(self._at)) - NO_EVENTS <= self._topic._sink.safe


class Store:
    """A database: rows in memory are lost in a crash, flushed ones are not."""

    def __init__(self, refusals: list[bool]) -> None:
        self.memory: list[int] = []
        self.safe: set[int] = set()
        self._refusals = refusals

    def _refuse(self) -> None:
        if self._refusals and self._refusals.pop():
            raise Backpressure("away", retry_after_s=0.1)

    def write_rows(self, rows: Sequence[Row]) -> None:
        self._refuse()
        self.memory += [row.start // RATE for row in rows]

    def flush(self) -> None:
        self._refuse()
        self.safe |= set(self.memory)

    def crash(self) -> None:
        self.memory = []


NO_EVENTS = {4, 11}
COUNT = 20
SEGMENTS = [
    Segment("r", number * RATE, (number + 1) * RATE, RATE, 1.8e9, "music", 1.0, final=True)
    for number in range(COUNT)
]
VALUES = [
    b"no event" if number in NO_EVENTS else segment.to_bytes()
    for number, segment in enumerate(SEGMENTS)
]


def make_record(offset: int, value: bytes) -> ConsumerRecord:
    return Received("t", 0, offset, 0, b"r", value, [])


@given(
    st.lists(st.integers(0, 6), max_size=20),
    st.lists(st.booleans(), max_size=30),
    st.lists(st.integers(1, 6), max_size=6),
)
@pytest.mark.slow
def test_every_event_is_stored_whatever_is_killed_when(sizes, refusals, crashes):
    store = Store(refusals)
    topic = Topic(VALUES, store)
    for steps in [*crashes, 200]:
        recorder = Recorder(Reader(topic, sizes), store, KINDS, every_s=0.0)
        for _ in range(steps):
            recorder.step()
        store.crash()
    assert topic.committed == COUNT
    assert store.safe == set(range(COUNT)) - NO_EVENTS


def test_what_is_no_event_is_counted_and_named(caplog):
    store = Store([])
    recorder = Recorder(Reader(Topic(VALUES, store), [COUNT]), store, KINDS, every_s=60.0)
    recorder.step()
    assert (recorder.damaged, recorder.written) == (2, COUNT - 2)
    assert caplog.messages[0].startswith("t[0] 4 is no event (Expecting value")
    assert store.safe == set()
    assert recorder.commit()
    assert len(store.safe) == COUNT - 2


def test_nothing_is_committed_while_rows_wait():
    store = Store([True] * 5)
    topic = Topic(VALUES, store)
    reader = Reader(topic, [COUNT])
    recorder = Recorder(reader, store, KINDS, every_s=0.0)
    recorder.step()
    assert reader.paused
    assert not recorder.commit()
    assert topic.committed == 0
    for _ in range(7):
        recorder.step()
    assert not reader.paused
    assert topic.committed == COUNT
