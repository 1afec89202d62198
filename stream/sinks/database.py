"""Events into the history: a database that is away stops neither the loop nor a live station.

The loop hands rows over and goes on. A thread writes them, and while it cannot, they go to a spool
on disk, from which they are written first when the database is back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from airsift.errors import Backpressure, ConfigError
from stream.history.address import address_of, open_engine
from stream.history.outage import is_about_rows, is_away, reason_of
from stream.history.rows import Row, row_of
from stream.history.spool import Spool
from stream.history.writer import Writer
from stream.sinks.base import Sink

if TYPE_CHECKING:
    from stream.events import Event
    from stream.history.settings import DatabaseSettings

log = logging.getLogger(__name__)

MAX_WAITING = 20_000  # rows in memory; a row takes about 1 kB
BATCH = 2_000  # rows of one transaction
PRUNE_EVERY_S = 3600.0
ADOPT_EVERY_S = 60.0  # between looks for what other processes have left in the spool
CLOCK_STEP_S = 60.0  # by which the clock may be set before old events are no longer removed
_FIRST_RETRY_S, _LAST_RETRY_S = 0.5, 10.0
_IDLE_S = 1.0
_CLOSE_S = 30.0  # for the rest of the spool, if the database is there


class DatabaseSink(Sink):
    """Writes events to the database that `settings.url` names.

    `flush` returns when all accepted rows are in the database, or in the spool: then nothing is
    lost that was accepted. Without a spool (`spool_mb` = 0) it raises `Backpressure` instead, and
    the loop waits.

    Parameters
    ----------
    settings : DatabaseSettings
        The database, what is stored, and the spool.

    Attributes
    ----------
    refused : Counter
        Rows that the database does not take, under "database"; they are named in the log.

    Raises
    ------
    ConfigError
        The database refuses this program, is newer or of another program; or it is away, and there
        is no spool.
    """

    def __init__(self, settings: DatabaseSettings) -> None:
        self._kinds = frozenset(settings.kinds)
        self._keep_days = settings.keep_days.by_kind()
        self._flush_timeout_s = settings.flush_timeout_s
        address = address_of(settings.url.get_secret_value(), settings.password_file)
        self._name = address.name
        self._engine = open_engine(address, connect_timeout_s=settings.connect_timeout_s)
        self._writer = Writer(self._engine, address.name)
        self._spool = None
        if settings.spool_mb:
            self._spool = Spool(Path(settings.spool_folder), settings.spool_mb * 1_000_000)
        self.refused: Counter[str] = Counter()
        self._changed = threading.Condition()  # guards all below, and the spool
        self._waiting: list[Row] = []
        self._spilled = 0  # times that `_waiting` went to the spool
        self._away = ""
        self._bug: BaseException | None = None
        self._failures = 0
        self._hurries = False  # whether the next try is due at once
        self._ends = False
        self._clock = time.time() - time.monotonic()
        self._next_prune = self._next_adoption = time.monotonic()
        self._is_spooled = self._spool is not None and self._spool.size() > 0
        try:
            self._writer.open()
        except SQLAlchemyError as error:
            reason = reason_of(error)
            if self._spool is None or not is_away(address, error, settings.connect_timeout_s):
                raise ConfigError(
                    f"database.url={self._name}: cannot be opened ({reason}); check the address, "
                    "the rights and the password"
                ) from None
            self._note_away(reason)
        self._thread = threading.Thread(target=self._work, name="database", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """Rows in memory that wait for the database."""
        return len(self._waiting)

    @property
    def broker_error(self) -> str:
        """Why events cannot be stored anywhere, "" where they can, or there is a spool."""
        return self._away if self._spool is None else ""

    def write(self, events: Sequence[Event]) -> None:
        """Accept events of the kinds that are stored.

        Raises
        ------
        Backpressure
            The database is away or slow, and memory and spool are full; none was accepted.
        """
        self.write_rows([row_of(event) for event in events if event.kind in self._kinds])

    def write_rows(self, rows: Sequence[Row]) -> None:
        """Accept rows, of any kind: the way of events that come from elsewhere as well.

        Raises
        ------
        Backpressure
            As `write`.
        """
        with self._changed:
            self._check()
            if self._waiting and len(self._waiting) + len(rows) > MAX_WAITING:
                self._spill(len(self._waiting))
            self._waiting.extend(rows)
            self._changed.notify_all()

    def flush(self) -> None:
        """Return when all accepted rows are in the database or in the spool.

        Raises
        ------
        Backpressure
            The database is away, and there is no spool, or it is full.
        """
        deadline = time.monotonic() + self._flush_timeout_s
        with self._changed:
            # While a spool is written, what is new goes behind it: the loop does not wait for that.
            while self._waiting and not (self._away or self._is_spooled):
                self._check()
                if time.monotonic() >= deadline:
                    break
                self._changed.wait(max(deadline - time.monotonic(), 0))
            self._check()
            if self._waiting:
                self._spill(len(self._waiting))

    def close(self) -> None:
        """Flush, try to write the rest of the spool, and disconnect.

        A database that is away is tried once more.
        """
        if not self._thread.is_alive():
            return
        try:
            self.flush()
            with self._changed:
                failures = self._failures
                self._hurries = True
                self._changed.notify_all()
                self._changed.wait_for(
                    lambda: not self._is_spooled or self._failures > failures or self._bug, _CLOSE_S
                )
                self._check()
        finally:
            with self._changed:
                self._ends = True
                self._changed.notify_all()
            self._thread.join(_LAST_RETRY_S)
            if self._spool is not None and self._is_spooled:
                log.warning(
                    "%.1f MB of events wait in database.spool_folder: the next process with this "
                    "database writes them",
                    self._spool.size() / 1e6,
                )
            if self._spool is not None and not self._thread.is_alive():
                self._spool.close()

    def _check(self) -> None:
        if self._bug is not None:
            raise self._bug

    def _spill(self, count: int) -> None:
        """Move rows from memory to the spool; with the lock."""
        if self._spool is None:
            raise Backpressure(
                f"{count} rows wait for {self._name}"
                f"{f' ({self._away})' if self._away else ''}; database.spool_mb=0",
                retry_after_s=1.0,
            )
        self._spool.append(self._waiting)
        self._waiting = []
        self._spilled += 1
        self._is_spooled = True

    # The thread

    def _work(self) -> None:
        try:
            retry_s = _FIRST_RETRY_S
            while not self._ends:
                try:
                    self._work_once()
                    retry_s = _FIRST_RETRY_S
                except (SQLAlchemyError, ConfigError) as error:
                    self._note_away(reason_of(error))
                    with self._changed:
                        self._failures += 1
                        self._changed.notify_all()
                        self._changed.wait_for(lambda: self._ends or self._hurries, retry_s)
                        self._hurries = False
                    retry_s = min(2 * retry_s, _LAST_RETRY_S)
        except BaseException as error:
            with self._changed:
                self._bug = error
                self._changed.notify_all()
        finally:
            self._engine.dispose()

    def _work_once(self) -> None:
        """Write what waits, the oldest first; else look after the database."""
        if self._is_spooled:
            self._write_spooled()
            return
        with self._changed:
            rows, spilled = self._waiting[:BATCH], self._spilled
        if not rows:
            if self._away:
                self._store([])
            self._look_after()
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting) or self._ends, _IDLE_S)
            return
        self._store(rows)
        with self._changed:
            if spilled == self._spilled:
                del self._waiting[: len(rows)]
            self._changed.notify_all()

    def _write_spooled(self) -> None:
        assert self._spool is not None
        with self._changed:
            name = self._spool.take()
            if name is None:
                self._is_spooled = False
                self._changed.notify_all()
                return
        for rows in self._spool.read(name):
            if self._ends:
                return
            self._store(rows)
        with self._changed:
            self._spool.remove(name)

    def _store(self, rows: Sequence[Row]) -> None:
        """Write rows; of a batch that is refused, each by itself."""
        try:
            self._writer.write(rows)
        except (SQLAlchemyError, OverflowError) as error:
            if not is_about_rows(error):
                raise
            for row in rows:
                try:
                    self._writer.write([row])
                except (SQLAlchemyError, OverflowError) as refusal:
                    if not is_about_rows(refusal):
                        raise
                    self.refused["database"] += 1
                    where = f"{row.station}/{row.kind}/{row.start}"
                    log.warning("%s: not stored (%s)", where[:200], reason_of(refusal))
        if self._away:
            self._note_back()

    def _look_after(self) -> None:
        """Take up what others left, and remove what is too old; now and then."""
        now = time.monotonic()
        if self._spool is not None and now >= self._next_adoption:
            self._next_adoption = now + ADOPT_EVERY_S
            if self._spool.size():
                with self._changed:
                    self._is_spooled = True
        if self._keep_days and now >= self._next_prune:
            self._next_prune = now + PRUNE_EVERY_S
            self._prune()

    def _prune(self) -> None:
        """Remove old events, by a clock that cannot remove everything."""
        if abs(time.time() - time.monotonic() - self._clock) > CLOCK_STEP_S:
            log.warning("the clock was set since the start: nothing is removed until a restart")
            return
        newest_ms = self._writer.newest_ms()
        if newest_ms is None:
            return
        removed = self._writer.prune(self._keep_days, min(round(time.time() * 1000), newest_ms))
        if removed:
            log.info("%d events older than database.keep_days removed", removed)

    def _note_away(self, reason: str) -> None:
        with self._changed:
            if not self._away:
                log.warning(
                    "%s cannot be written to (%s): events wait %s",
                    self._name,
                    reason,
                    "and the loop with them" if self._spool is None else "in database.spool_folder",
                )
            self._away = reason

    def _note_back(self) -> None:
        with self._changed:
            self._away = ""
        log.info("%s can be written to again", self._name)
