"""``airsift worker``: the same pipeline on Faust, for those who scale out with it.

Faust reads the audio topic and looks after the group; its agent only fills an inbox. One loop
takes the inbox, hears all stations in one batch, publishes, and at each checkpoint waits until
the broker has the events, then the snapshots, and only then commits the offsets from which a
restart must read again. So a partition begins for its next owner with the first message that the
oldest of its snapshots needs, and nobody has to seek.

The snapshots are a Faust table whose changelog is the state topic of ``airsift run``, record for
record: either goes on where the other stopped.

A rebalance ends all sessions, also of the partitions that stay: they are restored from the table,
and the audio since the snapshots, some seconds of each station, is heard again.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaError  # type: ignore[import-untyped]
from faust.exceptions import ProducerSendError
from faust.types.tuples import TP
from faust.types.tuples import Message as FaustMessage

from airsift.errors import BrokerError
from stream.kafka.client import ensure_topics
from stream.kafka.deadletter import as_dead_letter
from stream.kafka.faust_app import bytes_topic, make_app
from stream.kafka.intake import Intake, Received
from stream.kafka.outbox import Outbox
from stream.kafka.sink import as_message
from stream.kafka.snapshots import Snapshots, prepare_state_topic
from stream.kafka.watchdog import Watchdog, end_process, waiting_messages
from stream.sources import Batch
from stream.watch import Nobody, Observer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.audio import AudioChunk
    from stream.drive import Stop
    from stream.kafka.settings import KafkaSettings
    from stream.kafka.state import Saved
    from stream.pipeline import Pipeline

log = logging.getLogger(__name__)

# Messages come one by one. One call of the pipeline costs about as much for fifty stations as
# for one, so the loop waits a little for company: with thirty stations in real time this halved
# the processor time against one message a turn, and the latency was the same.
_GATHER_S = 0.02
_STOP_S = 8.0  # Faust waits for the group when it stops; a supervisor kills after 10 s


class Worker:
    """One member of a group of Faust workers.

    Parameters
    ----------
    settings : KafkaSettings
        Broker, group, topics and limits.
    pipeline : Pipeline
        Hears the stations.
    checkpoint_s : float > 0
        Seconds between checkpoints.
    observer : Observer
        Told of every turn of the loop.

    Attributes
    ----------
    counts : Counter
        As those of `KafkaSource`.

    Raises
    ------
    BrokerError
        No broker answers, or a topic is missing and cannot be created.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        pipeline: Pipeline,
        *,
        checkpoint_s: float,
        observer: Observer = Nobody(),  # noqa: B008  # it has no state
    ) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._checkpoint_s = checkpoint_s
        self._observer = observer
        topics = settings.topics
        ensure_topics(settings, [topics.audio, topics.dead_letters, *topics.events.values()])
        self._partitions = prepare_state_topic(settings)
        self._intake = Intake(settings, pipeline.rate, self._refuse)
        self.counts = self._intake.counts
        self._inbox: list[FaustMessage] = []
        self._arrived = asyncio.Event()
        self._committed: dict[TP, int] = {}
        self._touched: set[str] = set()
        self._assignments = self._seen_assignments = 0
        self._joining = True
        self._watchdog = Watchdog(settings.stall_s, self._waiting)
        self._ours: dict[int, int] | None = None

    def run(self, stop: Stop) -> None:
        """Work until `stop` is requested.

        Raises
        ------
        BrokerError
            Faust gave up: the broker is gone, or refuses something.
        """
        with tempfile.TemporaryDirectory(prefix="airsift-worker-") as folder:
            asyncio.run(self._run(stop, Path(folder)))

    @property
    def lag(self) -> int:
        """Messages that waited in our partitions when each was last fetched from."""
        waiting = 0
        for partition, at in (self._ours or {}).items():
            end = self._app.consumer.highwater(TP(self._settings.topics.audio, partition))
            waiting += max(end - at, 0) if end is not None and at >= 0 else 0
        return waiting

    def settle(self, snapshots: Mapping[str, dict[str, Any]]) -> list[tuple[int, Saved]]:
        """Return the records to store before anything is committed."""
        return self._intake.settle(snapshots)

    async def _run(self, stop: Stop, folder: Path) -> None:
        self._app = app = make_app(self._settings, folder)
        # With more on its way, the inbox fills up and Faust stops to fetch.
        self._outbox = Outbox(app, self._settings.max_pending_events)
        progress = self._watchdog.progress
        self._snapshots = Snapshots(app, self._settings, self._partitions, progress)
        app.agent(bytes_topic(app, self._settings.topics.audio), name="hear")(self._hear)
        app.consumer.perform_seek = _stay
        app.on_partitions_revoked.connect(self._note_revoked)
        app.on_partitions_assigned.connect(self._note_assigned)
        self._watchdog.start()
        starting = asyncio.create_task(app.start())
        try:
            await self._work(stop, starting)
        except (KafkaError, ProducerSendError) as error:
            raise self._broker_error(error) from error
        finally:
            self._watchdog.stop()
            await self._close(starting, sys.exception())

    async def _work(self, stop: Stop, starting: asyncio.Task[Any]) -> None:
        next_checkpoint = time.monotonic() + self._checkpoint_s
        while not stop.requested:
            self._check(starting)
            await self._turn()
            if time.monotonic() >= next_checkpoint:
                await self._checkpoint()
                next_checkpoint = time.monotonic() + self._checkpoint_s
        await self._checkpoint()

    async def _close(self, starting: asyncio.Task[Any], error: BaseException | None) -> None:
        starting.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await starting
        self._release(self._inbox)
        # Without a broker the threads of Faust end with errors, and nobody needs to know.
        threading.excepthook = lambda raised: log.debug("a thread of Faust's: %s", raised.exc_value)
        stopping = asyncio.create_task(self._app.stop())
        _, late = await asyncio.wait([stopping], timeout=_STOP_S)
        if late:  # its threads would keep the process; what was published and stored is safe
            end_process(f"{error or 'stopped'}; Faust did not end within {_STOP_S:g} s")

    async def _hear(self, stream: Any) -> None:
        """Fill the inbox: Faust's agent. Nothing is acknowledged here."""
        async for event in stream.noack().events():
            self._inbox.append(event.message)
            self._arrived.set()
            while len(self._inbox) >= self._settings.poll_messages:
                await asyncio.sleep(_GATHER_S)

    async def _turn(self) -> None:
        """Hear what has come, and hand what it brings to the producer."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._arrived.wait(), self._settings.poll_s)
            await asyncio.sleep(_GATHER_S)
        self._arrived.clear()
        messages, self._inbox = self._inbox, []
        batch = self._open(messages)
        for station in batch.lost:
            self._pipeline.forget(station)
        for station, snapshot in batch.resumed.items():
            self._pipeline.restore(station, snapshot)
        events = self._pipeline.push(batch.chunks)
        self._touched |= {chunk.station for chunk in batch.chunks}
        topics = self._settings.topics.events
        for event in events:
            self._outbox.put(topics[event.kind], as_message(event))
        self._release(messages)
        if messages:
            self._watchdog.progress()
        self._ours = self._positions()
        await self._outbox.send()
        self._observer.turn(batch, events)

    def _open(self, messages: list[FaustMessage]) -> Batch:
        """Decode messages, after taking up partitions that are new to this assignment."""
        lost: set[str] = set()
        if self._assignments != self._seen_assignments:
            self._seen_assignments = self._assignments
            lost = self._intake.let_go(self._intake.offsets.partitions)
            self._committed.clear()
            self._touched.clear()
            self.counts["rebalances"] += 1
        chunks: list[AudioChunk] = []
        resumed: dict[str, dict[str, Any]] = {}
        for message in messages:
            # One that was on its way while the group was rebalanced comes again, in its place.
            if self._joining or message.generation_id != self._app.consumer_generation_id:
                continue
            partition = message.partition
            if partition not in self._intake.offsets.partitions:
                resumed |= self._take_up(partition, message.offset)
            elif message.offset < self._intake.offsets.next(partition):
                self.counts["repeats"] += 1
                continue
            chunks += self._intake.take(_received(message))
        return Batch(chunks, resumed, frozenset(lost))

    def _take_up(self, partition: int, kafka_offset: int) -> dict[str, dict[str, Any]]:
        """Begin with a partition where its last owner left it."""
        left = self._snapshots.of(partition)
        log.info("begins with %d known stations", len(left), extra={"partition": partition})
        return self._intake.begin(partition, kafka_offset, left)

    async def _checkpoint(self) -> None:
        """Wait for the events, store the snapshots, commit what they do not need."""
        assignment = self._assignments
        if assignment != self._seen_assignments:
            return
        await self._outbox.delivered()
        if assignment != self._assignments:
            return
        stations, self._touched = sorted(self._touched), set()
        settled = self.settle({s: self._pipeline.snapshot(s) for s in stations})
        self._snapshots.write(settled, self._outbox)
        await self._outbox.delivered()
        if assignment != self._assignments:
            return
        await self._commit()

    async def _commit(self) -> None:
        """Commit what is needed, by offset.

        Messages are not acknowledged to Faust instead: it takes a jump between two offsets for a
        hole in the topic, counts what lies in it as acknowledged, and may commit beyond it.
        """
        topic, known = self._settings.topics.audio, self._intake.offsets
        offsets = {TP(topic, p): known.needed(p) for p in known.partitions}
        changed = {tp: at for tp, at in offsets.items() if self._committed.get(tp) != at}
        if not changed:
            return
        # False during a rebalance: what was published since the last time comes again.
        if await self._app.consumer._commit(changed):
            self._committed |= changed
            self.counts["commits"] += 1
        else:
            self.counts["commit_failures"] += 1

    def _release(self, messages: list[FaustMessage]) -> None:
        """Tell Faust that these are done: until then it does not go into a rebalance.

        They are never acknowledged, see `_commit`.
        """
        for message in messages:
            self._app.consumer.unacked.discard(message)

    def _refuse(self, message: Any, reason: str) -> None:
        letter = as_dead_letter(self._settings, message, reason)
        self._outbox.put(self._settings.topics.dead_letters, letter)

    async def _note_revoked(self, *_: Any, **__: Any) -> None:
        self._assignments += 1
        self._joining = True

    async def _note_assigned(self, *_: Any, **__: Any) -> None:
        self._assignments += 1
        self._joining = False

    def _positions(self) -> dict[int, int] | None:
        """Return the next offset of each partition of ours; None while that is open."""
        if self._joining or self._app.rebalancing or self._app.in_recovery:
            return None
        known = self._intake.offsets
        ours = [tp.partition for tp in self._app.consumer.assignment() if self._is_audio(tp)]
        return {p: known.next(p) if p in known.partitions else -1 for p in ours}

    def _is_audio(self, tp: Any) -> bool:
        return bool(tp.topic == self._settings.topics.audio)

    def _waiting(self) -> str:
        return waiting_messages(self._settings, self._ours)

    def _check(self, starting: asyncio.Task[Any]) -> None:
        """Raise what has ended Faust, or would have."""
        if self._snapshots.error is not None:
            raise self._snapshots.error
        reason = self._app.crash_reason if self._app.crashed else None
        if reason is None and starting.done() and not starting.cancelled():
            reason = starting.exception()
        if reason is not None:
            raise self._broker_error(reason) from reason

    def _broker_error(self, reason: BaseException) -> BrokerError:
        said = " ".join(f"{type(reason).__name__}: {reason}".split())
        return BrokerError(
            f"Faust gave up on the Kafka broker at {self._settings.bootstrap_servers} "
            f"({said[:200]}); start the worker again when the broker answers"
        )


async def _stay() -> None:
    """Do not seek at the end of a rebalance: aiokafka is at the committed offsets already.

    Faust would, after it has let messages through again: of those on their way then, one is lost.
    """


def _received(message: FaustMessage) -> Received:
    headers: Any = message.headers or ()
    return Received(
        message.topic,
        message.partition,
        message.offset,
        -1 if message.timestamp is None else round(message.timestamp * 1000),
        message.key,
        message.value,
        list(headers.items() if isinstance(headers, dict) else headers),
    )
