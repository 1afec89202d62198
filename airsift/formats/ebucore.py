"""EBUCore 1.10 (EBU Tech 3293): the recording; each segment, label of your own and song is a part.

https://tech.ebu.ch/publications/tech3293
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from airsift import __version__
from airsift.formats.tiers import LABEL, tiers_of
from airsift.formats.words import label_of, name_of, stem_of
from stream.lines import one_line

if TYPE_CHECKING:
    from airsift.api.results import Segments
    from airsift.formats.tiers import Mark

NAMESPACE = "urn:ebu:metadata-schema:ebucore"
DUBLIN_CORE = "http://purl.org/dc/elements/1.1/"
VERSION = "1.10"
# Types of parts; those of segments are their labels.
SONG = "song"
OWN_LABEL = "own label"
_PER_S = 1000


def ebucore(segments: Segments) -> bytes:
    """Return a document of numbered parts: segments, then labels of your own, then songs."""
    root = Element(
        "ebuCoreMain",
        {"xmlns": NAMESPACE, "xmlns:dc": DUBLIN_CORE, "version": VERSION},
    )
    core = SubElement(root, "coreMetadata")
    _title(core, stem_of(segments))
    _text(core, "identifier", "dc:identifier", name_of(segments), typeLabel="file")
    _duration(SubElement(SubElement(core, "format"), "duration"), _ticks(segments.duration_s))
    tiers = tiers_of(segments, _PER_S, voices_apart=False)
    parts = [(tier.name, each) for tier in tiers for each in tier.intervals]
    for number, (kind, each) in enumerate(parts, 1):
        part = SubElement(core, "part", partId=f"part-{number}", partNumber=f"{number}")
        part.attrib["partTotalNumber"] = f"{len(parts)}"
        _describe(part, each.item, kind)
        _offset(SubElement(part, "partStartTime"), each.start)
        _duration(SubElement(part, "partDuration"), each.end - each.start)
    provider = SubElement(root, "metadataProvider")
    SubElement(
        SubElement(provider, "organisationDetails"), "organisationName"
    ).text = f"airsift {__version__}"
    indent(root)
    found: bytes = tostring(root, encoding="UTF-8", xml_declaration=True)
    return found + b"\n"


def _describe(part: Element, mark: Mark, kind: str) -> None:
    from airsift.api.results import Match

    item = mark.of
    if not isinstance(item, Match):
        type_label = label_of(item) if kind == LABEL else OWN_LABEL
        part.attrib |= {"partName": mark.text, "typeLabel": type_label}
        _text(part, "description", "dc:description", f"{item.score:.3f}", typeLabel="score")
        if item.voice:
            _text(part, "description", "dc:description", one_line(item.voice), typeLabel="voice")
        return
    part.attrib |= {"partName": mark.text, "typeLabel": SONG}
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
