"""Traces of OpenTelemetry: what happens to a message, from its producer to the events about it.

::

    producer's span
      └── process            one for each station and step of the loop, its parent is the message's
            ├── step           the step, with a child for each stage: align, clock, ... publish
            │     └── align, clock, ..., publish, and afterwards flush and settle
            └── whoever reads an event: its `traceparent` names `process`

All stations of a step share the work of its stages. So the spans of the stages are in the trace of
the first station that is traced, and the others have a link to them.

Nothing is recorded of a message whose producer has not sampled it; events then carry its own
``traceparent`` on. Its ``tracestate`` is passed on in any case. This module alone imports
OpenTelemetry, and only who wants traces imports it.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from airsift import __version__
from stream.sources.base import audio_of
from stream.telemetry.observer import Observer
from stream.trace_context import NO_TRACE, TraceContext

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from stream.events import Event
    from stream.sources.base import SourceItem
    from stream.telemetry.settings import TracingSettings

_CLOSE_S = 1.0  # a collector that is away delays the end of a worker no longer than this
_SAMPLED = 0x01
_AFTER_THE_STEP = ("flush", "settle")


class Tracing(Observer):
    """Records spans of the loop, and gives the trace of events.

    Parameters
    ----------
    settings : TracingSettings
        Where spans go, and how many messages begin a trace.
    topic : str
        The topic of the audio, "" where it comes from elsewhere.
    group : str
        The consumer group, as `topic`.
    chance : callable
        Random numbers in [0, 1).
    """

    def __init__(
        self,
        settings: TracingSettings,
        topic: str = "",
        group: str = "",
        chance: Callable[[], float] = random.random,
    ) -> None:
        resource = Resource.create({SERVICE_NAME: "airsift", SERVICE_VERSION: __version__})
        self._provider = TracerProvider(
            sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False
        )
        exporter = OTLPSpanExporter(endpoint=settings.endpoint or None)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("airsift", __version__)
        self._ratio = settings.sample_ratio
        self._topic = topic
        self._chance = chance
        self._attributes: dict[str, str] = {}
        if topic:
            self._attributes = {
                "messaging.system": "kafka",
                "messaging.operation.type": "process",
                "messaging.destination.name": topic,
                "messaging.consumer.group.name": group,
            }
        self._step: Span | None = None
        self._last: Context | None = None  # of the last step that was traced, until it is stored
        self._stations: dict[str, Span] = {}
        self._traces: dict[str, TraceContext] = {}

    def on_step(self, items: Sequence[SourceItem]) -> None:
        """Begin the spans of the stations whose audio is traced."""
        self._traces.clear()
        messages: dict[str, list[TraceContext]] = {}
        for chunk in audio_of(items):
            messages.setdefault(chunk.station, []).append(chunk.trace)
        for station, traces in messages.items():
            parents = [_context_of(trace) for trace in dict.fromkeys(traces) if trace]
            # The newest is continued; the others are links of its span.
            parent = parents[-1] if parents else None
            newest = next((each for each in reversed(traces) if each), NO_TRACE)
            if not (parent.trace_flags.sampled if parent else self._chance() < self._ratio):
                self._traces[station] = newest
                continue
            span = self._begin_station(station, parent, parents[:-1], len(traces))
            self._stations[station] = span
            self._traces[station] = _as_context(span, newest.state)

    def _begin_station(
        self, station: str, parent: SpanContext | None, others: list[SpanContext], messages: int
    ) -> Span:
        links = [Link(each) for each in others]
        if self._step is not None:
            links.append(Link(self._step.get_span_context()))
        span = self._tracer.start_span(
            f"process {self._topic}".rstrip(),
            context=set_span_in_context(NonRecordingSpan(parent)) if parent else _NO_PARENT,
            kind=SpanKind.CONSUMER,
            links=links,
            attributes={
                **self._attributes,
                "airsift.station": station,
                "messaging.batch.message_count": messages,
            },
        )
        if self._step is None:
            self._step = self._tracer.start_span("step", context=set_span_in_context(span))
        return span

    def trace_of(self, station: str) -> TraceContext:
        """Return the trace of what is published of a station in this step, or `NO_TRACE`."""
        return self._traces.get(station, NO_TRACE)

    def sent(self, station: str) -> TraceContext:
        """Return the trace of a message that is about to be sent, or `NO_TRACE`."""
        if self._chance() >= self._ratio:
            return NO_TRACE
        span = self._tracer.start_span(
            f"send {self._topic}",
            context=_NO_PARENT,
            kind=SpanKind.PRODUCER,
            attributes={
                "messaging.system": "kafka",
                "messaging.operation.type": "send",
                "messaging.destination.name": self._topic,
                "airsift.station": station,
            },
        )
        span.end()
        return _as_context(span)

    def on_call(self, part: str, seconds: float) -> None:
        """Record a call of a stage or at an edge, which has just ended."""
        if self._step is not None:
            within: Context | None = set_span_in_context(self._step)
        else:
            within = self._last if part in _AFTER_THE_STEP else None
        if within is None:
            return
        end = time.time_ns()
        begin = end - round(seconds * 1e9)
        self._tracer.start_span(part, context=within, start_time=begin).end(end)
        if part == _AFTER_THE_STEP[-1]:
            self._last = None

    def on_batch(self, items: Sequence[SourceItem], events: Sequence[Event]) -> None:
        """End the spans of a step: all sinks have accepted its events."""
        del items
        if self._step is None:
            return
        published = dict.fromkeys(self._stations, 0)
        for event in events:
            if event.station in published:
                published[event.station] += 1
        for station, span in self._stations.items():
            span.set_attribute("airsift.events", published[station])
            span.end()
        self._step.set_attribute("airsift.events", len(events))
        self._step.end()
        self._last = set_span_in_context(self._step)
        self._step = None
        self._stations.clear()

    def export(self) -> None:
        """Send what has been recorded; wait until the collector has it, or is away."""
        self._provider.force_flush()

    def close(self) -> None:
        """Send what has been recorded, as far as the collector takes it in time, and end."""
        ending = threading.Thread(target=self._provider.shutdown, name="tracing", daemon=True)
        ending.start()
        ending.join(_CLOSE_S)


_NO_PARENT: Context = set_span_in_context(NonRecordingSpan(SpanContext(0, 0, is_remote=False)))


def traceparent_of(span: SpanContext) -> str:
    """Return a span as the value of the header ``traceparent``."""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{int(span.trace_flags):02x}"


def _as_context(span: Span, state: str = "") -> TraceContext:
    return TraceContext(traceparent_of(span.get_span_context()), state)


def _context_of(trace: TraceContext) -> SpanContext:
    """Return the span that a valid trace names."""
    _, trace_id, span_id, flags = trace.parent.split("-")
    return SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(flags, 16) & _SAMPLED),
        trace_state=TraceState.from_header([trace.state]) if trace.state else None,
    )
