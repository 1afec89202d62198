"""The key and the headers of a message of the audio topic.

Key: the station's name in UTF-8. Value: the audio's bytes, nothing else. Headers, as text:

=============== ================================================================
schema          ``airsift.audio/1``
content-type    one of `CONTENT_TYPES`
rate            samples per second (needed for raw samples, else checked)
channels        interleaved channels (raw samples; 1 without)
start_sample    index of the first sample, at `rate`, from the station's sample 0
time_ms         Unix time of the first sample in milliseconds
end             ``true``: the stream ends with this message, which may be empty
traceparent     the trace it belongs to, by W3C Trace Context; also ``ce_traceparent``
tracestate      what is passed on with it; also ``ce_tracestate``
=============== ================================================================

``start_sample`` and ``time_ms`` may be missing, see `stream.kafka.codec.timeline`. docs/topics.md
describes all of this for authors of producers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airsift.errors import DecodeError
from stream.ranges import MAX_RATE, MAX_TIME_MS, MAX_TIME_S
from stream.trace_context import MAX_READ, NO_TRACE, PARENT, STATE, TraceContext, read_trace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stream.kafka.settings import WireSettings

SCHEMA = "airsift.audio/1"
CONTENT_TYPES = {
    "pcm": "audio/x-s16le",
    "f32": "audio/x-f32le",
    "flac": "audio/flac",
    "opus": "audio/ogg; codecs=opus",
    "mp3": "audio/mpeg",
}
RAW = {"audio/x-s16le": "<i2", "audio/x-f32le": "<f4"}
FILES = {
    "audio/flac": "flac",
    "audio/x-flac": "flac",
    "audio/ogg": "ogg",
    "audio/opus": "ogg",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
}
FRAMES = {"audio/mpeg": "mp3float", "audio/aac": "aac"}
KINDS = (*RAW, *FILES, *FRAMES)
_MAX_STATION = 200
_RANGES = {
    "rate": (1, MAX_RATE),
    "channels": (1, 10**3),
    "start_sample": (0, MAX_TIME_S * MAX_RATE),  # at its own rate
    "time_ms": (0, MAX_TIME_MS - 1),
}
_LISTS = (STATE, f"ce_{STATE}")  # several headers are one list
_READ = ("schema", "content-type", *_RANGES, "end")
# Spellings of the content type that need no parsing: one of them comes with nearly every message.
_KIND_OF = {kind: kind for kind in KINDS} | {CONTENT_TYPES["opus"]: "audio/ogg"}

_CUT = "airsift-truncated"
_ATTEMPT = "airsift-attempt"

Headers = list[tuple[str, bytes]]


class AudioHeaders(NamedTuple):
    """The parsed headers.

    `rate` is 0 if neither header nor default gives one; `again` is whether the message is a
    replayed dead letter; `trace` is the one that it belongs to, `NO_TRACE` where none is valid.
    """

    content_type: str
    rate: int
    channels: int
    start_sample: int | None
    time_ms: int | None
    again: bool = False
    trace: TraceContext = NO_TRACE


def read_headers(headers: Iterable[tuple[str, bytes]], limits: WireSettings) -> AudioHeaders:
    """Return a message's headers, with the configured defaults.

    Raises
    ------
    DecodeError
        A required header is missing, or a header is invalid.
    """
    texts = _texts(headers)
    if cut := texts.get(_CUT):
        raise DecodeError(
            f"header {_CUT}={cut[:80]!r}: only the beginning of a message, from the dead letters; "
            "send the whole one from where it came"
        )
    schema = texts.get("schema", SCHEMA)
    if schema != SCHEMA:
        raise DecodeError(f"header schema={schema[:40]!r}: this version reads {SCHEMA}")
    named = texts.get("content-type") or limits.default_content_type
    if not named:
        raise DecodeError(
            f"header content-type is missing: send it with each message (such as "
            f"{CONTENT_TYPES['pcm']}), or set kafka.wire.default_content_type"
        )
    kind = _KIND_OF.get(named) or _read_kind(named, texts)
    rate = _number(texts, "rate") or (limits.default_rate if kind in RAW else 0)
    channels = _number(texts, "channels") or limits.default_channels
    if kind in RAW and not rate:
        raise DecodeError(
            f"header rate is missing: {kind} needs the samples per second; send it with each "
            "message, or set kafka.wire.default_rate"
        )
    place = _number(texts, "start_sample"), _number(texts, "time_ms")
    again = _ATTEMPT in texts
    return AudioHeaders(kind, rate, channels, *place, again=again, trace=_trace(texts))


def _trace(texts: dict[str, str]) -> TraceContext:
    """Return the trace; an invalid one is ignored, as its standard says."""
    prefix = "" if texts.get(PARENT) else "ce_"
    parent = texts.get(prefix + PARENT)
    return read_trace(parent, texts.get(prefix + STATE)) if parent else NO_TRACE


def _texts(headers: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """Return headers by lower-case name; a header in use may not contradict itself."""
    texts: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        text = value.decode("utf-8", "replace").strip() if value else ""
        if lower in texts:
            _add(texts, lower, text)
        else:
            texts[lower] = text
    return texts


def _read_kind(named: str, texts: dict[str, str]) -> str:
    """Return the kind of a content type, and add its parameters to the headers."""
    kind, *parameters = (part.strip() for part in named.split(";"))
    kind = kind.lower()
    if kind not in KINDS:
        known = ", ".join(KINDS)
        raise DecodeError(f"header content-type={named[:40]!r} must be one of {known}")
    if kind in RAW:
        _add_parameters(texts, parameters)
    return kind


def _add_parameters(texts: dict[str, str], parameters: Iterable[str]) -> None:
    """Add the parameters of the ``content-type`` of raw samples, as in ``; rate=44100``."""
    for parameter in parameters:
        name, _, text = parameter.partition("=")
        if (name := name.strip().lower()) in ("rate", "channels"):
            _add(texts, name, text.strip().strip('"'))


def _add(texts: dict[str, str], name: str, text: str) -> None:
    """Add a value of `name`; of two different values, neither is known to be right."""
    before = texts.get(name)
    if before and name in _LISTS:
        if len(before) <= MAX_READ:  # else it is ignored in any case
            texts[name] = f"{before},{text}"
        return
    if before and text and before != text and name in _READ:
        raise DecodeError(
            f"header {name} is sent as {before[:40]!r} and as {text[:40]!r}: send it once"
        )
    texts[name] = text or before or ""


def _number(texts: dict[str, str], name: str) -> int | None:
    text = texts.get(name)
    if not text:
        return None
    min_, max_ = _RANGES[name]
    # int() accepts other scripts' digits, and needs minutes for a million of them.
    if (
        text.isascii()
        and text.isdigit()
        and len(text) < 20
        and min_ <= (number := int(text)) <= max_
    ):
        return number
    raise DecodeError(
        f"header {name}={text[:40]!r} must be a whole number from {min_} to {max_}, as text"
    )


class StreamEnd(NamedTuple):
    """The end of a station's stream, as a message states it.

    `start_sample` is the end at `rate`, or at the audio's own rate if that is 0.
    """

    start_sample: int | None
    rate: int


def read_end(headers: Sequence[tuple[str, bytes]]) -> StreamEnd | None:
    """Return the end of the stream that a message states; None if it states none.

    Raises
    ------
    DecodeError
        A header is invalid.
    """
    if not any(name.lower() == "end" for name, _ in headers):
        return None
    texts = _texts(headers)
    text = texts.get("end", "").lower()
    if text in ("", "false"):
        return None
    if text != "true":
        raise DecodeError(f"header end={text[:40]!r} must be true, or left out")
    return StreamEnd(_number(texts, "start_sample"), _number(texts, "rate") or 0)


def station_of(key: bytes | None) -> str:
    """Return the station in a message's key.

    Raises
    ------
    DecodeError
        There is no key, or it is not a printable name in UTF-8.
    """
    if not key:
        raise DecodeError("the message has no key: its key is the station's name")
    try:
        station = key.decode()
    except UnicodeDecodeError:
        raise DecodeError(f"key={key[:40]!r} is not UTF-8: it is the station's name") from None
    if len(station) > _MAX_STATION or not station.isprintable():
        raise DecodeError(
            f"key={station[:40]!r}: a station's name is 1 to {_MAX_STATION} printable characters"
        )
    return station
