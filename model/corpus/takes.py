"""Takes: about 40 s of one group, source and category, from clips, augmented or synthetic.

A group is a voice, a track or a game. See `model.corpus.concatenate` for the joins, and
`model.corpus.scenes` for takes of several classes.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from model.corpus import (
    augment,
    concatenate,
    scenes,
    synthetic_beats,
    synthetic_events,
    synthetic_noise,
)
from model.corpus import recordings as corpus
from model.corpus.concatenate import TAKE_SECONDS
from model.corpus.sources import KINDS, SPLITS, Kind, Origin, Split
from model.corpus.splits import assign_splits, load_splits
from model.spec import HOP
from model.spec import SAMPLE_RATE as RATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.corpus.recordings import Recording

Contents = Literal["source", "synthetic", "scenes"]

# Numbers of synthetic takes.
NOISE_TAKES = 66
EVENT_TAKES = 195
BEAT_TAKES = 160
CONVERSATION_TAKES = 160
CROWD_TAKES = 20
SCENE_TAKES = 1400
SCENE_PARTS = 16
# Small classes are repeated, with new concatenations and augmentations.
REPEATS: dict[Kind, int] = {"speech": 1, "music": 1, "singing": 3, "noise": 3}
# Per repeat of one group, class, source and category.
MAX_SECONDS: dict[Kind, int] = {"speech": 1200, "music": 150, "singing": 2400, "noise": 1500}
# Groups of many voices may have more audio.
CAST_FACTOR = 3
# The class of takes that have targets of their own.
SCENE: Kind = "scene"
BEATS = "synthetic-beats"


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
    targets : np.ndarray [shape=(n // HOP, 2), float16], optional
        Probabilities of speech and music of a take of several classes.
    """

    group: str
    kind: Kind
    samples: NDArray[np.float32]
    active: NDArray[np.bool_]
    source: str = ""
    origin: Origin = "own"
    category: str = ""
    targets: NDArray[np.float16] | None = None


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
    return without_copies(recordings, assign_splits(recordings, load_splits()), split)


def without_copies(
    recordings: Sequence[Recording], where: Mapping[str, Split], split: Split
) -> list[Recording]:
    """Select a split; of recordings that share samples, those in the strictest split stay.

    Several packages ship the same sound effect or prompt.

    Parameters
    ----------
    recordings : sequence of Recording
        Of the whole corpus. The digest of a part of a recording ends in a colon and its first
        sample, as `model.corpus.groups.cut_clips` writes it.
    where : mapping of str to Split
        Group to split.
    split : Split
        The split.
    """
    # Of each digest: the splits, and the samples, half-open.
    copies: dict[str, set[tuple[int, int, int]]] = {}
    spans = []
    for each in recordings:
        digest, _, first = each.digest.partition(":")
        start = int(first or 0)
        end = start + max(1, each.end - each.start)
        copies.setdefault(digest, set()).add((SPLITS.index(where[each.group]), start, end))
        spans.append((each, copies[digest], start, end))
    wanted = SPLITS.index(split)
    return [
        each
        for each, others, start, end in spans
        if where[each.group] == split
        and not any(
            order > wanted and first < end and start < last for order, first, last in others
        )
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


@dataclass(frozen=True, slots=True)
class TakePart:
    """The takes of one source, or synthetic ones: what a build computes at once.

    Parameters
    ----------
    name : str
        The source, or what is made. A source may have any name, 'synthetic' too.
    recordings : sequence of Recording
        What the takes are made of.
    contents : {'source', 'synthetic', 'scenes'}
        How the takes are made.
    scenes : sequence of int
        Numbers of the scenes, if it is of scenes.
    """

    name: str
    recordings: Sequence[Recording]
    contents: Contents = "source"
    scenes: Sequence[int] = ()


def parts(folder: Path, split: Split) -> list[TakePart]:
    """Divide the takes of a split into parts: a changed source changes its own part only."""
    everything = known_kinds(folder, split)
    sources: dict[str, list[Recording]] = {}
    for each in everything:
        sources.setdefault(each.source, []).append(each)
    found = [TakePart(name, sources[name]) for name in sorted(sources)]
    found.append(TakePart("synthetic", everything, "synthetic"))
    return found + [
        TakePart(
            f"scenes-{number:02d}", everything, "scenes", range(number, SCENE_TAKES, SCENE_PARTS)
        )
        for number in range(SCENE_PARTS)
    ]


def takes_of_part(folder: Path, part: TakePart, seed: int) -> Iterator[Take]:
    """Yield the takes of a part; the same seed gives the same takes."""
    if part.contents == "synthetic":
        yield from synthetic_takes(folder, part.recordings, seed)
    elif part.contents == "scenes":
        everywhere = np.ones(TAKE_SECONDS * RATE // HOP, np.bool_)
        for name, samples, targets in scenes.scenes(folder, part.recordings, part.scenes, seed):
            source = f"synthetic-{name}"
            yield Take(
                source, SCENE, samples, everywhere, source, "synthetic",
                targets=targets.astype(np.float16),
            )  # fmt: skip
    else:
        yield from takes(folder, part.recordings, seed, augmented=True)


def synthetic_takes(folder: Path, recordings: Sequence[Recording], seed: int) -> Iterator[Take]:
    """Yield synthetic takes: noises, events, beats, conversations and crowds.

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
    for number in range(BEAT_TAKES):
        name, samples = synthetic_beats.make_beat(TAKE_SECONDS * RATE, number)
        samples = augment.random_augmentation(samples, np.random.default_rng([seed, 4, number]))
        yield Take(f"{BEATS}:{number}", "music", samples, everywhere, BEATS, "synthetic", name)
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


def known_kinds(folder: Path, split: Split) -> list[Recording]:
    """List the recordings of a split, without classes of the user, which train separately."""
    return [each for each in split_recordings(folder, split) if each.kind in KINDS]
