"""Kafka as a source: the audio topic, read as one member of a consumer group.

What a station needs after a restart is in two places: the pipeline's snapshot in the state
topic, and the audio from the snapshot's ``oldest`` sample on in the audio topic. `checkpoint`
writes the first and only then commits the offset of the second, so the next owner of a
partition continues with exactly the samples and the state of its last owner.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kafka import ConsumerRebalanceListener, TopicPartition

from airsift.errors import BrokerError
from stream.kafka.checkpoint.partition_reader import PartitionReader
from stream.kafka.checkpoint.record import StationRecord
from stream.kafka.checkpoint.record_cache import RefusedRecords
from stream.kafka.client.commits import commit_offsets
from stream.kafka.client.connect import (
    broker_errors,
    connect_consumer,
    ensure_topics,
)
from stream.kafka.client.dead_letters import DeadLetterProducer
from stream.kafka.client.moved_stations import MovedStations, committed_offsets
from stream.kafka.client.named_keys import NamedKeys
from stream.kafka.client.privates import is_read_to_end, last_reads
from stream.kafka.client.producer import Producer, SentMessage
from stream.kafka.client.refusals import Refusals
from stream.kafka.client.state_topic import StateTopic, StoredRecord, ensure_state_topic
from stream.kafka.client.topic_watch import TopicWatch
from stream.kafka.health import Connectivity, MemberHealth, Readiness
from stream.kafka.records.consumer_record import Unreadable
from stream.sources.base import Lost, Resumed, SelectiveSource

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from stream.audio import AudioChunk
    from stream.kafka.client.transactions import Transactions
    from stream.kafka.records.consumer_record import ConsumerRecord
    from stream.kafka.settings import KafkaSettings
    from stream.snapshot import StoredSnapshot
    from stream.sources.base import SourceItem

log = logging.getLogger(__name__)

# Bytes of samples in one list of items, so that they do not grow with what one poll returns. That
# many are enough for full units of rows, see `model.units`.
_MAX_DECODED = 8 << 20
_CLOSE_MS = 1000  # leaving the group is a courtesy


class AssignmentListener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes changes of the assignment; kafka-python calls it within `poll`.

    Attributes
    ----------
    joining : bool
        Whether an assignment is awaited.
    assigned : bool
        Whether there is a new assignment.
    taken : set of int
        Partitions that were revoked while this member was out of the group: another member may
        have read on from them.
    """

    def __init__(self) -> None:
        self.joining = True
        self.assigned = False
        self.taken: set[int] = set()

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Wait for the new assignment: most partitions are assigned to their owner again."""
        self.joining = True

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Note that the assignment is new."""
        self.joining = False
        self.assigned = True

    def on_partitions_lost(self, lost: set[TopicPartition]) -> None:
        """Note partitions whose owner is unknown."""
        self.joining = True
        self.taken |= {tp.partition for tp in lost}


class KafkaSource(MemberHealth, SelectiveSource):
    """The audio topic's stations on the partitions that this member of the group is given.

    Parameters
    ----------
    settings : KafkaSettings
        Broker, group, topics and limits.
    rate : int > 0
        Samples per second of the snapshots' ``oldest``: the pipeline's.
    transactions : Transactions, optional
        With `exactly_once`: what is written belongs to them, and `checkpoint` commits them. The
        caller closes them.
    stations : mapping of str to str, optional
        Only these stations, each with its key; without it, each key is a station. The group must
        have no members with others, since what it has read, none of them reads again.

    Attributes
    ----------
    counts : Counter
        ``messages``, ``bytes``, ``dead_letters``, ``unreadable`` (batches and records, also of the
        state topic), ``repeats`` (read again after a rebalance), ``rebalances``, ``commits`` and
        ``commit_failures`` so far.
    refused : Counter
        Snapshots and dead letters that the broker has refused, by topic.

    Raises
    ------
    BrokerError
        No broker answers, or a topic is missing and cannot be created.
    """

    resumable = True

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        rate: int,
        transactions: Transactions | None = None,
        stations: Mapping[str, str] | None = None,
    ) -> None:
        topics = settings.topics
        self._settings = settings
        self._topic = topics.audio
        rights = {topics.audio: ["Read"], topics.dead_letters: ["Write"]}
        ensure_topics(settings, rights, group=settings.group)
        self._topics = TopicWatch(settings, [topics.audio, topics.dead_letters, topics.state])
        self._named = None if stations is None else NamedKeys(stations)
        self._moved = MovedStations(
            settings, lambda: self._topics.known(self._topic).partitions, key_of=self._key_of
        )
        self._reader = PartitionReader(settings, rate, self._refuse, moved=self._moved)
        self.counts: Counter[str] = self._reader.counts
        self._caught_up: dict[int, int] = {}  # first offset not read before a rebalance
        self._records: dict[tuple[int, str], int] = {}  # kafka_offset of each station's newest
        self._committed: dict[TopicPartition, int] = {}
        self._unstored = RefusedRecords()
        self._stopped = self._closed = self._undone = False
        self._made_anew = dict.fromkeys((topics.audio, topics.state), 0)
        self._from_start = False  # the topic is another one than before: all of it is new
        ensure_state_topic(settings)
        self._transactions = transactions
        refusals = transactions.refusals if transactions else Refusals(settings)
        self.refused: Counter[str] = refusals.counts
        self._producer = transactions or Producer(settings, refusals=refusals)
        self._dead_letters = DeadLetterProducer(settings, refusals)
        self._state = StateTopic(settings, self._producer, self._count_unreadable)
        named = {} if transactions is None else {"client_id": transactions.client_id}
        self._consumer = connect_consumer(
            settings,
            None,
            group_id=settings.group,
            group_instance_id=settings.instance_id or None,
            client_rack=settings.client_rack,
            **named,
        )
        self._connectivity = Connectivity(settings, lambda: last_reads(self._consumer))
        self._rebalances = AssignmentListener()
        self._readiness = Readiness(settings.session_timeout_s)
        with broker_errors(settings):
            self._consumer.subscribe([self._topic], listener=self._rebalances)
        self._topics.start()
        self._moved.begin(committed_offsets(settings))

    def __iter__(self) -> Iterator[list[SourceItem]]:
        while not self._stopped:
            with broker_errors(self._settings):
                polled = self._consumer.poll(timeout_ms=round(self._settings.poll_s * 1000))
            resumed, lost = self._follow_rebalance(polled)
            ours = None if self._rebalances.joining else self._reader.partitions
            self._readiness.update(ours, self._end_of)
            items: list[SourceItem] = [Lost(station) for station in sorted(lost)]
            items += [Resumed(station, snapshot) for station, snapshot in resumed.items()]
            ends, forgotten = self._reader.tick(self._listening())
            items += [*ends, *(Lost(each, is_silent=True) for each in sorted(forgotten))]
            decoded = 0
            for tp, messages in polled.items():
                for message in messages:
                    chunks = self._read(tp.partition, message)
                    moved = self._reader.pop_resumed()
                    items += [Resumed(station, snapshot) for station, snapshot in moved.items()]
                    items += chunks
                    decoded += sum(chunk.samples.nbytes for chunk in chunks)
                    if decoded >= _MAX_DECODED:
                        yield items
                        items, decoded = [], 0
            yield items

    def stop(self) -> None:
        """Let the iteration end after the current poll. Safe in a signal handler."""
        self._stopped = True

    def select(self, stations: Mapping[str, str]) -> None:
        """Receive these stations from here on, each with its key.

        Those that are left out are forgotten, and the next `checkpoint` withdraws what is stored of
        them.
        """
        before, self._named = self._named, NamedKeys(stations)
        if before is not None:
            changed = [s for s in before.stations if before.key_of(s) != stations.get(s)]
            self._reader.drop(changed)

    def pause(self) -> None:
        """Fetch nothing more, and stay in the group, until `resume`."""
        self._consumer.pause(*self._consumer.assignment())

    def resume(self) -> None:
        """Fetch again."""
        self._consumer.resume(*self._consumer.paused())

    @property
    def lag(self) -> int:
        """Messages that waited in our partitions when each was last fetched from."""
        waiting = 0
        for tp in self._consumer.assignment():
            end = self._consumer.highwater(tp)
            if end is not None and tp.partition in self._reader.partitions:
                waiting += max(end - self._reader.next_offset(tp.partition), 0)
        return waiting

    @property
    def hears_all(self) -> bool:
        """Whether all partitions are ours."""
        return 0 < self.topic_partitions <= len(self._reader.partitions)

    @property
    def behind_s(self) -> float:
        """Seconds that the loop is behind the newest messages of our partitions."""
        return self._reader.behind_s

    def checkpoint(self, snapshots: Mapping[str, StoredSnapshot]) -> None:
        """Take steps 3 to 5 of the commit rule (`stream.runner.Runner`).

        Parameters
        ----------
        snapshots : mapping of str to StoredSnapshot
            Per station, `Pipeline.snapshot`. Stations left out are unchanged since last time.

        Raises
        ------
        BrokerError
            The broker does not answer. A commit that fails is only counted: it costs a longer
            repetition, and the next one makes it good.
        """
        if self._undone:
            # The events up to here do not count: offsets behind them must not either, also where
            # this is the last checkpoint before a requested stop.
            return
        self._dead_letters.flush()
        self._write(self._reader.checkpoint(snapshots))
        if self._unstored:
            self._write(self._unstored.withdrawals())
        self._commit()

    def _write(self, records: Sequence[tuple[int, StationRecord]]) -> None:
        """Store records, and note where they are."""
        with self._producer.batched():
            written = [(p, saved, self._state.write(p, saved)) for p, saved in records]
        self._producer.flush()
        for partition, saved, sent in written:
            self._unstored.note(partition, saved, refused=bool(sent.code))
            if sent.code:
                continue
            if saved.snapshot is None:
                self._records.pop((partition, saved.station), None)
            else:
                self._records[partition, saved.station] = self._offset_of(partition, sent)

    def _offset_of(self, partition: int, sent: SentMessage) -> int:
        """Return where a record is, or an offset before it: the broker may not say."""
        if sent.kafka_offset is not None:
            return sent.kafka_offset
        return self._committed.get(TopicPartition(self._settings.topics.state, partition), 0)

    def close(self) -> None:
        """Leave the group."""
        if not self._closed:
            self._closed = True
            self._topics.stop()
            self._consumer.close(timeout_ms=_CLOSE_MS)
            self._dead_letters.close()
            if self._transactions is None:
                self._producer.close()

    def _listening(self) -> set[int]:
        """Return the partitions that are read as fast as they are written."""
        if self.broker_error:
            return set()
        consumer, ours = self._consumer, set()
        for tp in consumer.assignment() - consumer.paused():
            if tp.partition not in self._reader.partitions:
                continue
            at = self._reader.next_offset(tp.partition)
            end = at if is_read_to_end(consumer, tp) else consumer.highwater(tp)
            if self._reader.is_caught_up(tp.partition, end):
                ours.add(tp.partition)
        return ours

    def _read(self, partition: int, message: ConsumerRecord) -> list[AudioChunk]:
        if partition not in self._reader.partitions:
            return []
        if message.offset < self._caught_up.get(partition, 0):
            self.counts["repeats"] += 1
            return []
        self._caught_up.pop(partition, None)
        if self._named is not None and not isinstance(message.value, Unreadable):
            named = self._named.named(message)
            if named is None:
                self._reader.skip(message)
                return []
            message = named
        return self._reader.read(message)

    def _key_of(self, station: str) -> str:
        return station if self._named is None else self._named.key_of(station)

    def _count_unreadable(self) -> None:
        self.counts["unreadable"] += 1

    def _end_of(self, partition: int) -> int | None:
        tp = TopicPartition(self._topic, partition)
        if tp not in self._consumer.assignment():
            return None
        end: int | None = self._consumer.highwater(tp)
        return end

    def _refuse(self, message: ConsumerRecord, reason: str) -> None:
        sent = message if self._named is None else self._named.as_sent(message)
        self._dead_letters.put(sent, reason)
        if self._dead_letters.full:
            self._dead_letters.flush()

    def _follow_rebalance(
        self, polled: dict[TopicPartition, list[ConsumerRecord]]
    ) -> tuple[dict[str, StoredSnapshot], set[str]]:
        """Take up new partitions and let go of old ones; return stations resumed and lost."""
        taken, self._rebalances.taken = self._rebalances.taken, set()
        if self._is_new(self._settings.topics.state):
            self._records.clear()
            self._reader.rewrite()
        if self._is_new(self._topic):
            taken = set(self._reader.partitions)
            self._from_start = True
            self._rebalances.assigned |= not self._rebalances.joining
        if self._transactions is not None and (taken or self._rebalances.assigned or self._undone):
            # It holds results of partitions that others may own by now: all start again.
            self._transactions.abort()
            taken = set(self._reader.partitions)
            self._rebalances.assigned |= self._undone and not self._rebalances.joining
            self._undone = False
        lost = self._let_go(taken)
        if not self._rebalances.assigned:
            return {}, lost
        self._rebalances.assigned = False
        self.counts["rebalances"] += 1
        assigned = {tp.partition for tp in self._consumer.assignment()}
        known = self._reader.partitions
        lost |= self._let_go(known - assigned)
        # Kafka begins again at the committed offset, also where we have read further.
        self._caught_up = {p: self._reader.next_offset(p) for p in known & assigned}
        log.info("partitions of %s: %s", self._topic, sorted(assigned))
        return self._begin_partitions(assigned - known, polled), lost

    def _is_added(self, tp: TopicPartition) -> bool:
        """Return whether a partition was added since the group began, and was not read yet."""
        if self._settings.start_from == "earliest" or not self._moved.grown:
            return False
        wait_ms = round(self._settings.request_timeout_s * 1000)
        return self._consumer.committed(tp, timeout_ms=wait_ms) is None

    def _is_new(self, topic: str) -> bool:
        """Return whether a topic was recreated since the last call."""
        before, self._made_anew[topic] = self._made_anew[topic], self._topics.recreations(topic)
        return before != self._made_anew[topic]

    def _let_go(self, partitions: Iterable[int]) -> set[str]:
        partitions = set(partitions)
        lost = self._reader.unassign(partitions)
        self._unstored.drop(partitions)
        self._records = {k: v for k, v in self._records.items() if k[0] not in partitions}
        self._committed = {
            tp: at for tp, at in self._committed.items() if tp.partition not in partitions
        }
        return lost

    def _begin_partitions(
        self, partitions: set[int], polled: dict[TopicPartition, list[ConsumerRecord]]
    ) -> dict[str, StoredSnapshot]:
        """Start reading new partitions where their last owners stopped."""
        if not partitions:
            return {}
        self._topics.poll()
        if max(partitions) >= self._topics.known(self._settings.topics.state).partitions:
            ensure_state_topic(self._settings)
        self._reader.topic_id = topic_id = self._topics.known(self._topic).id
        wait_s = self._settings.request_timeout_s + self._settings.undecided_s
        within = {"timeout_ms": round(wait_s * 1000)}
        state, consumer = self._settings.topics.state, self._consumer
        undo = self._transactions is not None  # the consumer may be further than what counts
        resumed: dict[str, StoredSnapshot] = {}
        with broker_errors(self._settings):
            found = self._state.read(
                {p: consumer.committed(TopicPartition(state, p), **within) or 0 for p in partitions}
            )
            self.counts["damaged_records"] += self._state.pop_damaged()
            for partition, records in found.items():
                tp = TopicPartition(self._topic, partition)
                committed = consumer.committed(tp, **within) if records or undo else None
                begin = committed if undo else None
                is_other = bool(records) and not _any_of(records.values(), topic_id)
                if self._from_start or is_other or self._is_added(tp):
                    begin = consumer.beginning_offsets([tp], **within)[tp]
                elif records and committed is None:
                    begin = min(each.record.kafka_offset for each in records.values())
                if begin is not None:
                    polled.pop(tp, None)
                    consumer.seek(tp, begin)
                first = polled[tp][0].offset if tp in polled else consumer.position(tp, **within)
                if first is None:
                    raise BrokerError(
                        f"the Kafka broker at {self._settings.bootstrap_servers} does not say "
                        f"where partition {partition} of {self._topic} begins; look at its leader"
                    )
                stored = [each.record for each in records.values()]
                resumed |= self._reader.begin(partition, first, stored)
                self._records |= {(partition, s): r.kafka_offset for s, r in records.items()}
        if self._named is not None:
            others = {station for _, station in self._records} - self._named.stations
            self._reader.drop(others)  # a list had them before
            resumed = {s: each for s, each in resumed.items() if s not in others}
        self._from_start = False
        # Where a group begins must not depend on when its first member died.
        self._commit()
        return resumed

    def _commit(self) -> None:
        """Commit what is needed of audio and of state, in one request."""
        state, held = self._settings.topics.state, self._unstored.blocked
        offsets = {
            TopicPartition(self._topic, p): self._reader.commit_offset(p)
            for p in self._reader.partitions - held
        }
        for (partition, _), at in self._records.items():
            tp = TopicPartition(state, partition)
            offsets[tp] = min(offsets.get(tp, at), at)
        offsets = {tp: at for tp, at in offsets.items() if tp.partition not in held and at >= 0}
        changed = {tp: at for tp, at in offsets.items() if self._committed.get(tp) != at}
        if self._transactions is not None:
            if changed or self._transactions.open:
                self._commit_transaction(self._transactions, offsets)
            return
        if not changed:
            return
        if commit_offsets(self._consumer, changed, self.counts, self._settings):
            self._committed |= changed

    def _commit_transaction(
        self, transactions: Transactions, offsets: dict[TopicPartition, int]
    ) -> None:
        """Commit the offsets of all partitions with what was written since the last time."""
        if transactions.commit(offsets, self._consumer.group_metadata()):
            self._committed = offsets
            self.counts["commits"] += 1
        else:
            self._undone = True
            self.counts["commit_failures"] += 1


def _any_of(stored: Iterable[StoredRecord], topic_id: str) -> bool:
    """Return whether any record's offset counts in the topic of this id."""
    return any(each.record.is_of(topic_id) for each in stored)
