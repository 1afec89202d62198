"""Streams that end: by an end message, or because no audio arrives any more."""

from __future__ import annotations

import numpy as np
import pytest

from stream.audio import AudioChunk
from stream.events import Gap
from stream.kafka.codec.message import Message, encode, encode_end
from tests.stream.reader import Group
from tests.stream.restarts import RATE, chunks, finals, make

END = [("end", b"true")]


def play(group, seconds=30, first=0, station="a", rate=RATE, seed=0, codec="f32"):
    """Send a programme whose producer counts from `first`."""
    for chunk in chunks(rate, seconds, 0.5, station, seed):
        moved = AudioChunk(station, first + chunk.start, chunk.samples, rate)
        group.send(encode(moved, codec))


def ended(seconds=30, seed=0):
    """Return the final events of a programme that ends."""
    log = [AudioChunk("a", c.start, c.samples, RATE) for c in chunks(RATE, seconds, 0.5, seed=seed)]
    return finals(make().push(log, last=True))


def read_all(group):
    while group.next < len(group.log):
        group.read(7)
        group.checkpoint()
    group.checkpoint()


@pytest.mark.parametrize("value", [b"", None])
@pytest.mark.parametrize(
    "headers", [END, [("END", b" True ")], [*END, ("start_sample", b"480000")]]
)
def test_a_message_without_audio_ends_its_station(value, headers):
    group = Group()
    play(group)
    group.send(Message(b"a", value, headers))
    read_all(group)
    assert group.finals == ended()
    assert group.refused == []
    assert group.committed == len(group.log)
    assert group.records["a"].snapshot.to_json()["smooth"] is None
    assert group.reader.counts["ends"] == 1


def test_the_last_message_with_audio_may_mark_the_end():
    group = Group()
    play(group)
    _, message = group.log[-1]
    group.log[-1] = -1, message._replace(headers=[*message.headers, *END])
    read_all(group)
    assert group.finals == ended()


def test_an_end_that_comes_again_or_late_changes_nothing():
    group = Group()
    play(group)
    first_end = encode_end("a", 30 * RATE, RATE)
    for _ in range(3):
        group.send(first_end)
    play(group, first=100 * RATE, seed=1)
    group.send(first_end)  # of the stream before
    group.send(encode_end("a", 130 * RATE - RATE // 20, RATE))  # not to the sample
    read_all(group)
    assert group.reader.counts["ends"] == 2
    assert len([e for e in group.events if isinstance(e, Gap)]) == 1
    later = {name for name in group.finals if int(name.split("/")[2]) >= 100 * RATE}
    assert len(later) == len(ended(seed=1))


@pytest.mark.parametrize("message", [Message(b"x", b"", END), encode_end("x", 5, RATE)])
def test_the_end_of_an_unknown_station_leaves_nothing(message):
    group = Group(max_stations=1)
    play(group, 6)
    group.send(message)
    group.send(Message(b"y", None, END))
    read_all(group)
    assert group.records.keys() == {"a"}
    assert group.refused == []
    for stage in (
        group.reader._decoder._stations,
        group.reader._partitions[0].stations,
        group.pipeline.sessions,
    ):
        assert not {"x", "y", (0, "x"), (0, "y")} & set(stage)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [([("end", b"maybe")], "header end='maybe' must be true"),
     ([*END, ("start_sample", b"-1")], "header start_sample"),
     ([("end", b"false")], "no value"), ([], "no value")],
)  # fmt: skip
def test_what_is_no_end_is_a_dead_letter(headers, reason):
    group = Group()
    group.send(Message(b"a", b"", headers))
    group.read()
    assert len(group.refused) == 1
    assert reason in group.refused[0]


@pytest.mark.slow
@pytest.mark.parametrize("rate", [RATE, 44100, 48000])
@pytest.mark.parametrize("seconds", [1, 12, 31])
def test_a_producer_that_counts_from_0_again_continues_after_its_end(rate, seconds):
    group = Group()
    for seed in range(3):
        play(group, seconds, rate=rate, seed=seed)
        group.send(encode_end("a", seconds * rate, rate))
    read_all(group)
    kinds = ("decision", "segment")
    ids = [e.id for e in group.events if e.kind in kinds and getattr(e, "final", True)]
    assert len(ids) == len(set(ids)) == sum(f"/{k}/" in i for i in group.finals for k in kinds)
    gaps = [(e.start, e.end, e.reason) for e in group.events if isinstance(e, Gap)]
    assert [reason for *_, reason in gaps] == ["the stream had ended"] * 2
    assert all(0 < end - start <= RATE and end % RATE == 0 for start, end, _ in gaps)
    alone = [name for seed in range(3) for name in _alone(seconds, rate, seed)]
    assert len(ids) == sum(f"/{k}/" in name for name in alone for k in kinds)


def _alone(seconds, rate, seed):
    log = chunks(rate, seconds, 0.5, seed=seed)
    return finals(make().push(log, last=True))


def test_a_message_that_comes_late_or_again_after_the_end_begins_nothing():
    group = Group()
    play(group, 30)
    again = group.log[-3][1]
    group.send(encode_end("a", 30 * RATE, RATE))
    group.send(again)
    group.send(again)
    read_all(group)
    assert group.finals == ended()
    assert group.committed == len(group.log)
    play(group, 12, seed=1)
    read_all(group)
    assert any(e.start >= 31 * RATE for e in group.events)


@pytest.mark.parametrize("before", [0, 5, 30])
def test_who_is_silent_is_ended_as_by_a_message(before):
    group = Group(idle_s=20.0)
    play(group)
    read_all(group)
    for _ in range(before):
        group.turn()
    group.start()
    read_all(group)
    group.wait(30)
    assert group.finals == ended()
    assert group.committed == len(group.log)
    assert group.records["a"].snapshot.to_json()["smooth"] is None
    play(group, first=90 * RATE, seed=1)
    read_all(group)
    [gap] = [e for e in group.events if isinstance(e, Gap)]
    assert (gap.start, gap.end, gap.reason) == (30 * RATE, 90 * RATE, "missing")


def test_who_has_messages_waiting_is_not_silent():
    group = Group(idle_s=20.0)
    play(group)
    group.read(20)
    group.checkpoint()
    group.wait(60)
    assert group.reader.counts["ends"] == 0
    read_all(group)
    group.wait(10)
    assert group.reader.counts["ends"] == 0


def test_a_station_that_never_returns_is_forgotten_and_read_no_more():
    group = Group(idle_s=20.0, forget_s=60.0)
    play(group)
    read_all(group)
    group.wait(40)
    assert group.records["a"].count.over == "idle"
    group.start()
    group.wait(50)
    assert group.records == {}
    assert group.pipeline.sessions == {}
    group.start()
    assert (group.resumed, group.next) == ({}, len(group.log))
    play(group, first=700 * RATE)
    read_all(group)
    assert group.events[-1].start >= 700 * RATE


def test_a_record_that_skips_what_is_not_there_is_found_out():
    """The topic was deleted and made anew; its offsets begin again."""
    group = Group()
    play(group, 12)
    read_all(group)
    group.log.clear()
    group.committed = 0
    group.start()
    group.wait(8)
    assert group.reader.counts["damaged_records"] == 1
    play(group, 12, first=60 * RATE)
    read_all(group)
    assert any(e.start >= 60 * RATE for e in group.events if e.kind == "decision")


def test_audio_after_an_end_in_the_same_batch_is_processed():
    group = Group()
    play(group, 12)
    group.send(encode_end("a", 12 * RATE, RATE))
    play(group, 12, seed=1)
    group.send(encode_end("a", 12 * RATE, RATE))
    group.read()
    whole = {name for name in group.finals if "decision" in name}
    assert len(whole) == 2 * len([n for n in ended(12) if "decision" in n])
    assert np.all([e.time is None for e in group.events])


@pytest.mark.parametrize("spoilt", ["before the end", "after the end", "both"])
@pytest.mark.parametrize("end", ["sent", "idle"])
def test_the_reason_of_a_gap_after_an_end_is_the_end_over_restarts(spoilt, end):
    reasons = []
    for restarts in (False, True):
        group = Group(idle_s=20.0)
        play(group, seconds=6)
        bad = group.log[-1][1]._replace(value=b"odd")
        if spoilt != "after the end":
            group.send(bad)
        group.read()
        group.checkpoint()
        if end == "sent":
            group.send(Message(b"a", b"", END))
        else:
            group.wait(25)
        if spoilt != "before the end":
            group.send(bad)
        group.read()
        group.checkpoint()
        if restarts:
            group.start()
        play(group, seconds=6, first=100 * RATE)
        read_all(group)
        [gap] = [event for event in group.events if isinstance(event, Gap)]
        reasons.append(gap.reason)
    assert reasons == [{"sent": "the stream had ended", "idle": "missing"}[end]] * 2
