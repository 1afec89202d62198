"""Decoded recordings: mono at `SAMPLE_RATE`, one array for each source, and an index.

::

    corpus/
      audio/SOURCE.json     one entry for each file: metadata, recordings and content hash
      audio/SOURCE-KEY.npy  int16 samples of all files of the source, concatenated
      train.json            the training columns, see `model.corpus.feature_store`
      tasks/NAME/audio/     the same for the manifest of one `airsift train --config`

A build reads every file and compares content, not names or times. Samples that the same code
decoded from the same bytes are reused, so an incremental build equals a build from scratch. The
index of a source is written last and atomically: an interrupted build leaves the old one.
"""

from __future__ import annotations

import json
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from airsift.errors import ConfigError, DecodeError
from airsift.files import replacing, write_whole
from model.corpus import cache, decoding
from model.corpus.sources import Item, Kind, Origin, Reader, StatedSplit
from model.spec import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Samples = NDArray[np.int16]

AUDIO = "audio"
# Libraries that the samples depend on.
_LIBRARIES = ("av", "numpy", "soxr")


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording of the corpus.

    Parameters
    ----------
    source, path, kind, group, origin, cast, licence, category, split
        As in `model.corpus.sources.Item`; for an archive, the path is one inside it.
    start, end : int >= 0
        Its samples in the array of the source.
    digest : str
        Hash of the samples, to find duplicates.
    array : str
        File of the array, relative to the corpus.
    """

    source: str
    path: str
    kind: Kind
    group: str
    start: int
    end: int
    digest: str
    origin: Origin = "own"
    cast: bool = False
    licence: str = ""
    array: str = ""
    category: str = ""
    split: StatedSplit = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A source to decode.

    Parameters
    ----------
    source : str
        Its name, unique in the corpus.
    items : sequence of Item
        Its files.
    place : Path
        The package (``.deb``) or folder of the files.
    listed : mapping of str to str
        Origin of the list, for the record of a training: a manifest with its SHA-256, or an
        option.
    """

    source: str
    items: Sequence[Item]
    place: Path
    listed: Mapping[str, str] = field(default_factory=dict)


class Facts(TypedDict, total=False):
    """What the record of a training says of a source.

    Attributes
    ----------
    listed : dict of str to str
        See `Job`.
    sha256 : str
        Hash of the package, or of the files of a folder.
    package : str
        File of the package.
    licences : list of str
        As stated in the package.
    """

    listed: dict[str, str]
    sha256: str
    package: str
    licences: list[str]


class _Entry(TypedDict):
    """A file in the index of a source; a recording is its part, first sample, end and digest."""

    path: str
    kind: Kind
    group: str
    origin: Origin
    reader: Reader
    cast: bool
    licence: str
    category: str
    split: StatedSplit
    content: str
    recordings: list[tuple[str, int, int, str]]
    problems: list[str]


class _Index(TypedDict):
    """The index of a source."""

    decoder: str
    array: str
    facts: Facts
    files: list[_Entry]


@dataclass(frozen=True, slots=True)
class Built:
    """Result of the build of a source.

    Parameters
    ----------
    seconds : int
        Audio of the source.
    broken : list of str
        Files that are left out, with reasons.
    reused, decoded : int
        Number of files whose samples were reused, and of files that were decoded.
    """

    seconds: int
    broken: list[str]
    reused: int
    decoded: int

    def __str__(self) -> str:
        done = [f"{self.reused} files reused"] if self.reused else []
        done += [f"{self.decoded} decoded"] if self.decoded else []
        return f"{self.seconds / 60:.1f} min; {', '.join(done) or 'no files'}"


@dataclass(slots=True)
class _File:
    """A listed file and its recordings (part, digest, samples)."""

    item: Item
    content: str
    recordings: list[tuple[str, str, Samples]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    reused: bool = False


def manifest_job(manifest: Path, items: Sequence[Item], source: str = "") -> Job:
    """Return the job of a manifest; its source has the name of the manifest unless given."""
    listed = {"manifest": manifest.name, "sha256": cache.hash_of(manifest.read_bytes())}
    return Job(source or manifest.stem, items, manifest.parent, listed)


def build(
    jobs: Sequence[Job], folder: Path, report: Callable[[str], None], *, workers: int = 1
) -> None:
    """Decode sources, and remove all others from the folder.

    Parameters
    ----------
    jobs : sequence of Job
        The sources.
    folder : Path
        The corpus; the caller holds its lock, see `model.corpus.cache.building`.
    report : callable
        Receives a line for each source, and for each file that is left out.
    workers : int > 0
        Processes.

    Raises
    ------
    DecodeError
        A package cannot be read.
    """
    (folder / AUDIO).mkdir(parents=True, exist_ok=True)
    with cache.changing(folder):
        _build(jobs, folder, report, workers)


def _build(jobs: Sequence[Job], folder: Path, report: Callable[[str], None], workers: int) -> None:
    names = {job.source for job in jobs}
    for index in sorted((folder / AUDIO).glob("*.json")):
        if index.name.removesuffix(".json") not in names:
            index.unlink()
            report(f"{index.name.removesuffix('.json')}: removed, this build does not name it")
    for number, (job, built) in enumerate(_built(jobs, folder, workers), 1):
        report(f"[{number}/{len(jobs)}] {job.source}: {built}")
        for problem in built.broken:
            report(f"left out: {problem}")
    used = {json.loads(each.read_bytes())["array"] for each in (folder / AUDIO).glob("*.json")}
    for array in (folder / AUDIO).glob("*.npy"):
        if array.name not in used:
            array.unlink()


def _built(jobs: Sequence[Job], folder: Path, workers: int) -> Iterator[tuple[Job, Built]]:
    if workers == 1 or len(jobs) == 1:
        for job in jobs:
            yield job, build_source(job, folder)
        return
    with cache.worker_pool(workers) as pool:
        running = {pool.submit(build_source, job, folder): job for job in jobs}
        for done in as_completed(running):
            yield running[done], done.result()


def build_source(job: Job, corpus: Path) -> Built:
    """Decode the files of one source into the corpus, and reuse unchanged ones.

    Raises
    ------
    DecodeError
        The package cannot be read.
    """
    audio = corpus / AUDIO
    audio.mkdir(parents=True, exist_ok=True)
    index = audio / f"{job.source}.json"
    old = _read(index)
    facts: Facts = {"listed": dict(job.listed)}
    known = _known(audio, old) if old else {}
    if job.place.is_dir():
        found = [_from_folder(item, job.place, known) for item in _once(job.items)]
        facts["sha256"] = cache.key_of([[each.item.path, each.content] for each in found])
    else:
        found = _from_package(job, known, old, facts)
    samples = [each for file in found for each in file.recordings]
    digests = [[digest, len(part)] for _, digest, part in samples]
    array = f"{job.source}-{cache.key_of(digests)[:16]}.npy"
    table: _Index = {
        "decoder": _decoder(),
        "array": array,
        "facts": facts,
        "files": _entries(found),
    }
    length = sum(len(part) for _, _, part in samples)
    if not _holds(audio / array, length):
        _write_array(audio / array, [part for _, _, part in samples], length)
    data = json.dumps(table, indent=0, ensure_ascii=False).encode()
    if json.loads(data) != old:
        write_whole(index, data)
        if old and old["array"] != array:
            (audio / old["array"]).unlink(missing_ok=True)
    reused = sum(each.reused for each in found)
    broken = [problem for each in found for problem in each.problems]
    return Built(length // SAMPLE_RATE, broken, reused, len(found) - reused)


def read_index(corpus: Path) -> list[Recording]:
    """List every recording of a corpus.

    Raises
    ------
    ConfigError
        The folder has no corpus, or an unfinished build.
    """
    cache.check_whole(corpus)
    found = sorted((corpus / AUDIO).glob("*.json"))
    if not found:
        raise ConfigError(f"{corpus} holds no audio: run `airsift corpus build` first")
    return [each for path in found for each in _recordings(path)]


def exists(corpus: Path) -> bool:
    """Return whether a folder holds a corpus."""
    return any((corpus / AUDIO).glob("*.json"))


def sources(corpus: Path) -> dict[str, Facts]:
    """Return the facts of each source of a corpus: the origin of its list, and its hash."""
    found = sorted((corpus / AUDIO).glob("*.json"))
    return {path.name.removesuffix(".json"): _table(path)["facts"] for path in found}


def samples_of(corpus: Path, recording: Recording) -> Samples:
    """Return the samples of a recording as a memory map.

    Raises
    ------
    ConfigError
        The corpus was rebuilt since its index was read.
    """
    return _opened(corpus / recording.array)[recording.start : recording.end]


def key_of(recordings: Sequence[Recording]) -> str:
    """Return a hash of recordings: content and metadata without the path."""
    return cache.key_of(
        [
            [each.source, each.kind, each.group, each.end - each.start, each.digest, each.origin,
             each.cast, each.category]
            for each in recordings
        ]
    )  # fmt: skip


@lru_cache(maxsize=128)
def _opened(path: Path) -> Samples:
    try:
        loaded: Samples = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error}); the corpus was changed meanwhile: run `airsift "
            "corpus build` and start again"
        ) from error
    return loaded


def _once(items: Sequence[Item]) -> list[Item]:
    """Return the items without duplicate paths; the last one counts."""
    return list({item.path: item for item in items}.values())


def _decoder() -> str:
    return cache.key_of(cache.code_version("model.corpus.decoding"), cache.libraries(*_LIBRARIES))


def _content(item: Item, sha256: str) -> str:
    """Return the key of decoded samples: hash of the file, reader and maximum length."""
    seconds = decoding.seconds_of(item.kind)
    limit = int(seconds) if np.isfinite(seconds) else 0
    return cache.key_of(sha256, item.reader, decoding.raw_format(item.path), limit)


def _from_folder(item: Item, place: Path, known: Mapping[str, _File]) -> _File:
    """Return the recordings of a file, reused if the same bytes were decoded before."""
    try:
        data = (place / item.path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return _File(item, "", problems=[f"{item.path}: {reason}: it is left out"])
    content = _content(item, cache.hash_of(data))
    old = known.get(content)
    # Messages of problems contain the path.
    if old and (not old.problems or old.item.path == item.path):
        return _File(item, content, old.recordings, old.problems, reused=True)
    name = item.path.rsplit("/", 1)[-1]
    return _decoded(item, content, {name: data})


def _from_package(
    job: Job, known: Mapping[str, _File], old: _Index | None, facts: Facts
) -> list[_File]:
    """Return the recordings of a package: all reused, or all decoded."""
    wanted = {item.path: item for item in job.items}
    sha256 = cache.hash_of(job.place.read_bytes())
    facts |= {"package": job.place.name, "sha256": sha256, "licences": []}
    keys = {path: _content(item, f"{sha256} {path}") for path, item in wanted.items()}
    if old and all(key in known for key in keys.values()):
        facts["licences"] = old["facts"]["licences"]
        order = [each["path"] for each in old["files"] if each["path"] in wanted]
        return [
            _File(wanted[path], keys[path], known[keys[path]].recordings,
                  known[keys[path]].problems, reused=True)
            for path in order
        ]  # fmt: skip
    licences: list[str] = []
    found = [
        _decoded(wanted[path], keys[path], data)
        for path, data in decoding.package_members(wanted, job.place, licences)
    ]
    facts["licences"] = sorted(set(licences))
    exists = {each.item.path for each in found}
    return found + [
        _File(item, keys[path], problems=[f"{path}: {job.place.name} has no such file"])
        for path, item in wanted.items()
        if path not in exists
    ]


def _decoded(item: Item, content: str, data: Mapping[str, bytes]) -> _File:
    found = _File(item, content)
    try:
        seconds = decoding.seconds_of(item.kind)
        for part, samples in decoding.recordings(item.path, data, item.reader, seconds):
            if len(samples):
                digest = cache.hash_of(samples.tobytes())[:16]
                found.recordings.append((part, digest, samples))
            else:
                found.problems.append(f"{part or item.path}: no audio in it")
    except DecodeError as error:
        found.problems.append(" ".join(str(error).split()))
    return found


def _entries(found: Sequence[_File]) -> list[_Entry]:
    """Return the entries of the index."""
    entries: list[_Entry] = []
    end = 0
    for each in found:
        parts: list[tuple[str, int, int, str]] = []
        for part, digest, samples in each.recordings:
            parts.append((part, end, end + len(samples), digest))
            end += len(samples)
        item = each.item
        entries.append({
            "path": item.path, "kind": item.kind, "group": item.group, "origin": item.origin,
            "reader": item.reader, "cast": item.cast, "licence": item.licence,
            "category": item.category, "split": item.split,
            "content": each.content, "recordings": parts, "problems": each.problems,
        })  # fmt: skip
    return entries


def _read(index: Path) -> _Index | None:
    """Return an index that this version of the code wrote, or None."""
    try:
        table: _Index = json.loads(index.read_bytes())
    except (OSError, ValueError):
        return None
    usable = isinstance(table, dict) and table.get("decoder") == _decoder()
    return table if usable else None


def _known(audio: Path, old: _Index) -> dict[str, _File]:
    """Return the files of an index by content key, if the array is complete."""
    ends = [end for each in old["files"] for _, _, end, _ in each["recordings"]]
    path = audio / old["array"]
    if not _holds(path, ends[-1] if ends else 0):
        return {}
    samples: Samples = np.load(path, mmap_mode="r")
    found = {}
    for each in old["files"]:
        if each["content"]:
            parts = [(part, digest, samples[start:end])
                     for part, start, end, digest in each["recordings"]]  # fmt: skip
            # Only the path counts here: the list may have changed since, and its columns too.
            item = Item("", each["path"], each["kind"], each["group"])
            found[each["content"]] = _File(item, each["content"], parts, each["problems"])
    return found


def _holds(array: Path, length: int) -> bool:
    """Return whether a file is an array of this length."""
    try:
        return bool(np.load(array, mmap_mode="r").shape == (length,))
    except (OSError, ValueError, EOFError):
        return False


def _write_array(path: Path, parts: Sequence[Samples], length: int) -> None:
    """Write an array in parts: a source may be larger than the memory."""
    with replacing(path) as whole, whole.open("wb") as out:
        header = {"descr": "<i2", "fortran_order": False, "shape": (length,)}
        np.lib.format.write_array_header_1_0(out, header)
        for part in parts:
            out.write(part.astype("<i2", copy=False).tobytes())


def _item(entry: _Entry, source: str) -> Item:
    return Item(
        source, entry["path"], entry["kind"], entry["group"], entry["origin"], entry["reader"],
        entry["cast"], entry["licence"], entry["category"], entry["split"],
    )  # fmt: skip


def _table(path: Path) -> _Index:
    try:
        table: _Index = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error}): run `airsift corpus build` again"
        ) from error
    return table


def _recordings(index: Path) -> Iterator[Recording]:
    table, source = _table(index), index.name.removesuffix(".json")
    licences = ", ".join(table["facts"].get("licences", []))
    for entry in table["files"]:
        try:
            item = _item(entry, source)
        except KeyError as error:
            raise ConfigError(
                f"{index} was written by another version: run `airsift corpus build` again, with "
                "the same options; it decodes only the changes"
            ) from error
        for part, start, end, digest in entry["recordings"]:
            # Each instrument of a sound font is a group.
            group = f"{item.group}-{part}" if item.reader == "soundfont" else item.group
            yield Recording(
                source, part or item.path, item.kind, group, start, end, digest, item.origin,
                item.cast, item.licence or licences, f"{AUDIO}/{table['array']}", item.category,
                item.split,
            )  # fmt: skip
