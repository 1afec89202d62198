"""Jumps of a station's count or clock: one message alone moves nothing, two are followed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stream.audio import AudioChunk
from stream.kafka.checkpoint.record import StationRecord
from stream.kafka.records.consumer_record import Received
from stream.stages.align import Align
from tests.examples import examples
from tests.stream.doubles import snapshot
from tests.stream.partition import new_reader, read_back

RATE = 1000  # samples are milliseconds
N = 500
DAY_S = 86_400
NOW_MS = 1_790_000_000_000
COUNTS = ["from 0", "from 1970", "time_ms", "arrival", "both"]

AudioHeaders = tuple[
    int, bool
]  # milliseconds of the message's claim from the station's begin, honest


class Reader:
    """One process after another that reads a partition; each may be the last."""

    def __init__(self, messages: Sequence[Received]) -> None:
        self.log = list(messages)
        self.refused: list[tuple[int, str]] = []
        self.chunks: list[AudioChunk] = []
        self.records: dict[str, StationRecord] = {}
        self.at = self.committed = 0
        self.clock = 0.0
        self.join()

    def join(self) -> None:
        self.at = self.committed
        self.reader = new_reader(
            self.committed, self.records.values(),
            rate=RATE, refuse=self._refuse, now=lambda: self.clock,
        )  # fmt: skip

    def _refuse(self, message: Any, reason: str) -> None:
        self.refused.append((message.offset, reason))

    def read(self, count: int | None = None) -> None:
        until = len(self.log) if count is None else min(self.at + count, len(self.log))
        while self.at < until:
            self.reader.tick()
            self.chunks += self.reader.read(self.log[self.at])
            self.at += 1

    def checkpoint(self) -> None:
        """Store what a restart needs, by way of JSON, as if nothing before the end were needed."""
        ends = {chunk.station: chunk.end for chunk in self.chunks}
        written = self.reader.checkpoint({s: snapshot(end) for s, end in ends.items()})
        for partition, saved in written:
            self.records[saved.station] = read_back(partition, saved)
        self.committed = self.reader.commit_offset(0)

    @property
    def positions(self) -> list[tuple[int, int, float | None]]:
        return [(chunk.start, len(chunk.samples), chunk.time) for chunk in self.chunks]


def message(offset: int, by: str, at_ms: int, *, key: bytes = b"a", n: int = N) -> Received:
    """Return a message whose claim of its place is `at_ms` after the station's begin."""
    at_ms = max(at_ms, -NOW_MS + 1) if by != "from 0" else max(at_ms, 0)
    sent_ms = NOW_MS + offset * N
    headers = {"content-type": "audio/x-s16le", "rate": RATE}
    if by in ("from 1970", "both"):
        headers["start_sample"] = NOW_MS + at_ms
    if by == "from 0":
        headers["start_sample"] = at_ms
    if by in ("time_ms", "both"):
        headers["time_ms"] = NOW_MS + at_ms
    if by == "arrival":
        sent_ms = NOW_MS + at_ms
    encoded = [(name, str(value).encode()) for name, value in headers.items()]
    return Received("audio", 0, offset, sent_ms, key, bytes(2 * n), encoded)


def play(by: str, times: Sequence[int], **options: Any) -> Reader:
    reader = Reader([message(i, by, at, **options) for i, at in enumerate(times)])
    reader.read()
    return reader


def one_by_one(by: str, stamps: Sequence[AudioHeaders]) -> list[Received]:
    """Return messages numbered as they are, with arrivals that do not depend on outliers."""
    return [message(i, by, at) for i, (at, _) in enumerate(stamps)]


FAR_MS = st.one_of(
    st.integers(70_000, 3 * DAY_S * 1000),
    st.integers(DAY_S * 1000, 150 * 365 * DAY_S * 1000),
    st.integers(-40 * 365 * DAY_S * 1000, -(DAY_S * 1000)),
)


@st.composite
def with_outliers(draw: Any) -> tuple[str, list[AudioHeaders]]:
    """Draw a station's messages with lone outliers between them."""
    by = draw(st.sampled_from(COUNTS))
    honest = draw(st.integers(3, 12))
    stamps: list[AudioHeaders] = [(0, True), (N, True)]
    for i in range(2, honest):
        if draw(st.booleans()):
            far = draw(FAR_MS)
            if by != "from 0" or far > 0:
                stamps.append((far + i * N, False))
        stamps.append((i * N, True))
    return by, stamps


@examples(150)
@given(with_outliers())
def test_lone_outliers_change_nothing_and_become_dead_letters(
    drawn: tuple[str, list[AudioHeaders]],
) -> None:
    by, stamps = drawn
    messages = one_by_one(by, stamps)
    honest = [m for m, (_, is_honest) in zip(messages, stamps, strict=True) if is_honest]
    with_them, without = Reader(messages), Reader(honest)
    for reader in (with_them, without):
        reader.read()
    assert with_them.positions == without.positions
    assert len(without.chunks) == sum(honest for _, honest in stamps)
    assert [at for at, _ in with_them.refused] == [i for i, (_, h) in enumerate(stamps) if not h]
    assert all("the next message does not go on from there" in r for _, r in with_them.refused)


@examples(150)
@given(st.sampled_from(COUNTS), FAR_MS, st.integers(2, 6), st.integers(1, 6))
def test_a_jump_that_a_second_message_confirms_is_followed(
    by: str, far: int, after: int, before: int
) -> None:
    assume(by != "from 0" or far > 0)  # a count from 0 has its own test
    reader = Reader([message(i, by, i * N) for i in range(before)])
    reader.read()
    assert len(reader.chunks) == before
    end = reader.chunks[-1].end
    began = before * N
    for i in range(after):
        reader.log.append(message(before + i, by, began + far + i * N))
        reader.read()
        assert len(reader.chunks) == before + (0 if i == 0 else i + 1)
    assert reader.refused == []
    new = reader.chunks[before:]
    assert [chunk.start for chunk in new] == list(range(new[0].start, new[0].start + after * N, N))
    assert new[0].start >= end
    if far > 0:
        expected = NOW_MS * (by != "from 0") + began + far
        assert new[0].start == expected
    for chunk in new:
        # Where it has the time of its own, the jump is one of the time as well.
        if by in ("time_ms", "both"):
            at = NOW_MS + began + far + chunk.start - new[0].start
            assert chunk.time == pytest.approx(max(at, chunk.start - new[0].start) / 1000, abs=1)


def test_an_encoder_that_begins_again_at_0_is_followed() -> None:
    reader = play("from 0", [0, 500, 1000, 3_600_000, 3_600_500, 0, 500, 1000, 1500])
    starts = [chunk.start for chunk in reader.chunks]
    assert starts[:5] == [0, 500, 1000, 3_600_000, 3_600_500]
    assert starts[5] > 3_601_000
    assert np.diff(starts[5:]).tolist() == [N, N, N]
    assert reader.refused == []
    # It goes on counting from there, and a gap in its count is one of ours.
    reader.log.append(message(9, "from 0", 4000))
    reader.read()
    assert reader.chunks[-1].start == starts[-1] + 2500


def test_two_producers_under_one_name_leave_the_one_alone_and_the_other_is_refused() -> None:
    times = [at for i in range(40) for at in (i * N, 7_200_000 + i * N)]
    reader = play("from 0", times)
    assert [chunk.start for chunk in reader.chunks] == [i * N for i in range(40)]
    assert len(reader.refused) == 39  # the last one still waits
    assert "second producer under this name" in reader.refused[0][1]


@pytest.mark.parametrize("burst", [2, 3, 5])
@pytest.mark.parametrize("by", COUNTS)
def test_two_producers_in_turns_end_with_one_of_them(by: str, burst: int) -> None:
    times, count = [], 60
    for i in range(count):
        for begin in (0, 7_200_000):
            times += [begin + (i * burst + k) * N for k in range(burst)]
    reader = play(by, times)
    starts = [chunk.start for chunk in reader.chunks]
    assert starts == sorted(starts)
    assert len(reader.refused) > len(times) // 4
    assert reader.reader.counts["jumps"] < 40
    assert starts[-1] - starts[0] < 60 * DAY_S * 1000
    # When one of them ends, the other one is processed again.
    more = [message(len(times) + i, by, 7_200_000 + (count * burst + i) * N) for i in range(150)]
    before = len(reader.chunks)
    reader.log += more
    reader.read()
    assert len(reader.chunks) - before > 50


@pytest.mark.parametrize("by", ["time_ms", "both", "arrival", "from 1970"])
def test_single_messages_with_pauses_between_them_are_all_processed(by: str) -> None:
    pauses = [0, 40_000, 95_000, 400_000, 460_000, 475_000]
    log = []
    for i, at in enumerate(pauses):
        sent = message(i, by, at)
        log.append(sent._replace(timestamp=NOW_MS + at))
    reader = Reader(log)
    reader.read()
    assert reader.refused == []
    begin = reader.chunks[0].start
    assert [chunk.start - begin for chunk in reader.chunks] == pauses[: len(reader.chunks)]
    assert len(reader.chunks) >= len(pauses) - 1


@pytest.mark.slow
@examples(100)
@given(
    st.sampled_from(COUNTS),
    st.lists(
        st.tuples(
            st.sampled_from([0, 0, 0, 0, 3000, 90_000, DAY_S * 1000, -DAY_S * 1000, -500]),
            st.booleans(),
        ),
        min_size=3,
        max_size=25,
    ),
    st.data(),
)
def test_a_restart_at_any_point_decides_the_same(
    by: str, steps: list[tuple[int, bool]], data: Any
) -> None:
    times, at = [], 5 * DAY_S * 1000
    for step, back in steps:
        times.append(at + step)
        if not back:  # a jump that stays
            at += step
        at += N
    whole = play(by, times)
    reader = Reader(whole.log)
    while reader.at < len(reader.log):
        reader.read(data.draw(st.integers(1, 4)))
        if data.draw(st.booleans()):
            reader.checkpoint()
        if data.draw(st.booleans()):
            reader.join()
    seen = dict.fromkeys(reader.positions)  # at least once, in order of the first time
    assert list(seen) == list(dict.fromkeys(whole.positions))
    assert set(reader.refused) == set(whole.refused)


def test_a_held_message_is_read_again_after_a_restart() -> None:
    log = [message(0, "from 0", 0), message(1, "from 0", 500)]
    log += [message(i, "from 0", 9_000_000 + i * N, key=b"b") for i in range(2, 5)]
    log += [message(5, "from 0", DAY_S * 1000)]
    reader = Reader(log)
    reader.read()
    reader.checkpoint()
    reader.join()  # knows "a" from its record only
    reader.log += [message(i, "from 0", 9_000_000 + i * N, key=b"b") for i in range(6, 9)]
    reader.read()
    reader.clock += 10_000  # "a" is silent for longer than it may hold the partition back
    reader.checkpoint()
    assert reader.committed <= 5
    reader.join()
    reader.chunks.clear()
    reader.log.append(message(9, "from 0", DAY_S * 1000 + N))
    reader.read()
    assert [c.start for c in reader.chunks if c.station == "a"][-2:] == [
        DAY_S * 1000,
        DAY_S * 1000 + N,
    ]


def test_a_jump_that_nothing_follows_is_a_dead_letter_in_the_end() -> None:
    reader = play("from 0", [0, 500, DAY_S * 1000])
    assert reader.refused == []
    reader.clock = 3600.0
    reader.read()
    reader.reader.tick()
    [(offset, reason)] = reader.refused
    assert offset == 2
    assert reason.startswith(
        "start_sample=86400000 is 86399 s ahead of the station's audio, and no"
    )
    for _ in range(310):  # and then the station is idle
        reader.checkpoint()
        reader.clock += 1.0
        reader.reader.tick({0})
    reader.checkpoint()
    assert reader.committed == 3
    reader.log.append(message(3, "from 0", 1000))
    reader.read()
    assert [chunk.start for chunk in reader.chunks] == [0, 500, 1000]


def test_messages_that_wait_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.kafka.checkpoint.partition_reader.MAX_PENDING_BYTES", 10_000)
    log = [message(2 * i, "from 0", 0, key=b"%d" % i) for i in range(20)]
    log += [message(40 + i, "from 0", DAY_S * 1000, key=b"%d" % i) for i in range(20)]
    log += [message(60 + i, "from 0", DAY_S * 1000 + N, key=b"%d" % i) for i in range(20)]
    reader = Reader(log)
    reader.read()
    assert len(reader.refused) == 17  # 3 have room: 1000 bytes and 2000 of samples each
    assert len(reader.chunks) == 20 + 3 + 20
    assert reader.reader._partitions.pending_bytes == 0


def test_the_place_of_a_station_is_plain_json() -> None:
    reader = play("both", [0, 500, DAY_S * 1000])
    place = reader.reader._decoder._stations["a"].timeline.state
    assert json.loads(json.dumps(place)) == list(place)


@pytest.mark.parametrize("by", ["from 0", "from 1970", "time_ms", "both"])
def test_dead_letters_that_are_sent_again_move_no_station_that_has_gone_on(by: str) -> None:
    hour = 3_600_000
    reader = play(by, [hour + i * N for i in range(4)])
    letters = [message(4 + i, by, i * N) for i in range(6)]
    reader.log += [m._replace(headers=[*m.headers, ("airsift-attempt", b"1")]) for m in letters]
    reader.log += [message(10 + i, by, hour + (4 + i) * N) for i in range(3)]
    reader.read()
    assert reader.refused == []
    align = Align(RATE, 2.0)
    out = align.push(reader.chunks)
    begin = reader.chunks[0].start
    assert [(item.start, item.end) for item in out] == [
        (begin + i * N, begin + (i + 1) * N) for i in range(7)
    ]
    assert align.counts["dropped"] == 6
