"""Which group each station is in: by a list of stations, as it is now."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.errors import ConfigError
from stream.stations.entry import read_stations
from stream.stations.watch import FileWatch

if TYPE_CHECKING:
    from airsift.config import Config
    from stream.stations.source import StationsSource

# Called again and again; an equal mapping means that nothing has changed.
Groups = Callable[[], Mapping[str, str]]

log = logging.getLogger(__name__)


def no_groups() -> Mapping[str, str]:
    """Return that no station is in a group."""
    return {}


def groups_of(listed: StationsSource) -> Groups:
    """Return the groups of the stations that are received here."""

    def now() -> Mapping[str, str]:
        return {name: entry.group for name, entry in listed.entries.items() if entry.group}

    return now


class GroupsFile:
    """The groups of a file of stations, which is read again when it changes.

    Parameters
    ----------
    path : Path
        The file.
    config : Config
        The settings that its stations may override.

    Raises
    ------
    ConfigError
        It is no such file. One that becomes wrong later changes nothing.
    """

    def __init__(self, path: Path, config: Config) -> None:
        self._path, self._config = path, config
        self._watch = FileWatch(path)
        self._groups = self._read()

    def __call__(self) -> Mapping[str, str]:
        """Return the group of each station that is in one."""
        if self._watch.has_changed():
            try:
                self._groups = self._read()
            except ConfigError as error:
                log.warning("%s; the groups stay as they are", error)
        return self._groups

    def _read(self) -> Mapping[str, str]:
        read = read_stations(self._path, self._config.http, self._config.kafka)
        for problem in read.problems:
            log.warning("%s", problem.text)
        return {entry.name: entry.group for entry in read.entries if entry.group}
