"""From messages of the audio topic to chunks, whoever reads them.

Both drivers (`stream.kafka.source`, `stream.kafka.worker`) hand over each message they are given
and the records that a partition's last owner left; this keeps the decoders, what a restart must
read again, and what is read a second time.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from airsift.errors import DecodeError
from stream.kafka.held import MAX_BYTES, HeldMessages
from stream.kafka.kept import Kept
from stream.kafka.offsets import Heard, Offsets
from stream.kafka.position import Verdict
from stream.kafka.saved import Saved
from stream.kafka.wire import Begin, ChunkDecoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from stream.audio import AudioChunk
    from stream.kafka.held import Held
    from stream.kafka.settings import KafkaSettings
    from stream.kafka.wire import Read

log = logging.getLogger(__name__)

_MAX_STARTING = 256  # names of which so far only a part of a first frame has come
_TOO_MANY_HELD = (
    f"its count or clock has jumped, and messages of more than {MAX_BYTES} bytes already wait for "
    "the next ones of their stations to confirm such jumps; look at the producers' clocks"
)


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
        Limits, how long a silent station holds its partition back, and when it is forgotten.
    rate : int > 0
        Samples per second of the snapshots' ``oldest``.
    refuse : callable
        Is given each message that is no audio, and the reason in one line.
    now : callable
        The clock, in seconds.

    Attributes
    ----------
    counts : Counter
        ``messages``, ``bytes``, ``dead_letters``, ``repeats`` and ``jumps`` so far.
    offsets : Offsets
        What a restart must read again.

    Notes
    -----
    A name costs memory from the first message on that decodes to samples, and no more than
    ``kafka.max_stations`` names do. Of each station at most one message waits for the next one,
    which tells whether the jump of its count or clock was real (`stream.kafka.position`).
    """

    def __init__(
        self,
        settings: KafkaSettings,
        rate: int,
        refuse: Callable[[Any, str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.offsets = Offsets(rate, settings.release_s, now)
        self._refuse = refuse
        self._decoder = ChunkDecoder(settings.wire)
        self._damaged: set[str] = set()  # stations whose last message did not decode
        self._held = HeldMessages(now)
        # Names of which no message has brought samples yet, the oldest first.
        self._starting: OrderedDict[tuple[int, str], None] = OrderedDict()
        self._release_s = settings.release_s
        self._most = settings.max_stations
        self._names: dict[int, set[str]] = {}  # stations of each partition
        self._skip: dict[tuple[int, str], int] = {}  # first offset a resumed station needs
        self._kept = Kept(settings.forget_s, now)
        self._forgotten: set[tuple[int, str]] = set()  # whose records are to be withdrawn

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
        names = self._names[partition] = set()
        resumed = {}
        left = list(left)
        self._kept.begin(partition, left)
        for saved in left:
            self._skip[partition, saved.station] = saved.kafka_offset
            at = saved.kafka_offset, saved.start, saved.rate
            self._decoder.resume(saved.station, Begin(*at, saved.place, saved.entry))
            names.add(saved.station)
            resumed[saved.station] = dict(saved.snapshot or {})
        return resumed

    def let_go(self, partitions: Iterable[int]) -> set[str]:
        """Forget partitions; return the stations that are on none that is left."""
        partitions = set(partitions)
        self.offsets.drop(partitions)
        # Those that were resumed and have sent nothing since are lost as well.
        lost = set[str]().union(*(self._names.pop(p, set()) for p in partitions))
        lost = lost.difference(*self._names.values())
        self._held.drop(partitions)
        for place in [place for place in self._starting if place[0] in partitions]:
            del self._starting[place]
            self._decoder.forget(place[1])
        for station in lost:
            self._decoder.forget(station)
        self._damaged -= lost
        self._kept.drop(partitions)
        self._forgotten = {place for place in self._forgotten if place[0] not in partitions}
        self._skip = {k: v for k, v in self._skip.items() if k[0] not in partitions}
        return lost

    def take(self, message: Any) -> list[AudioChunk]:
        """Decode the next message of a partition; there may be no chunk in it.

        Parameters
        ----------
        message : Received or kafka ConsumerRecord
            The first of its partition that was not taken yet.
        """
        partition = message.partition
        self.offsets.passed(partition, message.offset)
        station = (message.key or b"").decode("utf-8", "replace")
        if message.offset < self._skip.get((partition, station), 0):
            self.counts["repeats"] += 1
            return []
        self.counts["messages"] += 1
        self.counts["bytes"] += len(message.value or b"")
        try:
            self._admit(partition, station)
            arrived_ms = None if message.timestamp in (None, -1) else message.timestamp
            read = self._decoder.decode(
                message.key, message.value, message.headers, arrived_ms, message.offset
            )
        except DecodeError as error:
            self._send_back(message, station, str(error))
            if station in self._names[partition]:
                self._damaged.add(station)
            return []
        if station not in self._names[partition] and read.placed.is_empty:
            self._start(partition, station)
        else:
            self._starting.pop((partition, station), None)
            self._names[partition].add(station)
            self._kept.heard(partition, station)
        return self._decide(message, station, read)

    def _start(self, partition: int, station: str) -> None:
        """Note a name of which no whole frame has come yet: it is no station, and few are noted."""
        self._starting[partition, station] = None
        self._starting.move_to_end((partition, station))
        if len(self._starting) > _MAX_STARTING:
            oldest, _ = self._starting.popitem(last=False)
            self.offsets.end(*oldest)
            self._decoder.forget(oldest[1])

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
        # Also of one that completes no frame: the next message may need it.
        heard = Heard(message.offset, chunk.start, chunk.end, chunk.rate, read.begin)
        self.offsets.heard(message.partition, station, heard)
        if not len(chunk.samples):
            return []
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

    def listen(self) -> dict[str, dict[str, Any]]:
        """Note that a turn of the loop begins; return stations that are forgotten from now on.

        They have been silent for `kafka.forget_s`. The next `settle` withdraws their records; if
        they come back they are new. None is forgotten before the group has committed beyond its
        last message: a restart would hear it again.

        Returns
        -------
        dict of str to dict
            The last snapshot of each station, for `Pipeline.end`.
        """
        for station in self._held.older_than(self._release_s):
            self._give_up(station, "no other message came after it")
        ended = {}
        for partition, station in self._kept.listen():
            if not self.offsets.forget(partition, station):
                continue
            saved = self._kept.forget((partition, station))
            self._forgotten.add((partition, station))
            self._skip.pop((partition, station), None)
            self._names[partition].discard(station)
            if any(station in names for names in self._names.values()):
                continue
            self._give_up(station, "no other message came after it")
            self._decoder.forget(station)
            self._damaged.discard(station)
            ended[station] = dict(saved.snapshot or {})
            where = {"station": station, "partition": partition}
            log.info("forgotten: it has sent nothing for a long time", extra=where)
        return ended

    def _admit(self, partition: int, station: str) -> None:
        """Refuse a station too many: whoever may write to the topic can invent names."""
        if station in self._names[partition]:
            return
        known = sum(map(len, self._names.values()))
        if known >= self._most:
            raise DecodeError(
                f"a new station, and this worker has kafka.max_stations={self._most} of them; "
                "raise it, add workers, or look who sends invented names"
            )

    def settle(self, snapshots: Mapping[str, dict[str, Any]]) -> list[tuple[int, Saved]]:
        """Let go of what these snapshots no longer need.

        Returns
        -------
        list of (partition, Saved)
            The records to write before anything is committed.
        """
        written = [
            (
                partition,
                Saved(
                    station,
                    first.kafka_offset,
                    first.start,
                    first.rate,
                    snapshot,
                    first.place,
                    first.entry,
                ),
            )
            for station, snapshot in snapshots.items()
            for partition, first in self.offsets.settle(station, snapshot["oldest"])
        ]
        for partition, saved in written:
            self._kept.store(partition, saved)
            self._forgotten.discard((partition, saved.station))
        withdrawn = [(p, Saved.nothing(station)) for p, station in sorted(self._forgotten)]
        self._forgotten.clear()
        return written + self._kept.refresh() + withdrawn
