"""Chapters as files of their own, and as text for people."""

from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from stream.sinks.format import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airsift.podcasts.chapters import Chapter

PODLOVE = "http://podlove.org/simple-chapters"


def as_json(chapters: Sequence[Chapter]) -> str:
    """Return JSON chapters 1.2.0 of Podcasting 2.0, for the tag ``podcast:chapters`` of a feed."""
    listed = []
    for each in chapters:
        fields = {"startTime": each.start_s, "endTime": each.end_s, "title": each.title}
        listed.append(fields if each.toc else {**fields, "toc": False})
    return json.dumps({"version": "1.2.0", "chapters": listed}, ensure_ascii=False, indent=2) + "\n"


def as_webvtt(chapters: Sequence[Chapter]) -> str:
    """Return WebVTT with a cue for each chapter, for ``<track kind="chapters">``.

    Raises
    ------
    ConfigError
        The library is not installed.
    """
    from airsift.errors import ConfigError

    try:
        import webvtt
    except ModuleNotFoundError:
        raise ConfigError(
            "WebVTT needs webvtt-py: install airsift[formats], as with pip install "
            "'airsift[formats]'"
        ) from None
    file = webvtt.WebVTT()
    for number, each in enumerate(chapters, 1):
        title = each.title.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        cue = webvtt.Caption(_time(each.start_s), _time(each.end_s), " ".join(title.split()))
        cue.identifier = str(number)
        file.captions.append(cue)
    out = StringIO()
    file.write(out)
    return out.getvalue().rstrip("\n") + "\n"


def as_podlove(chapters: Sequence[Chapter]) -> str:
    """Return Podlove Simple Chapters 1.2: an element for the item of a feed."""
    ElementTree.register_namespace("psc", PODLOVE)
    root = ElementTree.Element(f"{{{PODLOVE}}}chapters", {"version": "1.2"})
    for each in chapters:
        fields = {"start": _time(each.start_s), "title": _printable(each.title)}
        ElementTree.SubElement(root, f"{{{PODLOVE}}}chapter", fields)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def as_text(chapters: Sequence[Chapter]) -> str:
    """Return a line for each chapter: where it begins, and its title."""
    lines = []
    for each in chapters:
        note = "" if each.toc else "  (not listed)"
        lines.append(f"{clock(each.start_s):>9}  {' '.join(each.title.split())}{note}\n")
    return "".join(lines)


# By the name of the format: the function, and the end of a file's name.
FORMATS: dict[str, tuple[Callable[[Sequence[Chapter]], str], str]] = {
    "text": (as_text, ".chapters.txt"),
    "json": (as_json, ".chapters.json"),
    "webvtt": (as_webvtt, ".chapters.vtt"),
    "podlove": (as_podlove, ".chapters.psc"),
}


def _time(seconds: float) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"


def _printable(text: str) -> str:
    """Return a text without the characters that XML excludes."""
    return "".join(each if each >= " " and each not in "\ufffe\uffff" else " " for each in text)
