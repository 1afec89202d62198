"""The conventions of messages: CloudEvents, Confluent's framing, traceparent."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.events import Decision, Gap, Match, Segment
from stream.kafka.codec.event_message import EventFormat, as_message, unframed
from stream.kafka.settings import KafkaSettings, MessageSettings, RegistrySettings
from stream.trace_context import NO_TRACE, TraceContext

RATE = 16000
EVENTS = [
    Decision("ö b", 0, 80000, RATE, 1.7e9, 0.95, 1.0),
    Segment("a", 0, RATE, RATE, None, "speech", 0.9, final=True),
    Match("a", 0, 9, RATE, 0.0, "key\n", "Title", "Ärtist", 1, 2.0, final=False),
    Gap("a", 0, 1, RATE, None, "missing"),
]
TRACE = TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "desk=1,b@c=2")
by_kind = pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)


@by_kind
def test_without_a_convention_a_message_is_the_json_and_its_schema(event):
    assert EventFormat().encode(event) == as_message(event)
    key, value, headers = as_message(event)
    assert (key, value) == (event.station.encode(), event.to_bytes())
    schema = f"airsift.{event.kind}/1".encode()
    assert headers == [("schema", schema), ("content-type", b"application/json")]


@by_kind
def test_cloudevents_has_the_attributes_of_its_specification(event):
    key, value, headers = EventFormat("urn:airsift:test").encode(event)
    fields = {name: text.decode() for name, text in headers}
    assert len(fields) == len(headers)
    assert (key, value) == as_message(event)[:2]
    assert fields["ce_specversion"] == "1.0"
    assert fields["ce_source"] == "urn:airsift:test"
    assert fields["ce_type"] == event.to_dict()["schema"]
    assert fields["ce_subject"] == event.station
    assert fields.get("ce_time") == event.to_dict()["time"]
    assert fields["content-type"] == "application/json"
    assert all(text.isprintable() and text for text in fields.values())


@by_kind
def test_a_library_of_cloudevents_reads_it(event):
    bindings = pytest.importorskip("cloudevents.core.bindings.kafka")
    key, value, headers = EventFormat("urn:airsift:test").encode(event)
    message = bindings.KafkaMessage(headers=dict(headers), key=key, value=value)
    read = bindings.from_binary_event(message)
    assert read.get_data() == event.to_dict()
    assert read.get_subject() == event.station
    assert read.get_type() == event.to_dict()["schema"]


SEGMENTS = st.builds(
    Segment,
    st.sampled_from("ab"),
    st.integers(0, 2),
    st.integers(3, 5),
    st.just(RATE),
    st.none(),
    st.sampled_from(["speech", "music"]),
    st.sampled_from([0.5, 0.9]),
    st.booleans(),
)


@given(SEGMENTS, SEGMENTS)
def test_two_events_have_one_id_of_cloudevents_if_they_are_the_same(first, second):
    form = EventFormat("airsift")
    ids = [dict(form.encode(event).headers)["ce_id"] for event in (first, second)]
    assert (ids[0] == ids[1]) == (first.to_bytes() == second.to_bytes())


@given(st.integers(0, 2**31 - 1), st.sampled_from(EVENTS))
def test_what_is_framed_is_a_zero_byte_the_schema_and_the_json(number, event):
    _, value, headers = EventFormat("", {event.kind: number}).encode(event)
    assert value[0] == 0
    assert int.from_bytes(value[1:5], "big") == number
    assert unframed(value) == value[5:] == event.to_bytes()
    assert headers == [("schema", f"airsift.{event.kind}/1".encode())]
    assert unframed(event.to_bytes()) == event.to_bytes()


def test_what_is_no_event_is_not_unframed():
    assert unframed(None) == b""
    assert unframed(b"\0ab") == b"\0ab"


@pytest.mark.parametrize("source", ["", "airsift"])
def test_an_event_has_the_trace_of_its_station(source):
    form = EventFormat(source, trace_of=lambda station: TRACE if station == "a" else NO_TRACE)
    headers = dict(form.encode(EVENTS[1]).headers)
    assert headers["traceparent"].decode() == TRACE.parent
    assert headers["tracestate"].decode() == TRACE.state
    assert headers.get("ce_traceparent") == (TRACE.parent.encode() if source else None)
    assert headers.get("ce_tracestate") == (TRACE.state.encode() if source else None)
    assert "traceparent" not in dict(form.encode(EVENTS[0]).headers)
    assert json.loads(form.encode(EVENTS[1]).value) == EVENTS[1].to_dict()


def test_conventions_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="the value is the JSON alone"):
        MessageSettings.default(headers="cloudevents", framing="confluent")
    with pytest.raises(ValueError, match=r"set registry\.url"):
        KafkaSettings.default(messages=MessageSettings.default(framing="confluent"))
    with pytest.raises(ValueError, match="url"):
        RegistrySettings.default(url="http://name:secret@registry")
