"""The audio of all stations of a list as one source; the list may change while it is read."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from airsift.errors import ConfigError
from stream.sources.base import Source
from stream.stations.entry import read_stations
from stream.stations.receiver import Receiver
from stream.stations.shared import SharedReceiver
from stream.stations.watch import FileWatch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airsift.defaults import Section
    from stream.alarms.settings import RulesSettings
    from stream.snapshot import StoredSnapshot
    from stream.sources.base import SelectiveSource, SourceItem
    from stream.sources.settings import HttpSettings
    from stream.stations.entry import StationEntry, StationList

log = logging.getLogger(__name__)

IDLE_S = 0.2  # an iterating caller never waits longer
CLOSE_S = 3.0  # longest wait for all threads together, some of which the network may hold up


@dataclass(frozen=True, slots=True)
class KafkaStations:
    """How stations of Kafka are received.

    Parameters
    ----------
    settings : Section
        The section ``[kafka]`` of the configuration.
    open_source : callable
        Opens the source of some stations, each with its key, by one entry of them: all have the
        same broker and topic.
    checkpoint_s : float > 0
        Seconds between two commits.
    """

    settings: Section
    open_source: Callable[[StationEntry, Mapping[str, str]], SelectiveSource]
    checkpoint_s: float


class StationsSource(Source):
    """Every enabled station of a list, until it is closed, or all are files that are over.

    The law: what a station gives depends on its own entry and source alone. Others that fail, are
    added, changed or removed neither end it nor delay it.

    Stations of Kafka go on after a restart where they were, and one source has all of a broker.

    Parameters
    ----------
    path : Path
        The list, see `stream.stations.entry`. It is read again when it has changed.
    open_source : callable
        Opens the source of an entry.
    http : HttpSettings
        The section ``[http]`` of the configuration.
    kafka : KafkaStations, optional
        How stations of Kafka are received; without it, an entry for one cannot be used.
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
        kafka: KafkaStations | None = None,
        rules: RulesSettings | None = None,
    ) -> None:
        self._path, self._open_source, self._http = path, open_source, http
        self._kafka, self._rules = kafka, rules
        self.entries: dict[str, StationEntry] = {}
        self._watch = FileWatch(path)
        self._changed = threading.Condition()
        self._receivers: dict[str, Receiver] = {}
        self._shared: dict[str, SharedReceiver] = {}  # by broker
        self._leaving: list[Receiver] = []  # stopped, and not yet taken to their end
        self._leaving_shared: list[SharedReceiver] = []
        self._last: list[SourceItem] = []  # of stations of Kafka that are gone
        self._left = {"reconnects": 0, "overflows": 0}  # of those that are gone
        self._warnings: list[str] = []
        self._behind_s = 0.0
        self._logged: frozenset[str] = frozenset()
        self._listed = read = self._read(again=False)
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
            with self._changed:
                for each in self._all_shared():
                    each.processed()

    @property
    def warnings(self) -> list[str]:  # type: ignore[override]
        """What was wrong with files."""
        return [*self._warnings, *(w for each in self._all() for w in each.warnings)]

    @property
    def reconnects(self) -> int:  # type: ignore[override]
        """Times that a station was connected anew."""
        others = sum(each.reconnects for each in self._all_shared())
        return self._left["reconnects"] + others + sum(each.reconnects for each in self._all())

    @property
    def counts(self) -> Counter[str]:  # type: ignore[override]
        """What those of Kafka have counted."""
        return sum((Counter(each.counts) for each in self._all_shared()), Counter())

    @property
    def refused(self) -> Counter[str]:  # type: ignore[override]
        """What brokers have refused."""
        return sum((Counter(each.refused) for each in self._all_shared()), Counter())

    @property
    def overflows(self) -> int:
        return self._left["overflows"] + sum(each.overflows for each in self._all())

    @property
    def queued(self) -> int:
        with self._changed:
            shared = sum(each.queued for each in self._all_shared())
            return shared + sum(each.queued for each in self._all())

    @property
    def behind_s(self) -> float:
        return self._behind_s

    @property
    def failing(self) -> int:
        shared = sum(len(each.stations) for each in self._all_shared() if each.error)
        return shared + sum(bool(each.error) for each in self._all())

    @property
    def wants_checkpoint(self) -> bool:
        with self._changed:
            return any(each.wants_checkpoint for each in self._shared.values())

    def resumes(self, station: str) -> bool:
        return any(station in each.stations for each in self._shared.values())

    def checkpoint(self, snapshots: Mapping[str, StoredSnapshot]) -> None:
        """Hand each broker's snapshots to its thread; an unreachable one delays none of them."""
        for each in self._shared.values():
            each.checkpoint(snapshots)

    def close(self) -> None:
        """Stop all stations."""
        stopping: list[Receiver | SharedReceiver] = [*self._all(), *self._all_shared()]
        for each in stopping:
            each.stop()
        deadline = time.monotonic() + CLOSE_S
        for each in stopping:
            each.join(max(deadline - time.monotonic(), 0))

    def _all(self) -> list[Receiver]:
        return [*self._leaving, *list(self._receivers.values())]

    def _all_shared(self) -> list[SharedReceiver]:
        return [*self._leaving_shared, *list(self._shared.values())]

    def _read(self, *, again: bool) -> StationList:
        """Read the list; refuse one without stations, as a full disk or an editor leaves it."""
        kafka = self._kafka.settings if self._kafka is not None else None
        read = read_stations(self._path, self._http, kafka, self._rules, again=again)
        self._log_problems(read)
        if not read.enabled:
            raise ConfigError(f"{self._path} has no station that can be used: add [[stations]]")
        return read

    def _take(self) -> list[SourceItem]:
        """Return what all stations have; those that leave first, as another may have its name."""
        now = time.monotonic()
        self._behind_s = max((each.waited_s(now) for each in self._all()), default=0.0)
        shared = self._all_shared()
        self._behind_s = max([self._behind_s, *(each.behind_s for each in shared)])
        items, self._last = self._last, []
        for keyed in shared:
            items += keyed.take()
        for each in self._all():
            items += each.take()
        self._leaving_shared = [each for each in self._leaving_shared if not each.done]
        left = [each for each in self._leaving if each.done]
        for each in left:
            self._leaving.remove(each)
            self._left["reconnects"] += each.reconnects
            self._left["overflows"] += each.overflows
            self._warnings += each.warnings
        if left:  # Kafka may have stations of their names now
            self._follow_shared()
        if items:
            self._changed.notify_all()
        return items

    def _is_over(self) -> bool:
        shared = self._shared or self._leaving_shared
        return not shared and all(each.done and not each.queued for each in self._all())

    def _read_again(self) -> None:
        try:
            read = self._read(again=True)
        except ConfigError as error:
            log.warning("%s; the stations stay as they are", error)
            return
        self._follow(read)

    def _log_problems(self, read: StationList) -> None:
        """Log the problems that are new; the text is the kind of the line, so all are written."""
        lines = [problem.text for problem in read.problems]
        for line in lines:
            if line not in self._logged:
                log.warning(line)
        self._logged = frozenset(lines)

    def _follow(self, read: StationList) -> None:
        """Stop the stations that are gone or changed, and begin those that are new or changed.

        One whose entry has become wrong goes on as it was.
        """
        wrong = {problem.name for problem in read.problems}
        all_wanted = read.enabled
        wanted = {name: each for name, each in all_wanted.items() if each.kind != "kafka"}
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
            kept = {name: each for name, each in self.entries.items() if name in wrong}
            self.entries = {**all_wanted, **kept}
            self._listed = read
            self._follow_shared()
        for name, receiver in stopped.items():
            receiver.stop()
            if name not in all_wanted:
                log.info("is removed", extra={"station": name})

    def _follow_shared(self) -> None:
        """Tell each broker's receiver its stations; begin those of new brokers.

        A station that was another kind of source is begun when that has ended.
        """
        listed: dict[str, dict[str, str]] = {}
        entries: dict[str, StationEntry] = {}
        for name, entry in self._listed.enabled.items():
            if entry.kind == "kafka" and self._leaves(name) is None:
                listed.setdefault(entry.broker, {})[name] = entry.key
                entries.setdefault(entry.broker, entry)
        wrong = {problem.name for problem in self._listed.problems}
        for broker, receiver in list(self._shared.items()):
            before, stations = receiver.stations, listed.pop(broker, {})
            stations |= {s: key for s, key in before.items() if s in wrong}
            for name in sorted(before.keys() ^ stations.keys()):
                verb = "begins" if name in stations else "is removed"
                log.info(verb, extra={"station": name})
            if stations != before:
                self._last += receiver.select(stations)
            if not stations:
                self._leaving_shared.append(self._shared.pop(broker))
        for broker, stations in listed.items():
            assert self._kafka is not None
            self._shared[broker] = SharedReceiver(
                partial(self._kafka.open_source, entries[broker]),
                stations,
                self._changed,
                self._kafka.checkpoint_s,
                self._http.max_backoff_s,
            )
            for name in sorted(stations):
                log.info("begins", extra={"station": name})

    def _leaves(self, name: str) -> Receiver | None:
        """Return the last station of a name that was removed and has not ended yet."""
        return next((r for r in reversed(self._leaving) if r.entry.name == name), None)
