"""The short lists that web radios give out instead of their streams' addresses.

M3U, PLS, XSPF and ASX. What a list names is checked where it is opened.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING
from urllib.parse import urljoin
from xml.parsers import expat

from airsift.errors import DecodeError
from stream.sources.content import as_text

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 65_536
MAX_ENTRIES = 20  # that are tried
_NUMBERED = re.compile(r"(?im)^\s*(?:file|ref)(\d{1,6})\s*=\s*(\S.*?)\s*$")
_ASX = re.compile(
    r"""<(?:ref|entryref)\b[^<>]{0,2000}?\bhref\s*=\s*["']?([^"'<>]+)""", re.IGNORECASE
)
_REDUNDANT = re.compile(r"[?&]MSWMExt=\.asf$", re.IGNORECASE)  # to make a player of 2003 open it


def entries(body: bytes, kind: str, base: str, name: str) -> list[str]:
    """Return the addresses in a list, in order, without repetitions.

    Parameters
    ----------
    body : bytes
        The list, up to `MAX_BYTES`.
    kind : {"m3u", "pls", "xspf", "asx"}
        Its format.
    base : str
        Its own address, for entries that are relative to it.
    name : str
        What messages call it.

    Raises
    ------
    DecodeError
        It names no address, or is XML that defines entities.
    """
    readers = {"m3u": _m3u, "pls": _numbered, "xspf": _xspf, "asx": _asx}
    found: list[str] = []
    for entry in readers[kind](body[:MAX_BYTES], name):
        try:
            address = urljoin(base, entry)
        except ValueError:
            address = entry
        if address not in found:
            found.append(address)
    if not found:
        raise DecodeError(f"{name}: is a list ({kind}) without any address; check the address")
    return found


def _m3u(body: bytes, name: str) -> Iterator[str]:
    for line in as_text(body).splitlines():
        entry = line.strip()
        if entry and not entry.startswith("#"):
            yield entry


def _numbered(body: bytes, name: str) -> Iterator[str]:
    for _, entry in sorted((int(n), entry) for n, entry in _NUMBERED.findall(as_text(body))):
        yield _REDUNDANT.sub("", entry)


def _asx(body: bytes, name: str) -> Iterator[str]:
    """Read ASX, which looks like XML but is not: addresses hold bare ``&``."""
    text = as_text(body)
    yield from (_REDUNDANT.sub("", html.unescape(entry).strip()) for entry in _ASX.findall(text))
    yield from _numbered(body, name)


def _xspf(body: bytes, name: str) -> list[str]:
    """Read the locations of an XSPF's tracks."""
    found: list[str] = []
    path: list[str] = []

    def begin(element: str, _: object) -> None:
        path.append(element.rpartition(" ")[2].lower())
        if path[-2:] == ["track", "location"]:
            found.append("")

    def end(_: str) -> None:
        path.pop()

    def text(data: str) -> None:
        if path[-2:] == ["track", "location"]:
            found[-1] += data

    def refuse(*_: object) -> None:
        # Entities may grow without bounds, or name files of this machine.
        raise DecodeError(f"{name}: is a list (XSPF) with a DTD, which is not read; remove it")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        if not found:
            raise DecodeError(
                f"{name}: is a list (XSPF) that is no XML ({expat.errors.messages[error.code]}); "
                "check the address"
            ) from error
    return [entry.strip() for entry in found if entry.strip()]
