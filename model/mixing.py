"""How programmes are mixed: fades, ducking and spans of time, for the demo and the evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

Span = tuple[int, int]  # half-open
Spans = tuple[Span, ...]


EDGE_S = 0.01  # an abrupt start or end gets this fade, or it would click
RAMP_S = 0.3  # ducked music goes down and up again over this time
# In training, a source that fades counts as active above this share of its amplitude (-12 dB). The
# truth of evaluated programmes is stricter: from -20 dB on, 0.1 s earlier in a sine fade of 1 s.
AUDIBLE = 0.25


def fade_in(length: int) -> NDArray[np.float32]:
    """Return the gain of a sine fade [shape=(length,)]; reversed, it keeps a crossfade's power."""
    places = np.arange(length, dtype=np.float32) + 0.5
    return np.asarray(np.sin(np.pi / 2 * places / length), np.float32)


def ducking_gain(
    start: int, end: int, speech: Iterable[Span], ramp: int, depth_db: float
) -> NDArray[np.float32]:
    """Return the gain that turns music down under speech.

    Parameters
    ----------
    start, end : int
        The music, in samples, half-open.
    speech : iterable of (int, int)
        Speech, on the same axis.
    ramp : int > 0
        Samples of each flank.
    depth_db : float >= 0
        Attenuation under speech.

    Returns
    -------
    np.ndarray [shape=(end - start,), float32]
        Linear, in (0, 1].
    """
    now = np.arange(start, end, dtype=np.float32)
    down = np.zeros(len(now), np.float32)
    for first, last in speech:
        flank = np.minimum(now - (first - ramp), last + ramp - now) / ramp
        down = np.maximum(down, np.clip(flank, 0.0, 1.0))
    return np.asarray(10.0 ** (-depth_db * down / 20.0), np.float32)


def merge_spans(spans: Iterable[Span], max_gap: int = 0) -> Spans:
    """Return the union of half-open spans: sorted, and more than `max_gap` apart."""
    out: list[Span] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1] + max_gap:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return tuple(out)
