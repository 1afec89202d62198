"""A file that lists stations: what it may hold, and which of it can be used.

::

    [[stations]]
    name = "radio-one"
    source = "https://radio.example/live.mp3"   # or a file, or "microphone"

    [[stations]]
    name = "desk"
    source = "microphone:USB"
    group = "studio"

    [[stations]]
    name = "remote"
    source = "kafka:station-7"                  # a key of the audio topic
    kafka = { bootstrap_servers = "broker.example:9092" }
    timezone = "Europe/Amsterdam"
    hours = ["06:00-24:00"]                     # on air; no alarm opens outside
    alarms.dead_air = { delay_s = 5 }
    catalogue = "catalogues/dance"              # "" names nothing

A station that cannot be used is a line of what is wrong with it, and the others are used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from airsift.defaults import Section
from airsift.errors import ConfigError
from airsift.json_types import Json
from airsift.toml_text import read_toml
from stream.alarms.rules import merged
from stream.alarms.settings import HourTexts, RulesSettings, ZoneName
from stream.lines import one_line, to_json
from stream.sources.settings import HttpSettings, MicrophoneSettings

MICROPHONE, KAFKA = "microphone", "kafka"
_TABLE = "stations"

# The name is a key in JSON, in Kafka and of time series: as any text, but one line of it.
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Word = Annotated[str, Field(max_length=200)]
_Scalar = str | int | float | bool
_Settings = TypeVar("_Settings", bound=Section)


class StationEntry(BaseModel):
    """A station of the list.

    Parameters
    ----------
    name : str
        Station of its audio and its events; each once in the list.
    source : str
        An address (``http://``, ``https://``), a file, ``microphone``, ``microphone:DEVICE``, or
        ``kafka:KEY``; ``kafka`` alone where the key is the name.
    group : str
        A word that several stations share.
    enabled : bool
        Whether it is received.
    track : str
        Number, language or title of the audio track; empty for the container's default.
    http : dict
        Keys of the section ``[http]`` of the configuration that differ for this station.
    kafka : dict
        And of the section ``[kafka]``, with its tables.
    timezone : str
        Of its hours, as ``Europe/Amsterdam``; empty for the configuration's.
    hours : list of str
        When it is on air, see `stream.alarms.hours`; empty: always. Outside, no alarm opens.
    alarms : dict
        Keys of ``[alarms.rules]`` that differ for this station, by rule.
    catalogue : str, optional
        Folder of the catalogue that names its music; empty: it is not named. Without it, the
        configuration's ``identify.catalogue``.
    clips : bool
        Whether audio around its alarms and of its songs may be kept, where ``alarms.clips.folder``
        or ``identify.clips.folder`` is set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: _Name
    source: Annotated[str, Field(min_length=1, max_length=4_000)]
    group: _Word = ""
    enabled: bool = True
    track: _Word = ""
    http: dict[str, _Scalar] = {}
    kafka: dict[str, _Scalar | dict[str, _Scalar]] = {}
    timezone: ZoneName = ""
    hours: HourTexts = []
    alarms: dict[str, dict[str, _Scalar | list[str]]] = {}
    catalogue: Annotated[str, Field(max_length=4_000)] | None = None
    clips: bool = True

    @field_validator("name", "group", "source", "track", "catalogue")
    @classmethod
    def _check_line(cls, text: str | None) -> str | None:
        if text is None:
            return None
        if one_line(text) != text or text != text.strip():
            raise ValueError("must be one line without spaces around it or invisible characters")
        text.encode()  # no half of a surrogate pair
        return text

    @property
    def kind(self) -> Literal["web", "microphone", "kafka", "file"]:
        """What `source` names."""
        word = self.source.partition(":")[0]
        if word == KAFKA:
            return "kafka"
        if "://" in self.source:
            return "web"
        return "microphone" if word == MICROPHONE else "file"

    @property
    def key(self) -> str:
        """The key of ``kafka:KEY``."""
        return self.source.partition(":")[2] or self.name

    @property
    def broker(self) -> str:
        """What stations of one broker and topic have in common."""
        return to_json(dict(sorted(self.kafka.items())))

    @property
    def reception(self) -> tuple[object, ...]:
        """What its reception depends on: where it changes, the station begins anew."""
        return self.name, self.source, self.track, self.http, self.catalogue

    def http_settings(self, settings: HttpSettings) -> HttpSettings:
        """Return the section ``[http]`` with the keys of this station."""
        return HttpSettings.model_validate({**settings.model_dump(), **self.http})

    def kafka_settings(self, settings: _Settings) -> _Settings:
        """Return the section ``[kafka]`` with the keys of this station."""
        values = settings.model_dump()
        for name, value in self.kafka.items():
            table = values.get(name)
            if isinstance(table, dict) and isinstance(value, dict):
                values[name] = table | value
            else:
                values[name] = value
        return type(settings).model_validate(values)

    def microphone_settings(self, settings: MicrophoneSettings) -> MicrophoneSettings:
        """Return the section ``[microphone]`` with the device of ``microphone:DEVICE``."""
        device = self.source.partition(":")[2] or settings.device
        return settings.model_copy(update={"device": device})


@dataclass(frozen=True, slots=True)
class Problem:
    """A station that cannot be used.

    Parameters
    ----------
    name : str
        Its name; empty where it has none that can be used.
    text : str
        The station, what is wrong, and the rule.
    """

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class StationList:
    """What a file lists.

    Parameters
    ----------
    entries : tuple of StationEntry
        In the order of the file, those that are not enabled too.
    problems : tuple of Problem
        The others.
    """

    entries: tuple[StationEntry, ...]
    problems: tuple[Problem, ...]

    @property
    def enabled(self) -> dict[str, StationEntry]:
        """The stations to receive, by name."""
        return {each.name: each for each in self.entries if each.enabled}


def read_stations(
    path: Path,
    http: HttpSettings,
    kafka: Section | None = None,
    rules: RulesSettings | None = None,
    *,
    again: bool = False,
) -> StationList:
    """Read a file that lists stations.

    Parameters
    ----------
    path : Path
        A TOML file with tables ``[[stations]]``. Files that it names are relative to its folder.
    http : HttpSettings
        The section ``[http]`` of the configuration, for what a station does not set.
    kafka : Section, optional
        The section ``[kafka]``; without it, stations of Kafka cannot be used.
    rules : RulesSettings, optional
        The section ``[alarms.rules]``, for the same; default: the defaults.
    again : bool
        Whether it was read before: then a pipe, which could be waited for without end, is refused.

    Raises
    ------
    ConfigError
        It cannot be read, is no TOML, or has other tables.
    """
    if again and path.exists() and not path.is_file():
        raise ConfigError(f"{path} is no file: it cannot be read again; name a TOML file")
    try:
        read = read_toml(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; name a TOML file of [[stations]]") from error
    except ValueError as error:
        raise ConfigError(f"{path} is no TOML: {error}; mend that line") from error
    rules = rules or RulesSettings.default()
    others = sorted(set(read) - {_TABLE})
    tables = read.get(_TABLE, [])
    if others or not isinstance(tables, list):
        what = f"has {', '.join(others)}" if others else f"has a {_TABLE} that is no list"
        raise ConfigError(f"{path} {what}: it may hold tables [[{_TABLE}]] alone")
    entries: dict[str, StationEntry] = {}
    keys: dict[tuple[str, str], str] = {}
    problems = []
    for number, table in enumerate(tables, 1):
        try:
            entry = _entry(table, path.parent, http, kafka, rules)
            if entry.name in entries:
                raise ValueError("has the name of a station above: give it another")
            if entry.kind == "kafka":
                key = entry.broker, entry.key
                if (other := keys.setdefault(key, entry.name)) != entry.name:
                    raise ValueError(f"has the key of station {other}: leave one of them out")
            entries[entry.name] = entry
        except ValueError as error:
            name = _name_of(table)
            known = "" if name in entries else name
            shown = f" {name}" if name else ""
            problems.append(
                Problem(known, f"{path}: station {number}{shown} is left out: {_in_words(error)}")
            )
    return StationList(tuple(entries.values()), tuple(problems))


def _entry(
    table: object,
    folder: Path,
    http: HttpSettings,
    kafka: Section | None,
    rules: RulesSettings,
) -> StationEntry:
    """Return a station whose file and catalogue are absolute paths.

    Raises
    ------
    ValueError
        A key is unknown or its value out of range.
    """
    entry = StationEntry.model_validate(table)
    try:
        entry.http_settings(http)
    except ValidationError as error:
        raise ValueError(f"http: {_in_words(error)}") from error
    try:
        merged(rules, entry.alarms)
    except ValidationError as error:
        raise ValueError(f"alarms: {_in_words(error)}") from error
    if entry.kind == "kafka":
        if kafka is None:
            raise ValueError(f"source={entry.source}: no stations of Kafka are received here")
        if not (entry.name + entry.key).isprintable():
            raise ValueError("name and key must be printable characters, for Kafka")
        try:
            entry.kafka_settings(kafka)
        except ValidationError as error:
            raise ValueError(f"kafka: {_in_words(error)}") from error
    elif entry.kafka:
        raise ValueError(f"kafka: source={entry.source} has no use for it; leave it out")
    if entry.catalogue:
        place = _placed(folder, entry.catalogue)
        if not os.path.isdir(place):  # noqa: PTH112 - pathlib's raises for names that are too long
            raise ValueError(
                f"catalogue={entry.catalogue}: is no folder; make it with `airsift catalogue add`"
            )
        entry = entry.model_copy(update={"catalogue": place})
    if entry.kind == "file":
        return entry.model_copy(update={"source": _placed(folder, entry.source)})
    scheme = entry.source.partition("://")[0].lower()
    if entry.kind == "web" and scheme not in ("http", "https"):
        raise ValueError(f"source={entry.source}: the scheme {scheme} must be http or https")
    return entry


def _placed(folder: Path, name: str) -> str:
    """Return the absolute path of a file that a list in a folder names."""
    home = os.path.expanduser(name)  # noqa: PTH111 - pathlib's raises for unknown users
    return str((folder / home).absolute())


def _name_of(table: object) -> str:
    """Return the name of a station that cannot be used, if it has one."""
    name: Json = table.get("name") if isinstance(table, Mapping) else None
    return one_line(name)[:200] if isinstance(name, str) else ""


def _in_words(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    lines: Sequence[str] = [
        f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg'].removeprefix('Value error, ')}"
        for each in error.errors(include_url=False)
    ]
    return "; ".join(one_line(line) for line in lines)
