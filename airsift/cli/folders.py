"""Audio files in folders, found by their names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Common formats of FFmpeg. A file with another name is read if it is named on the command line.
_NAMES = """
    3g2 3ga 3gp 3gpp aa3 aac ac3 adts adx aif aifc aiff amr ape asf au avi awb bwf caf dff dsf dts
    dtshd eac3 ec3 f4a f4v flac flv gsm m1a m2a m2ts m4a m4b m4r m4v mka mkv mlp mov mp+ mp1 mp2 mp3
    mp4 mpa mpc mpeg mpg mpga mts mxf nut oga ogg ogm ogv ogx oma opus qt ra rf64 rm rmvb snd spx
    tak thd ts tta vob voc vqf w64 wav wave weba webm wma wmv wv
"""
SUFFIXES = frozenset(f".{name}" for name in _NAMES.split())
_TS_PACKET, _TS_SYNC = 188, b"\x47"


@dataclass(slots=True)
class Found:
    """Result of a search.

    Parameters
    ----------
    files : list of Path
        In order of name within each folder.
    problems : list of str
        A line for each folder that cannot be read, each link that leads nowhere, and each folder
        without any audio.
    failed : int
        Number of failures among them; a folder without audio is none.
    """

    files: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    failed: int = 0


def find_files(paths: list[Path]) -> Found:
    """Return the files named, and the audio files in the folders named and all below them.

    Links are followed; a folder that is reached in several ways is read once.
    """
    found = Found()
    seen = set[tuple[int, int]]()
    for path in paths:
        found.files += iter_files(path, found, seen) if path.is_dir() else [path]
    return found


def iter_files(top: Path, found: Found, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """Yield the audio files in a folder and all below it, as they are found.

    Parameters
    ----------
    top : Path
        The folder.
    found : Found
        Takes the problems.
    seen : set of (int, int)
        Folders that were read, by device and number; takes those that are read.
    """
    failed, n_files, others, folders, is_new = found.failed, 0, 0, [top], False
    while folders:
        folder = folders.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            _fail(found, f"{folder}: cannot be read ({error.strerror}); check its permissions")
            continue
        seen.add((status.st_dev, status.st_ino))
        is_new = True
        below = []
        for entry in entries:
            path = folder / entry.name
            try:
                if entry.is_dir():
                    below.append(path)
                elif _is_audio(path, is_file=entry.is_file()):
                    n_files += 1
                    yield path
                elif entry.is_symlink() and not path.exists() and _has_suffix(path):
                    _fail(found, f"{path}: is a link that leads nowhere; remove it, or mend it")
                else:
                    others += 1
            except OSError as error:  # a link to itself, a file in a folder that is locked
                _fail(found, f"{path}: cannot be read ({error.strerror}); check what it is")
        folders += reversed(below)
    if is_new and not n_files and found.failed == failed:
        found.problems.append(
            f"{top}: holds no audio files by their names ({others} others); a file that is named "
            "itself is tried whatever it is called"
        )


def _fail(found: Found, problem: str) -> None:
    found.problems.append(problem)
    found.failed += 1


def _is_audio(path: Path, *, is_file: bool) -> bool:
    if not is_file or not _has_suffix(path):
        return False
    if path.suffix.lower() != ".ts":
        return True
    # TypeScript programs and translations of Qt have this suffix, too.
    with path.open("rb") as file:
        head = file.read(_TS_PACKET + 9)
    # 188 bytes a packet, or 192 with a time of four bytes in front.
    return _is_sync(head, 0, _TS_PACKET) or _is_sync(head, 4, _TS_PACKET + 4)


def _is_sync(head: bytes, at: int, packet: int) -> bool:
    return head[at : at + 1] == _TS_SYNC and head[at + packet : at + packet + 1] in (b"", _TS_SYNC)


def _has_suffix(path: Path) -> bool:
    # Files that begin with ._ are metadata of macOS.
    return path.suffix.lower() in SUFFIXES and not path.name.startswith("._")
