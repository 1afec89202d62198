"""A station name takes no memory until a message of it has decoded to samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from stream.audio import AudioChunk
from stream.kafka.checkpoint.partition_reader import PartitionReader
from stream.kafka.codec.message import encode
from stream.kafka.records.consumer_record import Received
from tests.examples import examples
from tests.stream.containers import sizes
from tests.stream.partition import new_reader

RATE = 16_000
MANY = 20_000
GARBAGE: dict[str, tuple[bytes, dict[str, str]]] = {
    "no headers": (b"x", {}),
    "no value": (b"", {"content-type": "audio/x-s16le", "rate": "16000"}),
    "odd bytes": (b"xxx", {"content-type": "audio/x-s16le", "rate": "16000"}),
    "no flac": (b"fLaC" + bytes(40), {"content-type": "audio/flac"}),
    "no ogg": (b"OggS" + bytes(40), {"content-type": "audio/ogg"}),
    "far": (b"xx", {"content-type": "audio/x-s16le", "rate": "1", "start_sample": "9" * 18}),
    "no frame": (bytes(40_000), {"content-type": "audio/aac"}),
}


class Station:
    def __init__(self, reader: PartitionReader, station: str = "live") -> None:
        self.reader, self.station, self.next = reader, station, 0

    def send(self, offset: int) -> list[AudioChunk]:
        samples = np.zeros(1600, np.float32)
        message = encode(AudioChunk(self.station, self.next, samples, RATE))
        self.next += 1600
        return self.reader.read(Received("audio", 0, offset, -1, *message))


def garbage(offset: int, key: bytes | None, kind: str) -> Received:
    value, headers = GARBAGE[kind]
    encoded = [(name, text.encode()) for name, text in headers.items()]
    return Received("audio", 0, offset, -1, key, value, encoded)


@pytest.mark.slow
@pytest.mark.parametrize("kind", GARBAGE)
def test_thousands_of_invented_names_leave_nothing_behind(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    many = MANY if kind in ("no headers", "odd bytes", "far") else 1000
    taken = new_reader()
    live = Station(taken)
    [first] = live.send(0)
    taken.read(garbage(1, b"0", kind))
    before = sizes(taken)
    for i in range(many):
        assert taken.read(garbage(i + 2, b"%d" % i, kind)) == []
    assert sizes(taken) == before
    assert taken.counts["dead_letters"] == many + 1
    [second] = live.send(many + 2)
    assert second.start == first.end


@pytest.mark.slow
def test_stations_too_many_cost_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")
    taken = new_reader(max_stations=3)
    stations = [Station(taken, f"{i}") for i in range(MANY)]
    for i in range(3):
        assert stations[i].send(i)
    before = sizes(taken)
    for i in range(3, MANY):
        assert stations[i].send(i) == []
    assert sizes(taken) == before
    assert [chunk.start for chunk in stations[0].send(MANY)] == [1600]


def test_parts_of_frames_make_no_stations(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")
    taken = new_reader(max_stations=3)
    live = Station(taken)
    live.send(0)
    for i in range(5000):
        part = Received(
            "audio",
            0,
            i + 1,
            -1,
            b"%d" % i,
            b"\xff\xf1" + bytes(5),
            [("content-type", b"audio/aac")],
        )
        assert taken.read(part) == []
    assert max(sizes(taken).values()) <= 1024  # names of which a frame may still come are few
    assert taken._partitions[0].stations.keys() == {"live"}
    assert [chunk.start for chunk in live.send(9000)] == [1600]


@pytest.mark.parametrize("key", [None, b"", b"\xff\xfe", b"x" * 201, b"a\nb", "\u200b".encode()])
def test_names_that_cannot_be_cost_nothing(key: bytes | None) -> None:
    refused: list[str] = []
    taken = new_reader(refuse=lambda _, reason: refused.append(reason))
    before = sizes(taken)
    for i in range(50):
        taken.read(garbage(i, key, "odd bytes"))
    assert sizes(taken) == before
    assert len(refused) == 50


@pytest.mark.slow
def test_more_stations_than_any_other_limit_keep_their_places() -> None:
    count = 11_000
    taken = new_reader(max_stations=count)
    stations = [Station(taken, f"{i}") for i in range(count)]
    for i, station in enumerate(stations):
        station.send(i)
    for i in (0, 1, 5000, count - 1):  # without a start of its own it goes on where it was
        header = [("content-type", b"audio/x-s16le"), ("rate", b"16000")]
        part = Received("audio", 0, count + i, -1, b"%d" % i, bytes(3200), header)
        assert [chunk.start for chunk in taken.read(part)] == [1600]


class Names(RuleBasedStateMachine):
    """Garbage under any name between the messages of stations that are there or new."""

    @initialize()
    def begin(self) -> None:
        self.reader = new_reader(max_stations=4)
        self.stations: dict[str, Station] = {}
        self.offset = 0
        self.sizes = sizes(self.reader)

    @rule(name=st.sampled_from("abcd"))
    def receive(self, name: str) -> None:
        station = self.stations.setdefault(name, Station(self.reader, name))
        expected = station.next
        assert [chunk.start for chunk in station.send(self._next())] == [expected]
        self.sizes = sizes(self.reader)

    @rule(
        key=st.binary(max_size=4) | st.sampled_from([b"x", None]),
        kind=st.sampled_from(list(GARBAGE)),
    )
    def refuse(self, key: bytes | None, kind: str) -> None:
        if (key or b"").decode("utf-8", "replace") in self.stations:
            return
        assert self.reader.read(garbage(self._next(), key, kind)) == []

    @rule(
        name=st.sampled_from("abcd"), kind=st.sampled_from([k for k in GARBAGE if k != "no frame"])
    )
    def damage(self, name: str, kind: str) -> None:
        if name in self.stations:
            assert self.reader.read(garbage(self._next(), name.encode(), kind)) == []
            self.sizes = sizes(self.reader)

    @invariant()
    def nothing_grows(self) -> None:
        if hasattr(self, "sizes"):
            assert sizes(self.reader) == self.sizes

    def _next(self) -> int:
        self.offset += 1
        return self.offset - 1


Names.TestCase.settings = examples(40, stateful_step_count=30)
TestNames = pytest.mark.slow(Names.TestCase)


def test_the_walk_finds_what_grows() -> None:
    taken = new_reader()
    before = sizes(taken)
    Station(taken).send(0)
    grown = {path for path, size in sizes(taken).items() if size > before.get(path, 0)}
    assert {"._partitions[].stations", "._decoder._stations"} <= grown
