"""The feature store: columns of takes for the training windows, with targets and tags.

A store has four files: ``SPLIT.json`` with its key and its takes, which is written last, and
``SPLIT-KEY-columns.npy``, ``-targets.npy`` and, with a teacher, ``-tags.npy``. The key is a hash of
its inputs (see `model.corpus.cache`): a store of other recordings or another version is not opened.
A build computes a part for each source and keeps it in ``parts/``, with its own key: an interrupted
build resumes, and another source costs no more than its own part and the synthetic ones.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from airsift.errors import ConfigError
from airsift.files import replacing, write_whole
from model.corpus import cache, takes, teacher
from model.corpus import recordings as corpus
from model.corpus.sources import Kind, Origin, Split
from model.corpus.targets import targets_of
from model.frontend.rolling_cqt import RollingCQT, cqt
from model.spec import N_BINS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.corpus.takes import Take

PARTS = "parts"
SEED = 1
# Libraries that the columns depend on.
LIBRARIES = ("av", "numpy", "scipy", "soxr", "torch", "torchaudio")


class TakeRow(NamedTuple):
    """The columns [start, end) of a take in a store, and its metadata."""

    group: str
    kind: Kind
    start: int
    end: int
    source: str = ""
    origin: Origin = "own"
    category: str = ""
    first_tag: int = 0

    @property
    def balance_key(self) -> str:
        """The unit of source balance: a package, or a group of the user."""
        return self.group if self.origin == "own" else self.source


class Part(NamedTuple):
    """Consecutive takes of a store: the contents of `FeatureStore`."""

    columns: NDArray[np.float16]
    targets: NDArray[np.float16]
    tags: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class FeatureStore:
    """Columns of many takes, concatenated.

    Parameters
    ----------
    columns : np.ndarray [shape=(t, bins), float16]
        Compressed magnitudes.
    targets : np.ndarray [shape=(t, outputs), float16]
        Probability of each output, 0 to 1.
    takes : list of TakeRow
        The takes.
    tags : np.ndarray [shape=(rows, classes), uint8], optional
        The teacher's probabilities, from `model.corpus.teacher.Teacher.tags`; a take has one row
        for each `ROW_COLUMNS` of its columns, from `TakeRow.first_tag` on.
    """

    columns: NDArray[np.float16]
    targets: NDArray[np.float16]
    takes: list[TakeRow]
    tags: NDArray[np.uint8] | None = None


class StoreWriter:
    """Collects the takes of a part."""

    def __init__(self, tagger: teacher.Teacher | None = None) -> None:
        self._tagger = tagger
        self._front_end = RollingCQT()
        self._parts: list[Part] = []
        self._ends = 0, 0
        self.rows: list[TakeRow] = []

    def add(self, take: Take) -> None:
        """Compute the columns, the tags and the targets of a take for speech and music."""
        with torch.inference_mode():
            columns = cqt(torch.from_numpy(take.samples)[None], self._front_end)[0]
        count = min(len(columns), len(take.active))
        tags, names = None, []
        if self._tagger is not None:
            tags, names = self._tagger.tags(take.samples), self._tagger.names
        targets = take.targets
        if targets is None:
            # What a generator makes is known: the teacher takes a crowd for speech.
            asked = None if take.origin == "synthetic" else tags
            targets = targets_of(take.kind, take.active, asked, names, take.category)
        start, first_tag = self._ends
        self._ends = start + count, first_tag + (0 if tags is None else len(tags))
        self.rows.append(
            TakeRow(
                take.group, take.kind, start, start + count, take.source, take.origin,
                take.category, first_tag,
            )
        )  # fmt: skip
        no_tags = np.zeros((0, teacher.CLASSES_COUNT), np.uint8)
        self._parts.append(
            Part(
                columns[:count].numpy().astype(np.float16),
                targets[:count].astype(np.float16),
                no_tags if tags is None else tags,
            )
        )

    def part(self) -> Part:
        """Return everything, concatenated."""
        if not self._parts:
            empty = np.zeros((0, N_BINS), np.float16)
            return Part(empty, np.zeros((0, 2), np.float16), np.zeros((0, 0), np.uint8))
        return Part(*(np.concatenate(each) for each in zip(*self._parts, strict=True)))


def key_of(folder: Path, split: Split, seed: int = SEED, *, teacher_sha256: str = "") -> str:
    """Return the key of the store that a build would compute from a corpus."""
    return cache.key_of(
        corpus.key_of(takes.known_kinds(folder, split)), seed, teacher_sha256,
        cache.code_version("model.corpus.feature_store"), cache.libraries(*LIBRARIES),
    )  # fmt: skip


def build_store(
    folder: Path,
    split: Split,
    *,
    seed: int = SEED,
    workers: int = 1,
    teacher_folder: Path | None = None,
) -> tuple[int, int, bool]:
    """Compute and store the columns of a split, unless the store is up to date.

    Parameters
    ----------
    folder : Path
        The corpus.
    split : Split
        The split.
    seed : int
        The same seed gives the same store, with any number of workers.
    workers : int > 0
        Processes.
    teacher_folder : Path, optional
        Folder of the teacher's files; without it the store has no tags.

    Returns
    -------
    (int, int, bool)
        Number of takes and columns, and whether the store was up to date.

    Raises
    ------
    ConfigError
        The folder holds no teacher, or another one.
    """
    if teacher_folder is not None:
        teacher.load_teacher(teacher_folder)
    teacher_sha256 = teacher.SHA256 if teacher_folder is not None else ""
    key = key_of(folder, split, seed, teacher_sha256=teacher_sha256)
    if stored_key(folder, split) == key:
        present = open_store(folder, split, key)
        return len(present.takes), len(present.columns), True
    (folder / PARTS).mkdir(exist_ok=True)
    parts = takes.parts(folder, split)
    files = [_part_files(folder, split, each, seed, teacher_sha256) for each in parts]
    wanted = {path for each in files for path in (each.index_file, each.arrays_file)}
    for old in {*(folder / PARTS).glob(f"{split}-*")} - wanted:
        old.unlink()
    compute = partial(_compute_part, folder, seed, teacher_folder)
    # The largest first, so that the workers end together.
    order = sorted(range(len(parts)), key=lambda number: -_size(parts[number]))
    ordered = [parts[i] for i in order], [files[i] for i in order]
    if workers == 1:
        computed = list(map(compute, *ordered))
    else:
        with cache.worker_pool(workers) as pool:
            computed = list(pool.map(compute, *ordered))
    table: list[TakeRow] = []
    start = first_tag = 0
    for rows, columns, tags in (computed[order.index(number)] for number in range(len(parts))):
        table += [
            row._replace(
                start=row.start + start, end=row.end + start, first_tag=row.first_tag + first_tag
            )
            for row in rows
        ]
        start, first_tag = start + columns, first_tag + tags
    write_store(folder, split, map(_load_part, files), table, key, teacher_sha256=teacher_sha256)
    return len(table), start, False


class _PartFiles(NamedTuple):
    """The key of a stored part and its files; the index, which has the key, is written last."""

    key: str
    index_file: Path
    arrays_file: Path


def _part_files(
    folder: Path, split: Split, part: takes.TakePart, seed: int, teacher_sha256: str
) -> _PartFiles:
    key = cache.key_of(
        part.contents, corpus.key_of(part.recordings), list(part.scenes), seed, teacher_sha256,
        cache.code_version("model.corpus.feature_store"), cache.libraries(*LIBRARIES),
    )  # fmt: skip
    # Not by `with_suffix`: names of sources have dots.
    name = f"{split}-{part.name}-{key[:16]}"
    return _PartFiles(key, folder / PARTS / f"{name}.json", folder / PARTS / f"{name}.npz")


def _size(part: takes.TakePart) -> int:
    return sum(each.end - each.start for each in part.recordings)


def write_store(
    folder: Path,
    name: str,
    parts: Iterable[Part],
    table: Sequence[TakeRow],
    key: str,
    *,
    teacher_sha256: str = "",
) -> None:
    """Write a store; an incomplete one cannot be opened.

    Parameters
    ----------
    folder : Path
        Its folder.
    name : str
        Its split.
    parts : iterable of Part
        Its contents.
    table : sequence of TakeRow
        Its takes.
    key : str
        Hash of its inputs.
    teacher_sha256 : str
        SHA-256 of the teacher, if the parts have tags.

    Raises
    ------
    ConfigError
        The files cannot be written.
    """
    (folder / f"{name}.json").unlink(missing_ok=True)
    for content in CONTENTS:
        for old in folder.glob(f"{name}-*-{content}.npy"):
            old.unlink()
    targets, tags = [], []
    shape = (table[-1].end if table else 0, N_BINS)
    with replacing(_file(folder, name, key, "columns")) as whole, whole.open("wb") as out:
        # Not by a memory map: on a full disk, a write to a map kills the process.
        header = {"descr": "<f2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(out, header)
        for part in parts:
            out.write(part.columns.tobytes())
            if len(part.columns):
                targets.append(part.targets)
                tags.append(part.tags)
    joined = {"targets": np.concatenate(targets) if targets else np.zeros((0, 2), np.float16)}
    if teacher_sha256:
        joined["tags"] = np.concatenate(tags)
    for content, array in joined.items():
        with replacing(_file(folder, name, key, content)) as whole, whole.open("wb") as out:
            np.save(out, array)
    index = {"key": key, "teacher": teacher_sha256, "takes": table}
    text = json.dumps(index, indent=0, ensure_ascii=False)
    write_whole(folder / f"{name}.json", text.encode())


CONTENTS = ("columns", "targets", "tags")


def _file(folder: Path, name: str, key: str, content: str) -> Path:
    return folder / f"{name}-{key[:16]}-{content}.npy"


def _load_part(files: _PartFiles) -> Part:
    with np.load(files.arrays_file) as stored:
        return Part(*(stored[name] for name in Part._fields))


def _compute_part(
    folder: Path, seed: int, teacher_folder: Path | None, part: takes.TakePart, files: _PartFiles
) -> tuple[list[TakeRow], int, int]:
    """Store a part, unless it is there; return its takes and its numbers of columns and tags."""
    torch.set_num_threads(1)
    index = _read_index(files.index_file)
    if index.get("key") != files.key:
        tagger = None if teacher_folder is None else teacher.load_teacher(teacher_folder)
        writer = StoreWriter(tagger)
        for take in takes.takes_of_part(folder, part, seed):
            writer.add(take)
        contents = writer.part()
        with replacing(files.arrays_file) as whole, whole.open("wb") as out:
            np.savez(out, **contents._asdict())
        index = {
            "key": files.key,
            "takes": writer.rows,
            "columns": len(contents.columns),
            "tags": len(contents.tags),
        }
        write_whole(files.index_file, json.dumps(index).encode())
    return [TakeRow(*row) for row in index["takes"]], index["columns"], index["tags"]


def stored_key(folder: Path, name: str) -> str:
    """Return the key of a store, or an empty string if there is none."""
    return str(_read_index(folder / f"{name}.json").get("key", ""))


def _read_index(file: Path) -> dict[str, Any]:
    """Read the index of a store or a part; a missing or damaged one is empty."""
    try:
        read = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def open_store(folder: Path, name: str, key: str) -> FeatureStore:
    """Open a store.

    Parameters
    ----------
    folder : Path
        Its folder.
    name : str
        Its split.
    key : str
        The expected key.

    Raises
    ------
    ConfigError
        There is no store, or its key differs.
    """
    stored = stored_key(folder, name)
    if stored != key:
        why = "are of other recordings or of another version" if stored else "are missing"
        raise ConfigError(
            f"{folder}: the columns of the split {name} {why}: run `airsift corpus build` "
            "with the same options; it computes only the changes"
        )
    try:
        index = json.loads((folder / f"{name}.json").read_bytes())
        rows = [TakeRow(*row) for row in index["takes"]]
        columns: Any = np.load(_file(folder, name, key, "columns"), mmap_mode="r")
        targets = np.load(_file(folder, name, key, "targets"))
        tags = np.load(_file(folder, name, key, "tags")) if index["teacher"] else None
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise ConfigError(
            f"{folder}: the columns of the split {name} are damaged ({error}): remove "
            f"{name}.json and run `airsift corpus build` again"
        ) from error
    return FeatureStore(columns, targets, rows, tags)


def open_training_store(folder: Path) -> FeatureStore:
    """Open the training columns of a corpus, if they are up to date; see `open_store`."""
    return open_store(folder, "train", training_key(folder))


def training_key(folder: Path) -> str:
    """Return the key of up-to-date training columns, with the teacher of the stored ones."""
    stored = _read_index(folder / "train.json")
    return key_of(folder, "train", teacher_sha256=str(stored.get("teacher", "")))
