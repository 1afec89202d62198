from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.checkpoint.record import StationRecord, StreamCount, as_record, read_record
from stream.kafka.client.state_topic import StateTopic
from stream.kafka.codec.frame_stream import NEW_STREAM, FrameEntry
from stream.kafka.codec.timeline import TimelineState
from stream.kafka.settings import KafkaSettings
from stream.snapshot import StoredSnapshot
from tests.examples import examples
from tests.stream.damaged_json import change, places, replacement
from tests.stream.doubles import snapshot


def written(group, saved):
    message = as_record(group, 3, saved)
    return SimpleNamespace(
        topic="state", partition=3, offset=9, key=message.key, value=message.value
    )


samples = st.integers(0, 2**60)
records = st.builds(
    lambda read_to, before, oldest, **values: StationRecord(
        kafka_offset=read_to - before, read_to=read_to, snapshot=snapshot(oldest), **values
    ),
    station=st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),
    read_to=st.integers(1000, 2**60),
    before=st.integers(0, 1000),
    oldest=samples,
    start=samples,
    rate=st.integers(0, 192000),
    timeline=st.sampled_from(
        [
            TimelineState(),
            TimelineState(1, 16000),
            TimelineState(5, 8000, 17.5, 12, pending=1, pending_rate=8000),
        ]
    ),
    entry=st.sampled_from(
        [NEW_STREAM, FrameEntry(0, 0, 3, 1 << 20), FrameEntry(417, 1152, 10**6, None, "//E=")]
    ),
    silent_s=st.integers(0, 10**7).map(lambda tenths: tenths / 10),
    count=st.builds(StreamCount, samples, samples, st.sampled_from(["", "sent", "idle"])),
)


@pytest.mark.slow
@examples(50)
@given(records, st.text(st.characters(codec="utf-8"), min_size=1, max_size=5))
def test_a_record_holds_the_saved_values(saved, group):
    assert read_record(group, written(group, saved)) == saved


@pytest.mark.parametrize("station", ["a", "a/b", "drei 3 é"])
def test_a_record_without_a_value_is_empty(station):
    record = written("us", StationRecord.tombstone(station))
    assert record.value is None
    assert read_record("us", record) == StationRecord.tombstone(station)
    assert read_record("u", record) is None


@pytest.mark.parametrize(
    ("group", "station", "other"),
    [
        ("us", "too/a", "us/too"),
        ("us/too", "a", "us"),
        ("us/%2F", "a", "us//"),
        ("a%2Fb", "", "a/b"),
    ],
)
def test_a_group_named_like_the_beginning_of_anothers_key_reads_none_of_its_records(
    group, station, other
):
    for forgotten in (False, True):
        saved = StationRecord(station or "c", 0, 0, 16000, None if forgotten else snapshot(0))
        assert read_record(other, written(group, saved)) is None
        assert read_record(group, written(group, saved)).station == saved.station


names = st.text(st.sampled_from("a/%2F"), min_size=1, max_size=6)


@given(names, names, names, names)
def test_no_two_groups_and_stations_share_a_key(group, station, other, another):
    keys = {
        as_record(g, 0, StationRecord.tombstone(s)).key
        for g, s in ((group, station), (other, another))
    }
    assert len(keys) == len({(group, station), (other, another)})


REAL = StationRecord(
    "a", 5, 100, 16000, snapshot(100), TimelineState(5, 8000, 17.5, 12), 3.5, 9, StreamCount(7, 90)
)


def damaged(value, caplog, key=b"us/a"):
    """Return the result of reading an invalid value; it is logged in one line."""
    caplog.clear()
    record = written("us", REAL)
    record.key, record.value = key, value
    saved = read_record("us", record)
    assert len(caplog.records) == (saved is not None and saved.damaged)
    return saved


NUMBERS = [b"-1", b"1.5", b"1e999", b"NaN", b"-Infinity", b"true", b"null", b'"5"', b"1" * 5000]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    "field", ["kafka_offset", "read_to", "start_sample", "rate", "silent_s", "partition", "oldest"]
)
def test_a_damaged_number_is_no_record(caplog, field, number):
    value = json.loads(written("us", REAL).value)
    inner = value["snapshot"] if field == "oldest" else value
    inner[field] = "HERE"
    text = json.dumps(value).encode().replace(b'"HERE"', number)
    if (field, number) in {("silent_s", b"1.5"), ("start_sample", b"-1")}:
        assert not damaged(text, caplog).damaged
    else:
        assert damaged(text, caplog) == StationRecord.tombstone("a", damaged=True)


@pytest.mark.parametrize(
    "value",
    [b"", b"{}", b"[]", b"7", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000,
     b'{"schema": "airsift.state/1"}', b'{"schema": "\\ud800"}', written("us", REAL).value[:-1],
     written("us", REAL).value.replace(b"state/2", b"state/99"),
     written("us", REAL).value.replace(b'"version":1', b'"version":2'),
     written("us", REAL).value.replace(b'"station":"a"', b'"station":"b"')],
    ids=range(14),
)  # fmt: skip
def test_what_is_no_record_costs_its_station_what_it_knew(caplog, value):
    assert damaged(value, caplog) == StationRecord.tombstone("a", damaged=True)
    assert "its record in topic state is damaged" in caplog.text


@pytest.mark.slow
@examples(300)
@given(st.data())
def test_damaged_records_are_read_whole_or_not_at_all(data):
    value = json.loads(written("us", REAL).value)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(value)))
        value = change(value, path, replacement(data))
    text = json.dumps(value).encode()
    if data.draw(st.booleans()):
        text = text[: data.draw(st.integers(0, len(text)))]
    if data.draw(st.booleans()):
        at, junk = data.draw(st.integers(0, len(text))), data.draw(st.binary(max_size=3))
        text = text[:at] + junk + text[at + len(junk) :]
    record = written("us", REAL)
    record.value = text
    saved = read_record("us", record)
    assert saved.station == "a"
    if not saved.damaged:
        assert StoredSnapshot.of_json(saved.snapshot.to_json()) == saved.snapshot
        assert read_record("us", written("us", saved)) == saved


def test_others_records_are_read_as_before():
    good, bad = (
        written("us", StationRecord("b", 1, 0, 8000, snapshot(3), read_to=4)),
        written("us", REAL),
    )
    bad.value = bad.value[:40]
    log = StateTopic(KafkaSettings.default(group="us"), None, lambda: None)
    found = {}
    for record in (written("us", REAL), good, bad):
        log._add(record, found)
    assert found.keys() == {"b"}
    assert (log.pop_damaged(), log.pop_damaged()) == (1, 0)
