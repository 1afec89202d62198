"""Reports on the page: made by `airsift report` in a process, kept for a while to be looked at.

A report has an id that nobody can guess, so that the page can show it in a frame and a browser can
save it without making it twice.
"""

from __future__ import annotations

import re
import secrets
import tempfile
import zoneinfo
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.web.child import Refused, Turns, as_toml, run, unless_gone

if TYPE_CHECKING:
    from starlette.requests import Request

    from airsift.config import Config
    from airsift.json_types import Json, JsonObject

REPORT_S = 900.0  # that a report may take
MAX_DAYS = 400
MAX_STATIONS = 500  # named in one report: a command line is of bounded length
MAX_FIELDS = 40
KEPT = 8  # reports
MAX_KEPT = 512 << 20  # bytes of all of them
_SECTIONS = ("database",)
_MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "parquet": "application/vnd.apache.parquet",
    "soundexchange": "text/plain; charset=us-ascii",
    "ddex": "text/tab-separated-values; charset=utf-8",
}
_OPTION = re.compile(r"--(from|to|station|format|table|field|tz|clips)\b")
_WORDS = {"tz": "time zone"}


@dataclass(frozen=True, slots=True)
class Kept:
    """A report that was made.

    Parameters
    ----------
    path : Path
        Its file.
    media_type : str
        Of its content.
    """

    path: Path
    media_type: str


class Reports:
    """Makes reports, one after the other.

    Parameters
    ----------
    config : Config
        The history, and the folder of repeats.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._turns = Turns("reports")
        self._folder = tempfile.TemporaryDirectory(prefix="airsift-reports-")
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def close(self) -> None:
        """Delete what was made."""
        self._folder.cleanup()

    def get(self, number: str) -> Kept | None:
        """Return a report by its id, None where there is none (any more)."""
        return self._kept.get(number)

    def about(self) -> JsonObject:
        """Return the formats there are, with what they ask for, and the limits."""
        from airsift.reports import ddex, soundexchange
        from airsift.reports.tables import Part

        fields = {"ddex": ddex.FIELDS, "soundexchange": soundexchange.FIELDS}
        return {
            "formats": [
                {
                    "name": name,
                    "tables": [*Part] if name in ("csv", "parquet") else [],
                    "fields": [
                        {"name": key, "what": field.what, "default": field.default}
                        for key, field in fields.get(name, {}).items()
                    ],
                }
                for name in _MEDIA_TYPES
            ],
            "max_days": MAX_DAYS,
            "max_stations": MAX_STATIONS,
        }

    async def make(self, request: Request, asked: Json) -> JsonObject:
        """Make a report; return its id, and what there is to say of it.

        Parameters
        ----------
        request : Request
            Its body is read. When the browser goes away, the report is not made.
        asked : dict
            ``from`` and ``to``, days; ``stations``, names, all unless given; ``format``;
            ``table``; ``fields``, texts by name; ``zone``.

        Raises
        ------
        ValueError
            A value is wrong.
        Refused
            The report cannot be made.
        """
        name, arguments = _arguments(asked)
        try:
            with self._turns.place():
                return await unless_gone(request.receive, self._make(name, arguments))
        except OSError as error:
            raise Refused(f"the report cannot be stored here: {error.strerror}", 507) from None

    async def _make(self, name: str, arguments: list[str]) -> JsonObject:
        folder = Path(tempfile.mkdtemp(dir=self._folder.name))
        config, made = folder / "config.toml", folder / "made"
        made.mkdir()
        if name == "html" and self._config.repeats.folder:
            clips = Path(self._config.repeats.folder).absolute()
            arguments += [f"--clips={clips}"] if clips.is_dir() else []
        config.touch(0o600)  # the address of the database may hold a password
        config.write_text(as_toml(self._config, _SECTIONS), encoding="utf-8")
        command = ["report", f"--config={config}", f"--output={made}", *arguments]
        try:
            async with self._turns.turn:
                _, _, problems = await run(command, REPORT_S)
        finally:
            config.unlink()
        notes = [_plain(text) for text in problems]
        path = next(made.iterdir(), None)
        if path is None:
            raise Refused("; ".join(notes) or "the report was not made", 422)
        number = secrets.token_urlsafe(16)
        self._kept[number] = Kept(path, _MEDIA_TYPES[name])
        self._drop()
        return {
            "id": number,
            "name": path.name,
            "format": name,
            "bytes": path.stat().st_size,
            "notes": [*notes],
        }

    def _drop(self) -> None:
        """Delete the oldest reports of too many."""
        sizes = {number: kept.path.stat().st_size for number, kept in self._kept.items()}
        while len(sizes) > 1 and (len(sizes) > KEPT or sum(sizes.values()) > MAX_KEPT):
            number, kept = self._kept.popitem(last=False)
            del sizes[number]
            kept.path.unlink(missing_ok=True)


def _arguments(asked: Json) -> tuple[str, list[str]]:
    """Return the format, and the arguments of `airsift report`. No value can become an option."""
    if not isinstance(asked, Mapping):
        raise ValueError("the body must be a JSON object")
    known = ("from", "to", "stations", "format", "table", "fields", "zone")
    for key in asked:
        if key not in known:
            raise ValueError(f"{key}: is unknown; give {', '.join(known)}")
    name = asked.get("format", "html")
    if not isinstance(name, str) or name not in _MEDIA_TYPES:
        raise ValueError(f"format={name}: must be one of {', '.join(_MEDIA_TYPES)}")
    first, last = _day(asked.get("from"), "from"), _day(asked.get("to"), "to")
    if last < first:
        raise ValueError(f"to={last}: is before from={first}")
    if (last - first).days >= MAX_DAYS:
        raise ValueError(
            f"from={first}, to={last}: are {(last - first).days + 1} days, at most {MAX_DAYS}; "
            "choose a shorter period"
        )
    arguments = [f"--format={name}", f"--from={first}", f"--to={last}"]
    arguments += [f"--station={station}" for station in _stations(asked.get("stations"))]
    zone = asked.get("zone")
    if zone not in (None, ""):
        if not isinstance(zone, str) or zone not in zoneinfo.available_timezones():
            raise ValueError(f"zone={zone}: is no time zone, as Europe/Berlin is one")
        arguments.append(f"--tz={zone}")
    table = asked.get("table")
    if table not in (None, ""):
        from airsift.reports.tables import Part

        if table not in [part.value for part in Part]:
            raise ValueError(f"table={table}: must be one of {', '.join(Part)}")
        arguments.append(f"--table={table}")
    return name, arguments + _fields(asked.get("fields"))


def _stations(given: Json) -> Sequence[str]:
    if given is None:
        return []
    if not isinstance(given, list) or len(given) > MAX_STATIONS:
        raise ValueError(f"stations: must be a list of at most {MAX_STATIONS} names")
    names = [name for name in given if isinstance(name, str) and name and "\0" not in name]
    if len(names) != len(given):
        raise ValueError("stations: a name is a text")
    return names


def _fields(given: Json) -> list[str]:
    if given is None:
        return []
    if not isinstance(given, Mapping) or len(given) > MAX_FIELDS:
        raise ValueError(f"fields: must be an object of at most {MAX_FIELDS} texts")
    found = []
    for key, value in given.items():
        if not isinstance(value, str) or len(value) > 1000 or "\0" in key + value:
            raise ValueError(f"fields.{key}: must be a text of at most 1000 characters")
        if value.strip():
            found.append(f"--field={key}={value.strip()}")
    return found


def _day(given: Json, name: str) -> date:
    try:
        return date.fromisoformat(str(given))
    except ValueError:
        raise ValueError(f"{name}={given}: must be a day, as 2026-11-29") from None


def _plain(text: str) -> str:
    """Return a message of the command in the words of the page."""
    return _OPTION.sub(lambda found: _WORDS.get(found[1], found[1]), text)
