"""What the first bytes of a web server's answer are: audio, a list of addresses, or neither."""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple
from urllib.parse import urlsplit

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
    """What an answer is."""

    AUDIO = "audio"  # or nothing that is known: FFmpeg decides
    LIST = "list"
    HLS = "HLS"
    OTHER = "other"


class Content(NamedTuple):
    """What an answer is, and its name: the list's format, or what it is instead of audio."""

    kind: Kind
    name: str = ""


def is_text(head: bytes) -> bool:
    """Say whether an answer begins as text does, so that all of it is needed to judge it."""
    return _text(head[:HEAD_BYTES]) is not None


def content_of(body: bytes, content_type: str, url: str) -> Content:
    """Say what an answer is.

    Parameters
    ----------
    body : bytes
        Its beginning; of a text, all of it up to a limit.
    content_type : str
        What the server says it is. The bytes count for more, as many servers are wrong.
    url : str
        Where it is from.
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
    """Say what a text of HTML or XML is by its first element."""
    if "<asx" in start:
        return Content(Kind.LIST, "asx")
    if "<playlist" in start or ":playlist" in start:
        return Content(Kind.LIST, "xspf")
    for sign, name in (
        ("<rss", "a podcast feed (RSS): give the address of an episode"),
        ("<feed", "a feed (Atom): give the address of an episode"),
        ("<mpd", "a DASH manifest, which is not read: give an HLS or Icecast address"),
        ("<smil", "a SMIL presentation, which is not read: give the address of its audio"),
        ("<svg", "an image (SVG)"),
    ):
        if re.search(rf"{sign}[\s>]", start):
            return Content(Kind.OTHER, name)
    if "<!doctype html" in start or re.search(r"<(html|head|body|title|p|h1|script)[\s>]", start):
        return Content(Kind.OTHER, "a web page (HTML)")
    return Content(Kind.OTHER, "XML")


def _text(body: bytes) -> str | None:
    """Return bytes as text, None if they are none."""
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
    """Decode a text that does not say how it is encoded."""
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return body.decode("utf-16", "replace")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("latin-1")
