"""The audio topic's messages: a chunk of a station to bytes with headers, and back."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import partial
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
from stream.kafka.position import Claim, Place, Placed, Position, Rules, Verdict
from stream.ranges import is_time_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.kafka.settings import WireSettings

CODECS = tuple(CONTENT_TYPES)
_END_SLACK_S = 0.1  # producers that resample or pad are wrong by this about where they end
_LOUDEST = 100.0  # 40 dB over full scale: not audio, but bytes of another format
_SHORTEST_MP3 = 1152  # one frame; of less, LAME's header cannot tell the length
_MP3_DELAY, _MP3_TAIL = 1105, 48  # nor where fewer samples than the tail are left of a frame
_MAX_STARTING = 256  # names of which so far only a part of a first frame has come


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
    headers = {"schema": SCHEMA, "end": "true", "rate": str(rate), "start_sample": str(start)}
    # Not null, which a compacted topic takes for the withdrawal of what came before.
    return Message(station.encode(), b"", [(name, text.encode()) for name, text in headers.items()])


def _mp3_keeps(n: int, rate: int) -> bool:
    frame = 1152 if rate >= 32_000 else 576
    return n >= _SHORTEST_MP3 and (n + _MP3_DELAY) % frame <= frame - _MP3_TAIL


@dataclass(slots=True)
class _Station:
    position: Position
    frames: dict[str, FrameStream]
    ahead: dict[str, FrameStream] = field(default_factory=dict)  # after a jump, see `Position`
    lead: int = 0  # samples of the last message that began in the message before
    before: Place = field(default_factory=Place)  # where that message found the station
    placed: Placed = field(default_factory=partial(Placed, 0))  # and where it put that message
    ended_s: float | None = None  # where the stream began that is at its end; None while it goes on


class ChunkDecoder:
    """Decodes messages, and keeps what one station's message leaves for the next.

    Parameters
    ----------
    limits : WireSettings
        What a message may hold, and what one without headers is taken for.
    """

    def __init__(self, limits: WireSettings) -> None:
        self._limits = limits
        wait_s = limits.reorder_ms / 1000
        self._rules = Rules(limits.jump_s, limits.pause_s, max(limits.confirm_jump_s, wait_s))
        self._stations: dict[str, _Station] = {}
        self._starting: OrderedDict[str, _Station] = OrderedDict()
        self._opus = OpusDecoders()

    def decode(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        arrived_ms: int | None = None,
    ) -> AudioChunk:
        """Return the chunk in a message; it may be empty where a frame is not complete yet.

        Where it lies may be a jump that waits to be confirmed: see `placed`.

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
        claim = _claim(said, arrived_ms)
        kind, lead, verdict = said.content_type, 0, None
        begun = None
        if state.ended_s is not None:
            begun, verdict = state.position.begin_again(claim, state.ended_s), Verdict.NEAR
        streams: dict[str, FrameStream] = {}
        if kind in RAW:
            decoded = _decode_raw(value, said, self._limits)
        elif FILES.get(kind) == "ogg":
            decoded = decode_opus(value, self._opus, self._limits)
        elif kind in FILES:
            decoded = decode_file(value, FILES[kind], self._limits)
        elif kind == "audio/mpeg" and is_whole_mp3(value):
            decoded = decode_file(value, "mp3", self._limits)
        else:
            verdict = verdict or state.position.judge(claim)
            decoded, claim, lead, streams = _decode_frames(
                state, value, claim, verdict, kind, self._limits
            )
        _check(decoded, said)
        n = len(decoded.samples)
        if begun is not None and n:
            state.position.place, state.ended_s = begun, None
        before = state.position.place
        placed = state.position.put(claim, n, decoded.rate, verdict)
        if placed.verdict is Verdict.HELD:
            state.ahead = streams
        elif placed.verdict is Verdict.CONFIRMED:
            state.frames, state.ahead = streams, {}
        elif n:
            state.ahead = {}
        state.lead, state.before, state.placed = lead, before, placed
        self._keep(station, state, known=n > 0)
        if said.time_ms is not None:
            time: float | None = said.time_ms / 1000
        else:
            time = state.position.time(placed.start, decoded.rate, placed.verdict)
        return AudioChunk(station, placed.start, decoded.samples, decoded.rate, time)

    def resume(self, station: str, start: int, rate: int, place: Sequence[float | None]) -> None:
        """Say that the next message of `station` begins at sample `start` of `rate` a second.

        `place` is what `place` said of it; a record of an earlier version has none.
        """
        self.forget(station)
        state = self._stations[station] = self._station(station)
        state.position.resume(place or (start, rate))

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
            if state.placed.verdict is Verdict.CONFIRMED:
                before = before._replace(held_end=before.held_end + lead)
            else:
                before = before._replace(end=before.end + lead)
        return state.lead, before

    def placed(self, station: str) -> Placed:
        """Return where the last message of a station was put, and whether that is believed."""
        return self._station(station).placed

    def end(self, station: str) -> tuple[int, int] | None:
        """Return the sample after a station's last one and its rate; None for a new station."""
        if (state := self._stations.get(station)) is None:
            return None
        track = state.position.place.track
        return track.top - track.shift, track.rate

    def end_stream(self, station: str, first_s: float) -> Place:
        """Take note that the stream of a station ends, which began at second `first_s` of it.

        The next message begins a new one, wherever it lies.

        Returns
        -------
        Place
            Where that message finds the station.
        """
        if (state := self._stations.get(station)) is None:
            return Place()
        state.position.drop_candidate()
        state.frames, state.ahead = {}, {}
        state.lead, state.before, state.ended_s = 0, state.position.place, first_s
        return state.before

    def is_at_end(self, station: str) -> bool:
        """Whether the stream of a station is at its end, and none has begun since."""
        state = self._stations.get(station)
        return state is not None and state.ended_s is not None

    def is_past(self, station: str, sample: int, rate: int) -> bool:
        """Whether audio has come of a station behind what its producer counts as `sample`."""
        if (state := self._stations.get(station)) is None:
            return False
        track = state.position.place.track
        at = rescale(sample, rate or track.rate or 1, track.rate or 1) + track.shift
        return at < track.top - _END_SLACK_S * track.rate

    def drop_candidate(self, station: str) -> None:
        """Forget a jump of a station that nothing has confirmed."""
        if (state := self._stations.get(station)) is not None:
            state.position.drop_candidate()
            state.ahead.clear()

    def forget(self, station: str) -> None:
        """Drop what is known of a station."""
        self._stations.pop(station, None)
        self._starting.pop(station, None)

    def _station(self, station: str) -> _Station:
        """Return what is known of a station; of a new one nothing is stored yet."""
        known = self._stations.get(station) or self._starting.get(station)
        return known or _Station(Position(self._rules), {})

    def _keep(self, station: str, state: _Station, *, known: bool) -> None:
        """Store what is known of a station once a message of it has decoded.

        Names that have sent no whole frame yet are not stations: only a few of them are stored.
        """
        if known and station not in self._stations:
            self._starting.pop(station, None)
            self._stations[station] = state
        elif station not in self._stations:
            self._starting[station] = state
            if len(self._starting) > _MAX_STARTING:
                self._starting.popitem(last=False)


def _claim(said: Said, arrived_ms: int | None) -> Claim:
    """Return what places a message.

    A record's timestamp that cannot be is an error only where the place depends on it.
    """
    if arrived_ms is not None and not is_time_ms(arrived_ms):
        if said.start_sample is None and said.time_ms is None:
            raise DecodeError(
                f"the record's timestamp {arrived_ms} is no time from 1970 to 2199 in "
                "milliseconds; give the producer's records a right one, or send start_sample or "
                "time_ms"
            )
        arrived_ms = None
    return Claim(said.start_sample, said.rate, said.time_ms, arrived_ms)


def _decode_frames(
    state: _Station, value: bytes, claim: Claim, verdict: Verdict, kind: str, limits: WireSettings
) -> tuple[Decoded, Claim, int, dict[str, FrameStream]]:
    """Decode bare frames as the continuation of the last message, unless they say otherwise.

    ``start_sample`` then counts to the first frame that begins in the message; the frame
    that its first bytes complete lies before that. What may be an outlier has a decoder of its
    own, which becomes the station's if the jump is confirmed: the last value returned is the
    decoders that have been used.
    """
    codec = FRAMES[kind]
    if verdict is Verdict.NEAR:
        streams = state.frames
    elif verdict is Verdict.CONFIRMED or state.position.is_more_of_candidate(claim):
        streams = state.ahead
    else:
        streams = {}
    frames = streams.get(codec)
    if frames is None:
        frames = streams[codec] = FrameStream(codec, limits)
    if claim.start_sample is not None:
        slack = frames.frame_samples if frames.partial else 0
        if state.position.continues(claim, verdict, slack):
            claim = replace(claim, continues=True)
        else:
            frames.reset()
    decoded, lead = frames.push(value)
    return decoded, claim, lead, streams


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
