"""``airsift worker``: the same pipeline on Faust, for those who scale out with it.

Faust reads the audio topic and manages the group membership (`stream.kafka.faust.consumer`). One
loop reads the messages that have arrived, processes all stations in one batch, and publishes. At
each checkpoint it waits until the broker has the events, then the snapshots, and only then commits
the offsets from which a restart must read again. So the next owner of a partition begins with the
first message that the oldest of its snapshots needs, and needs no seek.

The snapshots are those of ``airsift run``, record for record, in the same topic: each of the two
continues where the other stopped.

A rebalance ends all sessions, also of the partitions that stay: they are restored from snapshots,
and the audio since the snapshots, some seconds of each station, is processed again.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError  # type: ignore[import-untyped]
from faust.exceptions import ProducerSendError

from airsift.malloc import give_back_free_pages
from stream.kafka.checkpoint.partition_reader import PartitionReader
from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.dead_letters import DeadLetterProducer
from stream.kafka.client.moved_stations import MovedStations, committed_offsets
from stream.kafka.client.refusals import Refusals
from stream.kafka.client.state_topic import ensure_state_topic
from stream.kafka.client.tail import waiting_messages
from stream.kafka.client.topic_watch import TopicWatch
from stream.kafka.codec.event_message import no_trace
from stream.kafka.faust.consumer import FaustConsumer, as_received
from stream.kafka.faust.privates import last_reads, log_stray_error
from stream.kafka.faust.producer import FaustProducer
from stream.kafka.faust.refusals import as_broker_error
from stream.kafka.faust.state_table import StateTable
from stream.kafka.faust.watchdog import Watchdog
from stream.kafka.health import Connectivity, MemberHealth, Readiness
from stream.kafka.schema_registry import open_format
from stream.runner import Runner
from stream.sinks.base import Sink
from stream.sources.base import Lost, Resumed, SourceStatus
from stream.telemetry.observer import NullObserver, Observer

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Collection, Mapping, Sequence

    from faust.types.tuples import Message as FaustMessage

    from stream.events import Event
    from stream.kafka.codec.event_message import EventFormat, TraceOf
    from stream.kafka.records.consumer_record import ConsumerRecord
    from stream.kafka.settings import KafkaSettings
    from stream.pipeline import Pipeline
    from stream.runner import Stop
    from stream.snapshot import StoredSnapshot
    from stream.sources.base import SourceItem

log = logging.getLogger(__name__)


class _EventSink(Sink):
    """Hands events to the producer, which sends them when the loop awaits it."""

    def __init__(
        self, producer: FaustProducer, topics: Mapping[str, str], form: EventFormat
    ) -> None:
        self._producer, self._topics, self._format = producer, topics, form

    def write(self, events: Sequence[Event]) -> None:
        for event in events:
            self._producer.put(self._topics[event.kind], self._format.encode(event))


class Worker(MemberHealth, SourceStatus):
    """One member of a group of Faust workers.

    Parameters
    ----------
    settings : KafkaSettings
        Broker, group, topics and limits.
    pipeline : Pipeline
        Processes the stations' audio.
    checkpoint_s : float > 0
        Seconds between checkpoints.
    kinds : collection of str, optional
        Kinds of events that will be published. Topics and rights of other kinds are not needed.
    sinks : sequence of Sink
        Where events go besides; the caller closes them. Their `flush` must not wait.
    observer : Observer
        Is called after every iteration of the loop.
    trace_of : callable
        Gives the trace of a station's events.

    Attributes
    ----------
    counts : Counter
        As those of `KafkaSource`.
    refused : Counter
        Messages of ours that the broker has refused, by topic; they are passed over.

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
        kinds: Collection[str] | None = None,
        sinks: Sequence[Sink] = (),
        observer: Observer = NullObserver(),  # noqa: B008  # it has no state
        trace_of: TraceOf = no_trace,
    ) -> None:
        self._sinks = sinks
        self._format = open_format(settings, kinds, trace_of)
        self._settings = settings
        self._pipeline = pipeline
        self._checkpoint_s = checkpoint_s
        self._observer = observer
        prepare_topics(settings, kinds)
        topics = settings.topics
        self._events = topics.of_events(kinds)
        self._topics = TopicWatch(
            settings, [topics.audio, topics.dead_letters, topics.state, *self._events.values()]
        )
        self._made_anew = dict.fromkeys((topics.audio, topics.state), 0)
        self._topics.start()
        self._moved = MovedStations(settings, lambda: self._topics.known(topics.audio).partitions)
        self._moved.begin(committed_offsets(settings))
        self._reader = PartitionReader(settings, pipeline.rate, self._refuse, moved=self._moved)
        self.counts: Counter[str] = self._reader.counts
        self._refusals = Refusals(settings)
        self.refused: Counter[str] = self._refusals.counts
        self._dead_letters = DeadLetterProducer(settings, self._refusals)
        self._assignment = 0  # the one that the sessions are of
        self._restored: tuple[int, set[int]] = 0, set()  # partitions of an assignment
        self._watchdog = Watchdog(settings.stall_s, self._waiting)
        self._ours: dict[int, int] | None = None
        self._readiness = Readiness(settings.session_timeout_s)
        self._connectivity: Connectivity | None = None

    def run(self, stop: Stop) -> None:
        """Work until `stop` is requested.

        Parameters
        ----------
        stop : Stop
            Checked after each iteration; `is_safe` is set at the end.

        Raises
        ------
        BrokerError
            Faust gave up: the broker is gone, or refuses something.
        """
        asyncio.run(self._run(stop))

    @property
    def lag(self) -> int:
        """Messages that waited in our partitions when each was last fetched from."""
        waiting = 0
        for partition, at in (self._ours or {}).items():
            end = self._consumer.end_of(partition)
            waiting += max(end - at, 0) if end is not None and at >= 0 else 0
        return waiting

    @property
    def hears_all(self) -> bool:
        """Whether all partitions are ours."""
        return 0 < self.topic_partitions <= len(self._consumer.partitions or [])

    @property
    def behind_s(self) -> float:
        """Seconds that the loop is behind the newest messages of our partitions."""
        return self._reader.behind_s

    async def _run(self, stop: Stop) -> None:
        asyncio.get_running_loop().set_exception_handler(log_stray_error)
        self._consumer = consumer = FaustConsumer(self._settings)
        consumer.is_grown = lambda: self._moved.grown
        self._connectivity = Connectivity(self._settings, lambda: last_reads(consumer.app))
        # With more on its way, the inbox fills up and Faust stops to fetch.
        self._producer = FaustProducer(
            consumer.app, self._settings.max_pending_events, self._refusals
        )
        progress = self._watchdog.progress
        self._state = StateTable(self._settings, progress, self._count_unreadable)
        events = _EventSink(self._producer, self._events, self._format)
        self._runner = Runner(self._pipeline, [*self._sinks, events], stop, self._observer)
        self._watchdog.start()
        consumer.start()
        try:
            await self._work(stop)
            stop.is_safe = True
        except (KafkaError, ProducerSendError) as error:
            raise as_broker_error(self._settings, error) from error
        except (asyncio.CancelledError, RuntimeError) as error:
            # Not ours: Faust ended below us, its event loops with it, and knows why in a moment.
            reason = await consumer.exit_reason()
            if reason is None and isinstance(error, RuntimeError):
                raise
            raise as_broker_error(self._settings, reason or error) from error
        finally:
            self._watchdog.stop()
            self._topics.stop()
            self._dead_letters.close()
            await consumer.close(sys.exception(), requested=stop.requested)

    async def _work(self, stop: Stop) -> None:
        next_checkpoint = time.monotonic() + self._checkpoint_s
        while not stop.requested:
            self._consumer.check()
            await self._turn()
            if time.monotonic() >= next_checkpoint:
                await self._checkpoint()
                every_s = self._checkpoint_s * self._pipeline.load.checkpoint_factor
                next_checkpoint = time.monotonic() + every_s
        await self._checkpoint()

    async def _turn(self) -> None:
        """Process what has come, and send the events that it completes."""
        self._follow_topics()
        messages = await self._consumer.poll()
        await self._restore(messages)
        self._runner.step(self._open(messages), self.behind_s)
        if self._dead_letters.full:
            await asyncio.to_thread(self._dead_letters.flush)
        self._consumer.release(messages)
        if messages:
            self._watchdog.progress()
        self._ours = self._positions()
        self._readiness.update(self._ours, self._consumer.end_of)
        await self._producer.send()

    def _follow_topics(self) -> None:
        """Start from the beginning of topics that were recreated."""
        if self._is_new(self._settings.topics.state):
            self._state.reset()
            self._reader.rewrite()
        if self._is_new(self._settings.topics.audio):
            self._consumer.read_from_start()

    def _is_new(self, topic: str) -> bool:
        """Return whether a topic was recreated since the last call."""
        before, self._made_anew[topic] = self._made_anew[topic], self._topics.recreations(topic)
        return before != self._made_anew[topic]

    async def _restore(self, messages: list[FaustMessage]) -> None:
        """Have the snapshots of partitions that are new to this assignment."""
        if self._restored[0] != self._consumer.assignments:
            self._restored = self._consumer.assignments, set()
        _, done = self._restored
        ours = {message.partition for message in messages if self._consumer.is_ours(message)}
        if new := ours - done:
            await asyncio.to_thread(self._topics.poll)
            if max(new) >= self._topics.known(self._settings.topics.state).partitions:
                await asyncio.to_thread(ensure_state_topic, self._settings)
            self._reader.topic_id = self._topics.known(self._settings.topics.audio).id
            await self._state.restore(new)
            self.counts["damaged_records"] += self._state.pop_damaged()
            done |= new

    def _open(self, messages: list[FaustMessage]) -> list[SourceItem]:
        """Decode messages, after taking up partitions that are new to this assignment."""
        items: list[SourceItem] = []
        known = self._reader
        if self._assignment != self._consumer.assignments:
            self._assignment = self._consumer.assignments
            self._state.unstored.drop(known.partitions)
            items += [Lost(station) for station in sorted(known.unassign(known.partitions))]
            self._consumer.forget_commits()
            self.counts["rebalances"] += 1
        ends, forgotten = known.tick(self._listening())
        items += [*ends, *(Lost(each, is_silent=True) for each in sorted(forgotten))]
        for message in messages:
            if not self._consumer.is_ours(message):
                continue
            partition = message.partition
            following = known.next_offset(partition) if partition in known.partitions else None
            if following is not None and message.offset < following:
                self.counts["repeats"] += 1
                continue
            if not self._consumer.follows(message, following):
                continue
            if following is None:
                restored = self._begin_partition(partition, message.offset)
                items += [Resumed(station, snapshot) for station, snapshot in restored.items()]
            chunks = known.read(as_received(message))
            moved = known.pop_resumed()
            items += [Resumed(station, snapshot) for station, snapshot in moved.items()]
            items += chunks
        return items

    def _begin_partition(self, partition: int, kafka_offset: int) -> dict[str, StoredSnapshot]:
        """Start reading a partition where its last owner stopped."""
        records = self._state.of(partition)
        where = {"partition": partition, "kafka_offset": kafka_offset}
        log.info("begins with %d known stations", len(records), extra=where)
        return self._reader.begin(partition, kafka_offset, records)

    async def _checkpoint(self) -> None:
        """Take the steps of the commit rule (`stream.runner.Runner`), unless a rebalance comes."""
        if not self._is_current():
            return
        with self._runner.timed("flush"):
            await self._producer.flush()
            await asyncio.to_thread(self._dead_letters.flush)
            for sink in self._sinks:
                sink.flush()
        if not self._is_current():
            return
        with self._runner.timed("settle"):
            await self._store_and_commit()
        give_back_free_pages()

    async def _store_and_commit(self) -> None:
        """Take steps 2 to 5."""
        records = self._reader.checkpoint(self._runner.snapshots())
        await self._state.write(records, self._producer)
        if unstored := self._state.unstored:
            await self._state.write(unstored.withdrawals(), self._producer)
        if not self._is_current():
            return
        known = self._reader
        free = known.partitions - unstored.blocked
        done = await self._consumer.commit({p: known.commit_offset(p) for p in free})
        if done is not None:
            self.counts["commits" if done else "commit_failures"] += 1

    def _is_current(self) -> bool:
        """Return whether the sessions are of the assignment that holds now."""
        return self._assignment == self._consumer.assignments

    def _count_unreadable(self) -> None:
        self.counts["unreadable"] += 1

    def _refuse(self, message: ConsumerRecord, reason: str) -> None:
        self._dead_letters.put(message, reason)

    def _listening(self) -> set[int]:
        """Return the partitions that are read as fast as they are written."""
        if self.broker_error:
            return set()
        known, listening = self._reader, set()
        for partition in self._consumer.partitions or []:
            if partition in known.partitions:
                at = known.next_offset(partition)
                if self._reader.is_caught_up(partition, self._consumer.unread_end(partition, at)):
                    listening.add(partition)
        return listening

    def _positions(self) -> dict[int, int] | None:
        """Return the next offset of each partition of ours; None while that is open."""
        ours, known = self._consumer.partitions, self._reader
        if ours is None:
            return None
        return {p: known.next_offset(p) if p in known.partitions else -1 for p in ours}

    def _waiting(self) -> str:
        return waiting_messages(self._settings, self._ours)


def prepare_topics(settings: KafkaSettings, kinds: Collection[str] | None = None) -> None:
    """Create the topics that are missing, and check the rights on them.

    Parameters
    ----------
    settings : KafkaSettings
        The broker and the topics.
    kinds : collection of str, optional
        Kinds of events that will be published: all if None.

    Raises
    ------
    BrokerError
        No broker answers, a topic is missing and cannot be created, or a right is missing.
    """
    topics = settings.topics
    rights = {topics.audio: ["Read"]}
    rights |= {name: ["Write"] for name in (topics.dead_letters, *topics.of_events(kinds).values())}
    ensure_topics(settings, rights, group=settings.group)
    ensure_state_topic(settings)
