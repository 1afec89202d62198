"""Encode a chunk of a station as a message of the audio topic, and decode it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from airsift.errors import DecodeError
from stream.audio import AudioChunk, rescale
from stream.kafka.codec.decode import FileDecoder
from stream.kafka.codec.encode import encode_file
from stream.kafka.codec.frame_stream import NEW_STREAM, DecodedFrames, FrameEntry, FrameStream
from stream.kafka.codec.headers import (
    CONTENT_TYPES,
    FILES,
    FRAMES,
    RAW,
    SCHEMA,
    AudioHeaders,
    Headers,
    read_headers,
    station_of,
)
from stream.kafka.codec.mp3_file import Mp3File, read_mp3_file
from stream.kafka.codec.sample_count import TimelineRules, TimestampHint
from stream.kafka.codec.samples import Decoded, check_length, check_shape, of_channels
from stream.kafka.codec.timeline import UNKNOWN, Placement, Timeline, TimelineState, Verdict
from stream.ranges import is_time_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.kafka.settings import WireSettings

CODECS = tuple(CONTENT_TYPES)
_END_SLACK_S = 0.1  # error of a stream's end, from producers that resample or pad
_S16 = CONTENT_TYPES["pcm"]
_LOUDEST = 100.0  # 40 dB over full scale: bytes of another format
_SHORTEST_MP3 = 1152  # one frame; LAME's header cannot state a shorter length
_OPUS_RATE, _OPUS_RATES = 48_000, (8_000, 12_000, 16_000, 24_000, 48_000)
_MP3_DELAY, _MP3_TAIL = 1105, 48  # nor where fewer samples than the tail are left of a frame


class Message(NamedTuple):
    """The key, value and headers of a Kafka message."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def encode(chunk: AudioChunk, codec: str = "pcm", bit_rate: int = 64_000) -> Message:
    """Return a chunk as one self-contained message.

    Parameters
    ----------
    chunk : AudioChunk
        At least one sample; beyond +-1 it is clipped by all codecs but ``f32``.
    codec : {"pcm", "f32", "flac", "opus", "mp3"}
        How the samples are written. ``f32`` is lossless, ``pcm`` and ``flac`` have 16 bits.
        Lengths that ``mp3`` cannot represent, such as less than one frame, are written as ``pcm``.
    bit_rate : int > 0
        Bits per second of ``opus`` and ``mp3``.

    Raises
    ------
    DecodeError
        The codec does not support the chunk's rate.
    """
    samples = np.nan_to_num(chunk.samples, nan=0.0, posinf=1.0, neginf=-1.0)
    if codec == "mp3" and not _mp3_keeps(len(samples), chunk.rate):
        codec = "pcm"
    if codec == "pcm":
        value = np.rint(np.clip(samples * 32768.0, -32768, 32767)).astype("<i2").tobytes()
    elif codec == "f32":
        value = samples.astype("<f4").tobytes()
    else:
        value = encode_file(samples, chunk.rate, codec, bit_rate)
    headers = {
        "schema": SCHEMA,
        "content-type": CONTENT_TYPES[codec],
        "rate": str(chunk.rate),
        "channels": "1",
        "start_sample": str(chunk.start),
    }
    if chunk.time is not None:
        headers["time_ms"] = str(round(chunk.time * 1000))
    return Message(
        chunk.station.encode(), value, [(name, text.encode()) for name, text in headers.items()]
    )


def encode_end(station: str, start: int, rate: int) -> Message:
    """Return the message that ends a station's stream at a sample."""
    headers = {"schema": SCHEMA, "end": "true", "rate": str(rate), "start_sample": str(start)}
    # Not null: in a compacted topic that would be a tombstone.
    return Message(station.encode(), b"", [(name, text.encode()) for name, text in headers.items()])


def _mp3_keeps(n: int, rate: int) -> bool:
    frame = 1152 if rate >= 32_000 else 576
    return n >= _SHORTEST_MP3 and (n + _MP3_DELAY) % frame <= frame - _MP3_TAIL


class ResumePoint(NamedTuple):
    """A message at which decoding can begin, and the state that this needs.

    Parameters
    ----------
    kafka_offset : int
        Its offset in the partition.
    start, rate : int
        First sample that is decoded then, and its rate.
    timeline : TimelineState
        The station's timeline before the message.
    entry : FrameEntry
        How its frames begin, if it belongs to a stream of frames.
    """

    kafka_offset: int
    start: int
    rate: int
    timeline: TimelineState = UNKNOWN
    entry: FrameEntry = NEW_STREAM


class DecodedMessage(NamedTuple):
    """The result of decoding a message.

    Parameters
    ----------
    chunk : AudioChunk
        Its audio; empty if no frame ends in it.
    begin : ResumePoint
        Where decoding begins to get the same samples of this message and all later ones.
    placement : Placement
        Its position, and whether that is accepted or pending.
    """

    chunk: AudioChunk
    begin: ResumePoint
    placement: Placement


@dataclass(slots=True)
class _Frames:
    """The frames of one sample count of a station, from message to message."""

    stream: FrameStream | None = None
    waiting: TimestampHint | None = (
        None  # of the message that a stream began with, until a frame ends
    )
    begins: deque[ResumePoint] = field(default_factory=deque)
    partition: int = 0  # of `begins`

    def begin(self, pushed: DecodedFrames, here: ResumePoint, partition: int) -> ResumePoint:
        """Return where decoding must begin to get the same samples; `here` is this message."""
        entry, begins = pushed.entry, self.begins
        if (
            self.partition != partition
        ):  # the station has moved: decoding begins at or after this message
            self.partition = partition
            begins.clear()
        if entry is not None:
            if entry.skip is None:
                begins.clear()
            start = here.start + entry.lead - pushed.skipped
            begins.append(here._replace(start=start, entry=entry))
        while len(begins) > 1 and begins[1].entry.number <= pushed.needs:
            begins.popleft()
        return begins[0] if begins else here


@dataclass(slots=True)
class _Station:
    timeline: Timeline
    resumed: ResumePoint | None = None  # until its message, or a later one, is received
    frames: _Frames = field(default_factory=_Frames)
    ahead: _Frames = field(default_factory=_Frames)  # of a jump that is not confirmed yet
    ended_s: float | None = None  # first second of the ended stream; None while it continues

    def frames_for(self, hint: TimestampHint, verdict: Verdict) -> _Frames:
        """Return the frames that a message continues.

        A message that may be an outlier has a stream of its own, which becomes the station's if
        the jump is confirmed.
        """
        if verdict is Verdict.NEAR:
            return self.frames
        if verdict is Verdict.CONFIRMED or self.timeline.continues_candidate(hint):
            return self.ahead
        return _Frames()

    def begin_again(self, frames: _Frames, hint: TimestampHint) -> _Frames:
        """Begin a new stream with the first message after an end, unless it is late.

        Earlier messages with a part of its first frame also belong to the new stream.
        """
        if self.ended_s is None:
            return frames
        begun = self.timeline.begin_again(hint, self.ended_s)
        if begun is None:
            return _Frames()
        self.timeline.state, self.ended_s = begun, None
        begins = deque(each._replace(timeline=begun) for each in frames.begins)
        return replace(frames, begins=begins)

    def take(self, frames: _Frames, placement: Placement) -> None:
        """Store the frames of a message after it was positioned."""
        if placement.verdict is Verdict.PENDING:
            self.ahead = frames
            return
        self.frames, self.ahead = frames, _Frames()


class ChunkDecoder:
    """Decodes messages, and stores each station's decoder state.

    Nothing is stored for a name before one of its messages has decoded, which may be without
    samples. The caller limits the number of names.

    Parameters
    ----------
    limits : WireSettings
        Limits of a message, and the defaults for missing headers.
    """

    def __init__(self, limits: WireSettings) -> None:
        self._limits = limits
        wait_s = limits.reorder_ms / 1000
        self._rules = TimelineRules(
            limits.jump_s, limits.pause_s, max(limits.confirm_jump_s, wait_s)
        )
        self._stations: dict[str, _Station] = {}
        self._files = FileDecoder(limits)

    def decode(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        arrived_ms: int | None = None,
        kafka_offset: int = 0,
        partition: int = 0,
    ) -> DecodedMessage:
        """Decode the next message of a station.

        Raises
        ------
        DecodeError
            The message is invalid; one line with the reason.
        """
        station = station_of(key)
        if not value:
            raise DecodeError(
                "the message has no value: its value is the audio's bytes, or nothing with the "
                "header end=true"
            )
        if len(value) > self._limits.max_bytes:
            raise DecodeError(
                f"{len(value)} bytes are more than kafka.wire.max_bytes={self._limits.max_bytes}; "
                "send shorter chunks"
            )
        fields = read_headers(headers, self._limits)
        state = self._stations.get(station) or _Station(Timeline(self._rules))
        resumed, state.resumed = state.resumed, None
        if resumed is not None and resumed.kafka_offset != kafka_offset:
            resumed = None
        hint, kind = _hint_of(fields, arrived_ms), fields.content_type
        verdict = None if state.ended_s is None else Verdict.NEAR
        mp3 = read_mp3_file(value) if kind == "audio/mpeg" else None
        if mp3 is not None or kind not in FRAMES:
            frames = _Frames()
            pushed = DecodedFrames(self._decode_file(value, fields, mp3), 0, NEW_STREAM, 0)
            _check(pushed.decoded, fields)
        else:
            verdict = verdict or state.timeline.assess(hint)
            frames = state.frames_for(hint, verdict)
            if resumed is not None and resumed.entry != NEW_STREAM:
                stream = FrameStream(FRAMES[kind], self._limits, resumed.entry, resumed.rate)
                frames.stream = stream
            pushed, hint = self._decode_frames(state, frames, value, fields, hint, verdict)
        decoded, skipped = pushed.decoded, pushed.skipped
        n = skipped + len(decoded.samples)
        if n:
            frames = state.begin_again(frames, hint)
        before = state.timeline.state
        placement = state.timeline.put(hint, n, decoded.rate, verdict)
        state.take(frames, placement)
        self._stations[station] = state
        start = placement.start + skipped
        here = ResumePoint(kafka_offset, start, decoded.rate, before)
        begin = frames.begin(pushed, here, partition)
        if fields.time_ms is not None:
            time: float | None = fields.time_ms / 1000 + skipped / decoded.rate
        else:
            time = state.timeline.time(start, decoded.rate, placement.verdict)
        return DecodedMessage(
            AudioChunk(station, start, decoded.samples, decoded.rate, time, trace=fields.trace),
            begin,
            placement,
        )

    def resume(self, station: str, begin: ResumePoint) -> None:
        """Continue `station` at the message of `begin`."""
        state = self._stations[station] = _Station(Timeline(self._rules), begin)
        state.timeline.resume(begin.timeline)

    def end(self, station: str) -> tuple[int, int] | None:
        """Return the sample after a station's last one and its rate; None for a new station."""
        if (state := self._stations.get(station)) is None:
            return None
        count = state.timeline.state.current
        return count.top - count.shift, count.rate

    def timeline_state(self, station: str) -> TimelineState:
        """Return the state of a station's timeline."""
        state = self._stations.get(station)
        return UNKNOWN if state is None else state.timeline.state

    def end_stream(self, station: str, first_s: float) -> None:
        """End the stream of a station that began at second `first_s`.

        The next message begins a new stream, whatever its position.
        """
        if (state := self._stations.get(station)) is not None:
            state.timeline.drop_candidate()
            state.frames, state.ahead, state.ended_s = _Frames(), _Frames(), first_s

    def is_at_end(self, station: str) -> bool:
        """Whether the stream of a station has ended, and no new one has begun."""
        state = self._stations.get(station)
        return state is not None and state.ended_s is not None

    def is_past(self, station: str, sample: int, rate: int) -> bool:
        """Whether a station has audio after its producer's sample number `sample`."""
        if (state := self._stations.get(station)) is None:
            return False
        count = state.timeline.state.current
        at = rescale(sample, rate or count.rate or 1, count.rate or 1) + count.shift
        return at < count.top - _END_SLACK_S * count.rate

    def drop_candidate(self, station: str) -> None:
        """Forget the unconfirmed jump of a station."""
        if (state := self._stations.get(station)) is not None:
            state.timeline.drop_candidate()
            state.ahead = _Frames()

    def forget(self, station: str) -> None:
        """Delete the state of a station."""
        self._stations.pop(station, None)

    def _decode_file(self, value: bytes, fields: AudioHeaders, mp3: Mp3File | None) -> Decoded:
        """Decode a self-contained message."""
        if mp3 is not None:
            return self._files.decode_mp3(value, mp3)
        if fields.content_type in RAW:
            return _decode_raw(value, fields, self._limits)
        return self._files.decode(value, FILES[fields.content_type])

    def _decode_frames(
        self,
        state: _Station,
        frames: _Frames,
        value: bytes,
        fields: AudioHeaders,
        hint: TimestampHint,
        verdict: Verdict,
    ) -> tuple[DecodedFrames, TimestampHint]:
        """Decode a message of bare frames; return its frames, and the hint for its position."""
        before, frames.stream = frames.stream, None  # a refused message ends the stream
        waiting = frames.waiting
        stream, hint = self._continue(state, before, waiting, fields, hint, verdict)
        pushed = stream.push(value)
        _check(pushed.decoded, fields)
        if hint is waiting:  # a decoder that begins here does not have the hint
            pushed = pushed._replace(entry=None)
        is_placed = len(pushed.decoded.samples) or hint.start_sample is None or hint.continues
        frames.stream, frames.waiting = stream, None if is_placed else hint
        return pushed, hint

    def _continue(
        self,
        state: _Station,
        stream: FrameStream | None,
        waiting: TimestampHint | None,
        fields: AudioHeaders,
        hint: TimestampHint,
        verdict: Verdict,
    ) -> tuple[FrameStream, TimestampHint]:
        """Return the stream that a message continues, and the hint for its position.

        It continues the last message's stream unless its ``start_sample`` is elsewhere. That is
        the number of the first frame that begins in the message; a frame that began in the last
        message lies before it.
        """
        codec = FRAMES[fields.content_type]
        if stream is None or stream.codec != codec:
            stream, waiting = FrameStream(codec, self._limits), None
        if waiting is not None and _is_near(hint, waiting, stream.slack):
            return stream, waiting
        if fields.start_sample is not None:
            goes_on = stream.goes_on or state.timeline.continues(hint, verdict, stream.slack)
            if waiting is None and goes_on:
                hint = replace(hint, continues=True)
            else:
                stream = FrameStream(codec, self._limits)
        return stream, hint


def _hint_of(fields: AudioHeaders, arrived_ms: int | None) -> TimestampHint:
    """Return the fields that position a message.

    An invalid timestamp of the record is an error only if the position depends on it.
    """
    if arrived_ms is not None and not is_time_ms(arrived_ms):
        if fields.start_sample is None and fields.time_ms is None:
            raise DecodeError(
                f"the record's timestamp {arrived_ms} is no time from 1970 to 2199 in "
                "milliseconds; give the producer's records a right one, or send start_sample or "
                "time_ms"
            )
        arrived_ms = None
    return TimestampHint(
        fields.start_sample, fields.rate, fields.time_ms, arrived_ms, again=fields.again
    )


def _is_near(hint: TimestampHint, waiting: TimestampHint, slack: int) -> bool:
    """Return whether a message may continue one in which no frame has ended."""
    if hint.start_sample is None or waiting.start_sample is None:
        return hint.start_sample is None
    return 0 <= hint.start_sample - waiting.start_sample <= slack


def _decode_raw(value: bytes, fields: AudioHeaders, limits: WireSettings) -> Decoded:
    check_shape(fields.channels, fields.rate, limits)
    dtype = np.dtype(RAW[fields.content_type])
    frame_bytes = dtype.itemsize * fields.channels
    if len(value) % frame_bytes:
        raise DecodeError(
            f"{len(value)} bytes are no multiple of {frame_bytes}, which {fields.content_type} "
            f"with channels={fields.channels} needs; check both headers"
        )
    data = np.frombuffer(value, dtype).reshape(-1, fields.channels)
    check_length(len(data), fields.rate, limits)
    if dtype.kind == "i":  # one pass; exact, because it is a power of two
        samples = np.multiply(data, np.float32(1 / 32768), dtype=np.float32)
        return Decoded(of_channels(samples), fields.rate)
    with np.errstate(over="ignore", invalid="ignore"):  # `_check` refuses it
        return Decoded(of_channels(data.astype(np.float32)), fields.rate)


def _check(decoded: Decoded, fields: AudioHeaders) -> None:
    if (
        fields.rate
        and decoded.rate
        and fields.rate not in _rates_of(fields.content_type, decoded.rate)
    ):
        raise DecodeError(
            f"header rate={fields.rate}, but the {fields.content_type} inside says {decoded.rate}; "
            "send the true rate or none"
        )
    samples = decoded.samples
    if not len(samples) or fields.content_type == _S16:  # whole numbers are within full scale
        return
    loudest = max(float(samples.max()), -float(samples.min()))  # NaN if one is
    if not loudest <= _LOUDEST:  # NaN is not
        raise DecodeError(
            f"samples of {fields.content_type} reach {loudest:g}, full scale is 1: they are "
            "damaged, or of another type than the header says"
        )


def _rates_of(kind: str, rate: int) -> tuple[int, ...]:
    """Return the rates that the header of samples decoded at `rate` may state.

    Opus always decodes to 48 kHz, and AAC with SBR to twice the rate in its headers, so the header
    may state the encoded rate.
    """
    if kind in ("audio/ogg", "audio/opus") and rate == _OPUS_RATE:
        return _OPUS_RATES
    return (rate, rate // 2) if kind == "audio/aac" else (rate,)
