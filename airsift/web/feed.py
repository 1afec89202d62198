"""Where the page's events come from: the running process, the topics, or the database.

Each puts events into a `Feed` from a thread of its own, and waits for nobody.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from airsift.errors import AirsiftError
from stream.lines import one_line
from stream.sinks.base import Sink

if TYPE_CHECKING:
    from airsift.json_types import JsonObject
    from stream.events import Event
    from stream.history.reader import History
    from stream.history.rows import Row
    from stream.history.settings import DatabaseSettings
    from stream.kafka.settings import KafkaSettings

MAX_BATCHES = 20_000  # that wait; the page takes them several times a second
_RETRY_S = (1.0, 2.0, 5.0, 10.0)
_POLL_S = 1.0  # between two looks into the database
_BEFORE_MS = 600_000  # what was stored in the last minutes is shown at once
_KINDS = ("segment", "label", "match", "gap", "level", "decision", "alarm")

log = logging.getLogger(__name__)


class Feed:
    """Hands events from other threads to the page's. Of too many the oldest are lost, and counted.

    Attributes
    ----------
    problem : str
        Why no events come, "" where nothing is wrong.
    lost : int
        Batches that were dropped.
    """

    def __init__(self) -> None:
        self._batches: deque[Sequence[Event] | Sequence[JsonObject]] = deque()
        self.problem = ""
        self.lost = 0

    def put(self, events: Sequence[Event] | Sequence[JsonObject]) -> None:
        """Add events; safe in any thread, and never waits."""
        self._batches.append(events)
        if len(self._batches) > MAX_BATCHES:
            self._batches.popleft()
            self.lost += 1

    def drain(self) -> Iterator[JsonObject]:
        """Yield the events that have come, as their JSON; for one thread."""
        for _ in range(len(self._batches)):
            for event in self._batches.popleft():
                yield event if isinstance(event, dict) else event.to_dict()


class WebSink(Sink):
    """Shows a running pipeline's events on the page. It is never full: nobody waits for a browser.

    Parameters
    ----------
    feed : Feed
        The page's.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def write(self, events: Sequence[Event]) -> None:
        """Hand the events on."""
        self._feed.put(list(events))


class _Ending(Protocol):
    requested: bool


@contextmanager
def following(feed: Feed, follow: Callable[[Feed, _Ending], None], name: str) -> Iterator[None]:
    """Follow a source of events in a thread while the block runs; begin again after an error."""
    from stream.runner import Stop

    stop = Stop()

    def work() -> None:
        failures = 0
        while not stop.requested:
            began = time.monotonic()
            try:
                follow(feed, stop)
                return
            except AirsiftError as error:
                failures = 0 if time.monotonic() - began > _RETRY_S[-1] else failures + 1
                if feed.problem != str(error):
                    log.warning("%s: no events: %s", name, error)
                feed.problem = one_line(str(error))
            until = time.monotonic() + _RETRY_S[min(failures, len(_RETRY_S) - 1)]
            while not stop.requested and time.monotonic() < until:
                time.sleep(0.1)

    thread = threading.Thread(target=work, name=f"web-{name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.request()
        thread.join(5.0)


def follow_topics(settings: KafkaSettings) -> Callable[[Feed, _Ending], None]:
    """Return what follows the output topics from now on."""

    def run(feed: Feed, stop: _Ending) -> None:
        from stream.kafka.client.connect import ensure_topics
        from stream.kafka.client.tail import follow
        from stream.kafka.codec.event_message import unframed

        topics = list(settings.topics.events.values())
        ensure_topics(settings, {name: ["Read"] for name in topics})
        for record in follow(settings, topics, stop=stop):  # type: ignore[arg-type]
            feed.problem = ""
            try:
                event = json.loads(unframed(record.value))
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict):
                feed.put([event])

    return run


def follow_database(settings: DatabaseSettings) -> Callable[[Feed, _Ending], None]:
    """Return what looks into the database again and again, for what is new in it.

    First it reads the last minutes of every station. Of its time it spends at most a tenth asking.
    """

    def run(feed: Feed, stop: _Ending) -> None:
        from stream.history.reader import open_history

        with open_history(settings) as history:
            new = _New(history)
            while not stop.requested:
                began = time.monotonic()
                with history.question():
                    feed.put(new.events())
                feed.problem = ""
                wait_s = max(_POLL_S, 9 * (time.monotonic() - began))
                while not stop.requested and time.monotonic() < began + wait_s:
                    time.sleep(0.1)

    return run


class _New:
    """What was written since this was last asked, by rows that are there and were not."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._rows: dict[tuple[str, str, int, str], Row] = {}
        self._newest: dict[str, int] = {}

    def events(self) -> list[JsonObject]:
        from stream.history.rows import published

        if not self._newest:
            found = self._first()
        else:
            since = max(self._newest.values()) - _BEFORE_MS
            found = list(self._history.rows(None, _KINDS, since))
        fresh = [row for row in found if self._rows.get(row.key) != row]
        self._rows = {row.key: row for row in found}
        for row in found:
            self._newest[row.station] = max(self._newest.get(row.station, 0), row.starts_ms or 0)
        return [published(row) for row in fresh]

    def _first(self) -> list[Row]:
        found = []
        for span in self._history.spans():
            if span.last_ms is not None:
                self._newest[span.station] = span.last_ms
                since = span.last_ms - _BEFORE_MS
                found += list(self._history.rows([span.station], _KINDS, since))
        return sorted(found, key=lambda row: row.starts_ms or 0)
