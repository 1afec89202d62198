"""Columns of the corpus, ready to be mixed: streams of one voice, track or game at a time.

Speech files last seconds, so streams are joined from clips (see `model.corpus.concatenate`). Level
is the same everywhere here; training draws it anew for each window.

A bank is three files: ``SPLIT.json`` with its key and its streams, which is written last and names
the other two, ``SPLIT-KEY-columns.npy`` and ``SPLIT-KEY-active.npy``. The key says what it was made
of (see `model.corpus.cache`): a bank of other recordings or another version is not opened.
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
from model.corpus.processes import pool as workers_pool
from model.corpus.sources import KINDS, Kind, Origin, Split, load_splits, placed
from model.frontend.rolling_cqt import RollingCQT, cqt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.corpus.recordings import Recording

RATE = concatenate.RATE
HOP = concatenate.HOP
STREAM_SECONDS = concatenate.STREAM_SECONDS
# Streams made rather than recorded.
MADE_NOISES = 66
HAPPENINGS = 132
CONVERSATIONS = 90
CROWDS = 20
# Small classes pass several times, each time joined and treated anew.
PASSES: dict[Kind, int] = {"speech": 1, "music": 1, "singing": 5, "noise": 4}
MOST_SECONDS: dict[Kind, int] = {"speech": 1200, "music": 150, "singing": 2400, "noise": 1500}
# A bank is computed in so many parts, by as many processes as there are; which part a group
# is in does not depend on their number.
PARTS = 8
SEED = 1
# A group of many voices may give so many times as much as one voice.
CAST = 3
# Libraries whose work is in the columns.
LIBRARIES = ("av", "numpy", "scipy", "soxr", "torch")


@dataclass(frozen=True, slots=True)
class Stream:
    """Samples of one group and where its class is heard.

    Parameters
    ----------
    group : str
        Voice, track, artist or game.
    kind : Kind
        Its class.
    samples : np.ndarray [shape=(n,), float32]
        Mono, 16 kHz, RMS near `joining.STREAM_LEVEL`.
    active : np.ndarray [shape=(n // HOP,), bool]
        For each column, whether the class is heard.
    source : str
        Where its recordings come from; the formula or the recipe of what was made.
    origin : Origin
        As in `model.corpus.sources.Item`, or 'made'.
    """

    group: str
    kind: Kind
    samples: NDArray[np.float32]
    active: NDArray[np.bool_]
    source: str = ""
    origin: Origin = "own"


class Row(NamedTuple):
    """Where a stream's columns lie in a bank, half-open, and what is known of the stream."""

    group: str
    kind: Kind
    start: int
    end: int
    source: str = ""
    origin: Origin = "own"

    @property
    def share(self) -> str:
        """What counts as one where sources are balanced: a package, or a group of a user's."""
        return self.group if self.origin == "own" else self.source


@dataclass(frozen=True, slots=True)
class Bank:
    """Columns of many streams, end to end.

    Parameters
    ----------
    columns : np.ndarray [shape=(t, bins), float16]
        Compressed magnitudes.
    active : np.ndarray [shape=(t,), bool]
        Whether the class is heard.
    streams : list of Row
        Where each stream's columns lie.
    """

    columns: NDArray[np.float16]
    active: NDArray[np.bool_]
    streams: list[Row]


def checked_recordings(folder: Path, split: Split) -> list[Recording]:
    """List a split's recordings of a corpus; see `chosen`."""
    return chosen(corpus.read_index(folder), split)


def chosen(recordings: Sequence[Recording], split: Split) -> list[Recording]:
    """Return the recordings of a split; no group and no recording is in two.

    Parameters
    ----------
    recordings : sequence of Recording
        All that there are.
    split : Split
        Whose.
    """
    where = placed(((each.group, each.origin) for each in recordings), load_splits())
    # The same sound effect or prompt ships in several packages: it counts where it is held out.
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


def streams(
    folder: Path, recordings: Sequence[Recording], seed: int, *, treated: bool
) -> Iterator[Stream]:
    """Join recordings of each group into streams.

    Parameters
    ----------
    folder : Path
        The corpus.
    recordings : sequence of Recording
        Of one split.
    seed : int
        The same seed gives the same streams.
    treated : bool
        Whether to add rooms, codecs and the like, several passes and long pauses.
    """
    groups: dict[tuple[str, Kind], list[Recording]] = {}
    for each in recordings:
        groups.setdefault((each.group, each.kind), []).append(each)
    for (group, kind), members in sorted(groups.items(), key=lambda each: each[0]):
        times = CAST if any(each.cast for each in members) else 1
        source, origin = members[0].source, members[0].origin
        for turn in range(PASSES.get(kind, 1) if treated else 1):
            random = np.random.default_rng([seed, turn, zlib.crc32(group.encode())])
            left = float(MOST_SECONDS.get(kind, 1200) * times)
            order = random.permutation(len(members)) if kind in ("speech", "noise") else None
            drawn = members if order is None else [members[i] for i in order]
            for samples, active in concatenate.joined(folder, drawn, kind, random, sparse=treated):
                if left <= 0:
                    break
                left -= len(samples) / RATE
                heard = augment.some_treatment(samples, random) if treated else samples
                yield Stream(group, kind, heard, active, source, origin)


def made_streams(folder: Path, recordings: Sequence[Recording], seed: int) -> Iterator[Stream]:
    """Yield what is made rather than recorded: noises, conversations and crowds.

    Parameters
    ----------
    folder : Path
        The corpus.
    recordings : sequence of Recording
        Of one split; the voices are drawn from them.
    seed : int
        The same seed gives the same streams.
    """
    everywhere = np.ones(STREAM_SECONDS * RATE // HOP, np.bool_)
    for kinds, count in (
        (synthetic_noise.NOISES, MADE_NOISES),
        (synthetic_events.HAPPENINGS, HAPPENINGS),
    ):
        for number in range(count):
            name, samples = synthetic_noise.made_noise(STREAM_SECONDS * RATE, number, kinds)
            heard = augment.some_treatment(samples, np.random.default_rng([seed, number]))
            made = f"made-{name}"
            yield Stream(f"{made}:{number}", "noise", heard, everywhere, made, "made")
    voices: dict[str, list[Recording]] = {}
    for each in recordings:
        if each.kind == "speech" and each.end - each.start > RATE // 2:
            voices.setdefault(each.group, []).append(each)
    if not voices:
        return
    draw = partial(_clips, folder, [voices[group] for group in sorted(voices)])
    for number in range(CONVERSATIONS):
        random = np.random.default_rng([seed, 1, number])
        clips = draw(int(random.integers(1, 5)), 40, random)
        if not clips:
            continue
        samples, active = concatenate.conversation(clips, random)
        heard = augment.some_treatment(samples, random)
        name = "conversation"
        yield Stream(f"{name}:{number}", "speech", heard, active, name, "made")
    for number in range(CROWDS):
        random = np.random.default_rng([seed, 2, number])
        clips = draw(int(random.integers(12, 40)), 40, random)
        if clips:
            samples, name = concatenate.crowd(clips, random), "made-crowd"
            yield Stream(f"{name}:{number}", "noise", samples, everywhere, name, "made")


def key_of(folder: Path, split: Split, seed: int = SEED) -> str:
    """Return the key of the bank that would be built of a corpus now."""
    counts = [MADE_NOISES, HAPPENINGS, CONVERSATIONS, CROWDS, PASSES, MOST_SECONDS, CAST, PARTS]
    return cache.key_of(
        corpus.key_of(_known_kinds(folder, split)), seed, counts,
        cache.code_version("model.corpus.feature_store"), cache.libraries(*LIBRARIES),
    )  # fmt: skip


def build_bank(
    folder: Path, split: Split, *, seed: int = SEED, workers: int = 1
) -> tuple[int, int, bool]:
    """Compute and store the columns of a split, unless those that are there are the same.

    Parameters
    ----------
    folder : Path
        The corpus.
    split : Split
        Whose recordings.
    seed : int
        The same seed gives the same bank, with any number of workers.
    workers : int > 0
        Processes.

    Returns
    -------
    (int, int, bool)
        Streams and columns stored, and whether they were there.
    """
    key = key_of(folder, split, seed)
    if stored_key(folder, split) == key:
        present = open_bank(folder, split, key)
        return len(present.streams), len(present.columns), True
    compute = partial(_part, folder, split, seed)
    if workers == 1:
        made = [compute(number) for number in range(PARTS)]
    else:
        with workers_pool(workers) as pool:
            made = list(pool.map(compute, range(PARTS)))
    sizes = [rows[-1].end if rows else 0 for rows in made]
    parts = [folder / f"{split}-part-{number}.npz" for number in range(PARTS)]
    table = [
        row._replace(start=row.start + sum(sizes[:number]), end=row.end + sum(sizes[:number]))
        for number, rows in enumerate(made)
        for row in rows
    ]
    store_bank(folder, split, _stored(parts), table, key)
    for part in parts:
        part.unlink()
    return len(table), sum(sizes), False


def store_bank(
    folder: Path,
    name: str,
    parts: Iterable[tuple[NDArray[np.float16], NDArray[np.bool_]]],
    table: Sequence[Row],
    key: str,
) -> None:
    """Write a bank so that it is whole or cannot be opened.

    Parameters
    ----------
    folder : Path
        Where to.
    name : str
        Its split.
    parts : iterable of (columns, active)
        End to end what `Bank` holds.
    table : sequence of Row
        Its streams.
    key : str
        What it was made of.

    Raises
    ------
    ConfigError
        The disk is full, or may not be written to.
    """
    index = folder / f"{name}.json"
    index.unlink(missing_ok=True)
    for old in (*folder.glob(f"{name}-*-columns.npy"), *folder.glob(f"{name}-*-active.npy")):
        old.unlink()
    heard: list[NDArray[np.bool_]] = []
    shape = (table[-1].end if table else 0, RollingCQT().n_bins)
    with replacing(_columns(folder, name, key)) as whole, whole.open("wb") as out:
        # Not as a map of memory: where the disk is full, writing to that kills the process.
        header = {"descr": "<f2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(out, header)
        for columns, active in parts:
            out.write(columns.tobytes())
            heard.append(active)
    with replacing(_active(folder, name, key)) as whole, whole.open("wb") as out:
        np.save(out, np.concatenate(heard) if heard else np.zeros(0, np.bool_))
    text = json.dumps({"key": key, "streams": table}, indent=0, ensure_ascii=False)
    write_whole(index, text.encode())


def _columns(folder: Path, name: str, key: str) -> Path:
    return folder / f"{name}-{key[:16]}-columns.npy"


def _active(folder: Path, name: str, key: str) -> Path:
    return folder / f"{name}-{key[:16]}-active.npy"


def _known_kinds(folder: Path, split: Split) -> list[Recording]:
    """List a split's recordings, but for classes of a user's own: these have their own training."""
    return [each for each in checked_recordings(folder, split) if each.kind in KINDS]


def _stored(parts: Iterable[Path]) -> Iterator[tuple[NDArray[np.float16], NDArray[np.bool_]]]:
    for part in parts:
        with np.load(part) as stored:
            yield stored["columns"], stored["active"]


def _part(folder: Path, split: Split, seed: int, number: int) -> list[Row]:
    """Store the columns of one part and list its streams; the first part is what is made."""
    torch.set_num_threads(1)
    front_end = RollingCQT()
    recordings = _known_kinds(folder, split)
    if number == 0:
        found = made_streams(folder, recordings, seed)
    else:
        mine = set(sorted({each.group for each in recordings})[number - 1 :: PARTS - 1])
        found = streams(folder, [e for e in recordings if e.group in mine], seed, treated=True)
    parts: list[NDArray[np.float16]] = []
    heard: list[NDArray[np.bool_]] = []
    table: list[Row] = []
    end = 0
    with torch.inference_mode():
        for stream in found:
            values = cqt(torch.from_numpy(stream.samples)[None], front_end)[0]
            count = min(len(values), len(stream.active))
            parts.append(values[:count].numpy().astype(np.float16))
            heard.append(stream.active[:count])
            table.append(row_of(stream, end, end + count))
            end += count
    columns = np.concatenate(parts) if parts else np.zeros((0, front_end.n_bins), np.float16)
    active = np.concatenate(heard) if heard else np.zeros(0, np.bool_)
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
    """Draw voices, and clips of them in a random order until they last long enough."""
    drawn = [voices[i] for i in random.integers(0, len(voices), count)]
    clips: list[NDArray[np.float32]] = []
    # A clip that is all silence counts as a second, so that this ends.
    left = float(max(seconds, count))
    while left > 0:
        # Everybody once, then anybody.
        turn = drawn[len(clips) if len(clips) < count else int(random.integers(count))]
        each = turn[int(random.integers(len(turn)))]
        stored = corpus.samples_of(folder, each)[: 12 * RATE]
        clip, _ = concatenate.levelled(stored.astype(np.float32) / 32768.0, "speech")
        left -= max(1.0, len(clip) / RATE)
        if len(clip):
            clips.append(clip)
    return clips


def row_of(stream: Stream, start: int, end: int) -> Row:
    """Return the row of a stream whose columns lie at some place of a bank."""
    return Row(stream.group, stream.kind, start, end, stream.source, stream.origin)


def stored_key(folder: Path, name: str) -> str:
    """Return the key of a stored bank; empty where there is none."""
    try:
        return str(json.loads((folder / f"{name}.json").read_bytes())["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def open_bank(folder: Path, name: str, key: str) -> Bank:
    """Open a stored bank.

    Parameters
    ----------
    folder : Path
        Where it is.
    name : str
        Its split.
    key : str
        What it must have been made of.

    Raises
    ------
    ConfigError
        It was not built, or it is of something else.
    """
    found = stored_key(folder, name)
    if found != key:
        why = "are of other recordings or of another version" if found else "are not there"
        raise ConfigError(
            f"{folder}: the columns of the split {name} {why}: run `airsift corpus build` as "
            "before, which computes what has changed"
        )
    try:
        rows = json.loads((folder / f"{name}.json").read_bytes())["streams"]
        columns: Any = np.load(_columns(folder, name, key), mmap_mode="r")
        active = np.load(_active(folder, name, key))
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(
            f"{folder}: the columns of the split {name} are damaged ({error}): remove "
            f"{name}.json and run `airsift corpus build` again"
        ) from error
    return Bank(columns, active, [Row(*row) for row in rows])


def open_train(folder: Path) -> Bank:
    """Open the training columns of a corpus, if they are of what is in it now; see `open_bank`."""
    return open_bank(folder, "train", key_of(folder, "train"))
