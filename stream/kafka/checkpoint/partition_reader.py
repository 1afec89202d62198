"""From messages of the audio topic to chunks, whoever reads them.

Both drivers (`stream.kafka.client.source`, `stream.kafka.faust.worker`) hand over each message they
are given and the records that a partition's last owner left; this keeps the decoders, what a
restart must read again, and what is read a second time.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections import Counter, OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from airsift.errors import AirsiftError, DecodeError
from stream.audio import AudioChunk, rescale
from stream.kafka.checkpoint.first_frames import FirstFrames
from stream.kafka.checkpoint.held_messages import MAX_BYTES, HeldMessages
from stream.kafka.checkpoint.offsets import Heard, Offsets
from stream.kafka.checkpoint.record import Saved
from stream.kafka.checkpoint.record_cache import Kept
from stream.kafka.checkpoint.stream_count import Count
from stream.kafka.codec.frame_stream import NEW
from stream.kafka.codec.headers import read_end
from stream.kafka.codec.message import Begin, ChunkDecoder
from stream.kafka.codec.timeline import Verdict
from stream.kafka.records.unreadable import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from stream.audio import Ending
    from stream.kafka.checkpoint.held_messages import Held
    from stream.kafka.codec.headers import End
    from stream.kafka.codec.message import Read
    from stream.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

_ENDED = "the stream had ended"  # why audio is missing before what comes after an end
# What a restart skips must exist: looked at after so much listening, when its end is known.
_SETTLED_S = 5.0
_MAX_STARTING = 256  # names of which so far only a part of a first frame has come
_TOO_MANY_HELD = (
    f"its count or clock has jumped, and messages of more than {MAX_BYTES} bytes already wait for "
    "the next ones of their stations to confirm such jumps; look at the producers' clocks"
)


class MovedStations(Protocol):
    """What is known of stations on the partitions that they were on before the topic grew."""

    @property
    def grown(self) -> bool:
        """Whether the topic has more partitions than stations were spread over at first."""

    def belongs(self, station: str, partition: int) -> bool:
        """Say whether a partition is the one that a station's messages go to now."""

    def find(self, station: str, partition: int) -> tuple[int, Saved] | None:
        """Return a station's record on another partition, and which that is."""

    def messages(self, station: str, partition: int, kafka_offset: int) -> list[Any]:
        """Return a station's messages on a partition, from an offset on."""


class Received(NamedTuple):
    """A message, with the names that kafka-python's ConsumerRecord has for it.

    `timestamp` is Unix time in milliseconds, -1 where there is none.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Intake:
    """Decodes the messages of the partitions that are ours.

    Parameters
    ----------
    settings : KafkaSettings
        Limits, when a silent station is at its end, and when it is forgotten.
    rate : int > 0
        Samples per second of the snapshots' ``oldest``.
    refuse : callable
        Is given each message that is no audio, and the reason in one line.
    now : callable
        The clock, in seconds.
    moved : MovedStations, optional
        Finds what other partitions know of a station that comes to one of ours.

    Attributes
    ----------
    counts : Counter
        ``messages``, ``bytes``, ``dead_letters``, ``unreadable`` (batches and records),
        ``repeats``, ``jumps``, ``ends`` (of streams) and ``damaged_records`` so far.
    offsets : Offsets
        What a restart must read again.
    topic_id : str
        Of the audio topic, see `Saved`; "" where it is not known.

    Notes
    -----
    A name costs memory from the first message on that decodes to samples, and no more than
    ``kafka.max_stations`` names do. Of each station at most one message waits for the next one,
    which tells whether the jump of its count or clock was real (`stream.kafka.codec.timeline`).
    """

    def __init__(
        self,
        settings: KafkaSettings,
        rate: int,
        refuse: Callable[[Any, str], None],
        now: Callable[[], float] = time.monotonic,
        *,
        moved: MovedStations | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.topic_id = ""
        self.offsets = Offsets(rate)
        self._rate = rate
        self._refuse = refuse
        self._decoder = ChunkDecoder(settings.wire)
        self._damaged: set[str] = set()  # stations whose last message did not decode
        self._held = HeldMessages(now)
        self._first_frames = FirstFrames(self.offsets, now)
        # Names of which no message has brought samples yet, the oldest first.
        self._starting: OrderedDict[tuple[int, str], None] = OrderedDict()
        self._idle_s = settings.idle_s
        self._most = settings.max_stations
        self._names: dict[int, set[str]] = {}  # stations of each partition
        self._skip: dict[tuple[int, str], int] = {}  # first offset a resumed station needs
        self._checked: set[int] = set()  # partitions whose `_skip` was looked at
        self._kept = Kept(settings.idle_s, settings.forget_s, now)
        self._stream: dict[tuple[int, str], Count] = {}
        self._forgotten: set[tuple[int, str]] = set()  # whose records are to be withdrawn
        self._moved = moved
        self._resumed: dict[str, dict[str, Any]] = {}
        self._adopted: dict[tuple[int, str], int] = {}  # kafka_offset from which a record is ours

    def begin(
        self, partition: int, kafka_offset: int, left: Iterable[Saved]
    ) -> dict[str, dict[str, Any]]:
        """Take up a partition of which `kafka_offset` is the next message.

        Parameters
        ----------
        partition : int
            Which one.
        kafka_offset : int
            Of the first message that `take` will be given.
        left : iterable of Saved
            What its last owner left.

        Returns
        -------
        dict of str to dict
            Snapshot of each station, for the pipeline.
        """
        self.offsets.begin(partition, kafka_offset)
        self._checked.discard(partition)
        self._names[partition] = set()
        left = [self._rebased(saved, kafka_offset) for saved in left]
        self._kept.begin(partition, left)
        return {
            saved.station: dict(saved.snapshot or {})
            for saved in left
            if self._take_up(partition, saved)
        }

    def _take_up(self, partition: int, saved: Saved) -> bool:
        """Go on with a station from a record; False where we know more of it elsewhere.

        A station that has moved leaves a record on its old partition for a while.
        """
        station = saved.station
        others = [p for p, names in self._names.items() if station in names and p != partition]
        self._skip[partition, station] = saved.kafka_offset
        self._stream[partition, station] = saved.count
        self._names[partition].add(station)
        if not all(self._kept.is_before((p, station), saved) for p in others):
            return False
        at = saved.kafka_offset, saved.start, saved.rate
        self._decoder.resume(station, Begin(*at, saved.place, saved.entry))
        if saved.count.over:
            self._decoder.end_stream(station, saved.count.first / self._rate)
        return True

    def _rebased(self, saved: Saved, kafka_offset: int) -> Saved:
        """Return a record whose offsets count in the topic as it is.

        Of a topic that was made anew nothing has been read before `kafka_offset`.
        """
        if saved.is_of(self.topic_id):
            return saved
        at, topic_id = kafka_offset, self.topic_id
        return replace(saved, kafka_offset=at, read_to=at, topic_id=topic_id, entry=NEW)

    def let_go(self, partitions: Iterable[int]) -> set[str]:
        """Forget partitions; return the stations that are on none that is left."""
        partitions = set(partitions)
        self.offsets.drop(partitions)
        # Those that were resumed and have sent nothing since are lost as well.
        lost = set[str]().union(*(self._names.pop(p, set()) for p in partitions))
        lost = lost.difference(*self._names.values())
        self._held.drop(partitions)
        self._first_frames.drop(partitions)
        for place in [place for place in self._starting if place[0] in partitions]:
            del self._starting[place]
            self._decoder.forget(place[1])
        for station in lost:
            self._decoder.forget(station)
        self._damaged -= lost
        self._kept.drop(partitions)
        self._forgotten = {place for place in self._forgotten if place[0] not in partitions}
        self._skip = {k: v for k, v in self._skip.items() if k[0] not in partitions}
        self._stream = {k: v for k, v in self._stream.items() if k[0] not in partitions}
        self._adopted = {k: v for k, v in self._adopted.items() if k[0] not in partitions}
        return lost

    def take(self, message: Any) -> list[AudioChunk]:
        """Decode the next message of a partition; there may be no chunk in it.

        Parameters
        ----------
        message : Received or kafka ConsumerRecord
            The first of its partition that was not taken yet.
        """
        partition = message.partition
        if isinstance(message.value, Unreadable):
            return self._pass_over(message, message.value)
        self.offsets.passed(partition, message.offset)
        station = (message.key or b"").decode("utf-8", "replace")
        if message.offset < self._skip.get((partition, station), 0):
            self.counts["repeats"] += 1
            return []
        self.counts["messages"] += 1
        self.counts["bytes"] += len(message.value or b"")
        place, chunks = (partition, station), list[AudioChunk]()
        if self._kept.ends_before(place, message.offset):
            chunks += self._end(place, "idle")
        if self._moved is not None and station not in self._names[partition]:
            chunks += self._follow(self._moved, message, place)
        return chunks + self._process(message, place)

    def _process(self, message: Any, place: tuple[int, str]) -> list[AudioChunk]:
        """Return what a message brings to its station, or send it back."""
        partition, station = place
        chunks: list[AudioChunk] = []
        try:
            end = read_end(message.headers)
            if message.value or end is None:
                chunks += self._decode(message, place)
            if end is not None and not self._comes_late(station, end, message):
                chunks += self._end(place, "sent")
        except DecodeError as error:
            self._first_frames.done(place)
            self._send_back(message, station, str(error))
            if station in self._names[partition] and not self._decoder.is_at_end(station):
                self._damaged.add(station)
        return chunks

    def _follow(
        self, moved: MovedStations, message: Any, place: tuple[int, str]
    ) -> list[AudioChunk]:
        """Bring a station that has moved to a partition of ours up to its first message there."""
        partition, station = place
        if not moved.grown or self._is_full(partition, station):
            return []
        before = [p for p, names in self._names.items() if station in names and p != partition]
        if before:  # it is ours already; what was not read of it is in front of this message
            [old, *_] = before
            tail = moved.messages(station, old, self.offsets.next(old))
            if tail:
                self._skip[old, station] = tail[-1].offset + 1
            chunks = [chunk for each in tail for chunk in self._process(each, (old, station))]
        elif (found := moved.find(station, partition)) is not None:
            old, saved = found
            saved = self._rebased(saved, 0)
            tail = moved.messages(station, old, saved.kafka_offset)
            if not tail or tail[0].offset != saved.kafka_offset:
                saved = replace(saved, entry=NEW)  # it is how another message begins
            self._adopt(message, place, saved)
            chunks = []
            # A restart must read all of this again: a message of its old partition has no place in
            # this one, and counts as the first one here.
            for each in tail:
                chunks += self._process(_placed_as(each, message), place)
        else:
            return []
        self.counts["moved"] += 1
        where = {"station": station, "partition": partition}
        log.info("has moved here from partition %d, and goes on", old, extra=where)
        return chunks

    def _adopt(self, message: Any, place: tuple[int, str], saved: Saved) -> None:
        """Take a station up whose record lies on another partition."""
        partition, station = place
        at = message.offset
        here = replace(saved, kafka_offset=at, read_to=at)
        self._kept.begin(partition, [here])
        self._take_up(partition, here)
        self._resumed[station] = dict(saved.snapshot or {})
        self._adopted[place] = at

    def take_resumed(self) -> dict[str, dict[str, Any]]:
        """Return the snapshots of stations that have moved here since this was last asked.

        They are to be restored before the chunks that `take` has returned since.
        """
        resumed, self._resumed = self._resumed, {}
        return resumed

    def _decode(self, message: Any, place: tuple[int, str]) -> list[AudioChunk]:
        """Return the audio that a message brings."""
        partition, station = place
        self._admit(partition, station)
        arrived_ms = None if message.timestamp in (None, -1) else message.timestamp
        given = message.key, message.value, message.headers
        try:
            read = self._decoder.decode(*given, arrived_ms, message.offset, partition)
        except (AirsiftError, MemoryError):
            raise
        except Exception as error:  # whatever is wrong here, the other messages go on
            raise DecodeError(
                f"airsift fails on it, which is a mistake of airsift ({error!r:.120}, "
                f"{_line_of(error)}): report it with this message"
            ) from error
        if station not in self._names[partition] and read.placed.is_empty:
            self._start(partition, station)
            return self._decide(message, station, read)
        self._starting.pop(place, None)
        self._names[partition].add(station)
        self._kept.heard(place, message.offset)
        if self._decoder.is_at_end(station):
            if read.placed.is_empty:
                self._first_frames.add(place, message.offset)
            else:
                where = {"station": station}
                log.info("audio of before the end of its stream is dropped", extra=where)
            return []
        return self._decide(message, station, read)

    def _start(self, partition: int, station: str) -> None:
        """Note a name of which no whole frame has come yet: it is no station, and few are noted."""
        self._starting[partition, station] = None
        self._starting.move_to_end((partition, station))
        if len(self._starting) > _MAX_STARTING:
            oldest, _ = self._starting.popitem(last=False)
            self._first_frames.done(oldest)
            self._decoder.forget(oldest[1])

    def _comes_late(self, station: str, end: End, message: Any) -> bool:
        """Whether an end is of an earlier stream than the one that goes on, or comes again."""
        if message.value or end.start_sample is None:
            return False
        return self._decoder.is_past(station, end.start_sample, end.rate)

    def _end(self, place: tuple[int, str], how: Ending) -> list[AudioChunk]:
        """End a station's stream after what came of it; nothing where it is at its end."""
        partition, station = place
        count = self._stream.get(place)
        self._first_frames.done(place)
        if count is None or count.over:
            return []
        self._give_up(station, "its stream ended")
        self._damaged.discard(station)  # why audio is missing behind an end is the end
        self._stream[place] = count._replace(over=how)
        self._decoder.end_stream(station, count.first / self._rate)
        self.offsets.end(partition, station)
        self.counts["ends"] += 1
        where = {"station": station, "partition": partition}
        log.info("its stream has ended" if how == "sent" else "idle: it is ended", extra=where)
        nothing = np.zeros(0, np.float32)
        return [AudioChunk(station, count.end, nothing, self._rate, ends=how)]

    def _decide(self, message: Any, station: str, read: Read) -> list[AudioChunk]:
        """Hold a message that claims a jump, and decide on the one that was held before it."""
        verdict = read.placed.verdict
        held = self._held.pop(station)
        if held is not None:
            self.offsets.let_pass(held.message.partition, station)
        if held is not None and verdict is not Verdict.CONFIRMED:
            self._refuse_jump(held, "the next message does not go on from there")
        if verdict is Verdict.HELD:
            if self._held.put(message, read):
                self.offsets.hold(message.partition, station, message.offset)
            else:
                self._send_back(message, station, _TOO_MANY_HELD)
            return []
        if verdict is Verdict.NEAR:
            return self._pass(message, read)
        self.counts["jumps"] += 1
        log.warning(
            "its count or clock has jumped, and a second message confirms it: goes on at second %d",
            read.chunk.start // read.chunk.rate,
            extra={"station": station, "partition": message.partition},
        )
        first = [] if held is None else self._pass(held.message, held.read)
        return first + self._pass(message, read)

    def _pass(self, message: Any, read: Read) -> list[AudioChunk]:
        """Note a message that is processed, and return its chunk, unless that is empty."""
        chunk, station = read.chunk, read.chunk.station
        at = message.partition, station
        before = self._stream.get(at)
        if read.placed.is_empty and (before is None or before.over):
            self._first_frames.add(at, message.offset)
            return []
        self._first_frames.done(at)
        # Also of one that completes no frame: the next message may need it.
        heard = Heard(message.offset, chunk.start, chunk.end, chunk.rate, read.begin)
        self.offsets.heard(message.partition, station, heard)
        if not len(chunk.samples):
            return []
        start, end = (rescale(s, chunk.rate, self._rate) for s in (chunk.start, chunk.end))
        self._stream[at] = Count(start, end) if before is None else before.follow(start, end)
        if before is not None and before.over == "sent":
            chunk = replace(chunk, gap_reason=_ENDED)
        if station in self._damaged:
            self._damaged.remove(station)
            chunk = replace(chunk, gap_reason="a message could not be decoded")
        return [chunk]

    def _refuse_jump(self, held: Held, why: str) -> None:
        """Send a message back whose jump nothing has confirmed."""
        placed, station = held.read.placed, held.read.chunk.station
        far = f"{abs(placed.off_s):.0f} s {'ahead of' if placed.off_s > 0 else 'before'}"
        self._send_back(
            held.message,
            station,
            f"{placed.claim} is {far} the station's audio, and {why}: a clock or a count that was "
            "wrong once, or a second producer under this name (give each one a name of its own)",
        )

    def _send_back(self, message: Any, station: str, reason: str) -> None:
        """Send a message to the dead letters."""
        where = {
            "station": station,
            "partition": message.partition,
            "kafka_offset": message.offset,
        }
        log.warning("not processed, sent to the dead letters: %s", reason, extra=where)
        self.counts["dead_letters"] += 1
        self._refuse(message, reason)

    def _give_up(self, station: str, why: str) -> None:
        """Send the message of a station back that waits for a next one which does not come."""
        held = self._held.pop(station)
        if held is not None:
            self.offsets.let_pass(held.message.partition, station)
            self._decoder.drop_candidate(station)
            self._refuse_jump(held, why)

    def _pass_over(self, message: Any, value: Unreadable) -> list[AudioChunk]:
        """Refuse what could not be read, and go on behind it."""
        self.offsets.passed(message.partition, value.last_offset)
        self.counts["unreadable"] += 1
        self.counts["dead_letters"] += 1
        place = {
            "station": (message.key or b"").decode("utf-8", "replace"),
            "partition": message.partition,
            "kafka_offset": message.offset,
        }
        log.warning("passed over, sent to the dead letters: %s", value.reason, extra=place)
        station = place["station"]
        if station in self._names[message.partition] and not self._decoder.is_at_end(station):
            self._damaged.add(station)
        self._refuse(message, value.reason)
        return []

    def listen(self, partitions: Collection[int] = ()) -> tuple[list[AudioChunk], set[str]]:
        """Note that a turn of the loop begins.

        Parameters
        ----------
        partitions : collection of int
            Those that are read as fast as they are written, from a broker that answers: a station
            there that sends nothing is silent.

        Returns
        -------
        ends : list of AudioChunk
            The ends of stations that have been silent for `kafka.idle_s`.
        forgotten : set of str
            Stations that have been silent for `kafka.forget_s`. The next `settle` withdraws their
            records; if they come back they are new. None is forgotten before the group has
            committed beyond its last message: a restart would hear it again.
        """
        self._first_frames.expire()
        for station in self._held.older_than(self._idle_s):
            self._give_up(station, "no other message came after it")
        self._kept.listen(partitions)
        for partition in partitions:
            self._check_skips(partition)
        ends, forgotten = [], set()
        idle, old = self._kept.look()
        for place in idle:
            if self.offsets.next(place[0]) < self._kept.saved(place).read_to:
                continue  # a restart has not come to its end yet
            if self._is_elsewhere(*place) or self._has_moved(*place):
                self.offsets.end(*place)
                old.append(place)
            else:
                ends += self._end(place, "idle")
        for partition, station in old:
            if not self.offsets.is_past(partition, self._kept.saved((partition, station)).read_to):
                continue
            self._forget(partition, station)
            if not self._is_elsewhere(partition, station):
                self._give_up(station, "no other message came after it")
                self._decoder.forget(station)
                self._damaged.discard(station)
                forgotten.add(station)
                where = {"station": station, "partition": partition}
                log.info("forgotten: it has sent nothing for a long time", extra=where)
        return ends, forgotten

    def _forget(self, partition: int, station: str) -> None:
        self._kept.forget((partition, station))
        self._forgotten.add((partition, station))
        self._skip.pop((partition, station), None)
        self._stream.pop((partition, station), None)
        self._names[partition].discard(station)

    def _is_elsewhere(self, partition: int, station: str) -> bool:
        """Say whether a station is on another partition of ours too: it has moved there."""
        return any(station in names for p, names in self._names.items() if p != partition)

    def _has_moved(self, partition: int, station: str) -> bool:
        """Say whether another worker goes on with a station, on another partition."""
        moved = self._moved
        if moved is None or not (moved.grown or not moved.belongs(station, partition)):
            return False
        found = moved.find(station, partition)
        return found is not None and self._kept.is_before((partition, station), found[1])

    def _check_skips(self, partition: int) -> None:
        """Skip nothing that is not there: the topic may have been deleted and made anew."""
        if partition in self._checked or self._kept.listened_s(partition) < _SETTLED_S:
            return
        self._checked.add(partition)
        for place, skip in list(self._skip.items()):
            if place[0] == partition and skip > self.offsets.next(partition):
                del self._skip[place]
                self._kept.forget(place)
                self.counts["damaged_records"] += 1
                where = {"station": place[1], "partition": partition, "kafka_offset": skip}
                log.warning("its record names a message that is not there: ignored", extra=where)

    def _admit(self, partition: int, station: str) -> None:
        """Refuse a station too many: whoever may write to the topic can invent names."""
        if self._is_full(partition, station):
            raise DecodeError(
                f"a new station, and this worker has kafka.max_stations={self._most} of them; "
                "raise it, add workers, or look who sends invented names"
            )

    def _is_full(self, partition: int, station: str) -> bool:
        """Say whether a station is one too many."""
        known = sum(map(len, self._names.values()))
        return station not in self._names[partition] and known >= self._most

    def rewrite(self) -> None:
        """Have the next `settle` write all records again: what stored them is gone."""
        self._kept.expire()

    def settle(self, snapshots: Mapping[str, dict[str, Any]]) -> list[tuple[int, Saved]]:
        """Let go of what these snapshots no longer need.

        Returns
        -------
        list of (partition, Saved)
            The records to write before anything is committed.
        """
        written = [
            (partition, self._kept.store(partition, saved))
            for station, snapshot in snapshots.items()
            for partition, saved in self._records(station, snapshot)
        ]
        self._forgotten -= {(partition, saved.station) for partition, saved in written}
        withdrawn = [(p, Saved.nothing(station)) for p, station in sorted(self._forgotten)]
        self._forgotten.clear()
        return written + self._kept.refresh() + withdrawn

    def _records(self, station: str, snapshot: dict[str, Any]) -> Iterable[tuple[int, Saved]]:
        """Yield a station's record for each partition that it is on."""
        first_needed = dict(self.offsets.settle(station, snapshot["oldest"]))
        for partition in self.offsets.partitions:
            place = partition, station
            count, read_to = self._stream.get(place), self.offsets.next(partition)
            if count is None:
                continue
            if count.over:  # nothing is needed again
                found = self._decoder.place(station)
                at = self._first_frames.kafka_offset(place, read_to)
                first = Begin(at, found.end, found.rate, found)
            elif partition in first_needed:
                first = first_needed[partition]
            else:
                continue
            # Until then its record on its old partition leads to what a restart needs.
            if first.kafka_offset <= self._adopted.get(place, -1):
                continue
            self._adopted.pop(place, None)
            yield partition, Saved(
                station, first.kafka_offset, first.start, first.rate, snapshot, first.place,
                read_to=read_to, count=count, topic_id=self.topic_id, entry=first.entry,
            )  # fmt: skip


def _line_of(error: Exception) -> str:
    """Return where an error was raised, as a file and a line."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"


def _placed_as(message: Any, other: Any) -> Received:
    """Return a message as if it were where another one is."""
    return Received(
        other.topic,
        other.partition,
        other.offset,
        message.timestamp,
        message.key,
        message.value,
        message.headers,
    )
