"""One member of a consumer group, by Faust: what it is given to read, and what it may commit."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

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
from stream.kafka.faust.translate import gave_up
from stream.kafka.faust.watchdog import end_process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

# Messages come one by one. One call of the pipeline costs about as much for fifty stations as
# for one, so the loop waits a little for company: with thirty stations in real time this halved
# the processor time against one message a turn, and the latency was the same.
_GATHER_S = 0.02
# After it the process ends by force: what was published and stored is safe, and supervisors kill
# after 10 s. Faust waits for the group when it stops, and its threads would keep the process.
_STOP_S = 2.0
_REASON_S = 1.0
_TURNS, _TURNS_S = 3, 60.0  # so many times in so long another one had our name
_AGAIN_S = 2.0  # after a seek, until the next for the same messages


class Member:
    """Reads the audio topic as one member of the group; an agent only fills an inbox.

    Parameters
    ----------
    settings : KafkaSettings
        Broker, group and topics.

    Attributes
    ----------
    app : faust.App
        For those who need its producer or tables.
    assignments : int
        Grows whenever partitions are taken from us or given to us.
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
        self._begins: dict[int, int] = {}  # what was committed, of each partition of ours
        self._holes: dict[int, _Hole] = {}
        self._began: dict[TP, int] = {}  # where `start_from` = latest had us begin
        self.is_grown: Callable[[], bool] = bool  # whether partitions were added to the topic
        self._member_id = ""
        self._replaced: list[float] = []  # when another took our `instance_id`
        self._from_start = False  # the topic is another one than before: all of it is new
        self._starting: asyncio.Task[Any] | None = None
        self.app.agent(bytes_topic(self.app, self._topic), name="hear")(self._hear)
        self.app.consumer.perform_seek = self._seek_committed
        self.app.on_partitions_revoked.connect(self._note_revoked)
        self.app.on_partitions_assigned.connect(self._note_assigned)

    def start(self) -> None:
        """Begin to join the group."""
        self._starting = asyncio.create_task(self.app.start())

    async def close(self, error: BaseException | None, *, asked: bool = False) -> None:
        """Leave the group; ends the process if Faust does not let go.

        Parameters
        ----------
        error : BaseException, optional
            Why, where it is not because this process was `asked` to end.
        """
        if self._starting is not None:
            self._starting.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._starting
        self.release(self._inbox)
        # Without a broker the threads of Faust end with errors, and nobody needs to know.
        threading.excepthook = lambda raised: log.debug("a thread of Faust's: %s", raised.exc_value)
        stopping = asyncio.create_task(self.app.stop())
        _, late = await asyncio.wait([stopping], timeout=_STOP_S)
        if late or any(isinstance(thread, WorkerThread) for thread in threading.enumerate()):
            reason = f"{error}; Faust did not end within {_STOP_S:g} s" if error else ""
            end_process(reason, code=1 if error and not asked else 0)

    async def take(self) -> list[FaustMessage]:
        """Return the messages that have come, after waiting a little for some."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._arrived.wait(), self._settings.poll_s)
            await asyncio.sleep(_GATHER_S)
        self._arrived.clear()
        messages, self._inbox = self._inbox, []
        return messages

    def is_ours(self, message: FaustMessage) -> bool:
        """Say whether a message was fetched for the assignment that holds now.

        One that was on its way while the group was rebalanced comes again, in its place.
        """
        return not self._joining and message.generation_id == self.app.consumer_generation_id

    def follows(self, message: FaustMessage, expected: int | None = None) -> bool:
        """Say whether no message was lost before this one; if one was, have it fetched again.

        Faust lets go of messages that were fetched while it went into or out of a rebalance.
        Kafka itself may leave holes between messages: one that is still there when the partition
        was read again is none of ours.

        Parameters
        ----------
        message : FaustMessage
            The next of its partition that is ours.
        expected : int, optional
            The offset it should have; without one, the group's committed offset.
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
        if hole is None or now - hole.asked > _AGAIN_S:
            end = message.offset if hole is None else hole.end
            self._holes[partition] = _Hole(end, now)
            where = {"partition": partition, "kafka_offset": expected}
            log.info("reads again up to kafka_offset %d", end, extra=where)
            self._seek(TP(self._topic, partition), expected)
        return False

    def release(self, messages: list[FaustMessage]) -> None:
        """Tell Faust that these are done: until then it does not go into a rebalance.

        They are never acknowledged, see `commit`.
        """
        for message in messages:
            self.app.consumer.unacked.discard(message)

    async def commit(self, offsets: Mapping[int, int]) -> bool | None:
        """Commit the offset of each partition; None if they are committed already.

        Messages are not acknowledged to Faust instead: it takes a jump between two offsets for a
        hole in the topic, counts what lies in it as acknowledged, and may commit beyond it.

        Returns
        -------
        bool, optional
            False during a rebalance: what was published since the last time comes again.
        """
        wanted = {TP(self._topic, partition): at for partition, at in offsets.items() if at >= 0}
        changed = {tp: at for tp, at in wanted.items() if self._committed.get(tp) != at}
        if not changed:
            return None
        done = bool(await self.app.consumer._commit(changed))
        if done:
            self._committed |= changed
        return done

    def begin_from_start(self) -> None:
        """Have the group give out the partitions again, and begin each at its first message."""
        self._from_start = True
        self._began.clear()
        thread = self.app.consumer._thread
        coordinator = self._coordinator()
        if coordinator is not None:
            thread.thread_loop.call_soon_threadsafe(coordinator.request_rejoin)

    def begin_anew(self) -> None:
        """Forget what was committed under an assignment that is over."""
        self._committed.clear()

    @property
    def partitions(self) -> list[int] | None:
        """Partitions that are ours; None while that is open."""
        if self._joining or self.app.rebalancing or self.app.in_recovery:
            return None
        return [tp.partition for tp in self.app.consumer.assignment() if tp.topic == self._topic]

    def end_of(self, partition: int) -> int | None:
        """Return where a partition ended when it was last fetched from."""
        end: int | None = self.app.consumer.highwater(TP(self._topic, partition))
        return end

    def unread_end(self, partition: int, kafka_offset: int) -> int | None:
        """Return where a partition of ours ends, which is at an offset if no message follows it.

        Marks of transactions are none; aiokafka's position lies behind them.
        """
        end = self.end_of(partition)
        if end is None or kafka_offset >= end:
            return end
        consumer = self.app.consumer._thread._consumer
        assignment = consumer._subscription.subscription.assignment
        state = assignment.state_value(TP(self._topic, partition))
        given_out = state.has_valid_position and state.position >= end
        return kafka_offset if given_out and not self._inbox else end

    async def reason(self) -> BaseException | None:
        """Return what has ended Faust, after waiting a little for it; None if nothing is known."""
        deadline = time.monotonic() + _REASON_S
        while time.monotonic() < deadline:
            try:
                self.check()
            except BrokerError as error:
                return error
            await asyncio.sleep(_GATHER_S)
        return None

    def check(self) -> None:
        """Raise BrokerError for what has ended Faust, or would have."""
        starting = self._starting
        reason = self.app.crash_reason if self.app.crashed else None
        if reason is None and starting and starting.done() and not starting.cancelled():
            reason = starting.exception()
        if reason is None and len(self._replaced) >= _TURNS:
            reason = BrokerError(same_instance(self._settings))
        if reason is None:
            reason = self._refused()
        if reason is not None:
            raise gave_up(self._settings, reason) from reason

    def _refused(self) -> BaseException | None:
        """Return why the group does not take us; None where it may still, or has.

        aiokafka keeps the reason until somebody asks, and joins again then; Faust never asks.
        """
        thread, coordinator = self.app.consumer._thread, self._coordinator()
        reason: BaseException | None = getattr(coordinator, "_pending_exception", None)
        if reason is None:
            return None
        now = time.monotonic()
        if self._refused_since is None:
            self._refused_since = now
        if isinstance(reason, InconsistentGroupProtocolError):
            # Members that were killed are members until their session ends.
            if now - self._refused_since < 2 * self._settings.session_timeout_s:
                thread.thread_loop.call_soon_threadsafe(_ask, coordinator)
                return None
            return BrokerError(other_rules(self._settings))
        return reason

    def _seek(self, tp: TP, at: int) -> None:
        """Go on with another message, in the thread that fetches.

        From ours it could take away what that thread is giving out, which is the end of Faust.
        """
        thread = self.app.consumer._thread

        def seek() -> None:
            with suppress(IllegalStateError):  # it is being taken from us
                thread.seek(tp, at)

        thread.thread_loop.call_soon_threadsafe(seek)

    async def _seek_committed(self) -> None:
        """Begin where the group has committed: Faust calls this at the end of a rebalance."""
        consumer, fresh, latest = self.app.consumer, [], []
        self._begins, self._holes = {}, {}
        for tp, at in (await consumer.seek_to_committed()).items():
            if tp.topic != self._topic:
                continue
            if self._from_start:
                at = None
            if at is not None and at >= 0:
                self._begins[tp.partition] = at
                self._seek(tp, at)  # for the offset 0 it was not done
            elif self._from_start or self._settings.start_from == "earliest" or self.is_grown():
                self._begins[tp.partition] = 0
                fresh.append(tp)
            else:
                latest.append(tp)
        self._from_start = self._from_start and not fresh
        if fresh:
            await consumer._thread.seek_to_beginning(*fresh)
        if latest:
            await self._begin_at_end(latest)

    async def _begin_at_end(self, tps: list[TP]) -> None:
        """Begin with what comes from now on, and commit that.

        Where a group begins must not depend on when its first member died, or on a rebalance
        before the first message.
        """
        consumer = self.app.consumer
        ends = await consumer.highwaters(*tps)
        # A commit that fails is made good at the next rebalance.
        known = {tp: at for tp in tps if (at := ends.get(tp)) is not None and at >= 0}
        begins = {tp: self._began.setdefault(tp, at) for tp, at in known.items()}
        for tp, at in begins.items():
            self._begins[tp.partition] = at
            self._seek(tp, at)
        await consumer._commit(begins)

    async def _hear(self, stream: Any) -> None:
        """Fill the inbox: Faust's agent. Nothing is acknowledged here."""
        async for event in stream.noack().events():
            self._inbox.append(event.message)
            self._arrived.set()
            while len(self._inbox) >= self._settings.poll_messages:
                await asyncio.sleep(_GATHER_S)

    async def _note_revoked(self, *_: Any, **__: Any) -> None:
        self.assignments += 1
        self._joining = True

    async def _note_assigned(self, *_: Any, **__: Any) -> None:
        self.assignments += 1
        self._refused_since = None
        self._joining = False
        self._look_who_we_are()

    def _look_who_we_are(self) -> None:
        """Note that somebody else has joined under our name.

        A broker then gives the name to the newer member and the other one is unknown to it, so
        that aiokafka joins again: two workers of one name take turns, for ever.
        """
        coordinator = self._coordinator()
        before, self._member_id = self._member_id, getattr(coordinator, "member_id", "")
        if self._settings.instance_id and before and before != self._member_id:
            now = time.monotonic()
            self._replaced = [at for at in self._replaced if now - at < _TURNS_S] + [now]

    def _coordinator(self) -> Any:
        """Return aiokafka's part that looks after the group; None before there is one."""
        consumer = getattr(self.app.consumer._thread, "_consumer", None)
        return getattr(consumer, "_coordinator", None)


def _ask(coordinator: Any) -> None:
    """Take note of why a join failed, in aiokafka's thread: it tries again."""
    with suppress(KafkaError):
        coordinator.check_errors()


class _Hole(NamedTuple):
    """Offsets of a partition that were passed over: where they end, and when we last asked."""

    end: int
    asked: float
