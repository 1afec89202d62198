"""Columns of the corpus, ready to be mixed: streams of one voice, track or game at a time.

Speech files last seconds, so streams are joined from clips of one voice, with gaps of varied
length, on samples and not on columns: low bins hear half a second at once, and a join made of
columns would be a shape that no broadcast has. Level is the same everywhere here; training
draws it anew for each window.
"""

from __future__ import annotations

import csv
import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from airsift.errors import ConfigError
from model import corpus, noises, treatments
from model.frontend import RollingCQT, cqt
from model.recipe import Kind, Split, checked_kind, load_splits, refuse_overlap, split_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.corpus import Recording

RATE = 16_000
HOP = 320
STREAM_SECONDS = 40
STREAM_LEVEL = 0.1
MADE_NOISES = 90
# A pause within speech that a listener does not notice as its end.
PAUSE_SECONDS = 1.5
# Small classes pass several times, each time joined and treated anew.
PASSES: dict[Kind, int] = {"speech": 1, "music": 1, "singing": 3, "noise": 4}
MOST_SECONDS: dict[Kind, int] = {"speech": 1200, "music": 150, "singing": 2400, "noise": 1500}


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
        Mono, 16 kHz, RMS near `STREAM_LEVEL`.
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
        Whether to add rooms, codecs and the like.
    """
    groups: dict[tuple[str, Kind], list[Recording]] = {}
    for each in recordings:
        groups.setdefault((each.group, each.kind), []).append(each)
    for (group, kind), members in sorted(groups.items()):
        for turn in range(PASSES[kind] if treated else 1):
            random = np.random.default_rng([seed, turn, zlib.crc32(group.encode())])
            left = float(MOST_SECONDS[kind] * (3 if group.endswith(":cast") else 1))
            order = random.permutation(len(members)) if kind in ("speech", "noise") else None
            chosen = members if order is None else [members[i] for i in order]
            for samples, active in _joined(folder, chosen, kind, random):
                if left <= 0:
                    break
                left -= len(samples) / RATE
                heard = treatments.some_treatment(samples, random) if treated else samples
                yield Stream(group, kind, heard, active)
    for number in range(MADE_NOISES if treated else 0):
        name, samples = noises.made_noise(STREAM_SECONDS * RATE, number)
        everywhere = np.ones(len(samples) // HOP, np.bool_)
        yield Stream(f"made:{name}", "noise", samples, everywhere)


def build_bank(folder: Path, split: Split, *, seed: int = 1) -> tuple[int, int]:
    """Compute and store the columns of a split.

    Returns
    -------
    (int, int)
        Streams and columns stored.
    """
    front_end = RollingCQT()
    parts: list[NDArray[np.float16]] = []
    heard: list[NDArray[np.bool_]] = []
    table: list[tuple[str, Kind, int, int]] = []
    end = 0
    with torch.inference_mode():
        for stream in streams(folder, checked_recordings(folder, split), seed, treated=True):
            columns = cqt(torch.from_numpy(stream.samples)[None], front_end)[0]
            count = min(len(columns), len(stream.active))
            parts.append(columns[:count].numpy().astype(np.float16))
            heard.append(stream.active[:count])
            table.append((stream.group, stream.kind, end, end + count))
            end += count
    np.save(folder / f"{split}-columns.npy", np.concatenate(parts))
    np.save(folder / f"{split}-active.npy", np.concatenate(heard))
    with (folder / f"{split}-streams.csv").open("w", newline="", encoding="utf-8") as out:
        csv.writer(out, lineterminator="\n").writerows(table)
    return len(table), end


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
            (group, checked_kind(kind), int(start), int(end))
            for group, kind, start, end in csv.reader(lines)
        ]
    columns: Any = np.load(folder / f"{split}-columns.npy", mmap_mode="r")
    return Bank(columns, np.load(folder / f"{split}-active.npy"), rows)


def _joined(
    folder: Path, members: Sequence[Recording], kind: Kind, random: np.random.Generator
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Yield streams of about `STREAM_SECONDS` and where the class is heard in them."""
    parts: list[NDArray[np.float32]] = []
    heard: list[NDArray[np.bool_]] = []
    length = 0
    for member in members:
        stored = corpus.samples_of(folder, member.source)[member.start : member.end]
        for start in range(0, len(stored), STREAM_SECONDS * RATE):
            clip = stored[start : start + STREAM_SECONDS * RATE].astype(np.float32) / 32768.0
            clip, active = _levelled(clip, kind)
            if not len(clip):
                continue
            gap = _gap(kind, random)
            parts += [_faded(clip), np.zeros(gap, np.float32)]
            heard += [active, np.full(gap, gap < PAUSE_SECONDS * RATE and kind != "music")]
            length += len(clip) + gap
            if length >= STREAM_SECONDS * RATE:
                yield _stream(parts, heard, random)
                parts, heard, length = [], [], 0
    if length > RATE:
        yield _stream(parts, heard, random)


def _stream(
    parts: list[NDArray[np.float32]], heard: list[NDArray[np.bool_]], random: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    samples, active = np.concatenate(parts), np.concatenate(heard)
    count = len(samples) // HOP
    # Gaps that are digitally silent would give a join away.
    floor = STREAM_LEVEL * 10.0 ** (random.uniform(-60.0, -25.0) / 20.0)
    noise = np.cumsum(random.standard_normal(len(samples)).astype(np.float32))
    noise = noise - np.convolve(noise, np.full(64, 1 / 64, np.float32), "same")
    samples = samples + noise * (floor / max(float(noise.std()), 1e-9))
    columns = active[: count * HOP].reshape(count, HOP).mean(axis=1) >= 0.5
    return samples[: count * HOP].astype(np.float32), columns


def _levelled(
    clip: NDArray[np.float32], kind: Kind
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Trim silence from the ends, set the level, and say which samples are heard."""
    frame = RATE // 50
    count = len(clip) // frame
    if count < 5:
        return clip[:0], np.zeros(0, np.bool_)
    power = np.square(clip[: count * frame]).reshape(count, frame).mean(axis=1)
    loud = float(np.quantile(power, 0.9))
    if loud < 1e-9:
        return clip[:0], np.zeros(0, np.bool_)
    sounding = power > loud * (1e-4 if kind == "speech" else 10**-4.5)
    first, last = int(np.argmax(sounding)), count - int(np.argmax(sounding[::-1]))
    sounding = _pauses_filled(sounding[first:last], int(PAUSE_SECONDS * 50))
    trimmed = clip[first * frame : last * frame]
    level = float(np.sqrt(power[first:last][sounding].mean()))
    return trimmed * np.float32(STREAM_LEVEL / level), np.repeat(sounding, frame)


def _pauses_filled(sounding: NDArray[np.bool_], longest: int) -> NDArray[np.bool_]:
    """Call the pauses shorter than `longest` part of what surrounds them."""
    places = np.flatnonzero(sounding)
    filled = sounding.copy()
    for before, after in pairwise(places):
        if 1 < after - before < longest:
            filled[before:after] = True
    return filled


def _gap(kind: Kind, random: np.random.Generator) -> int:
    """Draw the samples of silence after a clip."""
    if kind == "speech":
        seconds = random.uniform(1.5, 4.0) if random.random() < 0.06 else random.uniform(0.0, 0.7)
    elif kind == "noise":
        seconds = random.uniform(0.0, 1.0) * float(random.random() < 0.7)
    else:
        seconds = 0.0
    return int(seconds * 50) * HOP


def _faded(clip: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fade 10 ms at both ends, so that a join does not click."""
    n = min(160, len(clip) // 2)
    ramp = np.linspace(0.0, 1.0, n, dtype=np.float32)
    faded = clip.copy()
    faded[:n] *= ramp
    faded[len(clip) - n :] *= ramp[::-1]
    return faded
