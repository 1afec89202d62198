"""EBUCore 1.10 (EBU Tech 3293): the recording, and each segment and each song as a part.

https://tech.ebu.ch/publications/tech3293
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from airsift import __version__
from airsift.formats.intervals import in_ticks
from airsift.formats.words import label_and_voice, label_of, name_of, song_of, stem_of
from stream.lines import one_line

if TYPE_CHECKING:
    from airsift.api.results import Match, Segment, Segments

NAMESPACE = "urn:ebu:metadata-schema:ebucore"
DUBLIN_CORE = "http://purl.org/dc/elements/1.1/"
VERSION = "1.10"
SONG = "song"  # the type of parts that are songs; those of segments are their labels
_PER_S = 1000


def ebucore(segments: Segments) -> bytes:
    """Return a document whose parts are the segments, then the songs, numbered from 1."""
    root = Element(
        "ebuCoreMain",
        {"xmlns": NAMESPACE, "xmlns:dc": DUBLIN_CORE, "version": VERSION},
    )
    core = SubElement(root, "coreMetadata")
    _title(core, stem_of(segments))
    _text(core, "identifier", "dc:identifier", name_of(segments), typeLabel="file")
    _duration(SubElement(SubElement(core, "format"), "duration"), _ticks(segments.duration_s))
    labels = in_ticks(segments, _PER_S, segments.duration_s)
    songs = in_ticks(segments.matches, _PER_S, segments.duration_s)
    parts: list[tuple[int, int, Segment | Match]] = [(e.start, e.end, e.item) for e in labels]
    parts += [(e.start, e.end, e.item) for e in songs]
    for number, (start, end, item) in enumerate(parts, 1):
        part = SubElement(core, "part", partId=f"part-{number}", partNumber=f"{number}")
        part.attrib["partTotalNumber"] = f"{len(parts)}"
        _describe(part, item)
        _offset(SubElement(part, "partStartTime"), start)
        _duration(SubElement(part, "partDuration"), end - start)
    provider = SubElement(root, "metadataProvider")
    SubElement(
        SubElement(provider, "organisationDetails"), "organisationName"
    ).text = f"airsift {__version__}"
    indent(root)
    found: bytes = tostring(root, encoding="UTF-8", xml_declaration=True)
    return found + b"\n"


def _describe(part: Element, item: Segment | Match) -> None:
    from airsift.api.results import Match

    if not isinstance(item, Match):
        part.attrib |= {"partName": label_and_voice(item), "typeLabel": label_of(item)}
        _text(part, "description", "dc:description", f"{item.score:.3f}", typeLabel="score")
        if item.voice:
            _text(part, "description", "dc:description", one_line(item.voice), typeLabel="voice")
        return
    part.attrib |= {"partName": song_of(item), "typeLabel": SONG}
    _title(part, one_line(item.title or item.track))
    if item.artist:
        creator = SubElement(SubElement(part, "creator"), "contactDetails")
        SubElement(creator, "name").text = one_line(item.artist)
    _text(part, "identifier", "dc:identifier", one_line(item.track), typeLabel="track")
    if item.isrc:
        _text(part, "identifier", "dc:identifier", one_line(item.isrc), typeLabel="ISRC")


def _title(parent: Element, text: str) -> None:
    _text(parent, "title", "dc:title", text)


def _text(parent: Element, name: str, inner: str, text: str, **attributes: str) -> None:
    SubElement(SubElement(parent, name, attributes), inner).text = text


def _ticks(seconds: float) -> int:
    return round(seconds * _PER_S)


def _offset(parent: Element, ticks: int) -> None:
    SubElement(parent, "offsetNormalPlayTime").text = _iso(ticks)


def _duration(parent: Element, ticks: int) -> None:
    SubElement(parent, "normalPlayTime").text = _iso(ticks)


def _iso(ticks: int) -> str:
    """Return a duration of ISO 8601 in seconds, such as PT100.400S."""
    return f"PT{ticks // _PER_S}.{ticks % _PER_S:03}S"
