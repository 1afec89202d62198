"""An event as a message of its topic, by the conventions that its subscribers follow.

Key: the station. Value: the event's JSON. Headers: ``schema`` and ``content-type``; those of
CloudEvents and the trace only where they are asked for. With Confluent's framing the value
begins with a zero byte and the number of its schema in a registry.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

from stream.kafka.codec.message import Message
from stream.lines import one_line
from stream.trace_context import NO_TRACE, TraceContext

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream.events import Event
    from stream.kafka.codec.headers import Headers

    # A station to the trace of its newest audio; `NO_TRACE` where there is none.
    TraceOf = Callable[[str], TraceContext]

MAX_SCHEMA_ID = 2**31 - 1
_FRAME = struct.Struct(">bI")
_JSON = ("content-type", b"application/json")
_ID_DIGITS = 16  # of a hash; an event's id is part of what it identifies already


def no_trace(station: str) -> TraceContext:
    """Return that a station's audio belongs to no trace."""
    del station
    return NO_TRACE


class EventFormat:
    """How events become messages.

    Parameters
    ----------
    cloud_source : str
        The attribute ``source`` of CloudEvents; "" for no such headers.
    schema_ids : mapping of str to int
        Number of the schema of each kind of event that is framed; the others are not.
    trace_of : callable
        Gives the trace of a station's events.
    """

    def __init__(
        self,
        cloud_source: str = "",
        schema_ids: Mapping[str, int] | None = None,
        trace_of: TraceOf = no_trace,
    ) -> None:
        self._cloud_source = cloud_source.encode()
        self._frames = {kind: _FRAME.pack(0, n) for kind, n in (schema_ids or {}).items()}
        self._trace_of = trace_of

    def encode(self, event: Event) -> Message:
        """Return an event as a message; the same bytes and headers whenever it is computed."""
        value = event.to_bytes()
        schema = f"airsift.{event.kind}/1".encode()
        headers: Headers = [("schema", schema)]
        frame = self._frames.get(event.kind)
        if frame is None:
            headers.append(_JSON)
        if self._cloud_source:
            headers += self._attributes(event, value, schema)
        if trace := self._trace_of(event.station):
            headers += trace.headers()
            if self._cloud_source:
                headers += trace.headers("ce_")
        return Message(event.station.encode(), (frame or b"") + value, headers)

    def _attributes(self, event: Event, value: bytes, schema: bytes) -> Headers:
        """Return the attributes of CloudEvents 1.0, in the Kafka binding's binary mode.

        Whoever receives two events with one source and id may drop the second. An open segment
        and its final form have one id here, so theirs there is the id and a hash of the content:
        only a repetition has the same.
        """
        digest = hashlib.sha256(value, usedforsecurity=False).hexdigest()[:_ID_DIGITS]
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_id", f"{one_line(event.id)}/{digest}".encode()),
            ("ce_source", self._cloud_source),
            ("ce_type", schema),
            ("ce_subject", one_line(event.station).encode()),
        ]
        time = event.to_dict()["time"]
        return headers if time is None else [*headers, ("ce_time", str(time).encode())]


def as_message(event: Event) -> Message:
    """Return an event as a message without any of the conventions that can be chosen."""
    return _PLAIN.encode(event)


def unframed(value: bytes | None) -> bytes:
    """Return the JSON of an event's value, without Confluent's framing if there is one."""
    if value is None or len(value) < _FRAME.size or value[0]:  # JSON begins with no zero byte
        return value or b""
    return value[_FRAME.size :]


_PLAIN = EventFormat()
