"""SoundExchange's Report of Use, in the text format of the regulation: 37 CFR 370.4(d) and (e).

One row for each recording of one service in the period. Texts stand between carets, and columns
between vertical bars; all is ASCII, and each row ends with a carriage return. With the contact
fields, 14 rows stand before the data.

The number of listeners is not known here. So the report is of the kind that gives aggregate tuning
hours, the channel and the frequency of play, and leaves the actual total performances empty.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import timedelta
from typing import TYPE_CHECKING

from airsift.errors import ConfigError
from airsift.reports.days import local_time
from airsift.reports.delivery import Delivery, Field, isrc_of, read_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airsift.reports.report import Report, Rotation

DELIMITER, INDICATOR, LINE_END = "|", "^", "\r\n"
COLUMNS = (
    "Name of Service", "Transmission Category", "Featured Artist", "Sound Recording Title", "ISRC",
    "Album Title", "Marketing Label", "Actual Total Performances", "Aggregate Tuning Hours",
    "Channel or Program Name", "Play Frequency",
)  # fmt: skip
HEADER_ROWS = 14
_CONTACT = ("ContactName", "Street", "CityStateZip", "Telephone", "Email")
FIELDS = {
    "NameOfService": Field("the name of the service", default=""),
    "TransmissionCategory": Field(
        "the letter of 370.4(d)(2)(ii), as B for a simulcast of a station with music",
        pattern="[A-L]",
    ),
    "AggregateTuningHours": Field(
        "the hours that all listeners heard in the period, from the streaming server",
        pattern=r"\d{1,12}(\.\d{1,4})?",
    ),
    **{name: Field("up to 255 characters", default="") for name in _CONTACT},
}
# Letters that are not another letter with an accent.
_ASCII = str.maketrans({
    "ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L",
    "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "\u0131": "i", "\u2018": "'",
    "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-", "\u00d7": "x",
})  # fmt: skip


def report_of_use(report: Report, given: Iterable[str]) -> Delivery:
    """Return the Report of Use of one station.

    Parameters
    ----------
    report : Report
        Of whole days.
    given : iterable of str
        Fields, as NAME=VALUE.

    Raises
    ------
    ConfigError
        A field is missing, or the report is of several stations.
    """
    if len(report.stations) != 1:
        raise ConfigError(
            f"--format soundexchange reports one service, {len(report.stations)} stations are "
            "named; give one --station, as its tuning hours are its own"
        )
    [station] = report.stations
    fields = read_fields(given, FIELDS, "soundexchange")
    service = fields["NameOfService"] or station.station
    tracks = [each for each in station.rotation if each.plays]
    rows = [
        _row(
            service,
            fields["TransmissionCategory"],
            *_recording(each),
            None,
            float(fields["AggregateTuningHours"]),
            station.station,
            each.plays,
        )
        for each in tracks
    ]
    since = local_time(report.since, report.zone)
    until = local_time(report.until, report.zone) - timedelta(milliseconds=1)
    contact = [fields[name] for name in _CONTACT]
    head: list[str] = []
    if any(contact):
        if not all(contact):
            lacking = [name for name in _CONTACT if not fields[name]]
            raise ConfigError(
                f"--format soundexchange with a header needs --field {lacking[0]}=..."
            )
        made = local_time(report.made, report.zone)
        head = [
            *(_plain(text)[:255] for text in (service, *contact)),
            *(f"{day:%Y%m%d}" for day in (since, until, made)),
            str(len(rows)), INDICATOR, DELIMITER, "",
            DELIMITER.join(f"{INDICATOR}{name}{INDICATOR}" for name in COLUMNS),
        ]  # fmt: skip
    data = "".join(f"{line}{LINE_END}" for line in [*head, *rows])
    name = re.sub(r"[^A-Za-z0-9]", "", _plain(service)) or "Service"
    return Delivery(
        data.encode("ascii"), f"{name}{since:%d%m%Y}-{until:%d%m%Y}.txt", tuple(_remarks(tracks))
    )


def _recording(each: Rotation) -> tuple[str, str, str, str, str]:
    track = each.track
    if track is None:
        return "", each.key, "", "", ""
    return (
        track.artist or "", track.title or track.track, isrc_of(track.isrc), track.album or "",
        track.record_label or "",
    )  # fmt: skip


def _row(*values: str | float | None) -> str:
    return DELIMITER.join(
        "" if value is None or value == ""
        else f"{INDICATOR}{_plain(value)}{INDICATOR}" if isinstance(value, str)
        else f"{value:.10g}"
        for value in values
    )  # fmt: skip


def _plain(text: str) -> str:
    """Return a text in ASCII without the two characters that the format is made of."""
    apart = unicodedata.normalize("NFKD", text.translate(_ASCII))
    plain = "".join(char for char in apart if not unicodedata.combining(char))
    plain = plain.encode("ascii", "replace").decode()
    plain = re.sub(rf"[\x00-\x1f\x7f{re.escape(DELIMITER + INDICATOR)}]", " ", plain)
    return " ".join(plain.split())


def _remarks(tracks: Iterable[Rotation]) -> Iterable[str]:
    unnamed, unlike, without = 0, 0, 0
    for each in tracks:
        artist, title, isrc, album, label = _recording(each)
        without += not isrc and not (album and label)
        unnamed += not artist or each.track is None or not each.track.title
        unlike += any(
            _plain(text).count("?") > text.count("?") for text in (artist, title, album, label)
        )
    if without:
        yield (
            f"{without} recordings have neither an ISRC nor album and label, one of which the "
            "format asks for: complete the catalogue"
        )
    if unnamed:
        yield f"{unnamed} recordings lack their artist or title: complete the catalogue"
    if unlike:
        yield f"{unlike} recordings have letters that ASCII lacks: they are question marks"
