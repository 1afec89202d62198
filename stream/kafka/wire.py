"""The audio topic's messages: a chunk of a station to bytes with headers, and back."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from airsift.errors import DecodeError
from stream.audio import AudioChunk, rescale
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
from stream.kafka.position import Claim, Place, Placed, Position, Rules, Verdict
from stream.kafka.samples import Decoded, check_length, check_shape
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
    placed : Placed
        Where it was put, and whether that is believed.
    """

    chunk: AudioChunk
    begin: Begin
    placed: Placed


@dataclass(slots=True)
class _Frames:
    """A stream of frames, and the messages that a decoder of it can begin with."""

    stream: FrameStream
    waiting: Claim | None = None  # of the message that it began with, until a frame ends
    knows_claim: bool = False  # whether the last message was placed by the claim of one before it
    begins: deque[Begin] = field(default_factory=deque)
    partition: int = 0  # that `begins` are in

    def note(self, claim: Claim, *, is_placed: bool) -> None:
        """Note by which claim the last message was placed, if it was."""
        self.knows_claim = claim is self.waiting
        self.waiting = None if is_placed else claim

    def begin(self, pushed: Pushed, here: Begin, partition: int) -> Begin:
        """Return where a decoder begins that is to decode the same; `here` is this message."""
        entry, begins = pushed.entry, self.begins
        if self.partition != partition:  # the station has moved: none can begin before this
            self.partition = partition
            begins.clear()
        # A decoder that begins here would not know the claim of a message before.
        if entry is not None and not self.knows_claim:
            start = here.start + entry.lead - pushed.skipped
            begins.append(here._replace(start=start, entry=entry))
        while len(begins) > 1 and begins[1].entry.number <= pushed.needs:
            begins.popleft()
        return begins[0] if begins else here


@dataclass(slots=True)
class _Station:
    position: Position
    resumed: Begin | None = None  # until its message, or one after it, has come
    frames: _Frames | None = None
    ahead: _Frames | None = None  # after a jump, see `Position`
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
        self._files = FileDecoder(limits)

    def decode(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        arrived_ms: int | None = None,
        kafka_offset: int = 0,
        partition: int = 0,
    ) -> Read:
        """Return the chunk in a message, where it lies, and where a restart begins for it.

        Where it lies may be a jump that waits to be confirmed.

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
        resumed, state.resumed = state.resumed, None
        if resumed is not None and resumed.kafka_offset == kafka_offset:
            self._resume_frames(state, said, resumed)
        claim, frames, verdict = _claim(said, arrived_ms), None, None
        mp3 = read_mp3_file(value) if said.content_type == "audio/mpeg" else None
        if mp3 is None and said.content_type in FRAMES:
            claim, verdict, frames = self._continued(state, said, claim)
        elif state.ended_s is not None:
            verdict = Verdict.NEAR
        # The stream that the message may go on with comes back if the message is sound.
        if (verdict or state.position.judge(claim)) is Verdict.NEAR:
            state.frames = None
        else:
            state.ahead = None
        if frames is not None:
            pushed = frames.stream.push(value)
        else:
            pushed = Pushed(self._decode_file(value, said, mp3), 0, NEW, 0)
        decoded = pushed.decoded
        _check(decoded, said)
        placed, begin = _place(state, claim, verdict, pushed, frames)
        self._keep(station, state, known=pushed.n > 0)
        if said.time_ms is not None:
            time: float | None = said.time_ms / 1000 + pushed.skipped / decoded.rate
        else:
            time = state.position.time(placed.start, decoded.rate, placed.verdict)
        chunk = AudioChunk(station, placed.start, decoded.samples, decoded.rate, time)
        begin = begin._replace(kafka_offset=kafka_offset)
        if frames is not None:
            begin = frames.begin(pushed, begin, partition)
        return Read(chunk, begin, placed)

    def resume(self, station: str, begin: Begin) -> None:
        """Go on with `station` at the message that `begin` names."""
        self.forget(station)
        state = self._stations[station] = self._station(station)
        state.position.resume(begin.place)
        state.resumed = begin

    def end(self, station: str) -> tuple[int, int] | None:
        """Return the sample after a station's last one and its rate; None for a new station."""
        if (state := self._stations.get(station)) is None:
            return None
        track = state.position.place.track
        return track.top - track.shift, track.rate

    def place(self, station: str) -> Place:
        """Return where the next message finds a station."""
        return self._station(station).position.place

    def end_stream(self, station: str, first_s: float) -> None:
        """Take note that the stream of a station ends, which began at second `first_s` of it.

        The next message begins a new one, wherever it lies.
        """
        if (state := self._stations.get(station)) is not None:
            state.position.drop_candidate()
            state.frames = state.ahead = None
            state.ended_s = first_s

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
            state.ahead = None

    def forget(self, station: str) -> None:
        """Drop what is known of a station."""
        self._stations.pop(station, None)
        self._starting.pop(station, None)

    def _station(self, station: str) -> _Station:
        """Return what is known of a station; of a new one nothing is stored yet."""
        known = self._stations.get(station) or self._starting.get(station)
        return known or _Station(Position(self._rules))

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
            stream = FrameStream(codec, self._limits, resumed.entry, resumed.rate)
            state.frames = state.ahead = _Frames(stream)

    def _continued(
        self, state: _Station, said: Said, claim: Claim
    ) -> tuple[Claim, Verdict, _Frames]:
        """Return the stream of frames that a message goes on with, and how its claim is judged.

        It goes on with the last message's unless its ``start_sample`` is elsewhere. That counts to
        the first frame that begins in the message; the frame that its first bytes complete lies
        before that. What may be an outlier has a stream of its own, which becomes the station's if
        the jump is confirmed.
        """
        codec, frames = FRAMES[said.content_type], state.frames
        if frames is not None and frames.stream.codec == codec and frames.waiting is not None:
            if _is_near(claim, frames.waiting, frames.stream.slack):
                return frames.waiting, state.position.judge(frames.waiting), frames
            frames = None
        ended = state.ended_s is not None
        verdict = Verdict.NEAR if ended else state.position.judge(claim)
        if verdict is not Verdict.NEAR:
            goes_on = verdict is Verdict.CONFIRMED or state.position.is_more_of_candidate(claim)
            frames = state.ahead if goes_on else None
        if frames is not None and frames.stream.codec == codec:
            if claim.start_sample is None:
                return claim, verdict, frames
            if frames.stream.goes_on or state.position.continues(
                claim, verdict, frames.stream.slack
            ):
                return replace(claim, continues=True), verdict, frames
        elif state.position.continues(claim, verdict, 0):
            claim = replace(claim, continues=True)
        return claim, verdict, _Frames(FrameStream(codec, self._limits))


def _place(
    state: _Station,
    claim: Claim,
    verdict: Verdict | None,
    pushed: Pushed,
    frames: _Frames | None,
) -> tuple[Placed, Begin]:
    """Place what a message brings, and keep its stream; return how a decoder begins here."""
    n, rate = pushed.n, pushed.decoded.rate
    if state.ended_s is not None:
        begun = state.position.begin_again(claim, state.ended_s)
        if begun is not None and n:
            state.position.place, state.ended_s = begun, None
            if frames is not None:  # what came of its first frame came after the end, too
                frames.begins = deque(each._replace(place=begun) for each in frames.begins)
    before = state.position.place
    placed = state.position.put(claim, n, rate, verdict)
    placed = placed._replace(start=placed.start + pushed.skipped)
    if frames is not None:
        frames.note(claim, is_placed=n > 0 or claim.start_sample is None)
    if placed.verdict is Verdict.HELD:
        state.ahead = frames
        state.frames = None if state.frames is frames else state.frames
    else:
        state.frames = frames
        state.ahead = None if n or state.ahead is frames else state.ahead
    return placed, Begin(0, placed.start, rate, before)


def _is_near(claim: Claim, waiting: Claim, slack: int) -> bool:
    """Say whether a message may go on with one that no frame has ended in yet."""
    if claim.start_sample is None or waiting.start_sample is None:
        return claim.start_sample is None
    return 0 <= claim.start_sample - waiting.start_sample <= slack


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
