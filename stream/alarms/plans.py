"""Where the rules of stations come from, and when they change."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airsift.errors import ConfigError
from stream.alarms.rules import AlarmPlan
from stream.stations.entry import StationEntry, read_stations
from stream.stations.watch import FileWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from airsift.defaults import Section
    from stream.alarms.settings import AlarmSettings
    from stream.sources.settings import HttpSettings

log = logging.getLogger(__name__)


class FixedPlan:
    """The same rules for all stations."""

    def __init__(self, settings: AlarmSettings, rate: int) -> None:
        self._plan = AlarmPlan(settings, rate)

    def __call__(self) -> AlarmPlan:
        """Return the rules."""
        return self._plan


class PlanOfSource:
    """The rules of the stations that a source receives.

    Parameters
    ----------
    settings : AlarmSettings
        The section ``[alarms]``.
    rate : int > 0
        Samples per second of the limits.
    entries_of : callable
        Returns the stations by name: another object after each change.
    """

    def __init__(
        self,
        settings: AlarmSettings,
        rate: int,
        entries_of: Callable[[], Mapping[str, StationEntry]],
    ) -> None:
        self._settings, self._rate, self._entries_of = settings, rate, entries_of
        self._entries = entries_of()
        self._plan = AlarmPlan(settings, rate, self._entries)

    def __call__(self) -> AlarmPlan:
        """Return the rules as they are now."""
        entries = self._entries_of()
        if entries is not self._entries:
            self._entries = entries
            self._plan = AlarmPlan(self._settings, self._rate, entries)
        return self._plan


class PlanOfFile:
    """The rules of the stations of a list, which is read again when it changes.

    A station whose entry has become wrong keeps the entry before.

    Parameters
    ----------
    settings : AlarmSettings
        The section ``[alarms]``.
    rate : int > 0
        Samples per second of the limits.
    path : Path
        The list.
    http : HttpSettings
        With which entries are checked.
    kafka : Section
        The section ``[kafka]``, for the same.

    Raises
    ------
    ConfigError
        It cannot be read.
    """

    def __init__(
        self,
        settings: AlarmSettings,
        rate: int,
        path: Path,
        http: HttpSettings,
        kafka: Section,
    ) -> None:
        self._settings, self._rate, self._path = settings, rate, path
        self._http, self._kafka = http, kafka
        self._watch = FileWatch(path)
        self._entries: dict[str, StationEntry] = {}
        self._logged: frozenset[str] = frozenset()
        self._plan = self._read(again=False)

    def __call__(self) -> AlarmPlan:
        """Return the rules as they are now."""
        if self._watch.has_changed():
            try:
                self._plan = self._read(again=True)
            except ConfigError as error:
                log.warning("%s; the alarms stay as they are", error)
        return self._plan

    def _read(self, *, again: bool) -> AlarmPlan:
        rules = self._settings.rules
        read = read_stations(self._path, self._http, self._kafka, rules, again=again)
        lines = {problem.text for problem in read.problems}
        for line in sorted(lines - self._logged):
            log.warning(line)  # the text is the kind of the line, so all are written
        self._logged = frozenset(lines)
        wrong = {problem.name for problem in read.problems}
        kept = {name: each for name, each in self._entries.items() if name in wrong}
        if self._entries and not (read.enabled or kept):  # as a full disk or an editor leaves it
            raise ConfigError(f"{self._path} has no station any more: add [[stations]]")
        self._entries = {**read.enabled, **kept}
        # On the topic a station has the name of its key.
        keyed = {e.key if e.kind == "kafka" else name: e for name, e in self._entries.items()}
        return AlarmPlan(self._settings, self._rate, keyed)
