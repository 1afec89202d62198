"""The feature store: columns of augmented and synthetic takes, for the training windows.

A take is about 40 s of one group (a voice, track or game), concatenated from clips (see
`model.corpus.concatenate`), with a normalised level.

A store has three files: ``SPLIT.json`` with its key and its takes, which is written last, and
``SPLIT-KEY-columns.npy`` and ``SPLIT-KEY-active.npy``. The key is a hash of its inputs (see
`model.corpus.cache`): a store of other recordings or another version is not opened.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from airsift.errors import ConfigError
from airsift.files import replacing, write_whole
from model.corpus import augment, cache, concatenate, synthetic_events, synthetic_noise
from model.corpus import recordings as corpus
from model.corpus.concatenate import TAKE_SECONDS
from model.corpus.sources import KINDS, Kind, Origin, Split
from model.corpus.splits import assign_splits, load_splits
from model.frontend.rolling_cqt import RollingCQT, cqt
from model.spec import HOP, N_BINS
from model.spec import SAMPLE_RATE as RATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.corpus.recordings import Recording

# Numbers of synthetic takes.
NOISE_TAKES = 66
EVENT_TAKES = 132
CONVERSATION_TAKES = 90
CROWD_TAKES = 20
# Small classes are repeated, with new concatenations and augmentations.
REPEATS: dict[Kind, int] = {"speech": 1, "music": 1, "singing": 5, "noise": 4}
# Of one group and repeat.
MAX_SECONDS: dict[Kind, int] = {"speech": 1200, "music": 150, "singing": 2400, "noise": 1500}
# Independent of the number of processes, so that the result is too.
PARTS = 8
SEED = 1
# Groups of many voices may have more audio.
CAST_FACTOR = 3
# Libraries that the columns depend on.
LIBRARIES = ("av", "numpy", "scipy", "soxr", "torch")


@dataclass(frozen=True, slots=True)
class Take:
    """Samples of one group, and where its class is active.

    Parameters
    ----------
    group : str
        Voice, track, artist or game.
    kind : Kind
        Its class.
    samples : np.ndarray [shape=(n,), float32]
        Mono at `SAMPLE_RATE`, RMS near `concatenate.TAKE_LEVEL`.
    active : np.ndarray [shape=(n // HOP,), bool]
        For each column, whether the class is active.
    source : str
        Source of the recordings, or name of the generator.
    origin : Origin
        As in `model.corpus.sources.Item`, or 'synthetic'.
    category : str
        As in `model.corpus.sources.Item`.
    """

    group: str
    kind: Kind
    samples: NDArray[np.float32]
    active: NDArray[np.bool_]
    source: str = ""
    origin: Origin = "own"
    category: str = ""


class TakeRow(NamedTuple):
    """The columns [start, end) of a take in a store, and its metadata."""

    group: str
    kind: Kind
    start: int
    end: int
    source: str = ""
    origin: Origin = "own"
    category: str = ""

    @property
    def balance_key(self) -> str:
        """The unit of source balance: a package, or a group of the user."""
        return self.group if self.origin == "own" else self.source


@dataclass(frozen=True, slots=True)
class FeatureStore:
    """Columns of many takes, concatenated.

    Parameters
    ----------
    columns : np.ndarray [shape=(t, bins), float16]
        Compressed magnitudes.
    active : np.ndarray [shape=(t,), bool]
        Whether the class is active.
    takes : list of TakeRow
        The takes.
    """

    columns: NDArray[np.float16]
    active: NDArray[np.bool_]
    takes: list[TakeRow]


def split_recordings(folder: Path, split: Split) -> list[Recording]:
    """List a split's recordings of a corpus; see `select_split`."""
    return select_split(corpus.read_index(folder), split)


def select_split(recordings: Sequence[Recording], split: Split) -> list[Recording]:
    """Select the recordings of a split; no group and no recording is in two splits.

    Parameters
    ----------
    recordings : sequence of Recording
        Of the whole corpus.
    split : Split
        The split.
    """
    where = assign_splits(recordings, load_splits())
    # Several packages ship the same sound effect or prompt: a copy in a held-out split wins.
    order: dict[Split, int] = {"train": 0, "validation": 1, "test": 2}
    strictest: dict[str, Split] = {}
    for each in recordings:
        if order[where[each.group]] >= order[strictest.get(each.digest, "train")]:
            strictest[each.digest] = where[each.group]
    return [
        each
        for each in recordings
        if where[each.group] == split and strictest[each.digest] == split
    ]


def takes(
    folder: Path, recordings: Sequence[Recording], seed: int, *, augmented: bool
) -> Iterator[Take]:
    """Concatenate the recordings of each group, of one source and category, to takes.

    Parameters
    ----------
    folder : Path
        The corpus.
    recordings : sequence of Recording
        Of one split.
    seed : int
        The same seed gives the same takes.
    augmented : bool
        Whether to augment and repeat the takes, some of them with long pauses.
    """
    groups: dict[tuple[str, Kind, str, str], list[Recording]] = {}
    for each in recordings:
        groups.setdefault((each.group, each.kind, each.source, each.category), []).append(each)
    for (group, kind, source, category), members in sorted(groups.items(), key=lambda e: e[0]):
        factor = CAST_FACTOR if any(each.cast for each in members) else 1
        origin = members[0].origin
        for repeat in range(REPEATS.get(kind, 1) if augmented else 1):
            random = np.random.default_rng([seed, repeat, zlib.crc32(group.encode())])
            left = float(MAX_SECONDS.get(kind, 1200) * factor)
            order = random.permutation(len(members)) if kind in ("speech", "noise") else None
            drawn = members if order is None else [members[i] for i in order]
            for samples, active in concatenate.concatenate_clips(
                folder, drawn, kind, random, sparse=augmented
            ):
                if left <= 0:
                    break
                left -= len(samples) / RATE
                if augmented:
                    samples = augment.random_augmentation(samples, random)
                yield Take(group, kind, samples, active, source, origin, category)


def synthetic_takes(folder: Path, recordings: Sequence[Recording], seed: int) -> Iterator[Take]:
    """Yield synthetic takes: noises, events, conversations and crowds.

    Parameters
    ----------
    folder : Path
        The corpus.
    recordings : sequence of Recording
        Of one split, from which voices are drawn.
    seed : int
        The same seed gives the same takes.
    """
    everywhere = np.ones(TAKE_SECONDS * RATE // HOP, np.bool_)
    for kinds, count in (
        (synthetic_noise.NOISES, NOISE_TAKES),
        (synthetic_events.EVENTS, EVENT_TAKES),
    ):
        for number in range(count):
            name, samples = synthetic_noise.make_noise(TAKE_SECONDS * RATE, number, kinds)
            samples = augment.random_augmentation(samples, np.random.default_rng([seed, number]))
            source = f"synthetic-{name}"
            yield Take(f"{source}:{number}", "noise", samples, everywhere, source, "synthetic")
    voices: dict[str, list[Recording]] = {}
    for each in recordings:
        if each.kind == "speech" and each.end - each.start > RATE // 2:
            voices.setdefault(each.group, []).append(each)
    if not voices:
        return
    draw = partial(_clips, folder, [voices[group] for group in sorted(voices)])
    for number in range(CONVERSATION_TAKES):
        random = np.random.default_rng([seed, 1, number])
        clips = draw(int(random.integers(1, 5)), 40, random)
        if not clips:
            continue
        samples, active = concatenate.conversation(clips, random)
        samples = augment.random_augmentation(samples, random)
        source = "synthetic-conversation"
        yield Take(f"{source}:{number}", "speech", samples, active, source, "synthetic")
    for number in range(CROWD_TAKES):
        random = np.random.default_rng([seed, 2, number])
        clips = draw(int(random.integers(12, 40)), 40, random)
        if clips:
            samples, source = concatenate.crowd(clips, random), "synthetic-crowd"
            yield Take(f"{source}:{number}", "noise", samples, everywhere, source, "synthetic")


def key_of(folder: Path, split: Split, seed: int = SEED) -> str:
    """Return the key of the store that a build would compute from a corpus."""
    counts = [
        NOISE_TAKES,
        EVENT_TAKES,
        CONVERSATION_TAKES,
        CROWD_TAKES,
        REPEATS,
        MAX_SECONDS,
        CAST_FACTOR,
        PARTS,
    ]
    return cache.key_of(
        corpus.key_of(_known_kinds(folder, split)), seed, counts,
        cache.code_version("model.corpus.feature_store"), cache.libraries(*LIBRARIES),
    )  # fmt: skip


def build_store(
    folder: Path, split: Split, *, seed: int = SEED, workers: int = 1
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

    Returns
    -------
    (int, int, bool)
        Number of takes and columns, and whether the store was up to date.
    """
    key = key_of(folder, split, seed)
    if stored_key(folder, split) == key:
        present = open_store(folder, split, key)
        return len(present.takes), len(present.columns), True
    compute = partial(_part, folder, split, seed)
    if workers == 1:
        made = [compute(number) for number in range(PARTS)]
    else:
        with cache.worker_pool(workers) as pool:
            made = list(pool.map(compute, range(PARTS)))
    sizes = [rows[-1].end if rows else 0 for rows in made]
    parts = [folder / f"{split}-part-{number}.npz" for number in range(PARTS)]
    table = [
        row._replace(start=row.start + sum(sizes[:number]), end=row.end + sum(sizes[:number]))
        for number, rows in enumerate(made)
        for row in rows
    ]
    write_store(folder, split, _stored(parts), table, key)
    for part in parts:
        part.unlink()
    return len(table), sum(sizes), False


def write_store(
    folder: Path,
    name: str,
    parts: Iterable[tuple[NDArray[np.float16], NDArray[np.bool_]]],
    table: Sequence[TakeRow],
    key: str,
) -> None:
    """Write a store; an incomplete one cannot be opened.

    Parameters
    ----------
    folder : Path
        Its folder.
    name : str
        Its split.
    parts : iterable of (columns, active)
        The contents of `FeatureStore`, in parts.
    table : sequence of TakeRow
        Its takes.
    key : str
        Hash of its inputs.

    Raises
    ------
    ConfigError
        The files cannot be written.
    """
    index = folder / f"{name}.json"
    index.unlink(missing_ok=True)
    for old in (*folder.glob(f"{name}-*-columns.npy"), *folder.glob(f"{name}-*-active.npy")):
        old.unlink()
    activity: list[NDArray[np.bool_]] = []
    shape = (table[-1].end if table else 0, N_BINS)
    with replacing(_columns(folder, name, key)) as whole, whole.open("wb") as out:
        # Not by a memory map: on a full disk, a write to a map kills the process.
        header = {"descr": "<f2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(out, header)
        for columns, active in parts:
            out.write(columns.tobytes())
            activity.append(active)
    with replacing(_active(folder, name, key)) as whole, whole.open("wb") as out:
        np.save(out, np.concatenate(activity) if activity else np.zeros(0, np.bool_))
    text = json.dumps({"key": key, "takes": table}, indent=0, ensure_ascii=False)
    write_whole(index, text.encode())


def _columns(folder: Path, name: str, key: str) -> Path:
    return folder / f"{name}-{key[:16]}-columns.npy"


def _active(folder: Path, name: str, key: str) -> Path:
    return folder / f"{name}-{key[:16]}-active.npy"


def _known_kinds(folder: Path, split: Split) -> list[Recording]:
    """List the recordings of a split, without classes of the user, which train separately."""
    return [each for each in split_recordings(folder, split) if each.kind in KINDS]


def _stored(parts: Iterable[Path]) -> Iterator[tuple[NDArray[np.float16], NDArray[np.bool_]]]:
    for part in parts:
        with np.load(part) as stored:
            yield stored["columns"], stored["active"]


def _part(folder: Path, split: Split, seed: int, number: int) -> list[TakeRow]:
    """Store the columns of one part and return its takes; part 0 is synthetic."""
    torch.set_num_threads(1)
    front_end = RollingCQT()
    recordings = _known_kinds(folder, split)
    if number == 0:
        found = synthetic_takes(folder, recordings, seed)
    else:
        mine = set(sorted({each.group for each in recordings})[number - 1 :: PARTS - 1])
        found = takes(folder, [e for e in recordings if e.group in mine], seed, augmented=True)
    parts: list[NDArray[np.float16]] = []
    activity: list[NDArray[np.bool_]] = []
    table: list[TakeRow] = []
    end = 0
    with torch.inference_mode():
        for take in found:
            values = cqt(torch.from_numpy(take.samples)[None], front_end)[0]
            count = min(len(values), len(take.active))
            parts.append(values[:count].numpy().astype(np.float16))
            activity.append(take.active[:count])
            table.append(row_of(take, end, end + count))
            end += count
    columns = np.concatenate(parts) if parts else np.zeros((0, front_end.n_bins), np.float16)
    active = np.concatenate(activity) if activity else np.zeros(0, np.bool_)
    with replacing(folder / f"{split}-part-{number}.npz") as whole, whole.open("wb") as out:
        np.savez(out, columns=columns, active=active)
    return table


def _clips(
    folder: Path,
    voices: Sequence[Sequence[Recording]],
    count: int,
    seconds: int,
    random: np.random.Generator,
) -> list[NDArray[np.float32]]:
    """Draw voices, and clips of them in random order up to a duration."""
    drawn = [voices[i] for i in random.integers(0, len(voices), count)]
    clips: list[NDArray[np.float32]] = []
    # Silent clips count as a second, so that the loop ends.
    left = float(max(seconds, count))
    while left > 0:
        # Each voice once, then at random.
        voice = drawn[len(clips) if len(clips) < count else int(random.integers(count))]
        each = voice[int(random.integers(len(voice)))]
        stored = corpus.samples_of(folder, each)[: 12 * RATE]
        clip, _ = concatenate.normalise(stored.astype(np.float32) / 32768.0, "speech")
        left -= max(1.0, len(clip) / RATE)
        if len(clip):
            clips.append(clip)
    return clips


def row_of(take: Take, start: int, end: int) -> TakeRow:
    """Return the row of a take with columns [start, end)."""
    return TakeRow(
        take.group, take.kind, start, end, take.source, take.origin, take.category
    )  # fmt: skip


def stored_key(folder: Path, name: str) -> str:
    """Return the key of a store, or an empty string if there is none."""
    try:
        return str(json.loads((folder / f"{name}.json").read_bytes())["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


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
    found = stored_key(folder, name)
    if found != key:
        why = "are of other recordings or of another version" if found else "are missing"
        raise ConfigError(
            f"{folder}: the columns of the split {name} {why}: run `airsift corpus build` "
            "with the same options; it computes only the changes"
        )
    try:
        rows = json.loads((folder / f"{name}.json").read_bytes())["takes"]
        columns: Any = np.load(_columns(folder, name, key), mmap_mode="r")
        active = np.load(_active(folder, name, key))
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(
            f"{folder}: the columns of the split {name} are damaged ({error}): remove "
            f"{name}.json and run `airsift corpus build` again"
        ) from error
    return FeatureStore(columns, active, [TakeRow(*row) for row in rows])


def open_training_store(folder: Path) -> FeatureStore:
    """Open the training columns of a corpus, if they are up to date; see `open_store`."""
    return open_store(folder, "train", key_of(folder, "train"))
