from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airsift.errors import BrokerError
from stream.kafka.frame_stream import NEW, Entry
from stream.kafka.position import Place
from stream.kafka.saved import Saved, as_record, read_record


def written(group, saved):
    message = as_record(group, 3, saved)
    return SimpleNamespace(
        topic="state", partition=3, offset=9, key=message.key, value=message.value
    )


HELD = Place(5, 8000, 17.5, 12, held=1, held_rate=8000)
records = st.builds(
    Saved,
    station=st.text(min_size=1, max_size=8),
    kafka_offset=st.integers(0, 2**60),
    start=st.integers(0, 2**60),
    rate=st.integers(1, 192000),
    snapshot=st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    place=st.sampled_from(
        [Place(), Place(1, 16000), Place(5, 8000, 17.5, 12, held=1, held_rate=8000)]
    ),
    entry=st.sampled_from([NEW, Entry(0, 0, 3, 1 << 20), Entry(417, 1152, 10**6, None, "//E=")]),
    silent_s=st.integers(0, 10**7).map(lambda tenths: tenths / 10),
)


@settings(max_examples=50, deadline=None)
@given(records, st.text(min_size=1, max_size=5))
def test_a_record_says_what_was_saved(saved, group):
    assert read_record(group, written(group, saved)) == saved


@pytest.mark.parametrize("station", ["a", "a/b", "drei 3 é"])
def test_a_record_without_a_value_says_that_nothing_is_known(station):
    record = written("us", Saved.nothing(station))
    assert record.value is None
    assert read_record("us", record) == Saved.nothing(station)
    assert read_record("u", record) is None


def test_a_group_named_like_the_beginning_of_anothers_key_reads_none_of_its_records():
    assert read_record("us", written("us/too", Saved("a", 0, 0, 16000, {}))) is None


def test_a_record_of_before_silence_was_counted_is_read():
    record = written("us", Saved("a", 0, 0, 16000, {}))
    record.value = record.value.replace(b'"silent_s":0.0,', b"")
    assert read_record("us", record).silent_s == 0.0


def test_what_is_no_record_is_named():
    record = SimpleNamespace(topic="state", partition=1, offset=7, key=b"us/a", value=b"{}")
    with pytest.raises(BrokerError, match="topic state partition 1 kafka_offset 7 is no snapshot"):
        read_record("us", record)
