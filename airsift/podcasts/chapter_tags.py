"""Chapters inside audio files: ID3, MP4 and the comments of Ogg and FLAC.

The audio is copied as it is, and so are all other tags. A file is whole or not there: everything is
written into a copy beside it, which then takes the place.

::

    mp3                  ID3v2 CHAP frames, and a CTOC of those that are listed
    m4a, m4b, mp4, mov   a chapter track and the list of Nero, by FFmpeg
    ogg, oga, opus, flac CHAPTER000=00:00:00.000 and CHAPTER000NAME= in the comments
"""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airsift.errors import ConfigError, DecodeError
from airsift.files import replacing
from stream.decoding.tags import ID3_HEADER_BYTES, id3_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airsift.podcasts.chapters import Chapter

_MS = Fraction(1, 1000)
_COMMENT = "chapter"
_MAX_ENTRIES = 255  # of one CTOC: their number is a byte
_MAX_COMMENTS = 1000  # chapters with numbers of three digits


def write_chapters(source: Path, target: Path, chapters: Sequence[Chapter]) -> None:
    """Write a copy of an audio file with these chapters, instead of those that it has.

    Parameters
    ----------
    source : Path
        The audio file.
    target : Path
        The copy; it may be the same file, which is then replaced as a whole.
    chapters : sequence of Chapter
        What it gets.

    Raises
    ------
    ConfigError
        Files of this kind have no chapters, or the copy cannot be written.
    DecodeError
        The file is not what its name says.
    """
    write = writer_of(source)
    if writer_of(target) is not write:
        raise ConfigError(
            f"{target}: a copy of {source.name} keeps its format; end its name in {source.suffix}"
        )
    import av.error
    import mutagen

    with replacing(target) as partial:
        try:
            write(source, partial, chapters)
        except (mutagen.MutagenError, av.error.FFmpegError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DecodeError(
                f"{source}: its tags cannot be written ({reason}); check that it is what its name "
                "says, or write the chapters as a file of their own with --format json"
            ) from error
        shutil.copymode(source, partial)


def has_chapters(path: Path) -> bool:
    """Return whether files of this name can have chapters."""
    return path.suffix.lower() in _WRITERS


def writer_of(path: Path) -> Callable[[Path, Path, Sequence[Chapter]], None]:
    """Return the function that writes chapters into files of this name.

    Raises
    ------
    ConfigError
        There is none.
    """
    try:
        return _WRITERS[path.suffix.lower()]
    except KeyError:
        raise ConfigError(
            f"{path}: only {', '.join(name[1:] for name in _WRITERS)} can have chapters; write "
            "them as a file of their own with --format json, webvtt or podlove"
        ) from None


def _write_id3(source: Path, target: Path, chapters: Sequence[Chapter]) -> None:
    import mutagen.id3

    id3: Any = mutagen.id3  # it has no types
    shutil.copyfile(source, target)
    try:
        tags = id3.ID3(target, translate=False)
    except id3.ID3NoHeaderError:
        tags = id3.ID3()
        tags.version = (2, 4, 0)
    version = 3 if tags.version < (2, 4, 0) else 4
    if tags.version < (2, 3, 0):  # 2.2 has neither frame
        tags.update_to_v23()
    tags.delall("CHAP")
    tags.delall("CTOC")
    names = [f"chp{number}" for number in range(len(chapters))]
    listed = [name for name, each in zip(names, chapters, strict=True) if each.toc]
    for name, each in zip(names, chapters, strict=True):
        frame = id3.CHAP(
            element_id=name,
            start_time=round(each.start_s * 1000),
            end_time=round(each.end_s * 1000),
            start_offset=0xFFFF_FFFF,  # times count, not bytes
            end_offset=0xFFFF_FFFF,
            sub_frames=[id3.TIT2(encoding=1, text=[each.title])],
        )
        tags.add(frame)
    ordered, top = id3.CTOCFlags.ORDERED, id3.CTOCFlags.TOP_LEVEL | id3.CTOCFlags.ORDERED
    children = listed
    if len(listed) > _MAX_ENTRIES:  # tables of tables
        groups = range(0, len(listed), _MAX_ENTRIES)
        children = [f"toc{first}" for first in groups]
        for name, first in zip(children, groups, strict=True):
            part = listed[first : first + _MAX_ENTRIES]
            tags.add(
                id3.CTOC(element_id=name, flags=ordered, child_element_ids=part, sub_frames=[])
            )
    tags.add(id3.CTOC(element_id="toc", flags=top, child_element_ids=children, sub_frames=[]))
    tags.save(target, v2_version=version)
    _sort_frames(target, version)


def _sort_frames(path: Path, version: int) -> None:
    """Put the CHAP frames of a tag in order of time: mutagen sorts them by size.

    Players that take them as they come, FFmpeg among them, would show them in that order.
    """
    with path.open("r+b") as file:
        head = file.read(ID3_HEADER_BYTES)
        body = file.read(id3_bytes(head) - ID3_HEADER_BYTES)
        frames: list[bytes] = []
        at = 0
        while body[at : at + 4].strip(b"\0"):
            size = int.from_bytes(body[at + 4 : at + 8], "big")
            if version == 4:  # seven bits of each byte
                size = sum(
                    (byte & 0x7F) << 7 * (3 - n) for n, byte in enumerate(body[at + 4 : at + 8])
                )
            frames.append(body[at : at + ID3_HEADER_BYTES + size])
            at += len(frames[-1])
        file.seek(ID3_HEADER_BYTES)
        file.write(b"".join(sorted(frames, key=lambda frame: _place(bytes(frame)))))


def _place(frame: bytes) -> tuple[int, int]:
    """Return where a frame stands: those of chapters at the end, by their start times."""
    if frame[:4] != b"CHAP":
        return 0, 0
    name = frame.index(b"\0", ID3_HEADER_BYTES) + 1
    return 1, int.from_bytes(frame[name : name + 4], "big")


def _write_comments(source: Path, target: Path, chapters: Sequence[Chapter]) -> None:
    from mutagen import File

    from airsift.podcasts.chapter_files import _time

    if len(chapters) > _MAX_COMMENTS:
        raise ConfigError(
            f"{source}: {len(chapters)} chapters, and these tags have room for {_MAX_COMMENTS}; "
            "raise podcasts.min_chapter_s"
        )
    shutil.copyfile(source, target)
    file: Any = File(target)
    if file is None:
        raise DecodeError(f"{source}: is no Ogg or FLAC file; check its name")
    if file.tags is None:
        file.add_tags()
    for key in [key for key, _ in file.tags if key.lower().startswith(_COMMENT)]:
        if key[len(_COMMENT) :][:3].isdigit() and key in file.tags:
            del file.tags[key]
    for number, each in enumerate(chapters):
        file.tags[f"CHAPTER{number:03}"] = [_time(each.start_s)]
        file.tags[f"CHAPTER{number:03}NAME"] = [each.title]
    file.save()


def _write_mp4(source: Path, target: Path, chapters: Sequence[Chapter]) -> None:
    """Write the container anew with the same packets, and then the tags as they are."""
    import av
    import mutagen.mp4

    mp4: Any = mutagen.mp4  # it has no types
    before = mp4.MP4(source)
    kind = "mov" if source.suffix.lower() == ".mov" else "mp4"
    with av.open(str(source)) as given, av.open(str(target), "w", format=kind) as made:
        made.metadata.update(given.metadata)
        pairs = {}
        for stream in given.streams:
            # FFmpeg writes the track of chapters itself, and pictures are tags.
            if stream.type in ("audio", "video") and not stream.disposition & _PICTURE:
                pairs[stream.index] = made.add_stream_from_template(stream)
        made.set_chapters(
            [
                {
                    "id": number,
                    "start": round(each.start_s * 1000),
                    "end": round(each.end_s * 1000),
                    "time_base": _MS,
                    "metadata": {"title": each.title},
                }
                for number, each in enumerate(chapters)
            ]
        )
        for packet in given.demux([given.streams[index] for index in pairs]):
            if packet.dts is None:
                continue
            packet.stream = pairs[packet.stream.index]
            made.mux(packet)
    after = mp4.MP4(target)
    if before.tags is not None:
        if after.tags is None:
            after.add_tags()
        after.tags.clear()
        after.tags.update(before.tags)
        after.save()


_PICTURE = 0x0400  # FFmpeg's AV_DISPOSITION_ATTACHED_PIC

_WRITERS: dict[str, Callable[[Path, Path, Sequence[Chapter]], None]] = {
    ".mp3": _write_id3,
    **dict.fromkeys((".m4a", ".m4b", ".mp4", ".mov"), _write_mp4),
    **dict.fromkeys((".ogg", ".oga", ".opus", ".flac"), _write_comments),
}
