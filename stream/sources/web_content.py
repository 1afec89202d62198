"""The content of a web server's answer: audio, a list of addresses, or neither; and such lists.

M3U, PLS, XSPF and ASX are the short lists that web radios publish instead of their streams'
addresses. The addresses in a list are checked where they are opened.
"""

from __future__ import annotations

import html
import re
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin, urlsplit
from xml.parsers import expat

from airsift.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LIST_BYTES = 65_536
MAX_ENTRIES = 20  # that are tried
_NUMBERED = re.compile(r"(?im)^\s*(?:file|ref)(\d{1,6})\s*=\s*(\S.*?)\s*$")
_ASX = re.compile(
    r"""<(?:ref|entryref)\b[^<>]{0,2000}?\bhref\s*=\s*["']?([^"'<>]+)""", re.IGNORECASE
)
_REDUNDANT = re.compile(r"[?&]MSWMExt=\.asf$", re.IGNORECASE)  # to make a player of 2003 open it
HEAD_BYTES = 2_048  # enough to tell text from audio
_MAGIC = (
    (b"\x89PNG", "an image (PNG)"),
    (b"\xff\xd8\xff", "an image (JPEG)"),
    (b"GIF8", "an image (GIF)"),
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip file"),
)
_LISTS = {
    ".m3u": "m3u", ".m3u8": "m3u", ".pls": "pls", ".xspf": "xspf", ".asx": "asx", ".wax": "asx",
    ".wvx": "asx", ".ram": "m3u",
}  # fmt: skip
_LIST_TYPES = {
    "audio/x-mpegurl": "m3u",
    "audio/mpegurl": "m3u",
    "application/x-mpegurl": "m3u",
    "application/vnd.apple.mpegurl": "m3u",
    "audio/x-scpls": "pls",
    "application/pls+xml": "pls",
    "application/xspf+xml": "xspf",
    "video/x-ms-asx": "asx",
    "audio/x-pn-realaudio": "m3u",
}
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_ADDRESS = re.compile(r"https?://\S+", re.IGNORECASE)


class Kind(Enum):
    """The kind of an answer."""

    AUDIO = "audio"  # or unknown: FFmpeg decides
    LIST = "list"
    HLS = "HLS"
    OTHER = "other"


class Content(NamedTuple):
    """The kind of an answer, and its name: the format of a list, or of what is not audio."""

    kind: Kind
    name: str = ""


def is_text(head: bytes) -> bool:
    """Return whether an answer begins like text; then all of it is needed for `content_of`."""
    return _text(head[:HEAD_BYTES]) is not None


def content_of(body: bytes, content_type: str, url: str) -> Content:
    """Return the content of an answer.

    Parameters
    ----------
    body : bytes
        Its beginning; all of a text, up to a limit.
    content_type : str
        The server's ``Content-Type``. The bytes have precedence, because many servers are wrong.
    url : str
        Its address.
    """
    for magic, name in _MAGIC:
        if body.startswith(magic):
            return Content(Kind.OTHER, name)
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return Content(Kind.OTHER, "an image (WebP)")
    text = _text(body)
    if text is None:
        return Content(Kind.AUDIO)
    text = text.lstrip()
    kind = content_type.partition(";")[0].strip().lower()
    if not text:
        return Content(Kind.AUDIO)
    if text.startswith("<"):
        return _markup(text[:4096].lower())
    if text.startswith("#EXTM3U"):
        return Content(Kind.HLS) if "#EXT-X-" in text else Content(Kind.LIST, "m3u")
    if text[:10].lower() == "[playlist]":
        return Content(Kind.LIST, "pls")
    if text[:11].lower() == "[reference]":
        return Content(Kind.LIST, "asx")
    if "json" in kind or re.match(r'\{\s*("|\})|\[\s*[\[{"]', text):
        return Content(Kind.OTHER, "JSON")
    suffix = re.search(r"\.[a-z0-9]+$", urlsplit(url).path.lower())
    named = _LIST_TYPES.get(kind) or (_LISTS.get(suffix[0]) if suffix else None)
    if named:
        return Content(Kind.LIST, named)
    lines = [line.strip() for line in text.splitlines()]
    if all(not line or line[0] == "#" or _ADDRESS.fullmatch(line) for line in lines):
        return Content(Kind.LIST, "m3u")
    return Content(Kind.OTHER, "plain text")


def _markup(start: str) -> Content:
    """Return the content of HTML or XML by its first element."""
    if "<asx" in start:
        return Content(Kind.LIST, "asx")
    if "<playlist" in start or ":playlist" in start:
        return Content(Kind.LIST, "xspf")
    for element, name in (
        ("<rss", "a podcast feed (RSS): give the address of an episode"),
        ("<feed", "a feed (Atom): give the address of an episode"),
        ("<mpd", "a DASH manifest, which is not read: give an HLS or Icecast address"),
        ("<smil", "a SMIL presentation, which is not read: give the address of its audio"),
        ("<svg", "an image (SVG)"),
    ):
        if re.search(rf"{element}[\s>]", start):
            return Content(Kind.OTHER, name)
    if "<!doctype html" in start or re.search(r"<(html|head|body|title|p|h1|script)[\s>]", start):
        return Content(Kind.OTHER, "a web page (HTML)")
    return Content(Kind.OTHER, "XML")


def _text(body: bytes) -> str | None:
    """Return bytes as text, None if they are not text."""
    if body[:2] in (b"\xff\xfe", b"\xfe\xff") and b"\x00" in body[2:8]:
        text = body.decode("utf-16", "replace")
    elif b"\x00" in body[:HEAD_BYTES]:
        return None
    else:
        text = as_text(body)
    start = text[:HEAD_BYTES]
    odd = start.count("�") + sum(c > "\x7f" and c < "\xa0" for c in start)
    return None if _CONTROL.search(start) or odd > len(start) / 20 else text


def as_text(body: bytes) -> str:
    """Decode a text of unknown encoding."""
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return body.decode("utf-16", "replace")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("latin-1")


def entries(body: bytes, kind: str, base: str, name: str) -> list[str]:
    """Return the addresses in a list, in order, without repetitions.

    Parameters
    ----------
    body : bytes
        The list, up to `MAX_LIST_BYTES`.
    kind : {"m3u", "pls", "xspf", "asx"}
        Its format.
    base : str
        Its own address, for entries that are relative to it.
    name : str
        Its name in messages.

    Raises
    ------
    DecodeError
        It names no address, or is XML that defines entities.
    """
    readers = {"m3u": _m3u, "pls": _numbered, "xspf": _xspf, "asx": _asx}
    found: list[str] = []
    for entry in readers[kind](body[:MAX_LIST_BYTES], name):
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
