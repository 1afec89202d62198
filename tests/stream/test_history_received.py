"""Events that come as JSON: the same rows as from the events themselves, and nothing else."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.events import Segment
from stream.history.received import row_of_message
from stream.history.rows import published, row_of
from tests.stream.stored_events import events, storable

RATE = 16_000
KINDS = ("decision", "segment", "label", "match", "share", "repeat", "level", "gap", "alarm")
SEGMENT = Segment("radio", RATE, 5 * RATE, RATE, 1.8e9, "music", 0.9, final=True)
TIMES_S = st.integers(0, 3 * 86_400)


@given(events())
@pytest.mark.slow
def test_a_message_becomes_the_row_of_its_event(event):
    row = row_of_message(json.dumps(event.to_dict()).encode(), KINDS)
    assert row is not None
    assert row == row_of(event)
    assert published(row) == storable(event.to_dict())


@given(st.sampled_from([8_000, 22_050, 44_100, 48_000]), TIMES_S, st.integers(1, 10**7))
@example(8_000, 2, 4)  # of so few samples milliseconds tell no rate
@example(44_100, 0, 13)
@example(48_000, 1, 1)
def test_the_rate_is_that_by_which_samples_are_seconds(rate, start_s, length):
    event = Segment("r", start_s * rate, start_s * rate + length, rate, 1.8e9, "music", 1.0, True)
    row = row_of_message(event.to_bytes(), KINDS)
    assert row is not None
    assert row.ends_ms is not None
    assert row.starts_ms is not None
    assert abs(row.ends_ms - row.starts_ms - length * 1000 / rate) <= 2


def test_a_kind_that_is_not_stored_is_passed_over():
    assert row_of_message(SEGMENT.to_bytes(), ["match"]) is None


def test_a_kind_of_a_later_version_needs_what_all_events_have():
    fields = SEGMENT.to_dict() | {"schema": "airsift.weather/1", "id": "radio/weather/16000"}
    row = row_of_message(json.dumps(fields).encode(), [*KINDS, "weather"])
    assert row is not None
    assert (row.kind, row.start) == ("weather", RATE)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schema": "other/1"}, "schema 'other/1' is not"),
        ({"schema": None}, "schema is not a text"),
        ({"station": 5}, "station is not a text"),
        ({"id": "x" * 10_001}, "id is not a text"),
        ({"start_sample": -1}, "start_sample is not"),
        ({"start_sample": True}, "start_sample is not"),
        ({"end_sample": 2**61}, "end_sample is not"),
        ({"end_sample": 5}, "behind end_sample"),
        ({"start_s": "1.0"}, "are not numbers"),
        ({"end_s": 7.0}, "do not belong to"),
        ({"time": "2026-01-01T00:00:00"}, "time is not one"),
        ({"time": "1812-01-01T00:00:00Z"}, "between 1970 and 2199"),
        ({"time": 5}, "time is not"),
        ({"label": 3}, "label is not a text"),
        ({"score": "high"}, "score is not a number"),
        ({"score": True}, "score is not a number"),
        ({"final": 1}, "final is not true or false"),
        ({"end_sample": RATE + 400 * 86_400 * RATE, "end_s": 1.0 + 400 * 86_400}, "than a year"),
    ],
)
def test_what_is_wrong_is_named(changes, reason):
    fields = SEGMENT.to_dict() | changes
    with pytest.raises(ValueError, match=reason):
        row_of_message(json.dumps(fields).encode(), KINDS)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{",
        b"[]",
        b"5",
        b"\xff",
        b"[" * 100_000,
        b'{"schema": NaN}',
        b'"airsift.segment/1"',
    ],
)
def test_what_is_no_event_is_refused(value):
    with pytest.raises(ValueError):  # noqa: PT011 - json's own texts are among them
        row_of_message(value, KINDS)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.sampled_from(sorted(SEGMENT.to_dict())), json_values)
def test_any_value_of_a_field_is_a_row_or_refused(name, value):
    data = json.dumps(SEGMENT.to_dict() | {name: value}).encode()
    try:
        row = row_of_message(data, KINDS)
    except ValueError:
        return
    assert row is None or row.to_json()
