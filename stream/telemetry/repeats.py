"""Repeated log lines: the first of a kind is written, the others are counted and summed up.

The kind of a line is its logger, level and template, not its text: the sender of audio chooses the
names in the text. So neither the log nor the memory grows with the input.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_S = 60.0
MAX_KINDS = 500
_MAX_STATIONS = 1000  # of one kind that are distinguished
_MAX_TEMPLATE = 200  # characters; a template may be a text that was put together before
_MAX_TEXT = 300

Kind = tuple[str, int, str]
_OTHERS: Kind = ("", 0, "")


@dataclass(slots=True)
class _Count:
    """Lines of one kind since `since`, except the first."""

    since: float
    count: int = 0
    last: str = ""  # the newest text; a record would keep its arguments alive
    stations: set[str] = field(default_factory=set)


class Repeats:
    """Decides which records are written.

    Each record is either written, or counted in exactly one summary.

    Parameters
    ----------
    now : callable
        The clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._counts: dict[Kind, _Count] = {}

    def take(self, record: logging.LogRecord) -> list[logging.LogRecord]:
        """Return the records to write when `record` arrives."""
        due = self.due()
        kind = (record.name, record.levelno, str(record.msg)[:_MAX_TEMPLATE])
        if kind not in self._counts and len(self._counts) >= MAX_KINDS:
            kind = _OTHERS
        known = self._counts.get(kind)
        if known is None:
            self._counts[kind] = _Count(self._now())
            return [*due, record]
        known.count += 1
        known.last = _text(record)
        station = getattr(record, "station", None)
        if station is not None and len(known.stations) < _MAX_STATIONS:
            known.stations.add(str(station)[:_MAX_TEMPLATE])
        return due

    def due(self, *, all_of_them: bool = False) -> list[logging.LogRecord]:
        """Return summaries of the last minute, and forget kinds that did not occur in it."""
        now, out = self._now(), []
        for kind, known in list(self._counts.items()):
            if now - known.since < EVERY_S and not all_of_them:
                continue
            if known.count:
                out.append(_summary(kind, known))
                self._counts[kind] = _Count(now)
            else:
                del self._counts[kind]
        return out


class RepeatsHandler(logging.Handler):  # logging asks for one
    """Passes records that are to be written to another handler.

    Parameters
    ----------
    inner : logging.Handler
        Writes.
    repeats : Repeats, optional
        Decides.
    """

    def __init__(self, inner: logging.Handler, repeats: Repeats | None = None) -> None:
        super().__init__()
        self._inner = inner
        self._repeats = repeats or Repeats()

    def emit(self, record: logging.LogRecord) -> None:
        """Write or count a record. Called with the handler's lock held."""
        for each in self._repeats.take(record):
            self._inner.handle(each)

    def sum_up(self, *, all_of_them: bool = False) -> None:
        """Write the summaries that are due, or all. Thread-safe."""
        with self.lock:  # type: ignore[union-attr]  # every handler has one
            for each in self._repeats.due(all_of_them=all_of_them):
                self._inner.handle(each)


def _text(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except (TypeError, ValueError):  # arguments that do not fit the template
        text = str(record.msg)
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"


def _summary(kind: Kind, counted: _Count) -> logging.LogRecord:
    number = f"{counted.count:,}".replace(",", " ")
    many = len(counted.stations)
    stations = "1 station" if many == 1 else f"{many}{'+' * (many == _MAX_STATIONS)} stations"
    where = f" ({stations})" if many else ""
    what = "more of other kinds" if kind == _OTHERS else "more like it"
    name, level = (__name__, logging.WARNING) if kind == _OTHERS else kind[:2]
    text = f"{counted.last} … and {number} {what} in the last minute{where}"
    record = logging.LogRecord(name, level, "", 0, "%s", (text,), None)
    record.repeated, record.stations = counted.count, many
    return record
