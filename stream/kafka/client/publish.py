"""Publishes any source's audio to the audio topic, in messages of equal length.

A station's samples continue where its last message on the topic ended.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from kafka import TopicPartition
from kafka.partitioner import murmur2

from airsift.errors import DecodeError
from stream.audio import AudioChunk, EndOfStream, moved, rescale
from stream.kafka.client.connect import broker_errors, connect_consumer, ensure_topics
from stream.kafka.client.producer import Producer
from stream.kafka.codec.encode import ENCODERS
from stream.kafka.codec.message import ChunkDecoder, encode, encode_end
from stream.resampler import Resampler
from stream.sources.base import audio_of
from stream.stages.mono import ToMono

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kafka import KafkaConsumer
    from numpy.typing import NDArray

    from stream.kafka.codec.event_message import TraceOf
    from stream.kafka.records.consumer_record import ConsumerRecord
    from stream.kafka.settings import KafkaSettings
    from stream.runner import Stop
    from stream.sources.base import Source


log = logging.getLogger(__name__)

_FIRST_STEP = 1000  # messages in the first step back; each further step is twice as long
_MIN_FOUND = 3  # messages of a station, so that one with a wrong count is seen to be alone
_MAX_DECODED = 16


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
    trace_of: TraceOf | None = None,
) -> Published:
    """Send a source's audio to Kafka until it ends or `stop` is requested.

    A station's samples continue where its last message on the topic ended, so a publisher that is
    restarted continues its station; a live source leaves a gap for the time between. Each message
    is sent after the broker has the one before, so the topic always holds the beginning of the
    audio without a hole, however this ends.

    Parameters
    ----------
    source : Source
        Yields one station's chunks; the caller closes it.
    settings : KafkaSettings
        Broker and topic; the topic is created if it is missing.
    stop : Stop
        Checked before every message; nothing is sent after it.
    codec : {"pcm", "f32", "flac", "opus", "mp3"}
        Encoding of the messages. Audio at a rate the codec does not know is resampled.
    chunk_ms : int > 0
        Milliseconds in a message.
    speed : float > 0, optional
        Speed at which a source that is not live is sent, in times real time; None for no pause.
    live : bool, optional
        Whether the source delivers in real time. Its sample 0 is then 1970-01-01T00:00Z.
        By default the source's ``live``, read when its first audio has come.
    ends : bool
        Whether the stream ends with the source; False where more of it follows.
    progress : callable, optional
        Called after every message.
    trace_of : callable, optional
        Gives the trace of the next message of a station.

    Raises
    ------
    BrokerError
        No broker answers, or it refuses a message.
    """
    ensure_topics(settings, {settings.topics.audio: ["Write"]})
    producer = Producer(settings.model_copy(update={"linger_ms": 0}))
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
            if trace_of is not None:
                message.headers.extend(trace_of(piece.station).headers())
            # One at a time: Kafka may accept a message after it has refused, or not answered, the
            # one before it.
            producer.send(settings.topics.audio, message.key, message.value, message.headers)
            producer.flush()
            done.station = piece.station
            done.messages += 1
            done.bytes += len(message.value or b"")
            done.seconds += len(piece.samples) / piece.rate
            if progress is not None:
                progress(done)
        else:
            if ends and done.messages and not stop.requested:
                end = encode_end(piece.station, piece.end, piece.rate)
                producer.send(settings.topics.audio, *end)
                producer.flush()
    finally:
        producer.close()
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
            yield from cutter.push(moved(chunk, *shift))
        if stop.requested:
            return
    yield from cutter.flush()


def _mono(source: Source) -> Iterator[list[AudioChunk]]:
    """Yield a source's audio as mono chunks, batch by batch."""
    mono = ToMono(rate=1)  # its rate matters only for restarts
    for items in source:
        yield [item for item in mono.push(audio_of(items)) if isinstance(item, AudioChunk)]
    ends = [EndOfStream(station, 0, 1) for station in mono.sessions]
    yield [item for item in mono.push(ends) if isinstance(item, AudioChunk)]


def _first_sample(settings: KafkaSettings, chunk: AudioChunk, live: bool) -> int:
    """Return the first sample of a station's new audio, at the chunk's rate."""
    last = end_of_station(settings, chunk.station)
    end = 0 if last is None else -(-last[0] * chunk.rate // last[1])
    if not live:
        return end + chunk.start
    return max(end, round((chunk.time or time.time()) * chunk.rate))


class _Pace:
    """Delays pieces until a station on air would have sent them."""

    def __init__(
        self, speed: float | None, stop: Stop, is_live: Callable[[], bool] = lambda: False
    ) -> None:
        self._speed = speed
        self._is_live = is_live
        self._stop = stop
        self._zero: tuple[float, float, float] | None = None

    def wait(self, piece: AudioChunk) -> AudioChunk:
        """Sleep until the piece has ended, and return it with its time."""
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
        """Return the rest, as if the audio ended here."""
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


class _OutOfTime(Exception):
    """The time for a search is over."""


def end_of_station(settings: KafkaSettings, station: str) -> tuple[int, int] | None:
    """Return (the sample after a station's last message, its rate), None for a new station.

    The topic is searched backwards, all of it if necessary: first the partition that Kafka's own
    clients choose for the station, then the others. If that takes longer than
    ``kafka.request_timeout_s``, the end is now, in seconds from 1970, and the log says so: no
    earlier count is higher.

    Raises
    ------
    BrokerError
        No broker answers.
    """
    key, topic = station.encode(), settings.topics.audio
    deadline = time.monotonic() + settings.request_timeout_s
    found: list[ConsumerRecord] = []
    try:
        with closing(connect_consumer(settings)) as consumer, broker_errors(settings):
            for i, tp in enumerate(_partitions(consumer, topic, key)):
                for record in _backwards(consumer, tp, key, deadline, empty=i > 0):
                    found.append(record)
                    if len(found) >= _MAX_DECODED:
                        break
                if found:
                    break
    except _OutOfTime:
        if not found:
            log.warning(
                "the end of its audio was not found on %s within kafka.request_timeout_s=%g: it "
                "goes on from now, counted from 1970",
                topic,
                settings.request_timeout_s,
                extra={"station": station},
            )
            return int(time.time()) + 1, 1
    return _end(settings, station, found[::-1])


def _partitions(consumer: KafkaConsumer, topic: str, key: bytes) -> list[TopicPartition]:
    """Return the topic's partitions, the most likely first."""
    partitions = sorted(consumer.partitions_for_topic(topic) or {0})
    # Java's formula, which kafka-python's default partitioner follows.
    likely = partitions[(murmur2(key) & 0x7FFFFFFF) % len(partitions)]
    others = [partition for partition in partitions if partition != likely]
    return [TopicPartition(topic, partition) for partition in (likely, *others)]


def _backwards(
    consumer: KafkaConsumer, tp: TopicPartition, key: bytes, deadline: float, *, empty: bool
) -> Iterator[ConsumerRecord]:
    """Yield a partition's messages with a key, newest first, until there are enough.

    `empty` is whether to trust offsets by which the partition is empty: the embedded broker reports
    them for a first batch too.

    Raises
    ------
    _OutOfTime
        The deadline has passed.
    """
    consumer.assign([tp])
    first, end = consumer.beginning_offsets([tp])[tp], consumer.end_offsets([tp])[tp]
    step, count, newest = _FIRST_STEP, 0, True
    if end <= first and empty:
        return
    while count < _MIN_FOUND and (end > first or newest):
        begin = max(end - step, first)
        consumer.seek(tp, begin)
        latest: deque[ConsumerRecord] = deque(maxlen=_MAX_DECODED)
        while True:
            if time.monotonic() > deadline:
                raise _OutOfTime
            records = consumer.poll(timeout_ms=200).get(tp, [])
            if newest and (known := consumer.highwater(tp)) is not None:
                end = max(end, known)
            latest.extend(r for r in records if r.offset < end and _is_audio(r, key))
            if consumer.position(tp) >= end:
                break
        yield from reversed(latest)
        count, end, step, newest = count + len(latest), begin, 2 * step, False


def _is_audio(record: ConsumerRecord, key: bytes) -> bool:
    """Whether a message belongs to a station and has audio: the end of a stream has none."""
    return bool(record.key == key and record.value)


def _end(
    settings: KafkaSettings, station: str, records: list[ConsumerRecord]
) -> tuple[int, int] | None:
    """Return where a station's messages, in order, end."""
    decoder = ChunkDecoder(settings.wire)
    for record in records:
        arrived_ms = None if record.timestamp == -1 else record.timestamp
        try:
            decoder.decode(record.key, record.value, record.headers, arrived_ms)
        except DecodeError:
            continue
    return decoder.end(station)
