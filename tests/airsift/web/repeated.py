"""A station that plays one piece three times, and what airsift stores of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.audio import AudioChunk, EndOfStream
from stream.events import Decision, Repeat, Segment
from stream.stages.repeats import FindRepeats, RepeatSettings
from tests.airsift.web.serve import START_MS
from tests.stream.notes import notes

RATE = 16_000
SPOTS = (20.3, 100.0, 161.7)  # s
SPOT_S = 9.0
LENGTH_S = 190
MIN_LAG = 30 * RATE // 256  # of a test, in frames: repeats count from half a minute on
_BEGIN = START_MS // 1000 * RATE


def audio(seed: int) -> NDArray[np.float32]:
    """Return the sound of the station, with a spot of its own at `SPOTS`."""
    made, spot = notes(LENGTH_S, seed), notes(SPOT_S, seed + 1000)
    for at in SPOTS:
        start = round(at * RATE)
        made[start : start + len(spot)] = spot
    return made


def store(root: Path, station: str, seed: int, label: str = "music") -> list[Repeat]:
    """Search the station's sound, which begins at `START_MS`; return the events.

    `finder.MIN_LAG` must be `MIN_LAG`.
    """
    sound, items = audio(seed), list[object]()
    for a, b in pairwise(range(0, len(sound) + 1, RATE)):
        first, last = _BEGIN + a, _BEGIN + b
        items.append(AudioChunk(station, first, sound[a:b], RATE))
        if b >= 5 * RATE:
            p = 1.0 if label == "music" else 0.0
            items.append(Decision(station, last - 5 * RATE, last, RATE, None, 1 - p, p))
        if b % (5 * RATE) == 0:
            items.append(Segment(station, _BEGIN, last, RATE, None, label, 0.9, final=False))  # type: ignore[arg-type]
    items.append(EndOfStream(station, _BEGIN + len(sound), RATE))
    made = FindRepeats(RepeatSettings(root, 7.0))
    found = made.push(items)  # type: ignore[arg-type]
    return [replace(each, time=each.start / RATE) for each in found if isinstance(each, Repeat)]
