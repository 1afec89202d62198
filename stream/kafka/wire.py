"""The audio topic's messages: a chunk of a station to bytes with headers, and back."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from airsift.errors import DecodeError
from stream.audio import AudioChunk, rescale
from stream.kafka.compressed import (
    Decoded,
    FrameStream,
    check_length,
    check_shape,
    decode_file,
    decode_opus,
    is_whole_mp3,
)
from stream.kafka.encoders import encode_file
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
from stream.kafka.opus import OpusDecoders
from stream.kafka.position import Claim, Place, Position

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


def encode_end(station: str, start: int, rate: int) -> Message:
    """Return the message that says that a station's stream ends at a sample."""
    headers = {
        "schema": SCHEMA, "end": "true", "rate": str(rate), "start_sample": str(start)
    }  # fmt: skip
    # Not null, which a compacted topic takes for the withdrawal of what came before.
    return Message(station.encode(), b"", [(name, text.encode()) for name, text in headers.items()])


def _mp3_keeps(n: int, rate: int) -> bool:
    frame = 1152 if rate >= 32_000 else 576
    return n >= _SHORTEST_MP3 and (n + _MP3_DELAY) % frame <= frame - _MP3_TAIL


@dataclass(slots=True)
class _Station:
    position: Position
    frames: dict[str, FrameStream]
    lead: int = 0  # samples of the last message that began in the message before
    before: Place = field(default_factory=Place)  # where that message found the station


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
        self._opus = OpusDecoders()

    def decode(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        arrived_ms: int | None = None,
    ) -> AudioChunk:
        """Return the chunk in a message; it may be empty where a frame is not complete yet.

        Raises
        ------
        DecodeError
            In one line, what is wrong with the message.
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
        said = read_headers(headers, self._limits)
        state = self._station(station)
        claim = Claim(said.start_sample, said.rate, said.time_ms, arrived_ms)
        kind, lead = said.content_type, 0
        if kind in RAW:
            decoded = _decode_raw(value, said, self._limits)
        elif FILES.get(kind) == "ogg":
            decoded = decode_opus(value, self._opus, self._limits)
        elif kind in FILES:
            decoded = decode_file(value, FILES[kind], self._limits)
        elif kind == "audio/mpeg" and is_whole_mp3(value):
            decoded = decode_file(value, "mp3", self._limits)
        else:
            decoded, claim, lead = self._decode_frames(state, value, said, claim)
        _check(decoded, said)
        state.lead, state.before = lead, state.position.place
        start = state.position.put(claim, len(decoded.samples), decoded.rate)
        if said.time_ms is not None:
            time: float | None = said.time_ms / 1000
        elif said.start_sample is not None:
            time = None
        else:
            time = state.position.time(start, decoded.rate)
        return AudioChunk(station, start, decoded.samples, decoded.rate, time)

    def resume(self, station: str, start: int, rate: int, place: Sequence[float | None]) -> None:
        """Say that the next message of `station` begins at sample `start` of `rate` a second.

        `place` is what `place` said of it; a record of an earlier version has none.
        """
        self.forget(station)
        self._station(station).position.resume(place or (start, rate))

    def place(self, station: str) -> tuple[int, Place]:
        """Return what a decoder needs that is to begin with the station's last message.

        Returns
        -------
        lead : int
            Samples of the message's chunk that began in the message before: of who begins with
            this one, the chunk begins so much later.
        place : Place
            Where it then finds the station.
        """
        state = self._stations[station]
        before = state.before
        if before.rate and state.lead:
            lead = rescale(state.lead, state.position.place.rate, before.rate)
            before = before._replace(end=before.end + lead)
        return state.lead, before

    def end(self, station: str) -> Place:
        """Take note that a station's stream ends; return where its next message finds it."""
        state = self._stations.get(station)
        if state is None:
            return Place()
        state.frames.clear()
        state.lead, state.before = 0, state.position.place
        return state.position.place

    def rate(self, station: str) -> int:
        """Return the rate of a station's last message; 0 where there is none."""
        state = self._stations.get(station)
        return state.position.place.rate if state else 0

    def forget(self, station: str) -> None:
        """Drop what is known of a station."""
        self._stations.pop(station, None)

    def _station(self, station: str) -> _Station:
        if station not in self._stations:
            limits = self._limits
            self._stations[station] = _Station(Position(limits.jump_s, limits.pause_s), {})
            if len(self._stations) > _MAX_STATIONS:
                self._stations.popitem(last=False)
        self._stations.move_to_end(station)
        return self._stations[station]

    def _decode_frames(
        self, state: _Station, value: bytes, said: Said, claim: Claim
    ) -> tuple[Decoded, Claim, int]:
        """Decode bare frames as the continuation of the last message, unless it says otherwise.

        ``start_sample`` then counts to the first frame that begins in the message; the frame
        that its first bytes complete lies before that.
        """
        codec = FRAMES[said.content_type]
        frames = state.frames.get(codec)
        if frames is None:
            frames = state.frames[codec] = FrameStream(codec, self._limits)
        if said.start_sample is not None:
            slack = frames.frame_samples if frames.partial else 0
            if state.position.goes_on(claim, slack):
                claim = replace(claim, start_sample=None, time_ms=None, arrived_ms=None)
            else:
                frames.reset()
        decoded, lead = frames.push(value)
        return decoded, claim, lead


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
