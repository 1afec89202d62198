"""ELAN's annotation format, EAF 3.0.

https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf
"""

from __future__ import annotations

import mimetypes
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from airsift.formats.tiers import tiers_of
from stream.lines import one_line, utf8

if TYPE_CHECKING:
    from airsift.api.results import Segments
    from airsift.formats.intervals import Interval
    from airsift.formats.tiers import Mark

_PER_S = 1000
_TYPE = "default-lt"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"


def elan(segments: Segments) -> bytes:
    """Return a document with the tier ``label``; ``voice``, ``own label`` and ``music`` if any.

    What overlaps is in ``music``, ``music 2`` and so on: annotations of a tier cannot.
    """
    root = Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "airsift",
            "DATE": datetime.now(UTC).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": _XSI,
            "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
        },
    )
    header = SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    SubElement(header, "MEDIA_DESCRIPTOR", _media(segments.name))
    order = SubElement(root, "TIME_ORDER")
    for tier in tiers_of(segments, _PER_S):
        for name, layer in tier.layers():
            _add(root, order, name, layer)
    SubElement(
        root,
        "LINGUISTIC_TYPE",
        GRAPHIC_REFERENCES="false",
        LINGUISTIC_TYPE_ID=_TYPE,
        TIME_ALIGNABLE="true",
    )
    indent(root)
    found: bytes = tostring(root, encoding="UTF-8", xml_declaration=True)
    return found + b"\n"


def _media(name: str) -> dict[str, str]:
    """Return where the audio is: as a URL, which ELAN asks for, and relative to the document."""
    kind = mimetypes.guess_type(PurePath(name).name)[0] or "audio/*"
    if "://" in name:
        return {"MEDIA_URL": one_line(name), "MIME_TYPE": kind}
    try:
        path = quote(name.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:  # it is no path of a file
        path = quote(utf8(name))
    if name.startswith("/"):
        return {"MEDIA_URL": f"file://{path}", "MIME_TYPE": kind}
    return {"MEDIA_URL": f"file:{path}", "MIME_TYPE": kind, "RELATIVE_MEDIA_URL": f"./{path}"}


def _add(root: Element, order: Element, name: str, layer: list[Interval[Mark]]) -> None:
    tier = SubElement(root, "TIER", LINGUISTIC_TYPE_REF=_TYPE, TIER_ID=name)
    for each in layer:
        first, last = (_slot(order, ticks) for ticks in (each.start, each.end))
        annotation = SubElement(SubElement(tier, "ANNOTATION"), "ALIGNABLE_ANNOTATION")
        annotation.attrib |= {
            "ANNOTATION_ID": f"a{len(order) // 2}",
            "TIME_SLOT_REF1": first,
            "TIME_SLOT_REF2": last,
        }
        SubElement(annotation, "ANNOTATION_VALUE").text = each.item.text


def _slot(order: Element, ticks: int) -> str:
    slot = f"ts{len(order) + 1}"
    SubElement(order, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=f"{ticks}")
    return slot
