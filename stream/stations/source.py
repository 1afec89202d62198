"""The audio of all stations of a list as one source; the list may change while it is read."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from airsift.errors import ConfigError
from stream.sources.base import Source
from stream.stations.entry import read_stations
from stream.stations.receiver import Receiver
from stream.stations.watch import FileWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stream.alarms.settings import RulesSettings
    from stream.sources.base import SourceItem
    from stream.sources.settings import HttpSettings
    from stream.stations.entry import StationEntry, StationList

log = logging.getLogger(__name__)

IDLE_S = 0.2  # an iterating caller never waits longer
CLOSE_S = 3.0  # longest wait for all threads together, some of which the network may hold up


class StationsSource(Source):
    """Every enabled station of a list, until it is closed, or all are files that are over.

    The law: what a station gives depends on its own entry and source alone. Others that fail, are
    added, changed or removed neither end it nor delay it.

    Parameters
    ----------
    path : Path
        The list, see `stream.stations.entry`. It is read again when it has changed.
    open_source : callable
        Opens the source of an entry.
    http : HttpSettings
        The section ``[http]`` of the configuration.
    rules : RulesSettings, optional
        The section ``[alarms.rules]``, with which alarms of the list are checked.

    Attributes
    ----------
    entries : dict of str to StationEntry
        The stations that are received, by name: another object after each change.

    Raises
    ------
    ConfigError
        The list cannot be read, or no station of it can be used.
    """

    def __init__(
        self,
        path: Path,
        open_source: Callable[[StationEntry], Source],
        http: HttpSettings,
        rules: RulesSettings | None = None,
    ) -> None:
        self._path, self._open_source, self._http, self._rules = path, open_source, http, rules
        self.entries: dict[str, StationEntry] = {}
        self._watch = FileWatch(path)
        self._changed = threading.Condition()
        self._receivers: dict[str, Receiver] = {}
        self._leaving: list[Receiver] = []  # stopped, and not yet taken to their end
        self._left = {"reconnects": 0, "overflows": 0}  # of those that are gone
        self._warnings: list[str] = []
        self._behind_s = 0.0
        self._logged: frozenset[str] = frozenset()
        read = read_stations(path, http, rules)
        self._log_problems(read)
        if not read.received:
            raise ConfigError(f"{path} has no station that can be used: add [[stations]]")
        self._follow(read)

    def reload(self) -> None:
        """Read the list again soon. Safe in a signal handler."""
        self._watch.request()

    def __iter__(self) -> Iterator[list[SourceItem]]:
        while True:
            if self._watch.has_changed():
                self._read_again()
            with self._changed:
                items = self._take()
                if not items and not self._is_over():
                    self._changed.wait(IDLE_S)
                    items = self._take()
                is_over = not items and self._is_over()
            if is_over:
                return
            yield items

    @property
    def warnings(self) -> list[str]:  # type: ignore[override]
        """What was wrong with files."""
        return [*self._warnings, *(w for each in self._all() for w in each.warnings)]

    @property
    def reconnects(self) -> int:  # type: ignore[override]
        """Times that a station was connected anew."""
        return self._left["reconnects"] + sum(each.reconnects for each in self._all())

    @property
    def overflows(self) -> int:
        return self._left["overflows"] + sum(each.overflows for each in self._all())

    @property
    def queued(self) -> int:
        with self._changed:
            return sum(each.queued for each in self._all())

    @property
    def behind_s(self) -> float:
        return self._behind_s

    @property
    def failing(self) -> int:
        return sum(bool(each.error) for each in self._all())

    def close(self) -> None:
        """Stop all stations."""
        for each in self._all():
            each.stop()
        deadline = time.monotonic() + CLOSE_S
        for each in self._all():
            each.join(max(deadline - time.monotonic(), 0))

    def _all(self) -> list[Receiver]:
        return [*self._leaving, *list(self._receivers.values())]

    def _take(self) -> list[SourceItem]:
        """Return what all stations have; those that leave first, as another may have its name."""
        now = time.monotonic()
        self._behind_s = max((each.waited_s(now) for each in self._all()), default=0.0)
        items: list[SourceItem] = []
        for each in self._all():
            items += each.take()
        for each in [each for each in self._leaving if each.done]:
            self._leaving.remove(each)
            self._left["reconnects"] += each.reconnects
            self._left["overflows"] += each.overflows
            self._warnings += each.warnings
        if items:
            self._changed.notify_all()
        return items

    def _is_over(self) -> bool:
        return all(each.done and not each.queued for each in self._all())

    def _read_again(self) -> None:
        try:
            read = read_stations(self._path, self._http, self._rules)
        except ConfigError as error:
            log.warning("%s; the stations stay as they are", error)
            return
        self._log_problems(read)
        self._follow(read)

    def _log_problems(self, read: StationList) -> None:
        """Log the problems that are new."""
        lines = [problem.text for problem in read.problems]
        for line in lines:
            if line not in self._logged:
                log.warning("%s", line)
        self._logged = frozenset(lines)

    def _follow(self, read: StationList) -> None:
        """Stop the stations that are gone or changed, and begin those that are new or changed.

        One whose entry has become wrong goes on as it was.
        """
        wrong = {problem.name for problem in read.problems}
        wanted = read.received
        with self._changed:
            stopped: dict[str, Receiver] = {}
            for name, receiver in list(self._receivers.items()):
                entry = wanted.get(name)
                if entry is not None and entry.reception == receiver.entry.reception:
                    receiver.entry = entry
                elif name not in wrong:
                    stopped[name] = self._receivers.pop(name)
                    self._leaving.append(stopped[name])
            for name, entry in wanted.items():
                if name in self._receivers:
                    continue
                before = stopped.get(name) or self._leaves(name)
                self._receivers[name] = Receiver(
                    entry, self._open_source, self._changed, self._http.max_backoff_s, before
                )
                log.info("begins" if name not in stopped else "changes", extra={"station": name})
            self.entries = {name: each.entry for name, each in self._receivers.items()}
        for name, receiver in stopped.items():
            receiver.stop()
            if name not in wanted:
                log.info("is removed", extra={"station": name})

    def _leaves(self, name: str) -> Receiver | None:
        """Return the last station of a name that was removed and has not ended yet."""
        return next((r for r in reversed(self._leaving) if r.entry.name == name), None)
