"""Where the first whole frame of a live stream is, that a listener meets in the middle of one.

FFmpeg would find it, too, but reads up to 15 s of the stream before it believes that it is MP3.
"""

from __future__ import annotations

from stream.decoding.framing import Header, read_adts, read_mpeg

SEARCH_BYTES = 16_384
_MAX_FRAME = 8_192
_IN_A_ROW = 4  # frames; fewer are found in any noise
_CONTAINERS = (b"OggS", b"fLaC", b"RIFF", b"ID3", b"\x1aE\xdf\xa3", b"FORM", b".snd", b"caff")


def frame_start(head: bytes, *, is_all: bool = False) -> int | None:
    """Return the index of the first MP3 or ADTS frame of several in a row.

    Parameters
    ----------
    head : bytes
        The beginning of a stream.
    is_all : bool
        Whether no more of it is coming.

    Returns
    -------
    int or None
        0 where it is something else; None while more bytes are needed to say.
    """
    if head.startswith(_CONTAINERS) or head[4:8] == b"ftyp":
        return 0
    at = head.find(b"\xff")
    while 0 <= at < min(len(head), _MAX_FRAME):
        for read in (read_mpeg, read_adts):
            found = _follows(head, at, read(head, at))
            if found:
                return at
            if found is None and not is_all and len(head) < SEARCH_BYTES:
                return None
        at = head.find(b"\xff", at + 1)
    return 0 if is_all or len(head) >= SEARCH_BYTES else None


def _follows(head: bytes, at: int, header: Header | None) -> bool | None:
    """Say whether frames of one kind follow each other from `at` on; None where bytes are short."""
    first = header
    for _ in range(_IN_A_ROW - 1):
        if header is None or first is None or header.kind != first.kind:
            return False
        at += header.size
        if at + 7 > len(head):
            return None
        header = (read_adts if _is_adts(head, at) else read_mpeg)(head, at)
    return header is not None and first is not None and header.kind == first.kind


def _is_adts(head: bytes, at: int) -> bool:
    return head[at] == 0xFF and head[at + 1] & 0xF6 == 0xF0
