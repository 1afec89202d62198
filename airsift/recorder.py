"""From topics of events to the history, with the database sink of `airsift run`.

The rule: a row is written, then flushed, and only then is the offset behind its message committed.
A crash between two steps repeats messages, and a row that comes again replaces itself.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Protocol

from airsift.errors import Backpressure
from stream.history.received import row_of_message
from stream.kafka.codec.event_message import unframed
from stream.lines import one_line

if TYPE_CHECKING:
    from stream.history.rows import Row
    from stream.kafka.records.consumer_record import ConsumerRecord

log = logging.getLogger(__name__)

_LOGGED = 20  # messages that are no events, of which each is logged; all are counted


class EventSource(Protocol):
    """What the recorder needs of `stream.kafka.client.event_topics.EventTopics`."""

    counts: Counter[str]

    def poll(self) -> list[ConsumerRecord]: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def commit(self) -> None: ...


class RowSink(Protocol):
    """What the recorder needs of `stream.sinks.database.DatabaseSink`."""

    def write_rows(self, rows: Sequence[Row]) -> None: ...
    def flush(self) -> None: ...


class Recorder:
    """Writes the events of a source to a sink.

    Parameters
    ----------
    source : EventSource
        Messages.
    sink : RowSink
        Rows.
    kinds : collection of str
        Kinds of events that are stored.
    every_s : float > 0
        Seconds between two commits.

    Attributes
    ----------
    written : int
        Rows that the sink has accepted.
    damaged : int
        Messages that are no events; they are left out.
    """

    def __init__(
        self, source: EventSource, sink: RowSink, kinds: Collection[str], every_s: float
    ) -> None:
        self._source = source
        self._sink = sink
        self._kinds = frozenset(kinds)
        self._every_s = every_s
        self._next = time.monotonic() + every_s
        self._waiting: list[Row] = []
        self._is_held = False
        self.written = 0
        self.damaged = 0

    def step(self) -> None:
        """Read the next messages, write them, and commit if it is time."""
        for record in self._source.poll():
            self._add(record)
        self._write()
        if time.monotonic() >= self._next:
            self.commit()

    def commit(self) -> bool:
        """Flush, and commit what is flushed; return whether nothing is left to be committed.

        While the database takes nothing, nothing is committed.
        """
        self._next = time.monotonic() + self._every_s
        if self._waiting:
            return False
        try:
            self._sink.flush()
        except Backpressure as error:
            log.warning("nothing is committed: %s", error)
            return False
        self._source.commit()
        return True

    def _add(self, record: ConsumerRecord) -> None:
        try:
            row = row_of_message(unframed(record.value), self._kinds)
        except ValueError as error:
            self.damaged += 1
            self._source.counts["unreadable"] += 1
            if self.damaged <= _LOGGED:
                where = f"{record.topic}[{record.partition}] {record.offset}"
                log.warning("%s is no event (%s): left out", where, one_line(str(error))[:200])
            return
        if row is not None:
            self._waiting.append(row)

    def _write(self) -> None:
        if not self._waiting:
            return
        try:
            self._sink.write_rows(self._waiting)
        except Backpressure as error:
            if not self._is_held:
                log.warning("reading waits: %s", error)
            self._is_held = True
            self._source.pause()  # again each time: a rebalance forgets it
            return
        self.written += len(self._waiting)
        self._waiting = []
        if self._is_held:
            self._is_held = False
            self._source.resume()
            log.info("reading goes on")
