"""Ends a worker that has stopped reading while there is something to read.

Faust can stall without an error: a fetcher that is never resumed after a rebalance, a join that
does not end. A supervisor (systemd, Kubernetes, compose) starts the worker again.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from kafka import TopicPartition

from airsift.errors import BrokerError
from stream.kafka.client.connect import broker_errors, connect_consumer
from stream.lines import one_line
from stream.sinks.terminal import give_back

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream.kafka.settings import KafkaSettings

EXIT_CODE = 75  # "try again", in the words of sysexits.h


class Watchdog:
    """Calls `end` with one line once nothing was done for too long with work to do.

    Parameters
    ----------
    stall_s : float > 0
        Seconds without `progress`.
    work : callable
        Says what waits, in words, or "" where nothing does. It is asked in a thread of the
        watchdog's, because the worker's may be what is stuck.
    end : callable
        What to do then.
    now : callable
        The clock, in seconds.
    """

    def __init__(
        self,
        stall_s: float,
        work: Callable[[], str],
        end: Callable[[str], None] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stall_s = stall_s
        self._work = work
        self._end = end or end_process
        self._now = now
        self._last = now()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self.progress()
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()

    def progress(self) -> None:
        """Say that something was done."""
        self._last = self._now()

    def look(self) -> None:
        """Look once whether the worker has stalled."""
        before = self._last
        if self._now() - before < self._stall_s:
            return
        waiting = self._work()
        if self._stopped.is_set() or self._last != before:
            return
        if waiting:
            self._end(
                f"no message was processed for kafka.stall_s={self._stall_s:g}, and {waiting}; "
                "the worker ends to be started again"
            )
        self.progress()

    def _watch(self) -> None:
        while not self._stopped.wait(min(self._stall_s / 10, 1.0)):
            self.look()


def end_process(reason: str, code: int = EXIT_CODE) -> None:
    """Print the reason, if there is one, and end this process, whatever its other threads do."""
    if reason:
        give_back()
        print(f"airsift: {one_line(reason)}", file=sys.stderr, flush=True)
    os._exit(code)


def waiting_messages(settings: KafkaSettings, positions: Mapping[int, int] | None) -> str:
    """Say in words what waits on the audio topic for us, "" if nothing does.

    The broker is asked over a connection of its own. One that does not answer is no stall: there
    is nothing to read from it.

    Parameters
    ----------
    settings : KafkaSettings
        Broker, group and topic.
    positions : mapping of int to int, optional
        Partitions that are ours, with the offset of the next message, negative for the group's
        committed one; None for all partitions of the topic.
    """
    topic = settings.topics.audio
    try:
        consumer = connect_consumer(settings, group_id=settings.group)
    except BrokerError:
        return ""
    try:
        with broker_errors(settings):
            ours = positions
            if ours is None:
                ours = dict.fromkeys(consumer.partitions_for_topic(topic) or (), -1)
            tps = {TopicPartition(topic, partition): at for partition, at in ours.items()}
            consumer.assign(list(tps))
            for tp, at in tps.items():
                if at >= 0:
                    consumer.seek(tp, at)
            # Not by counting offsets: what is there need not be a message.
            deadline = time.monotonic() + 3.0
            while time.monotonic() < deadline:
                for tp, records in consumer.poll(timeout_ms=200, max_records=1).items():
                    return (
                        f"kafka_offset {records[0].offset} of {topic} partition {tp.partition} "
                        "waits"
                    )
    except BrokerError:
        return ""
    finally:
        consumer.close()
    return ""
