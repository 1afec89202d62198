"""Columns of the corpus, ready to be mixed: streams of one voice, track or game at a time.

Speech files last seconds, so streams are joined from clips (see `model.joining`). Level is the
same everywhere here; training draws it anew for each window.
"""

from __future__ import annotations

import csv
import io
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from airsift.errors import ConfigError
from model import corpus, happenings, joining, noises, treatments
from model.files import replacing, write_whole
from model.frontend import RollingCQT, cqt
from model.recipe import KINDS, Kind, Split, load_splits, refuse_overlap, split_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.corpus import Recording

RATE = joining.RATE
HOP = joining.HOP
STREAM_SECONDS = joining.STREAM_SECONDS
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
    """

    group: str
    kind: Kind
    samples: NDArray[np.float32]
    active: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Bank:
    """Columns of many streams, end to end.

    Parameters
    ----------
    columns : np.ndarray [shape=(t, bins), float16]
        Compressed magnitudes.
    active : np.ndarray [shape=(t,), bool]
        Whether the class is heard.
    streams : list of (group, kind, start, end)
        Where each stream's columns lie.
    """

    columns: NDArray[np.float16]
    active: NDArray[np.bool_]
    streams: list[tuple[str, Kind, int, int]]


def checked_recordings(folder: Path, split: Split) -> list[Recording]:
    """List a split's recordings, after checking that the splits are independent."""
    table = load_splits()
    recordings = corpus.read_index(folder)
    placed = [(each, split_of(each.group, table)) for each in recordings]
    refuse_overlap((each.group, "", where) for each, where in placed)
    # The same sound effect or prompt ships in several packages: it counts where it is held out.
    order: dict[Split, int] = {"train": 0, "validation": 1, "test": 2}
    strictest: dict[str, Split] = {}
    for each, where in placed:
        if order[where] >= order[strictest.get(each.digest, "train")]:
            strictest[each.digest] = where
    return [each for each, where in placed if where == split and strictest[each.digest] == where]


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
    for (group, kind), members in sorted(groups.items()):
        for turn in range(PASSES.get(kind, 1) if treated else 1):
            random = np.random.default_rng([seed, turn, zlib.crc32(group.encode())])
            left = float(MOST_SECONDS.get(kind, 1200) * (3 if group.endswith(":cast") else 1))
            order = random.permutation(len(members)) if kind in ("speech", "noise") else None
            chosen = members if order is None else [members[i] for i in order]
            for samples, active in joining.joined(folder, chosen, kind, random, sparse=treated):
                if left <= 0:
                    break
                left -= len(samples) / RATE
                heard = treatments.some_treatment(samples, random) if treated else samples
                yield Stream(group, kind, heard, active)


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
    for kinds, count in ((noises.NOISES, MADE_NOISES), (happenings.HAPPENINGS, HAPPENINGS)):
        for number in range(count):
            name, samples = noises.made_noise(STREAM_SECONDS * RATE, number, kinds)
            heard = treatments.some_treatment(samples, np.random.default_rng([seed, number]))
            yield Stream(f"made-{name}:{number}", "noise", heard, everywhere)
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
        samples, active = joining.conversation(clips, random)
        heard = treatments.some_treatment(samples, random)
        yield Stream(f"conversation:{number}", "speech", heard, active)
    for number in range(CROWDS):
        random = np.random.default_rng([seed, 2, number])
        clips = draw(int(random.integers(12, 40)), 40, random)
        if clips:
            yield Stream(f"made-crowd:{number}", "noise", joining.crowd(clips, random), everywhere)


def build_bank(folder: Path, split: Split, *, seed: int = 1, workers: int = 1) -> tuple[int, int]:
    """Compute and store the columns of a split.

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
    (int, int)
        Streams and columns stored.
    """
    compute = partial(_part, folder, split, seed)
    if workers == 1:
        made = [compute(number) for number in range(PARTS)]
    else:
        with ProcessPoolExecutor(workers) as pool:
            made = list(pool.map(compute, range(PARTS)))
    sizes = [rows[-1][3] if rows else 0 for rows in made]
    parts = [folder / f"{split}-part-{number}.npz" for number in range(PARTS)]
    table = [
        (group, kind, start + sum(sizes[:number]), end + sum(sizes[:number]))
        for number, rows in enumerate(made)
        for group, kind, start, end in rows
    ]
    store_bank(folder, split, _stored(parts), table)
    for part in parts:
        part.unlink()
    return len(table), sum(sizes)


def store_bank(
    folder: Path,
    name: str,
    parts: Iterable[tuple[NDArray[np.float16], NDArray[np.bool_]]],
    table: Sequence[tuple[str, Kind, int, int]],
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
    table : sequence of (group, kind, start, end)
        Its streams.

    Raises
    ------
    ConfigError
        The disk is full, or may not be written to.
    """
    index = folder / f"{name}-streams.csv"
    index.unlink(missing_ok=True)
    heard: list[NDArray[np.bool_]] = []
    shape = (table[-1][3] if table else 0, RollingCQT().n_bins)
    with replacing(folder / f"{name}-columns.npy") as whole, whole.open("wb") as out:
        # Not as a map of memory: where the disk is full, writing to that kills the process.
        header = {"descr": "<f2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(out, header)
        for columns, active in parts:
            out.write(columns.tobytes())
            heard.append(active)
    with replacing(folder / f"{name}-active.npy") as whole, whole.open("wb") as out:
        np.save(out, np.concatenate(heard) if heard else np.zeros(0, np.bool_))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table)
    write_whole(index, text.getvalue().encode())


def _stored(parts: Iterable[Path]) -> Iterator[tuple[NDArray[np.float16], NDArray[np.bool_]]]:
    for part in parts:
        with np.load(part) as stored:
            yield stored["columns"], stored["active"]


def _part(folder: Path, split: Split, seed: int, number: int) -> list[tuple[str, Kind, int, int]]:
    """Store the columns of one part and list its streams; the first part is what is made."""
    torch.set_num_threads(1)
    front_end = RollingCQT()
    # Classes of a user's own have their own training.
    recordings = [each for each in checked_recordings(folder, split) if each.kind in KINDS]
    if number == 0:
        found = made_streams(folder, recordings, seed)
    else:
        mine = sorted({each.group for each in recordings})[number - 1 :: PARTS - 1]
        chosen = [each for each in recordings if each.group in set(mine)]
        found = streams(folder, chosen, seed, treated=True)
    parts: list[NDArray[np.float16]] = []
    heard: list[NDArray[np.bool_]] = []
    table: list[tuple[str, Kind, int, int]] = []
    end = 0
    with torch.inference_mode():
        for stream in found:
            values = cqt(torch.from_numpy(stream.samples)[None], front_end)[0]
            count = min(len(values), len(stream.active))
            parts.append(values[:count].numpy().astype(np.float16))
            heard.append(stream.active[:count])
            table.append((stream.group, stream.kind, end, end + count))
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
    chosen = [voices[i] for i in random.integers(0, len(voices), count)]
    clips: list[NDArray[np.float32]] = []
    # A clip that is all silence counts as a second, so that this ends.
    left = float(max(seconds, count))
    while left > 0:
        # Everybody once, then anybody.
        turn = chosen[len(clips) if len(clips) < count else int(random.integers(count))]
        each = turn[int(random.integers(len(turn)))]
        stored = corpus.samples_of(folder, each.source)[each.start : each.end][: 12 * RATE]
        clip, _ = joining.levelled(stored.astype(np.float32) / 32768.0, "speech")
        left -= max(1.0, len(clip) / RATE)
        if len(clip):
            clips.append(clip)
    return clips


def open_bank(folder: Path, split: Split) -> Bank:
    """Open a stored bank.

    Raises
    ------
    ConfigError
        It was not built.
    """
    index = folder / f"{split}-streams.csv"
    if not index.exists():
        raise ConfigError(f"{index} is not there: run `airsift corpus build` first")
    with index.open(newline="", encoding="utf-8") as lines:
        rows = [
            (group, kind, int(start), int(end)) for group, kind, start, end in csv.reader(lines)
        ]
    columns: Any = np.load(folder / f"{split}-columns.npy", mmap_mode="r")
    return Bank(columns, np.load(folder / f"{split}-active.npy"), rows)
