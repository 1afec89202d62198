"""The audio topic's messages: a chunk of a station to bytes with headers, and back."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from airsift.errors import DecodeError
from stream.audio import AudioChunk
from stream.kafka.compressed import FileDecoder
from stream.kafka.encoders import encode_file
from stream.kafka.frame_stream import NEW, Entry, FrameStream, Pushed
from stream.kafka.headers import (
    CONTENT_TYPES,
    FILES,
    FRAMES,
    RAW,
    SCHEMA,
    Headers,
    Said,
    read_headers,
    station_of,
)
from stream.kafka.mp3_file import Mp3File, read_mp3_file
from stream.kafka.position import Claim, Place, Position
from stream.kafka.samples import Decoded, check_length, check_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.kafka.settings import WireSettings

CODECS = tuple(CONTENT_TYPES)
_LOUDEST = 100.0  # 40 dB over full scale: not audio, but bytes of another format
_SHORTEST_MP3 = 1152  # one frame; of less, LAME's header cannot tell the length
_MP3_DELAY, _MP3_TAIL = 1105, 48  # nor where fewer samples than the tail are left of a frame
_MAX_STATIONS = 10_000


class Message(NamedTuple):
    """What goes onto a topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def encode(chunk: AudioChunk, codec: str = "pcm", bit_rate: int = 64_000) -> Message:
    """Return a chunk as one message that can be decoded by itself.

    Parameters
    ----------
    chunk : AudioChunk
        At least one sample; beyond +-1 it is clipped by all codecs but ``f32``.
    codec : {"pcm", "f32", "flac", "opus", "mp3"}
        How the samples are written. ``f32`` is lossless, ``pcm`` and ``flac`` keep 16 bits.
        Lengths that ``mp3`` would not keep, such as less than one frame, are written as ``pcm``.
    bit_rate : int > 0
        Bits per second of ``opus`` and ``mp3``.

    Raises
    ------
    DecodeError
        The codec does not know the chunk's rate.
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


def _mp3_keeps(n: int, rate: int) -> bool:
    frame = 1152 if rate >= 32_000 else 576
    return n >= _SHORTEST_MP3 and (n + _MP3_DELAY) % frame <= frame - _MP3_TAIL


class Begin(NamedTuple):
    """A message that a decoder can begin with, and how.

    Parameters
    ----------
    kafka_offset : int
        Where it is in its partition.
    start, rate : int
        First sample that is decoded then, and the rate it counts in.
    place : Place
        Where the message finds its station.
    entry : Entry
        How its frames begin, if it is one of a stream of frames.
    """

    kafka_offset: int
    start: int
    rate: int
    place: Place = Place()
    entry: Entry = NEW


class Read(NamedTuple):
    """What a message brings.

    Parameters
    ----------
    chunk : AudioChunk
        Its audio; empty where no frame is complete yet.
    begin : Begin
        Where a decoder begins that decodes the same samples of this message and all after it.
    """

    chunk: AudioChunk
    begin: Begin


@dataclass(slots=True)
class _Station:
    position: Position
    resumed: Begin | None = None  # until its message, or one after it, has come
    frames: FrameStream | None = None
    waiting: Claim | None = None  # of the message that a stream began with, until a frame ends
    begins: deque[Begin] = field(default_factory=deque)  # of the stream of frames

    def begin(self, pushed: Pushed, here: Begin) -> Begin:
        """Return where a decoder begins that is to decode the same; `here` is this message."""
        entry, begins = pushed.entry, self.begins
        if entry is not None:
            if entry.skip is None:
                begins.clear()
            start = here.start + entry.lead - pushed.skipped
            begins.append(here._replace(start=start, entry=entry))
        while len(begins) > 1 and begins[1].entry.number <= pushed.needs:
            begins.popleft()
        return begins[0]


class ChunkDecoder:
    """Decodes messages, and keeps what one station's message leaves for the next.

    Parameters
    ----------
    limits : WireSettings
        What a message may hold, and what one without headers is taken for.
    """

    def __init__(self, limits: WireSettings) -> None:
        self._limits = limits
        self._stations: OrderedDict[str, _Station] = OrderedDict()
        self._files = FileDecoder(limits)

    def decode(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        arrived_ms: int | None = None,
        kafka_offset: int = 0,
    ) -> Read:
        """Return the chunk in a message, and where a decoder begins that is to decode the same.

        Raises
        ------
        DecodeError
            In one line, what is wrong with the message.
        """
        station = station_of(key)
        if not value:
            raise DecodeError("the message has no value: its value is the audio's bytes")
        if len(value) > self._limits.max_bytes:
            raise DecodeError(
                f"{len(value)} bytes are more than kafka.wire.max_bytes={self._limits.max_bytes}; "
                "send shorter chunks"
            )
        said = read_headers(headers, self._limits)
        state = self._station(station)
        resumed, state.resumed = state.resumed, None
        if resumed is not None and resumed.kafka_offset == kafka_offset:
            self._resume_frames(state, said, resumed)
        before = state.position.place
        claim = Claim(said.start_sample, said.rate, said.time_ms, arrived_ms)
        pushed, claim = self._decode_value(state, value, said, claim)
        decoded, skipped = pushed.decoded, pushed.skipped
        start = state.position.put(claim, skipped + len(decoded.samples), decoded.rate) + skipped
        begin = state.begin(pushed, Begin(kafka_offset, start, decoded.rate, before))
        if said.time_ms is not None:
            time: float | None = said.time_ms / 1000 + skipped / decoded.rate
        elif said.start_sample is not None:
            time = None
        else:
            time = state.position.time(start, decoded.rate)
        return Read(AudioChunk(station, start, decoded.samples, decoded.rate, time), begin)

    def resume(self, station: str, begin: Begin) -> None:
        """Go on with `station` at the message that `begin` names."""
        self.forget(station)
        state = self._station(station)
        state.position.resume(begin.place)
        state.resumed = begin

    def forget(self, station: str) -> None:
        """Drop what is known of a station."""
        self._stations.pop(station, None)

    def _station(self, station: str) -> _Station:
        if station not in self._stations:
            limits = self._limits
            self._stations[station] = _Station(Position(limits.jump_s, limits.pause_s))
            if len(self._stations) > _MAX_STATIONS:
                self._stations.popitem(last=False)
        self._stations.move_to_end(station)
        return self._stations[station]

    def _decode_value(
        self, state: _Station, value: bytes, said: Said, claim: Claim
    ) -> tuple[Pushed, Claim]:
        """Decode a message's bytes, and return what is left of its claim."""
        # A message that is refused, or holds no frames, ends a stream of frames.
        frames, state.frames = state.frames, None
        kind = said.content_type
        mp3 = read_mp3_file(value) if kind == "audio/mpeg" else None
        if mp3 is not None or kind not in FRAMES:
            pushed = Pushed(self._decode_file(value, said, mp3), 0, NEW, 0)
            _check(pushed.decoded, said)
        else:
            frames, claim = self._continue(state, frames, said, claim)
            pushed = frames.push(value)
            _check(pushed.decoded, said)
            if claim is state.waiting:  # a decoder that begins here would not know it
                pushed = pushed._replace(entry=None)
            is_placed = len(pushed.decoded.samples) or claim.start_sample is None
            state.frames, state.waiting = frames, None if is_placed else claim
        return pushed, claim

    def _decode_file(self, value: bytes, said: Said, mp3: Mp3File | None) -> Decoded:
        """Decode a message that needs no other one."""
        if mp3 is not None:
            return self._files.decode_mp3(value, mp3)
        if said.content_type in RAW:
            return _decode_raw(value, said, self._limits)
        return self._files.decode(value, FILES[said.content_type])

    def _resume_frames(self, state: _Station, said: Said, resumed: Begin) -> None:
        codec = FRAMES.get(said.content_type)
        if codec is not None and resumed.entry != NEW:
            state.frames = FrameStream(codec, self._limits, resumed.entry, resumed.rate)

    def _continue(
        self, state: _Station, frames: FrameStream | None, said: Said, claim: Claim
    ) -> tuple[FrameStream, Claim]:
        """Return the stream that a message goes on with, and what is left of its claim.

        It goes on with the last message's unless its ``start_sample`` is elsewhere. That counts to
        the first frame that begins in the message; the frame that its first bytes complete lies
        before that.
        """
        codec, waiting = FRAMES[said.content_type], state.waiting
        if frames is None or frames.codec != codec:
            frames, waiting = FrameStream(codec, self._limits), None
        if waiting is not None and _is_near(claim, waiting, frames.slack):
            return frames, waiting
        if said.start_sample is not None:
            if waiting is None and (frames.goes_on or state.position.goes_on(claim, frames.slack)):
                claim = replace(claim, start_sample=None, time_ms=None, arrived_ms=None)
            else:
                frames = FrameStream(codec, self._limits)
        return frames, claim


def _is_near(claim: Claim, waiting: Claim, slack: int) -> bool:
    """Say whether a message may go on with one that no frame has ended in yet."""
    if claim.start_sample is None or waiting.start_sample is None:
        return claim.start_sample is None
    return 0 <= claim.start_sample - waiting.start_sample <= slack


def _decode_raw(value: bytes, said: Said, limits: WireSettings) -> Decoded:
    check_shape(said.channels, said.rate, limits)
    dtype = np.dtype(RAW[said.content_type])
    frame_bytes = dtype.itemsize * said.channels
    if len(value) % frame_bytes:
        raise DecodeError(
            f"{len(value)} bytes are no multiple of {frame_bytes}, which {said.content_type} "
            f"with channels={said.channels} needs; check both headers"
        )
    data = np.frombuffer(value, dtype).reshape(-1, said.channels)
    check_length(len(data), said.rate, limits)
    if dtype.kind == "i":
        data = data.astype(np.float32) / 32768
    with np.errstate(over="ignore", invalid="ignore"):  # judged by `_check`
        samples = data[:, 0] if said.channels == 1 else data.mean(axis=1)
    return Decoded(samples.astype(np.float32), said.rate)


def _check(decoded: Decoded, said: Said) -> None:
    # Opus always decodes to 48 kHz, and its samples may be counted at the rate encoded.
    if said.rate and decoded.rate % said.rate:
        raise DecodeError(
            f"header rate={said.rate}, but the {said.content_type} inside says {decoded.rate}; "
            "send the true rate or none"
        )
    samples = decoded.samples
    loudest = float(np.abs(samples).max()) if len(samples) else 0.0
    if not loudest <= _LOUDEST:  # NaN is not
        raise DecodeError(
            f"samples of {said.content_type} reach {loudest:g}, full scale is 1: they are "
            "damaged, or of another type than the header says"
        )
