"""Traces: from a producer's span over the stages to the events, received by a collector."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift import config
from airsift.connect import open_tracing
from airsift.errors import ConfigError
from stream.audio import AudioChunk
from stream.kafka.codec.headers import read_headers
from stream.kafka.settings import WireSettings
from stream.pipeline import Pipeline
from stream.runner import Stop, run_source
from stream.telemetry.metrics import STAGES
from stream.testing import ListSink, ListSource, programme
from stream.trace_context import NO_TRACE, TRACEPARENT, TraceContext
from tests.stream.collector import attributes, collecting
from tests.stream.doubles import SMOOTH
from tests.stream.networks import FRONT_END

RATE = 16000
IDS = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = TraceContext(f"00-{IDS[0]}-{IDS[1]}-01", "desk=a,other@desk=b")
UNSAMPLED = TraceContext(f"00-{IDS[0]}-{IDS[1]}-00", "desk=c")
pytest.importorskip("opentelemetry.proto")


@contextmanager
def tracing(endpoint, ratio=0.0):
    settings = config.load(
        sets=[
            "tracing.enabled=true",
            f"tracing.endpoint={endpoint}",
            f"tracing.sample_ratio={ratio}",
        ],
        environ={},
    ).config
    with open_tracing(settings, "airsift.audio") as opened:
        yield opened


class TracedSink(ListSink):
    """Notes what a broker would be sent as trace, when it would be sent."""

    def __init__(self, traced):
        super().__init__()
        self.traced, self.sent = traced, []

    def write(self, events):
        super().write(events)
        self.sent += [(event.station, self.traced.trace_of(event.station)) for event in events]


def run(classifier, batches, traced):
    sink = TracedSink(traced)
    pipeline = Pipeline(FRONT_END, classifier, SMOOTH)
    run_source(
        ListSource(batches), pipeline, [sink], checkpoint_s=1e-9, stop=Stop(), observer=traced
    )
    return sink


def chunk(station, trace=NO_TRACE, seconds=8, start=0):
    return AudioChunk(station, start * RATE, programme(seconds), RATE, trace=trace)


def test_a_producers_trace_goes_over_the_stages_to_the_events(classifier):
    with collecting() as spans:
        with tracing(spans.endpoint) as traced:
            sink = run(classifier, [[chunk("a", SAMPLED), chunk("b")]], traced)
        [process] = spans.named("process airsift.audio")
        assert (process.trace_id.hex(), process.parent_span_id.hex()) == IDS
        assert attributes(process)["airsift.station"] == "a"
        assert attributes(process)["messaging.destination.name"] == "airsift.audio"
        [step] = spans.named("step")
        assert step.parent_span_id == process.span_id
        stages = [span for span in spans if span.parent_span_id == step.span_id]
        ran = {span.name for span in stages}
        assert {"align", "resample", "columns", "classify", "smooth", "publish"} <= ran
        assert ran <= {*STAGES, "publish", "flush", "settle"}
        assert all(span.trace_id == process.trace_id for span in (step, *stages))
        for span in stages:
            assert step.start_time_unix_nano <= span.end_time_unix_nano
            assert span.start_time_unix_nano <= span.end_time_unix_nano
        ours = f"00-{process.trace_id.hex()}-{process.span_id.hex()}-01", SAMPLED.state
        assert process.trace_state == SAMPLED.state
        first = next(trace for station, trace in sink.sent if station == "a")
        assert first == ours
        assert {trace for station, trace in sink.sent if station == "b"} == {NO_TRACE}


def test_what_the_producer_did_not_sample_is_passed_on_and_not_recorded(classifier):
    with collecting() as spans:
        with tracing(spans.endpoint, ratio=1.0) as traced:
            sink = run(classifier, [[chunk("a", UNSAMPLED)]], traced)
        assert {trace for _, trace in sink.sent} == {UNSAMPLED}
        assert not spans


def test_several_messages_and_stations_of_a_step_are_linked(classifier):
    other = TraceContext(f"00-{'1' * 32}-{'2' * 16}-01")
    with collecting() as spans:
        with tracing(spans.endpoint) as traced:
            batch = [chunk("a", other, 2), chunk("a", SAMPLED, 2, start=2), chunk("b", other, 2)]
            run(classifier, [batch], traced)
        found = {attributes(s)["airsift.station"]: s for s in spans.named("process airsift.audio")}
        assert (found["a"].trace_id.hex(), found["a"].parent_span_id.hex()) == IDS
        assert attributes(found["a"])["messaging.batch.message_count"] == 2
        [step] = spans.named("step")
        assert [link.span_id.hex() for link in found["a"].links] == ["2" * 16]
        assert [link.span_id for link in found["b"].links] == [step.span_id]


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_messages_without_a_trace_begin_one_by_chance(classifier, ratio):
    with collecting() as spans:
        with tracing(spans.endpoint, ratio) as traced:
            sink = run(classifier, [[chunk("a")], [chunk("a", start=8)]], traced)
            sent = traced.sent("a")
        assert len(spans.named("process airsift.audio")) == 2 * ratio
        assert len(spans.named("send airsift.audio")) == ratio
        assert bool(TRACEPARENT.fullmatch(sent.parent)) == bool(ratio)
        assert all(bool(trace) == bool(ratio) for _, trace in sink.sent)


def test_being_traced_changes_no_event(classifier):
    batches = [[chunk("a", SAMPLED, 30)]]
    plain = ListSink()
    pipeline = Pipeline(FRONT_END, classifier, SMOOTH)
    run_source(ListSource(batches), pipeline, [plain], checkpoint_s=1e-9, stop=Stop())
    with collecting() as spans, tracing(spans.endpoint) as traced:
        assert run(classifier, batches, traced).events == plain.events


def test_a_collector_that_is_away_delays_no_end(classifier):
    from time import monotonic

    with tracing("http://127.0.0.1:9/v1/traces") as traced:
        run(classifier, [[chunk("a", SAMPLED)]], traced)
        began = monotonic()
    assert monotonic() - began < 5


HEX = st.text("0123456789abcdefABC-", max_size=40)


@given(
    st.one_of(
        st.just(SAMPLED.parent),
        st.text(max_size=60),
        st.builds("00-{}-{}-{}".format, HEX, HEX, HEX),
    )
)
def test_a_traceparent_is_valid_or_ignored(text):
    headers = [("content-type", b"audio/flac"), ("traceparent", text.encode("utf-8", "replace"))]
    trace = read_headers(headers, WireSettings.default()).trace
    assert trace == (text.strip() if TRACEPARENT.fullmatch(text.strip()) else "", "")


def test_the_header_of_cloudevents_is_read_too():
    headers = [("content-type", b"audio/flac"), *SAMPLED.headers("ce_")]
    assert read_headers(headers, WireSettings.default()).trace == SAMPLED


@pytest.mark.process
def test_nothing_of_opentelemetry_is_imported_unless_it_is_wanted():
    program = (
        "import sys, airsift.cli.run, airsift.cli.worker, airsift.connect, "
        "stream.kafka.client.sink, stream.kafka.faust.worker, stream.telemetry.telemetry; "
        "from airsift import config; "
        "off = airsift.connect.open_tracing(config.load(environ={}).config); off.__enter__(); "
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not [name for name in done.stdout.split() if name.startswith("opentelemetry")]


def test_without_its_libraries_tracing_says_what_to_install(monkeypatch):
    monkeypatch.setattr("airsift.connect.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"airsift\[tracing\]"), tracing("http://127.0.0.1:9"):
        pass


def test_samples_of_an_empty_step_are_no_trace(classifier):
    nothing = AudioChunk("a", 0, np.zeros(0, np.float32), RATE, ends="sent", trace=SAMPLED)
    with collecting() as spans:
        with tracing(spans.endpoint) as traced:
            run(classifier, [[], [nothing], []], traced)
        assert len(spans.named("process airsift.audio")) == 1
