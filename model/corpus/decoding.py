"""From files, packages and archives to samples: mono at `SAMPLE_RATE`, 16 bit."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from airsift.errors import DecodeError
from model.corpus import game_archives, soundfont
from model.spec import SAMPLE_RATE as RATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from model.corpus.sources import Item, Kind, Reader

# The rest of a track adds little, and long tracks would dominate.
TRACK_SECONDS = 180
TRACKS = ("music", "singing")
# Raw formats have no header for FFmpeg to find.
RAW_FORMATS = {".g722": "g722", ".gsm": "gsm"}


def decode(data: bytes, name: str, *, seconds: float = np.inf) -> NDArray[np.int16]:
    """Decode a file of any format of FFmpeg to mono at `SAMPLE_RATE`.

    Parameters
    ----------
    data : bytes
        Content of the file.
    name : str
        Its name, for formats without a header.
    seconds : float > 0
        Maximum length.

    Raises
    ------
    DecodeError
        The file is not audio, or is damaged at its beginning. Samples before later damage are
        returned.
    """
    parts: list[NDArray[Any]] = []
    length = 0
    try:
        raw = raw_format(name)
        with av.open(io.BytesIO(data), "r", format=raw, metadata_errors="ignore") as container:
            resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
            for frame in container.decode(audio=0):
                new = [part.to_ndarray()[0] for part in resampler.resample(frame)]
                parts += new
                length += sum(map(len, new))
                if length >= seconds * RATE:
                    break
            parts += [part.to_ndarray()[0] for part in resampler.resample(None)]
    except (av.FFmpegError, IndexError, ValueError) as error:
        if not parts:
            raise DecodeError(f"{name}: {error}: it is left out") from error
    return np.concatenate(parts).astype(np.int16) if parts else np.zeros(0, np.int16)


def raw_format(name: str) -> str | None:
    """Return FFmpeg's name of a format without header, by the suffix of the file, or None."""
    return RAW_FORMATS.get(PurePosixPath(name).suffix.lower())


def seconds_of(kind: Kind) -> float:
    """Return the maximum length of a recording of a class, in seconds."""
    return TRACK_SECONDS if kind in TRACKS else np.inf


def recordings(
    path: str, data: Mapping[str, bytes], reader: Reader, seconds: float
) -> Iterator[tuple[str, NDArray[np.int16]]]:
    """Yield the recordings of one listed file: one, or many of an archive.

    Parameters
    ----------
    path : str
        Its path.
    data : mapping of str to bytes
        Content by file name, including files that the reader also needs.
    reader : Reader
        How the recordings are extracted.
    seconds : float > 0
        Maximum length of a recording.

    Yields
    ------
    part : str
        Name of the recording in an archive; empty for a plain file.
    np.ndarray [shape=(n,), int16]
        The samples.

    Raises
    ------
    DecodeError
        The file cannot be decoded.
    """
    name = PurePosixPath(path).name
    if reader == "sky":
        for number, line in enumerate(game_archives.sky_speech(data["sky.dnr"], data[name])):
            yield f"{name}/{number}", soundfont.resampled(line, game_archives.SKY_RATE, RATE)
    elif reader == "queen":
        for number, mp3 in enumerate(game_archives.queen_speech(data[name])):
            yield f"{name}/{number}", decode(mp3, ".mp3")
    elif reader == "soundfont":
        yield from soundfont.solos(data[name], RATE)
    else:
        yield "", decode(data[name], path, seconds=seconds)


def package_members(
    wanted: Mapping[str, Item], package: Path, licences: list[str]
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield each listed path of a Debian package with its content, by file name.

    Parameters
    ----------
    wanted : mapping of str to Item
        The files, by path.
    package : Path
        The ``.deb`` file.
    licences : list of str
        Extended by the licences in the package's copyright file, if it is machine-readable.
    """
    beside: dict[str, bytes] = {}
    for path, data in _package_files(package):
        name = PurePosixPath(path).name
        if name == "sky.dnr":
            beside[name] = data
        if path.startswith("usr/share/doc/") and name == "copyright":
            licences += _licences(data)
        if path.endswith(".pk3"):
            for inner, content in game_archives.zip_members(io.BytesIO(data)):
                listed = f"unzipped/{name}/{inner}"
                if listed in wanted:
                    yield listed, {PurePosixPath(inner).name: content}
        elif path in wanted:
            yield path, {**beside, name: data}


def _package_files(package: Path) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of every file in a Debian package, without unpacking it to disk."""
    command = ["dpkg-deb", "--fsys-tarfile", str(package)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: S603 - fixed command
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
                for member in tar:
                    opened = tar.extractfile(member) if member.isfile() else None
                    if opened is not None:
                        yield member.name.removeprefix("./"), opened.read()
        except tarfile.TarError as error:
            raise DecodeError(f"{package} is not a whole package: fetch it again") from error


def _licences(text: bytes) -> list[str]:
    """Return the names of the licences in a machine-readable copyright file."""
    lines = text.decode("utf-8", "replace")
    if not lines.startswith("Format:"):
        return []
    return sorted({name.strip() for name in re.findall(r"^License:(.+)$", lines, re.M)})
