"""Recipes of training windows: how speech, music and noise are combined on air."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from model.spec import HOP, SAMPLE_RATE, WINDOW_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Recipe = Callable[[np.random.Generator], tuple["MixtureSource", ...]]

WINDOW = WINDOW_COLUMNS
COLUMN_SECONDS = HOP / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class MixtureSource:
    """One source in the mixture of a window.

    Parameters
    ----------
    kind : str
        Its class; 'silence' adds nothing.
    gain_db : float
        Level relative to the other sources.
    start, end : float
        Active part of the window; values outside [0, 1] are before or after it.
    fade : float >= 0
        Length of the fades at both ends, as a share of the window.
    """

    kind: str
    gain_db: float = 0.0
    start: float = -1.0
    end: float = 2.0
    fade: float = 0.0


@dataclass(frozen=True, slots=True)
class Solo:
    """The recipe of one class alone."""

    kind: str

    def __call__(self, _: np.random.Generator) -> tuple[MixtureSource, ...]:
        """Return its source."""
        return (MixtureSource(self.kind),)


def mix(front: str, back: str, lowest_db: float, highest_db: float) -> Recipe:
    """Return the recipe of one class with another at a random relative level."""
    return lambda random: (
        MixtureSource(front),
        MixtureSource(back, random.uniform(lowest_db, highest_db)),
    )


def spliced(
    random: np.random.Generator, first: float = 0.0, last: float = 1.0
) -> tuple[MixtureSource, ...]:
    """Mix one class followed by another, cut or cross-faded, at a random position."""
    kinds = ["speech", "music", "singing", "noise", "silence"]
    one, other = random.choice(kinds, 2, p=[0.36, 0.3, 0.14, 0.1, 0.1])
    place = random.uniform(first, last)
    fade = float(random.choice([0.0, 0.0, 0.1, 0.3]))
    step = random.uniform(-10.0, 10.0)
    return (
        MixtureSource(str(one), 0.0, -1.0, place + fade / 2, fade),
        MixtureSource(str(other), step, place - fade / 2, 2.0, fade),
    )


def spliced_over(
    random: np.random.Generator, first: float = 0.0, last: float = 1.0
) -> tuple[MixtureSource, ...]:
    """Mix speech throughout and music that begins or ends, or the reverse."""
    place, fade = random.uniform(first, last), random.uniform(0.0, 0.3)
    stays, comes = ("speech", "music") if random.random() < 0.6 else ("music", "speech")
    ends = (place, 2.0) if random.random() < 0.5 else (-1.0, place)
    level = random.uniform(-14.0, 6.0) * (1.0 if stays == "speech" else -1.0)
    return MixtureSource(stays), MixtureSource(comes, level, ends[0], ends[1], fade)


def speech_music_noise(random: np.random.Generator) -> tuple[MixtureSource, ...]:
    """Mix speech, music and noise."""
    return (
        MixtureSource("speech"),
        MixtureSource("music", random.uniform(-15.0, 6.0)),
        MixtureSource("noise", random.uniform(-25.0, 0.0)),
    )


# Weight and recipe; the share of a recipe is its weight over the sum of the weights.
RECIPES: tuple[tuple[float, Recipe], ...] = (
    (0.24, Solo("scene")),
    (0.09, Solo("speech")),
    (0.09, mix("speech", "noise", -30.0, 3.0)),
    (0.02, mix("speech", "speech", -12.0, 0.0)),
    (0.10, Solo("music")),
    (0.03, mix("music", "noise", -30.0, -2.0)),
    (0.10, Solo("singing")),
    (0.02, mix("singing", "noise", -25.0, -2.0)),
    (0.05, mix("singing", "music", -6.0, 6.0)),
    (0.06, mix("speech", "music", -22.0, 0.0)),
    (0.04, mix("speech", "music", 0.0, 9.0)),
    (0.02, mix("speech", "singing", -20.0, 3.0)),
    (0.02, speech_music_noise),
    (0.07, spliced),
    (0.05, spliced_over),
    (0.12, Solo("noise")),
    (0.04, mix("noise", "noise", -10.0, 0.0)),
    (0.02, Solo("silence")),
)


# For the boundary head: half of the windows have a boundary within 1 s of the centre.
BOUNDARY_RECIPES: tuple[tuple[float, Recipe], ...] = (
    *((0.3 * share, draw) for share, draw in RECIPES),
    (0.45, lambda random: spliced(random, 0.3, 0.7)),
    (0.25, lambda random: spliced_over(random, 0.3, 0.7)),
)


def fade_curve(source: MixtureSource) -> NDArray[np.float32]:
    """Return the amplitude of a source over the window; two crossing fades keep the power."""
    place = (np.arange(WINDOW) + 0.5) / WINDOW
    ramp = max(source.fade, 1e-3)
    rise = np.clip((place - source.start) / ramp, 0.0, 1.0)
    fall = np.clip((source.end - place) / ramp, 0.0, 1.0)
    gate: NDArray[np.float32] = np.sin(np.minimum(rise, fall) * np.pi / 2).astype(np.float32)
    return gate


def interruptions(random: np.random.Generator) -> NDArray[np.float32]:
    """Return the amplitude of sounds of 0.25 to 1.2 s with pauses of 0.4 to 1.9 s."""
    gate = np.full(WINDOW, 10.0 ** (random.uniform(-80.0, -35.0) / 20.0), np.float32)
    length, pause = random.uniform(0.25, 1.2), random.uniform(0.4, 1.9)
    at = random.uniform(-length, pause)
    while at < WINDOW * COLUMN_SECONDS:
        sounding = length * random.uniform(0.7, 1.3)
        first, last = at / COLUMN_SECONDS, (at + sounding) / COLUMN_SECONDS
        gate[max(0, int(first)) : max(0, int(last))] = 1.0
        at += sounding + min(pause * random.uniform(0.7, 1.3), 1.9)
    # Edges of 60 ms.
    rounded: NDArray[np.float32] = np.convolve(
        np.pad(gate, 1, mode="edge"), np.full(3, 1 / 3, np.float32), "valid"
    ).astype(np.float32)
    return rounded
