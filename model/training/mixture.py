"""What a training window is made of: the ways speech, music and noise meet on air."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Draw = Callable[[np.random.Generator], tuple["Layer", ...]]

# Columns of a window.
WINDOW = 250
COLUMN_SECONDS = 0.02
# A layer faded below this share of its amplitude no longer counts as heard.
HEARD = 0.25


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer of a window is to be.

    Parameters
    ----------
    kind : str
        Class to draw a stream of; 'silence' draws none.
    gain_db : float
        Level against the others in the window.
    start, end : float
        Part of the window it fills; outside [0, 1] means from before or to after it.
    fade : float >= 0
        Length of the fades at both ends, as a share of the window.
    """

    kind: str
    gain_db: float = 0.0
    start: float = -1.0
    end: float = 2.0
    fade: float = 0.0


def alone(kind: str) -> Draw:
    """One class, nothing else."""
    return lambda _: (Layer(kind),)


def over(front: str, back: str, lowest_db: float, highest_db: float) -> Draw:
    """One class with another under it, at a level drawn between two."""
    return lambda random: (Layer(front), Layer(back, random.uniform(lowest_db, highest_db)))


def spliced(
    random: np.random.Generator, first: float = 0.0, last: float = 1.0
) -> tuple[Layer, ...]:
    """One thing after another, cut hard or cross-faded, at a place between two of the window."""
    kinds = ["speech", "music", "singing", "noise", "silence"]
    one, other = random.choice(kinds, 2, p=[0.36, 0.3, 0.14, 0.1, 0.1])
    place = random.uniform(first, last)
    fade = float(random.choice([0.0, 0.0, 0.1, 0.3]))
    step = random.uniform(-10.0, 10.0)
    return (
        Layer(str(one), 0.0, -1.0, place + fade / 2, fade),
        Layer(str(other), step, place - fade / 2, 2.0, fade),
    )


def spliced_over(
    random: np.random.Generator, first: float = 0.0, last: float = 1.0
) -> tuple[Layer, ...]:
    """Speech throughout, and music that comes or goes; or the reverse."""
    place, fade = random.uniform(first, last), random.uniform(0.0, 0.3)
    stays, comes = ("speech", "music") if random.random() < 0.6 else ("music", "speech")
    ends = (place, 2.0) if random.random() < 0.5 else (-1.0, place)
    level = random.uniform(-14.0, 6.0) * (1.0 if stays == "speech" else -1.0)
    return Layer(stays), Layer(comes, level, ends[0], ends[1], fade)


def crowded(random: np.random.Generator) -> tuple[Layer, ...]:
    """Speech over music in a noisy place."""
    return (
        Layer("speech"),
        Layer("music", random.uniform(-15.0, 6.0)),
        Layer("noise", random.uniform(-25.0, 0.0)),
    )


# How often each way to make a window is drawn.
WAYS: tuple[tuple[float, Draw], ...] = (
    (0.12, alone("speech")),
    (0.09, over("speech", "noise", -30.0, 3.0)),
    (0.02, over("speech", "speech", -12.0, 0.0)),
    (0.13, alone("music")),
    (0.03, over("music", "noise", -30.0, -2.0)),
    (0.08, alone("singing")),
    (0.09, over("speech", "music", -22.0, 0.0)),
    (0.07, over("speech", "music", 0.0, 9.0)),
    (0.03, over("speech", "singing", -20.0, 3.0)),
    (0.02, crowded),
    (0.12, spliced),
    (0.08, spliced_over),
    (0.12, alone("noise")),
    (0.05, over("noise", "noise", -10.0, 0.0)),
    (0.02, alone("silence")),
)


# Windows to learn the moments of: in most, something begins or ends near the middle.
BOUNDARIES: tuple[tuple[float, Draw], ...] = (
    *((0.3 * share, draw) for share, draw in WAYS),
    (0.45, lambda random: spliced(random, 0.3, 0.7)),
    (0.25, lambda random: spliced_over(random, 0.3, 0.7)),
)


def fades(layer: Layer) -> NDArray[np.float32]:
    """Amplitude of a layer over the window: constant power where two layers cross."""
    place = (np.arange(WINDOW) + 0.5) / WINDOW
    ramp = max(layer.fade, 1e-3)
    rise = np.clip((place - layer.start) / ramp, 0.0, 1.0)
    fall = np.clip((layer.end - place) / ramp, 0.0, 1.0)
    gate: NDArray[np.float32] = np.sin(np.minimum(rise, fall) * np.pi / 2).astype(np.float32)
    return gate


def interruptions(random: np.random.Generator) -> NDArray[np.float32]:
    """Amplitude of something heard 0.25 to 1.2 s at a time, with pauses of 0.4 to 1.9 s."""
    gate = np.full(WINDOW, 10.0 ** (random.uniform(-80.0, -35.0) / 20.0), np.float32)
    length, pause = random.uniform(0.25, 1.2), random.uniform(0.4, 1.9)
    at = random.uniform(-length, pause)
    while at < WINDOW * COLUMN_SECONDS:
        sounding = length * random.uniform(0.7, 1.3)
        first, last = at / COLUMN_SECONDS, (at + sounding) / COLUMN_SECONDS
        gate[max(0, int(first)) : max(0, int(last))] = 1.0
        at += sounding + min(pause * random.uniform(0.7, 1.3), 1.9)
    # Edges of 60 ms: words do not begin with a click.
    rounded: NDArray[np.float32] = np.convolve(
        np.pad(gate, 1, mode="edge"), np.full(3, 1 / 3, np.float32), "valid"
    ).astype(np.float32)
    return rounded
