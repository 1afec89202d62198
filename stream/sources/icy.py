"""Titles between the audio of a web radio, by the protocol of SHOUTcast and Icecast (ICY).

A client that sends ``Icy-MetaData: 1`` gets, after every `icy-metaint` bytes of audio, a block::

    one byte n, then 16 n bytes:  StreamTitle='Artist - Title';StreamUrl='...';  and zeros

Mostly n is 0: the title has not changed. Titles are not dated: they come with the bytes that the
server sends at that time, which is within its buffer of some seconds of the audio.
"""

from __future__ import annotations

import re

REQUEST = {"Icy-MetaData": "1"}
MAX_INTERVAL = 1 << 24  # bytes of audio between two blocks; servers use 8 to 64 kB
MAX_TITLE = 500  # characters that are kept

_UNIT = 16
_TITLE = re.compile(rb"StreamTitle='(.*?)'\s*(?:;|\0|$)", re.DOTALL)


def interval_of(text: str | None) -> int:
    """Return the bytes of audio between two blocks, by the header ``icy-metaint``; 0 for none."""
    text = (text or "").strip()
    interval = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0
    return interval if interval <= MAX_INTERVAL else 0


class IcyTitles:
    """Separates titles from audio, however the bytes come.

    Parameters
    ----------
    interval : int > 0
        Bytes of audio between two blocks.

    Attributes
    ----------
    title : str or None
        The last one; None before the first, and where the server sends an empty one.
    """

    def __init__(self, interval: int) -> None:
        self.title: str | None = None
        self._interval = interval
        self._audio = interval  # bytes until the next block
        self._missing = 0  # bytes of the block that have not come
        self._block = bytearray()

    def push(self, data: bytes) -> bytes:
        """Take the next bytes of the body; return those of audio."""
        audio = bytearray()
        at = 0
        while at < len(data):
            if self._missing:
                part = data[at : at + self._missing]
                self._block += part
                self._missing -= len(part)
                at += len(part)
                if not self._missing:
                    self._read_block()
            elif self._audio:
                part = data[at : at + self._audio]
                audio += part
                self._audio -= len(part)
                at += len(part)
            else:
                self._missing = data[at] * _UNIT
                self._audio = self._interval
                at += 1
        return bytes(audio)

    def _read_block(self) -> None:
        found = _TITLE.search(self._block)
        if found:
            self.title = _text(found[1]) or None
        self._block.clear()


def _text(title: bytes) -> str:
    """Return a title; old servers send Latin-1."""
    try:
        text = title.decode()
    except UnicodeDecodeError:
        text = title.decode("cp1252", "replace")
    printable = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(printable.split())[:MAX_TITLE]
