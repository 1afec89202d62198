r"""DDEX Digital Sales Reporting, flat file, Radio Broadcast Profile 1.1.1 (Parts 1, 7 and 8).

::

    HEAD                  who reports what to whom
    SY08.02               one for each station: the context of its usages
    RE01.02               the release, where the catalogue knows the album     \
    AS02.03               the recording                                          a block for each
    SU05.01               one for each station that played it                  /  recording
    FOOT                  how many lines, summaries and blocks

Cells are divided by tabs, and values within a cell by vertical bars.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING

from airsift.errors import ConfigError
from airsift.reports.days import local_time
from airsift.reports.delivery import Delivery, Field, isrc_of, read_fields
from stream.lines import iso_time, one_line

if TYPE_CHECKING:
    from airsift.reports.report import Report, Rotation
    from stream.history.rows import TrackRow

PROFILE, VERSION = "RadioBroadcastProfile", "1.1.1"
RECORDS = {
    "HEAD": (
        "RecordType", "MessageVersion", "Profile", "ProfileVersion", "MessageId",
        "MessageCreatedDateTime", "FileNumber", "NumberOfFiles", "UsageStartDate", "UsageEndDate",
        "SenderPartyId", "SenderName", "ServiceDescription", "RecipientPartyId", "RecipientName",
        "RepresentedRepertoire",
    ),
    "SY08.02": (
        "RecordType", "SummaryRecordId", "DistributionChannel", "DistributionChannelDPID",
        "ServiceDescription", "BroadcastOrChannel", "CommercialModel", "UseType", "Territory",
        "NumberOfBroadcasts", "NumberOfBroadcastListeners", "ListenerHours", "CurrencyOfReporting",
        "NetRevenue", "IndirectValue", "RightsController", "RightsControllerPartyID",
        "AllocatedRevenue", "RightsType", "AllocatedNetRevenue",
        "RightsControllerAllocatedNumberOfBroadcasts", "AdditionalData", "CurrencyOfTransaction",
        "ExchangeRate", "RightsTypePercentage",
    ),
    "RE01.02": (
        "RecordType", "BlockId", "ReleaseReference", "DspReleaseId", "ProprietaryReleaseId",
        "ReleaseCatalogNumber", "ReleaseICPN", "ReleaseDisplayArtistName",
        "ReleaseDisplayArtistPartyId", "ReleaseTitle", "ReleaseSubTitle", "ReleaseType",
        "ReleaseLabelName", "ReleasePLine", "DataProviderName", "ReleaseDate",
    ),
    "AS02.03": (
        "RecordType", "BlockId", "ResourceReference", "DspResourceId", "ResourceISRC",
        "ResourceTitle", "ResourceSubTitle", "ResourceDisplayArtistName",
        "ResourceDisplayArtistPartyId", "ResourceDuration", "ResourceType", "MusicalWorkISWC",
        "MusicalWorkComposerAuthorName", "MusicalWorkComposerAuthorPartyId",
        "MusicalWorkArrangerName", "MusicalWorkArrangerPartyId", "MusicPublisherName",
        "MusicPublisherPartyId", "MusicalWorkContributorName", "MusicalWorkContributorPartyId",
        "ProprietaryMusicalWorkId", "IsMasterRecording", "IsSubjectToOwnershipConflict",
        "LastConflictCheck",
    ),
    "SU05.01": (
        "RecordType", "BlockId", "SummaryRecordId", "SalesTransactionId", "TransactedResource",
        "IsRoyaltyBearing", "NumberOfBroadcasts", "NumberOfBroadcastListeners", "ListenerDuration",
        "UseType",
    ),
    "FOOT": (
        "RecordType", "NumberOfLinesInFile", "NumberOfLinesInReport", "NumberOfSummaryRecords",
        "NumberOfBlocksInFile", "NumberOfBlocksInReport",
    ),
}  # fmt: skip
_DPID = r"PADPIDA[a-zA-Z0-9]{1,50}"
_MODELS = (
    "AdvertisementSupportedModel", "AsPerContract", "DeviceFeeModel", "FreeOfChargeModel",
    "PayAsYouGoModel", "PerformanceRoyaltiesModel", "RightsClaimModel", "SubscriptionModel",
)  # fmt: skip
_USES = ("Broadcast", "Cable", "Simulcast", "Webcast", "NonInteractiveStream")
FIELDS = {
    "SenderPartyId": Field("the sender's DDEX Party Id, as PADPIDA2014120301W", _DPID),
    "SenderName": Field("the sender's name"),
    "RecipientPartyId": Field("the recipient's DDEX Party Id", _DPID),
    "RecipientName": Field("the recipient's name"),
    "Territory": Field("the country, as DE", "[A-Z]{2}"),
    "CommercialModel": Field(f"one of {', '.join(_MODELS)}", "|".join(_MODELS)),
    "CurrencyOfReporting": Field("a currency, as EUR", "[A-Z]{3}"),
    "NetRevenue": Field("the net revenue of each station in the period", r"-?\d+(\.\d+)?"),
    "ListenerHours": Field("the hours that listeners heard of each station", r"\d+(\.\d+)?"),
    "ServiceDescription": Field("a word without spaces and underscores", r"[^\s_]+", ""),
    "UseType": Field(f"one of {', '.join(_USES)}", "|".join(_USES), "Broadcast"),
    "IsRoyaltyBearing": Field("true or false", "true|false", "true"),
    "MessageId": Field("a word that no message of the sender had before", r"[^\s_]+", ""),
    "MessageVersion": Field(
        "dsrf/ and the versions of Part 1, of the allowed values and of Part 8",
        r"dsrf/[0-9./]+",
        "dsrf/1.3/1.5/1.4",
    ),
}


def sales_report(report: Report, given: Iterable[str]) -> Delivery:
    """Return the message about all stations of a report.

    Parameters
    ----------
    report : Report
        Of whole days.
    given : iterable of str
        Fields, as NAME=VALUE.

    Raises
    ------
    ConfigError
        A field is missing or of another form.
    """
    fields = read_fields(given, FIELDS, "ddex")
    service = fields["ServiceDescription"]
    if not service:
        if len(report.stations) != 1:
            raise ConfigError(
                "--format ddex of several stations needs --field ServiceDescription=..."
            )
        service = re.sub(r"[\s_]+", "", one_line(report.stations[0].station)) or "Radio"
    since = local_time(report.since, report.zone).date()
    until = (local_time(report.until, report.zone) - timedelta(milliseconds=1)).date()
    made = iso_time(report.made / 1000, "seconds")
    message = fields["MessageId"] or _digest(made, *(each.station for each in report.stations))
    common = fields | {"ServiceDescription": service, "MessageId": message}
    head = {
        "Profile": PROFILE, "ProfileVersion": VERSION, "MessageCreatedDateTime": made,
        "FileNumber": "1", "NumberOfFiles": "1", "UsageStartDate": f"{since}",
        "UsageEndDate": f"{until}",
    }  # fmt: skip
    blocks = list(_blocks(report, fields))
    summaries = [
        _record("SY08.02", common, {
            "SummaryRecordId": str(number), "BroadcastOrChannel": station.station,
            "NumberOfBroadcasts": str(sum(each.plays for each in station.rotation)),
        })
        for number, station in enumerate(report.stations, 1)
    ]  # fmt: skip
    lines = [_record("HEAD", common, head), *summaries, *(line for each in blocks for line in each)]
    count, pieces = str(len(lines) + 1), str(len(blocks))
    lines.append(
        _record("FOOT", {}, {
            "NumberOfLinesInFile": count, "NumberOfLinesInReport": count,
            "NumberOfSummaryRecords": str(len(summaries)), "NumberOfBlocksInFile": pieces,
            "NumberOfBlocksInReport": pieces,
        })
    )  # fmt: skip
    stamp = re.sub(r"[-:Z]", "", made)
    name = "_".join((
        "DSR", fields["RecipientPartyId"], fields["SenderPartyId"], _in_name(service),
        _period(since, until), fields["Territory"], "1of1", stamp,
    ))  # fmt: skip
    data = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
    return Delivery(data, f"{name}.tsv", tuple(_remarks(report)))


def _blocks(report: Report, fields: Mapping[str, str]) -> Iterator[list[str]]:
    """Yield a block for each recording, with its usages by all stations."""
    played: dict[str, list[tuple[int, Rotation]]] = {}
    for number, station in enumerate(report.stations, 1):
        for each in station.rotation:
            if each.plays:
                played.setdefault(each.key, []).append((number, each))
    for count, (key, usages) in enumerate(sorted(played.items()), 1):
        block = {"BlockId": f"BL{count}"}
        track = usages[-1][1].track
        lines = [] if track is None or not track.album else [_release(block, track)]
        lines.append(_resource(block, key, track))
        for summary, each in usages:
            lines.append(
                _record("SU05.01", fields, block | {
                    "SummaryRecordId": str(summary), "SalesTransactionId": f"{count}-{summary}",
                    "TransactedResource": "A1", "NumberOfBroadcasts": str(each.plays),
                    "ListenerDuration": _duration(each.heard_ms / 1000),
                })
            )  # fmt: skip
        yield lines


def _release(block: Mapping[str, str], track: TrackRow) -> str:
    artist, album, label = track.artist or "", track.album or "", track.record_label or ""
    return _record("RE01.02", block, {
        "ReleaseReference": "R1", "DspReleaseId": _digest(artist, album, label),
        "ReleaseDisplayArtistName": artist, "ReleaseTitle": album, "ReleaseLabelName": label,
    })  # fmt: skip


def _resource(block: Mapping[str, str], key: str, track: TrackRow | None) -> str:
    if track is None:
        words = {"ResourceTitle": key}
    else:
        extra = {name.casefold(): value for name, value in (track.extra or {}).items()}
        iswc = re.sub(r"[\s.-]", "", str(extra.get("iswc", ""))).upper()
        composer = extra.get("composer")
        words = {
            "ResourceISRC": isrc_of(track.isrc),
            "ResourceTitle": track.title or key,
            "ResourceDisplayArtistName": track.artist or "",
            "ResourceDuration": _duration(track.duration_s) if track.duration_s else "",
            "MusicalWorkISWC": iswc if re.fullmatch("T[0-9]{10}", iswc) else "",
            "MusicalWorkComposerAuthorName": composer if isinstance(composer, str) else "",
        }
    own = {"ResourceReference": "A1", "DspResourceId": key, "ResourceType": "SoundRecording"}
    return _record("AS02.03", block, words | own)


def _record(kind: str, common: Mapping[str, str], own: Mapping[str, str]) -> str:
    """Return a line: the cells of a kind of record, with those of its own over common ones."""
    values = {**common, **own, "RecordType": kind}
    return "\t".join(_cell(values.get(name, "")) for name in RECORDS[kind])


def _cell(text: str) -> str:
    plain = " ".join(one_line(" ".join(text.split())).split())
    return plain.replace("\\", "\\\\").replace("|", "\\|")


def _duration(seconds: float) -> str:
    """Return a length as ISO 8601 has it: PT1H2M3S."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"PT{f'{hours}H' if hours else ''}{f'{minutes}M' if hours or minutes else ''}{rest}S"


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode("utf-8", "replace")).hexdigest()[:16]


def _in_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "", text) or "Radio"


def _period(since: date, until: date) -> str:
    if since == until:
        return f"{since}"
    is_month = since.day == 1 and (until + timedelta(days=1)).day == 1
    if is_month and (since.year, since.month) == (until.year, until.month):
        return f"{since:%Y-%m}"
    return f"{since}--{until}"


def _remarks(report: Report) -> Iterator[str]:
    tracks = {each.key: each.track for s in report.stations for each in s.rotation if each.plays}
    counts = {
        "an ISRC": sum(each is None or not isrc_of(each.isrc) for each in tracks.values()),
        "an artist": sum(each is None or not each.artist for each in tracks.values()),
        "an album, so their label is not told": sum(
            each is None or not each.album for each in tracks.values()
        ),
        "a duration": sum(each is None or not each.duration_s for each in tracks.values()),
    }
    for what, count in counts.items():
        if count:
            yield f"{count} of {len(tracks)} recordings lack {what}: complete the catalogue"
