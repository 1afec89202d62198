"""The ingest edge: any source's audio to the audio topic, in messages of equal length."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from stream.audio import AudioChunk, EndOfStream, rescale
from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.producer import Sender
from stream.kafka.client.resume_position import end_of_station
from stream.kafka.codec.encode import ENCODERS
from stream.kafka.codec.message import encode, encode_end
from stream.resampler import Resampler
from stream.sources.base import audio_of
from stream.stages.mono import ToMono

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from stream.kafka.settings import KafkaSettings
    from stream.runner import Stop
    from stream.sources.base import Source


@dataclass(slots=True)
class Published:
    """What has been sent so far."""

    station: str = ""
    messages: int = 0
    bytes: int = 0
    seconds: float = 0.0


def publish(
    source: Source,
    settings: KafkaSettings,
    *,
    stop: Stop,
    codec: str = "flac",
    chunk_ms: int = 500,
    speed: float | None = 1.0,
    live: bool | None = None,
    ends: bool = True,
    progress: Callable[[Published], None] | None = None,
) -> Published:
    """Send a source's audio to Kafka until it ends or `stop` is requested.

    A station's samples go on where its last message on the topic ended, so that a publisher
    that starts again continues its station; a live source leaves a gap for the time between.
    Each message waits for the broker to have the one before it, so that what is on the topic is
    always the beginning of the audio without a hole, whenever and however this ends.

    Parameters
    ----------
    source : Source
        Gives one station's chunks; the caller closes it.
    settings : KafkaSettings
        Broker and topic; the topic is created if it is missing.
    stop : Stop
        Looked at before every message: what has not been sent by then is left out.
    codec : {"pcm", "f32", "flac", "opus", "mp3"}
        What messages hold. Audio at a rate the codec does not know is resampled.
    chunk_ms : int > 0
        Milliseconds in a message.
    speed : float > 0, optional
        Times real time at which a source that is not live is sent; None for no pause.
    live : bool, optional
        Whether the source comes in real time by itself. Its sample 0 is then 1970-01-01T00:00Z.
        Unless it is given, the source's ``live`` says so when its first audio is there.
    ends : bool
        Whether the stream ends where the source does; False where more of it follows.
    progress : callable, optional
        Told after every message.

    Raises
    ------
    BrokerError
        No broker answers, or it refuses a message.
    """
    ensure_topics(settings, {settings.topics.audio: ["Write"]})
    sender = Sender(settings.model_copy(update={"linger_ms": 0}))
    done = Published()

    def is_live() -> bool:
        return getattr(source, "live", False) if live is None else live

    pace = _Pace(speed, stop, is_live)
    cutter = _Cutter(chunk_ms, ENCODERS[codec].rates if codec in ENCODERS else ())
    try:
        for waiting in _pieces(source, settings, cutter, stop, is_live):
            piece = pace.wait(waiting)
            if stop.requested:
                break
            message = encode(piece, codec)
            # The next one is not on its way before this one is there: Kafka may take a message
            # after it has refused, or has not answered, the one before it.
            sender.send(settings.topics.audio, message.key, message.value, message.headers)
            sender.flush()
            done.station = piece.station
            done.messages += 1
            done.bytes += len(message.value or b"")
            done.seconds += len(piece.samples) / piece.rate
            if progress is not None:
                progress(done)
        else:
            if ends and done.messages and not stop.requested:
                end = encode_end(piece.station, piece.end, piece.rate)
                sender.send(settings.topics.audio, *end)
                sender.flush()
    finally:
        sender.close()
    return done


def _pieces(
    source: Source,
    settings: KafkaSettings,
    cutter: _Cutter,
    stop: Stop,
    is_live: Callable[[], bool],
) -> Iterator[AudioChunk]:
    """Yield a source's audio in pieces of equal length, counted on from its station's end."""
    shift: tuple[int, int] | None = None
    for chunks in _mono(source):
        for chunk in chunks:
            if shift is None:
                shift = _first_sample(settings, chunk, is_live()) - chunk.start, chunk.rate
            start = chunk.start + rescale(*shift, chunk.rate)
            yield from cutter.push(replace(chunk, start=start))
        if stop.requested:
            return
    yield from cutter.flush()


def _mono(source: Source) -> Iterator[list[AudioChunk]]:
    """Yield a source's audio as mono chunks, batch by batch."""
    mono = ToMono(rate=1)  # no restart here
    for items in source:
        yield [item for item in mono.push(audio_of(items)) if isinstance(item, AudioChunk)]
    ends = [EndOfStream(station, 0, 1) for station in mono.sessions]
    yield [item for item in mono.push(ends) if isinstance(item, AudioChunk)]


def _first_sample(settings: KafkaSettings, chunk: AudioChunk, live: bool) -> int:
    """Return where a station's new audio begins, at the chunk's rate."""
    last = end_of_station(settings, chunk.station)
    end = 0 if last is None else -(-last[0] * chunk.rate // last[1])
    if not live:
        return end + chunk.start
    return max(end, round((chunk.time or time.time()) * chunk.rate))


class _Pace:
    """Holds pieces back until a station on air would have sent them."""

    def __init__(
        self, speed: float | None, stop: Stop, is_live: Callable[[], bool] = lambda: False
    ) -> None:
        self._speed = speed
        self._is_live = is_live
        self._stop = stop
        self._zero: tuple[float, float, float] | None = None

    def wait(self, piece: AudioChunk) -> AudioChunk:
        """Sleep until the piece is over, and return it with its time."""
        if self._speed is None or self._is_live():
            return piece
        start_s, end_s = piece.start / piece.rate, piece.end / piece.rate
        if self._zero is None:
            self._zero = time.monotonic(), time.time(), start_s
        monotonic, unix, first_s = self._zero
        due = monotonic + (end_s - first_s) / self._speed
        while (left := due - time.monotonic()) > 0 and not self._stop.requested:
            time.sleep(min(left, 0.1))
        if piece.time is not None or self._speed != 1.0:
            return piece
        return replace(piece, time=unix + start_s - first_s)


class _Cutter:
    """Cuts one station's audio at multiples of `chunk_ms`, at a rate from `rates`."""

    def __init__(self, chunk_ms: int, rates: tuple[int, ...]) -> None:
        self._chunk_ms = chunk_ms
        self._rates = rates
        self._resampler: Resampler | None = None
        self._expected = -1  # next sample in, at the rate in

    def push(self, chunk: AudioChunk) -> list[AudioChunk]:
        """Take audio; return the pieces that are full."""
        out: list[AudioChunk] = []
        resampler = self._resampler
        if resampler is None or (chunk.start, chunk.rate) != (self._expected, resampler.rate_in):
            out += self.flush()
            resampler = self._begin(chunk)
        self._expected = chunk.end
        self._held.append(resampler.push(np.nan_to_num(chunk.samples)))
        return out + self._cut(last=False)

    def flush(self) -> list[AudioChunk]:
        """Return what is left, as if the audio ended here."""
        if self._resampler is None:
            return []
        self._held.append(self._resampler.push(np.zeros(0, np.float32), last=True))
        self._resampler = None
        return self._cut(last=True)

    def _begin(self, chunk: AudioChunk) -> Resampler:
        rate = chunk.rate
        if self._rates and rate not in self._rates:
            rate = min((r for r in self._rates if r >= rate), default=max(self._rates))
        self._resampler = Resampler(chunk.rate, rate)
        self._rate = rate
        self._station = chunk.station
        self._start = rescale(chunk.start, chunk.rate, rate)
        self._held: list[NDArray[np.float32]] = []
        at_s = chunk.start / chunk.rate
        self._zero_time = None if chunk.time is None else chunk.time - at_s
        return self._resampler

    def _cut(self, *, last: bool) -> list[AudioChunk]:
        samples = np.concatenate(self._held) if self._held else np.zeros(0, np.float32)
        pieces = []
        while len(samples):
            n = self._boundary() - self._start
            if n > len(samples):
                if not last:
                    break
                n = len(samples)
            at = None if self._zero_time is None else self._zero_time + self._start / self._rate
            pieces.append(AudioChunk(self._station, self._start, samples[:n], self._rate, at))
            samples = samples[n:]
            self._start += n
        self._held = [samples]
        return pieces

    def _boundary(self) -> int:
        """Return the first sample after the piece that begins at the current one."""
        # Boundary k is k pieces rounded down to a sample, so a start may belong to the next k.
        length = self._chunk_ms * self._rate
        k = (self._start + 1) * 1000 // length
        while k * length // 1000 <= self._start:
            k += 1
        return k * length // 1000
