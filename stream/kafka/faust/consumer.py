"""A member of a consumer group, on Faust: what it receives, and what it may commit."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from aiokafka.errors import (  # type: ignore[import-untyped]
    IllegalStateError,
    InconsistentGroupProtocolError,
    KafkaError,
)
from faust.types.tuples import TP
from faust.types.tuples import Message as FaustMessage
from mode.threads import WorkerThread

from airsift.errors import BrokerError
from stream.kafka.client.connect import other_rules, same_instance
from stream.kafka.faust.app import bytes_topic, make_app
from stream.kafka.faust.privates import (
    commit,
    coordinator,
    faust_consumer,
    fetch_thread,
    is_read_to_end,
    join_error,
)
from stream.kafka.faust.refusals import as_broker_error
from stream.kafka.faust.watchdog import end_process
from stream.kafka.records.consumer_record import Received

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiokafka.consumer.group_coordinator import GroupCoordinator  # type: ignore[import-untyped]
    from faust import Stream

    from stream.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

# Messages come one by one. One call of the pipeline costs about as much for fifty stations as for
# one, so `poll` waits for more. With thirty stations in real time this halved the processor time
# against one message per iteration, at the same latency.
_GATHER_S = 0.02
# Then the process ends by force: what was published and stored is safe, and supervisors kill after
# 10 s. On stopping Faust waits for the group, and its threads would keep the process alive.
_STOP_S = 2.0
_REASON_S = 1.0
_MAX_REPLACED, _REPLACED_S = 3, 60.0  # times in this time that another member took our name
_RESEEK_S = 2.0  # after a seek, until the next for the same messages


class FaustConsumer:
    """Reads the audio topic as one member of the group; Faust's agent only fills an inbox.

    Parameters
    ----------
    settings : KafkaSettings
        Broker, group and topics.

    Attributes
    ----------
    app : faust.App
        For its producer.
    assignments : int
        Increases whenever partitions are assigned or revoked.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._topic = settings.topics.audio
        self.app = make_app(settings)
        self.assignments = 0
        self._joining = True
        self._refused_since: float | None = None
        self._inbox: list[FaustMessage] = []
        self._arrived = asyncio.Event()
        self._committed: dict[TP, int] = {}
        self._begins: dict[int, int] = {}  # the committed offset of each of our partitions
        self._holes: dict[int, _Hole] = {}
        self._began: dict[TP, int] = {}  # where `start_from` = latest has started
        self.is_grown: Callable[[], bool] = bool  # whether partitions were added to the topic
        self._member_id = ""
        self._replaced: list[float] = []  # when another member took our `instance_id`
        self._from_start = False  # the topic was recreated: all of it is new
        self._starting: asyncio.Task[None] | None = None
        add_agent = self.app.agent(bytes_topic(self.app, self._topic), name="receive")
        add_agent(self._receive)  # type: ignore[arg-type]  # Faust names its abstract stream
        # Faust calls this at the end of a rebalance.
        self.app.consumer.perform_seek = self._seek_committed  # type: ignore[method-assign]
        self.app.on_partitions_revoked.connect(self._note_revoked)
        self.app.on_partitions_assigned.connect(self._note_assigned)

    def start(self) -> None:
        """Begin to join the group."""
        self._starting = asyncio.create_task(self.app.start())

    async def close(self, error: BaseException | None, *, requested: bool = False) -> None:
        """Leave the group; end the process if Faust does not stop.

        Parameters
        ----------
        error : BaseException, optional
            The cause, where the end was not `requested`.
        """
        if self._starting is not None:
            self._starting.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._starting
        self.release(self._inbox)
        # Without a broker Faust's threads end with errors that add no information.
        threading.excepthook = lambda raised: log.debug("a thread of Faust's: %s", raised.exc_value)
        stopping = asyncio.create_task(self.app.stop())
        _, late = await asyncio.wait([stopping], timeout=_STOP_S)
        if late or any(isinstance(thread, WorkerThread) for thread in threading.enumerate()):
            reason = f"{error}; Faust did not end within {_STOP_S:g} s" if error else ""
            end_process(reason, code=1 if error and not requested else 0)

    async def poll(self) -> list[FaustMessage]:
        """Return the messages that have arrived, after waiting a little for some."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._arrived.wait(), self._settings.poll_s)
            await asyncio.sleep(_GATHER_S)
        self._arrived.clear()
        messages, self._inbox = self._inbox, []
        return messages

    def is_ours(self, message: FaustMessage) -> bool:
        """Whether a message was fetched for the present assignment.

        One that was on its way during a rebalance comes again, in its place.
        """
        return not self._joining and message.generation_id == self.app.consumer_generation_id

    def follows(self, message: FaustMessage, expected: int | None = None) -> bool:
        """Whether no message was lost before this one; if one was, read from it again.

        Faust drops messages that it fetched while a rebalance began or ended. A partition may also
        have holes: one that is still there after reading again is none of ours.

        Parameters
        ----------
        message : FaustMessage
            The next one of its partition that is ours.
        expected : int, optional
            The offset it should have; by default, the group's committed offset.
        """
        partition = message.partition
        expected = self._begins.get(partition) if expected is None else expected
        if expected is None or message.offset <= expected:
            self._holes.pop(partition, None)
            return True
        hole, now = self._holes.get(partition), time.monotonic()
        if hole is not None and message.offset <= hole.end:
            del self._holes[partition]
            return True
        if hole is None or now - hole.sought_at > _RESEEK_S:
            end = message.offset if hole is None else hole.end
            self._holes[partition] = _Hole(end, now)
            where = {"partition": partition, "kafka_offset": expected}
            log.info("reads again up to kafka_offset %d", end, extra=where)
            self._seek(TP(self._topic, partition), expected)
        return False

    def release(self, messages: list[FaustMessage]) -> None:
        """Let Faust rebalance without these messages, which are processed.

        They are never acknowledged, see `stream.kafka.faust.privates.commit`.
        """
        for message in messages:
            self.app.consumer.unacked.discard(message)

    async def commit(self, offsets: Mapping[int, int]) -> bool | None:
        """Commit the offset of each partition; return None if they are committed already.

        Returns
        -------
        bool, optional
            False during a rebalance: what was published since the last commit comes again.
        """
        wanted = {TP(self._topic, partition): at for partition, at in offsets.items() if at >= 0}
        changed = {tp: at for tp, at in wanted.items() if self._committed.get(tp) != at}
        if not changed:
            return None
        done = await commit(self.app, changed)
        if done:
            self._committed |= changed
        return done

    def read_from_start(self) -> None:
        """Rejoin the group, and read each partition from its first message."""
        self._from_start = True
        self._began.clear()
        group = coordinator(self.app)
        if group is not None:
            fetch_thread(self.app).thread_loop.call_soon_threadsafe(group.request_rejoin)

    def forget_commits(self) -> None:
        """Forget what was committed under an earlier assignment."""
        self._committed.clear()

    @property
    def partitions(self) -> list[int] | None:
        """Our partitions; None before an assignment and during a rebalance."""
        if self._joining or self.app.rebalancing or self.app.in_recovery:
            return None
        return [tp.partition for tp in self.app.consumer.assignment() if tp.topic == self._topic]

    def end_of(self, partition: int) -> int | None:
        """Return where a partition ended at the last fetch."""
        end: int | None = self.app.consumer.highwater(TP(self._topic, partition))
        return end

    def unread_end(self, partition: int, kafka_offset: int) -> int | None:
        """Return where a partition ends; `kafka_offset` itself if no message follows it.

        Marks of transactions may follow, which are not messages.
        """
        end = self.end_of(partition)
        if end is None or kafka_offset >= end:
            return end
        is_read = is_read_to_end(self.app, TP(self._topic, partition), end)
        return kafka_offset if is_read and not self._inbox else end

    async def exit_reason(self) -> BaseException | None:
        """Return what has ended Faust, after waiting a little for it; None if unknown."""
        deadline = time.monotonic() + _REASON_S
        while time.monotonic() < deadline:
            try:
                self.check()
            except BrokerError as error:
                return error
            await asyncio.sleep(_GATHER_S)
        return None

    def check(self) -> None:
        """Raise BrokerError for what has ended Faust, or must end it."""
        starting = self._starting
        reason = self.app.crash_reason if self.app.crashed else None
        if reason is None and starting and starting.done() and not starting.cancelled():
            reason = starting.exception()
        if reason is None and len(self._replaced) >= _MAX_REPLACED:
            reason = BrokerError(same_instance(self._settings))
        if reason is None:
            reason = self._join_error()
        if reason is not None:
            raise as_broker_error(self._settings, reason) from reason

    def _join_error(self) -> BaseException | None:
        """Return why the group does not accept us; None where it still may, or has.

        aiokafka keeps the error until `check_errors` is called, and then joins again; Faust never
        calls it.
        """
        group = coordinator(self.app)
        error = join_error(group)
        if error is None:
            return None
        now = time.monotonic()
        if self._refused_since is None:
            self._refused_since = now
        if isinstance(error, InconsistentGroupProtocolError):
            # Members that were killed remain members until their session ends.
            if now - self._refused_since < 2 * self._settings.session_timeout_s:
                fetch_thread(self.app).thread_loop.call_soon_threadsafe(_clear_error, group)
                return None
            return BrokerError(other_rules(self._settings))
        return error

    def _seek(self, tp: TP, at: int) -> None:
        """Continue with another message, in the thread that fetches.

        From our thread it could remove what that thread is yielding, which would end Faust.
        """
        thread = fetch_thread(self.app)

        def seek() -> None:
            with suppress(IllegalStateError):  # the partition is being revoked
                thread.seek(tp, at)

        thread.thread_loop.call_soon_threadsafe(seek)

    async def _seek_committed(self) -> None:
        """Begin at the group's committed offsets."""
        fresh, latest = [], []
        self._begins, self._holes = {}, {}
        for tp, at in (await faust_consumer(self.app).seek_to_committed()).items():
            if tp.topic != self._topic:
                continue
            if at is not None and at >= 0 and not self._from_start:
                self._begins[tp.partition] = at
                self._seek(tp, at)  # Faust does not seek to offset 0
            elif self._from_start or self._settings.start_from == "earliest" or self.is_grown():
                self._begins[tp.partition] = 0
                fresh.append(tp)
            else:
                latest.append(tp)
        self._from_start = self._from_start and not fresh
        if fresh:
            await fetch_thread(self.app).seek_to_beginning(*fresh)
        if latest:
            await self._begin_at_end(latest)

    async def _begin_at_end(self, tps: list[TP]) -> None:
        """Begin with the next messages, and commit that.

        The start of a group must not depend on when its first member dies, or on a rebalance before
        the first message.
        """
        ends = await self.app.consumer.highwaters(*tps)
        known = {tp: at for tp in tps if (at := ends.get(tp)) is not None and at >= 0}
        begins = {tp: self._began.setdefault(tp, at) for tp, at in known.items()}
        for tp, at in begins.items():
            self._begins[tp.partition] = at
            self._seek(tp, at)
        # The next rebalance makes up for a commit that fails.
        await commit(self.app, begins)

    async def _receive(self, stream: Stream[bytes]) -> None:
        """Fill the inbox: Faust's agent. It acknowledges nothing."""
        async for event in stream.noack().events():
            self._inbox.append(event.message)
            self._arrived.set()
            while len(self._inbox) >= self._settings.poll_messages:
                await asyncio.sleep(_GATHER_S)

    async def _note_revoked(self, *_: object, **__: object) -> None:
        self.assignments += 1
        self._joining = True

    async def _note_assigned(self, *_: object, **__: object) -> None:
        self.assignments += 1
        self._refused_since = None
        self._joining = False
        self._note_member_id()

    def _note_member_id(self) -> None:
        """Note that another member has joined with our `instance_id`.

        The broker gives the name to the newer member and no longer knows the other one, which makes
        aiokafka join again: two workers with one name replace each other forever.
        """
        before = self._member_id
        self._member_id = getattr(coordinator(self.app), "member_id", "")
        if self._settings.instance_id and before and before != self._member_id:
            now = time.monotonic()
            self._replaced = [at for at in self._replaced if now - at < _REPLACED_S] + [now]


def _clear_error(group: GroupCoordinator) -> None:
    """Make aiokafka retry after a refused join, in its own thread."""
    with suppress(KafkaError):
        group.check_errors()


class _Hole(NamedTuple):
    """Missing offsets of a partition: where they end, and when we last sought their beginning."""

    end: int
    sought_at: float


def as_received(message: FaustMessage) -> Received:
    """Return one of Faust's messages with kafka-python's names."""
    headers = message.headers or []
    seconds = message.timestamp
    return Received(
        message.topic,
        message.partition,
        message.offset,
        -1 if seconds is None or not math.isfinite(seconds) else round(seconds * 1000),
        message.key,
        message.value,
        list(headers.items() if isinstance(headers, Mapping) else headers),
    )
