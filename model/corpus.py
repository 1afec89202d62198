"""Public recordings, decoded once: 16 kHz mono, one array for each source, and an index.

::

    corpus/
      audio/SOURCE.npy     int16 samples of every file of the source, end to end
      audio/SOURCE.csv     one row a file: where it lies, its class and group
      audio/SOURCE.broken  files that could not be decoded, with the reason

A source that is there is whole: files are written under another name and renamed at the end,
so an interrupted build continues with the source it was at.
"""

from __future__ import annotations

import csv
import hashlib
import io
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from airsift.errors import ConfigError, DecodeError
from model import archives, instruments
from model.files import write_whole
from model.recipe import Item, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

RATE = 16_000
# A track teaches little after its first minutes, and long ones would drown the short.
TRACK_SECONDS = 180
FIELDS = ("path", "class", "group", "start", "end", "digest")
# Raw formats have no header for FFmpeg to find.
RAW_FORMATS = {".g722": "g722", ".gsm": "gsm"}


@dataclass(frozen=True, slots=True)
class Recording:
    """One file of the cache.

    Parameters
    ----------
    source, path, kind, group
        As in `model.recipe.Item`.
    start, end : int >= 0
        Its samples in the source's array.
    digest : str
        Hash of the samples, to find the same recording under two names.
    """

    source: str
    path: str
    kind: Kind
    group: str
    start: int
    end: int
    digest: str


def build_source(
    source: str, items: Sequence[Item], place: Path, corpus: Path
) -> tuple[int, list[str]]:
    """Decode every file of one source into the cache, unless it is there already.

    Parameters
    ----------
    source : str
        Name of the source.
    items : sequence of Item
        Its files.
    place : Path
        The package (``.deb``) or the folder that holds them.
    corpus : Path
        The cache.

    Returns
    -------
    seconds : int
        Audio in the source.
    broken : list of str
        Files left out, with reasons.

    Raises
    ------
    DecodeError
        The package itself cannot be read.
    """
    audio = corpus / "audio"
    audio.mkdir(parents=True, exist_ok=True)
    index, problems = audio / f"{source}.csv", audio / f"{source}.broken"
    if index.exists():
        rows = _read_rows(index)
        broken = problems.read_text().splitlines() if problems.exists() else []
        return (rows[-1][1] // RATE if rows else 0), broken
    parts: list[NDArray[np.int16]] = []
    table: list[tuple[str, str, str, int, int, str]] = []
    broken, end = [], 0
    for item, name, samples in _decoded(items, place, broken):
        if not len(samples):
            broken.append(f"{name}: no audio in it")
            continue
        digest = hashlib.sha256(samples.tobytes()).hexdigest()[:16]
        parts.append(samples)
        group = f"{item.group}-{name}" if name.startswith("program") else item.group
        table.append((name, item.kind, group, end, end + len(samples), digest))
        end += len(samples)
    samples = np.concatenate(parts) if parts else np.zeros(0, np.int16)
    write_whole(audio / f"{source}.npy", _npy(samples))
    write_whole(problems, "".join(f"{line}\n" for line in broken).encode())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FIELDS)
    writer.writerows(table)
    write_whole(index, text.getvalue().encode())
    return end // RATE, broken


def read_index(corpus: Path) -> list[Recording]:
    """List every recording of a cache.

    Raises
    ------
    ConfigError
        There is no cache in the folder.
    """
    found = sorted((corpus / "audio").glob("*.csv"))
    if not found:
        raise ConfigError(f"{corpus} holds no audio: run `airsift corpus build` first")
    return [
        Recording(path.stem, row[0]["path"], row[0]["class"], row[0]["group"],
                  int(row[0]["start"]), row[1], row[0]["digest"])
        for path in found
        for row in _read_rows(path)
    ]  # fmt: skip


def samples_of(corpus: Path, source: str) -> NDArray[np.int16]:
    """Return a source's samples, read from disk as they are used."""
    loaded: NDArray[np.int16] = np.load(corpus / "audio" / f"{source}.npy", mmap_mode="r")
    return loaded


def decode(data: bytes, name: str, *, seconds: float = np.inf) -> NDArray[np.int16]:
    """Decode a file of any format FFmpeg knows to 16 kHz mono.

    Parameters
    ----------
    data : bytes
        The file.
    name : str
        Its name, for formats without a header.
    seconds : float > 0
        How much of it is wanted.

    Raises
    ------
    DecodeError
        It is not audio, or damaged from its beginning. What precedes later damage is returned.
    """
    suffix = PurePosixPath(name).suffix.lower()
    parts: list[NDArray[Any]] = []
    length = 0
    try:
        raw = RAW_FORMATS.get(suffix)
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


def _decoded(
    items: Sequence[Item], place: Path, broken: list[str]
) -> Iterator[tuple[Item, str, NDArray[np.int16]]]:
    """Yield item, name and samples of every recording; note the broken ones."""
    wanted = {item.path: item for item in items}
    for path, data in _members(wanted, place):
        item = wanted[path]
        try:
            seconds = TRACK_SECONDS if item.kind in ("music", "singing") else np.inf
            for name, samples in _recordings(path, data, seconds):
                yield item, name, samples
        except DecodeError as error:
            broken.append(str(error).replace("\n", " "))


def _recordings(
    path: str, data: dict[str, bytes], seconds: float
) -> Iterator[tuple[str, NDArray[np.int16]]]:
    """Yield the recordings of one listed file: one, or many for an archive."""
    name = PurePosixPath(path).name
    if name == "sky.dsk":
        for number, line in enumerate(archives.sky_speech(data["sky.dnr"], data[name])):
            yield f"{name}/{number}", instruments.resampled(line, archives.SKY_RATE, RATE)
    elif name == "queen.1c":
        for number, mp3 in enumerate(archives.queen_speech(data[name])):
            yield f"{name}/{number}", decode(mp3, ".mp3")
    elif name.endswith(".sf2"):
        yield from instruments.solos(data[name], RATE)
    else:
        yield path, decode(data[name], path, seconds=seconds)


def _members(wanted: dict[str, Item], place: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield each wanted path of a package or folder with its bytes, by file name."""
    if place.is_dir():
        for path in wanted:
            try:
                yield path, {PurePosixPath(path).name: (place / path).read_bytes()}
            except OSError:
                # Decoding nothing lists it as broken, with its name.
                yield path, {PurePosixPath(path).name: b""}
        return
    beside: dict[str, bytes] = {}
    for path, data in _package_files(place):
        name = PurePosixPath(path).name
        if name == "sky.dnr":
            beside[name] = data
        if path.endswith(".pk3"):
            for inner, content in archives.zip_members(io.BytesIO(data)):
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


def _read_rows(index: Path) -> list[tuple[dict[str, str], int]]:
    with index.open(newline="", encoding="utf-8") as lines:
        return [(row, int(row["end"])) for row in csv.DictReader(lines)]


def _npy(samples: NDArray[np.int16]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, samples)
    return buffer.getvalue()
