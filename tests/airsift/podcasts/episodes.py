"""Three short episodes of a made series, and where everything in them is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stream.demo.clips import RATE, decode, parts
from tests.stream.media import encode

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


class Span(NamedTuple):
    """What is where, in seconds."""

    what: str
    start_s: float
    end_s: float


def clip(name: str, start_s: float = 0.0, end_s: float = 60.0) -> NDArray[np.float32]:
    return decode(parts()[name])[round(start_s * RATE) : round(end_s * RATE)]


def advert() -> NDArray[np.float32]:
    voice = clip("announcer", 0, 18)
    return voice + 0.15 * clip("warm-ink", 10, 28)


PARTS = {
    "opening": lambda: clip("palace", 5, 13),
    "advert": advert,
    "a": lambda: clip("reader-1098", 0, 14),
    "b": lambda: clip("reader-3664", 0, 14),
    "c": lambda: clip("reader-3983", 0, 14),
    "d": lambda: clip("reader-6367", 0, 14),
    "e": lambda: clip("announcer", 19, 35),
    "starfall": lambda: clip("starfall", 0, 48),
    "elevator": lambda: clip("orbital-elevator", 0, 48),
}
EPISODES = {
    "1 one": ("opening", "a", "advert", "b", "starfall"),
    "2 two": ("opening", "c", "elevator", "advert"),
    "3 three": ("opening", "d", "advert", "e"),
}


def make(
    folder: Path, suffix: str = "mp3", only: tuple[str, ...] = tuple(EPISODES)
) -> dict[Path, list[Span]]:
    """Write the episodes; return where everything in them is."""
    made = {}
    for name in only:
        pieces, spans, at = [], list[Span](), 0.0
        for what in EPISODES[name]:
            samples = PARTS[what]()
            pieces.append(samples)
            spans.append(Span(what, at, at + len(samples) / RATE))
            at += len(samples) / RATE
        path = folder / f"{name}.{suffix}"
        codec = {"mp3": "libmp3lame", "opus": "libopus", "wav": "pcm_s16le"}[suffix]
        encode(path, np.concatenate(pieces), RATE, codec)
        made[path] = spans
    return made
