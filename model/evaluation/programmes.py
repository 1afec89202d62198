"""Synthetic programmes of some minutes with known labels, from held-out recordings.

A programme is a sequence of items as on air (`model.evaluation.programme_items`). They meet in hard
cuts, after short gaps, in fades of 1 to 8 s, and with talk over the end or the start of music. Some
programmes have their loudness normalised, in others items differ by up to 12 dB.

The labels follow from the construction:

- A class is active from its first to its last sample, and in pauses of up to 2 s, as in
  `model.evaluation.conditions`.
- A source that fades counts while its gain is at least `AUDIBLE_DB` re its full one. Ducked music
  is never lower, so it always counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from airsift.errors import ConfigError
from model.corpus.concatenate import PAUSE_SECONDS
from model.evaluation.programme_items import ITEMS, Clip, ClipPool, make_item
from model.mixing import Spans, fade_in, merge_spans
from model.spec import SAMPLE_RATE as RATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from model.corpus.takes import Take

Join = Literal["hard cut", "short gap", "fade", "talk over music"]
# How items meet, where both allow it; otherwise they meet in a hard cut.
JOINS: dict[Join, float] = {
    "hard cut": 0.35, "short gap": 0.15, "fade": 0.2, "talk over music": 0.3,
}  # fmt: skip
FADES_S = (1.0, 8.0)
GAPS_S = (0.2, 1.5)
AUDIBLE_DB = -20.0  # training counts less of a fade: see `model.mixing.AUDIBLE`
LEVELS_DB = {True: 1.0, False: 6.0}  # +- of an item, with and without loudness normalisation
SILENCE_LEVEL = 1e-4
# Items that meet any other in a hard cut, and give the transition their name.
ABRUPT = ("adverts", "stinger", "jingle")
CLASSES = {"speech": ("speech",), "music": ("music", "singing")}


@dataclass(frozen=True, slots=True)
class Edge:
    """Where a class begins or ends.

    Parameters
    ----------
    label : str
        Speech or music.
    side : int
        0 where it begins, 1 where it ends.
    at : int > 0
        Sample.
    kind : str
        The transition: a key of `JOINS`, or the name of an item that makes its own.
    """

    label: str
    side: int
    at: int
    kind: str


@dataclass(frozen=True, slots=True, eq=False)
class Programme:
    """A programme and its labels.

    Parameters
    ----------
    name : str
        ``programme-07``.
    samples : np.ndarray [shape=(n,), float32]
        Mono at 16 kHz, within full scale.
    speech, music : tuple of (int, int)
        Active spans, in samples, half-open, sorted and disjoint.
    groups : tuple of str
        The voices, tracks and games in it.
    edges : tuple of Edge
        The ends of all spans that are not the programme's, in order.
    items : tuple of (int, str)
        First sample and kind of each item.
    """

    name: str
    samples: NDArray[np.float32]
    speech: Spans
    music: Spans
    groups: tuple[str, ...]
    edges: tuple[Edge, ...]
    items: tuple[tuple[int, str], ...]


def programmes(
    takes: Sequence[Take], *, count: int = 20, seconds: int = 180, seed: int = 9
) -> Iterator[Programme]:
    """Generate programmes.

    Parameters
    ----------
    takes : sequence of Take
        Of one split, from `model.evaluation.conditions.held_out_takes`.
    count : int >= 0
        Number of programmes.
    seconds : int >= 30
        Length of each.
    seed : int
        The same seed gives the same programmes.

    Raises
    ------
    ConfigError
        There is no speech or no music of 3 s.
    """
    random = np.random.default_rng(seed)
    pools = {
        kind: ClipPool([take for take in takes if take.kind == kind], random)
        for kind in ("speech", "music", "singing", "noise")
    }
    for kind in ("speech", "music"):
        if not pools[kind]:
            raise ConfigError(f"no {kind} of 3 s or more to make programmes of: add recordings")
    for number in range(count):
        yield _programme(f"programme-{number:02d}", pools, seconds * RATE, random)


def _programme(
    name: str, pools: dict[str, ClipPool], length: int, random: np.random.Generator
) -> Programme:
    clips: list[Clip] = []
    items: list[tuple[int, str]] = []
    spread_db = LEVELS_DB[bool(random.random() < 0.5)]
    while not clips or max(clip.end for clip in clips) < length:
        before = items[-1][1] if items else ""
        kind = _next_kind(before, random)
        _, shortest, longest = ITEMS[kind]
        level_db = float(random.uniform(-spread_db, spread_db))
        samples = int(random.uniform(shortest, longest) * RATE)
        item = make_item(kind, samples, pools, level_db, random)
        if not clips:
            at = 0
        else:
            last = max(range(len(clips)), key=lambda place: clips[place].end)
            clips[last], item, at = _joined(clips[last], before, item, kind, random)
        clips += [replace(clip, start=at + clip.start) for clip in item]
        items.append((at, kind))
    mix = SILENCE_LEVEL * random.standard_normal(length).astype(np.float32)
    for clip in clips:
        cut = clip.samples[: max(0, length - clip.start)]
        mix[clip.start : clip.start + len(cut)] += cut
    spans = {label: _active(clips, label, length) for label in CLASSES}
    return Programme(
        name,
        np.clip(mix, -1.0, 1.0),
        spans["speech"],
        spans["music"],
        tuple(sorted({clip.group for clip in clips if clip.group})),
        _edges(clips, spans, length),
        tuple((at, kind) for at, kind in items if at < length),
    )


def _next_kind(before: str, random: np.random.Generator) -> str:
    names = [name for name in ITEMS if name != before or name in ("talk", "song")]
    odds = np.array([ITEMS[name][0] for name in names])
    return names[int(random.choice(len(names), p=odds / odds.sum()))]


def _joined(
    last: Clip, before: str, item: list[Clip], kind: str, random: np.random.Generator
) -> tuple[Clip, list[Clip], int]:
    """Join an item to the clip that is heard last.

    Returns
    -------
    tuple of (Clip, list of Clip, int)
        That clip, the item, and where the item begins.
    """
    names = list(JOINS)
    join = names[int(random.choice(len(names), p=list(JOINS.values())))]
    fade = int(random.uniform(*FADES_S) * RATE)
    linear = bool(random.random() < 0.5)
    first = min(item, key=lambda clip: clip.start)
    at = last.end
    if {before, kind} & {*ABRUPT}:
        join, named = "hard cut", next(each for each in ABRUPT if each in (before, kind))
    elif "silence" in (before, kind):
        join, named = ("fade" if join == "fade" else "hard cut"), ""
    else:
        named = ""
    if join == "short gap":
        at += int(random.uniform(*GAPS_S) * RATE)
    elif join == "fade" and last.kind != "speech":
        last = _faded_out(last, fade, linear=linear)
    elif join == "fade" and first.kind != "speech":
        item = [_faded_in(clip, fade, linear=linear) if clip is first else clip for clip in item]
    elif join == "talk over music" and last.kind != "speech":
        last = _faded_out(last, fade, linear=linear)
        # The next item begins while the music goes down, and ends after it.
        overlap = int(_room(last, fade) * random.uniform(0.5, 1.0))
        at -= min(overlap, max(clip.end for clip in item) // 2)
    elif join == "talk over music" and first.kind in ("music", "singing"):
        at -= min(_room(first, fade), _room(last, fade))
        item = [_faded_in(clip, fade, linear=linear) if clip is first else clip for clip in item]
    elif join in ("fade", "talk over music"):
        join = "hard cut"
    name = named or join
    last = replace(last, ends=last.ends or name)
    return last, [replace(clip, begins=clip.begins or name) for clip in item], at


def _room(clip: Clip, fade: int) -> int:
    """Return the samples of a fade that a clip has room for."""
    return min(fade, len(clip.samples) // 2)


def _faded_out(clip: Clip, length: int, *, linear: bool) -> Clip:
    curve = _curve(_room(clip, length), linear=linear)[::-1]
    clip.samples[-len(curve) :] *= curve
    return replace(clip, heard=(clip.heard[0], len(clip.samples) - _inaudible(curve[::-1])))


def _faded_in(clip: Clip, length: int, *, linear: bool) -> Clip:
    curve = _curve(_room(clip, length), linear=linear)
    clip.samples[: len(curve)] *= curve
    return replace(clip, heard=(_inaudible(curve), clip.heard[1]))


def _curve(length: int, *, linear: bool) -> NDArray[np.float32]:
    return np.linspace(0.0, 1.0, length, dtype=np.float32) if linear else fade_in(length)


def _inaudible(curve: NDArray[np.float32]) -> int:
    return int(np.searchsorted(curve, 10.0 ** (AUDIBLE_DB / 20.0)))


def _active(clips: Sequence[Clip], label: str, length: int) -> Spans:
    spans = [clip.span for clip in clips if clip.kind in CLASSES[label]]
    within = [(start, min(end, length)) for start, end in spans if start < length]
    return merge_spans(within, round(PAUSE_SECONDS * RATE))


def _edges(clips: Sequence[Clip], spans: dict[str, Spans], length: int) -> tuple[Edge, ...]:
    found = []
    for label, active in spans.items():
        mine = [clip for clip in clips if clip.kind in CLASSES[label]]
        for span in active:
            for side, at in enumerate(span):
                if 0 < at < length:
                    clip = next(clip for clip in mine if clip.span[side] == at)
                    kind = clip.ends if side else clip.begins
                    found.append(Edge(label, side, at, kind))
    return tuple(sorted(found, key=lambda edge: (edge.at, edge.label, edge.side)))
