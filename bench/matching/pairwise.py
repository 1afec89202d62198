"""Pairwise boosted fingerprints, after Jang, Yoo, Lee, Kim and Kalker, IEEE TIFS 4(4), 2009.

::

    samples ─> log energies of 32 bands ─> 32 box filters ─> thresholds ─> 32 bits a frame
                 spectral image              (integral image)

The filters are those of Ke, Hoiem and Sukthankar, CVPR 2005, whose boxes cancel: a louder copy has
the same bits. `bench.matching.pairwise_training` selects them, and writes `pairwise.json`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.matching.music import RATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

WINDOW, HOP = 4096, 512  # samples: 256 and 32 ms
BANDS = 32
LOWEST_HZ, HIGHEST_HZ = 200.0, 4000.0  # telephone and GSM keep most of it
MAX_WIDTH = 24  # frames that a filter spans at most
BITS = 32
KINDS = ("bands", "frames", "band between", "frame between", "checkerboard")
PARAMETERS = Path(__file__).with_name("pairwise.json")
_FLOOR = 1e-6  # of the power, about -60 dB of full scale
_SILENT_DB = -50.0
_BATCH = 4096  # frames transformed at a time


@dataclass(frozen=True, slots=True)
class BoxFilter:
    """Boxes of the spectral image with the signs + and -, and a threshold.

    Parameters
    ----------
    kind : int
        Index of `KINDS`: two boxes on each other; two after each other; three on each other, and
        three after each other, of which the one between has the other sign; four as a checkerboard.
    band, height : int
        Lowest band, and bands of a box.
    width : int
        Frames of a box.
    threshold : float
        A response above it gives the bit 1.
    """

    kind: int
    band: int
    height: int
    width: int
    threshold: float = 0.0

    @property
    def bands(self) -> int:
        """Bands that it spans."""
        return self.height * (2, 1, 3, 1, 2)[self.kind]

    @property
    def frames(self) -> int:
        """Frames that it spans."""
        return self.width * (1, 2, 1, 3, 2)[self.kind]

    def responses(self, integral: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the response of each frame of an image.

        Parameters
        ----------
        integral : np.ndarray [shape=(..., frames + 1, BANDS + 1)]
            From `integral_image`.

        Returns
        -------
        np.ndarray [shape=(..., frames - MAX_WIDTH + 1), float32]
            Differences of the mean log energies of the boxes.
        """
        count = integral.shape[-2] - MAX_WIDTH

        def box(frame: int, band: int) -> NDArray[np.float64]:
            frame += (MAX_WIDTH - self.frames) // 2
            low, high = band, band + self.height
            begin = slice(frame, frame + count)
            end = slice(frame + self.width, frame + self.width + count)
            total: NDArray[np.float64] = (
                integral[..., end, high]
                - integral[..., begin, high]
                - integral[..., end, low]
                + integral[..., begin, low]
            )
            return total / (self.height * self.width)

        w, b, h = self.width, self.band, self.height
        match self.kind:
            case 0:
                out = box(0, b + h) - box(0, b)
            case 1:
                out = box(w, b) - box(0, b)
            case 2:
                out = 2 * box(0, b + h) - box(0, b) - box(0, b + 2 * h)
            case 3:
                out = 2 * box(w, b) - box(0, b) - box(2 * w, b)
            case _:
                out = box(0, b) + box(w, b + h) - box(0, b + h) - box(w, b)
        return out.astype(np.float32)


def spectral_image(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return log energies in dB.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32]
        At 16 kHz.

    Returns
    -------
    np.ndarray [shape=(frames, BANDS), float32]
        Frames lie 32 ms apart; there are none in less than 256 ms.
    """
    if len(samples) < WINDOW:
        return np.zeros((0, BANDS), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    taper, bands = np.hanning(WINDOW).astype(np.float32), _band_matrix()
    parts = [
        np.square(np.abs(np.fft.rfft(frames[at : at + _BATCH] * taper))) @ bands
        for at in range(0, len(frames), _BATCH)
    ]
    return (10 * np.log10(np.concatenate(parts) + _FLOOR)).astype(np.float32)


def integral_image(image: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the sums of all boxes that begin in the corner of an image."""
    sums = np.cumsum(np.cumsum(image, axis=-2, dtype=np.float64), axis=-1)
    edges = [(0, 0)] * (image.ndim - 2) + [(1, 0), (1, 0)]
    return np.pad(sums, edges)


def sub_fingerprints(
    image: NDArray[np.float32], filters: Sequence[BoxFilter]
) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Return the bits of each frame, and whether the frame has sound."""
    count = max(len(image) - MAX_WIDTH + 1, 0)
    bits = np.zeros(count, np.uint32)
    if not count:
        return bits, np.zeros(0, bool)
    integral = integral_image(image)
    for place, each in enumerate(filters):
        is_one = each.responses(integral) > each.threshold
        bits |= is_one.astype(np.uint32) << np.uint32(place)
    middle = image[MAX_WIDTH // 2 :][:count]
    return bits, middle.max(axis=1) > _SILENT_DB


def bit_error(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> float:
    """Return the share of bits that differ between two fingerprints of one length."""
    return float(np.bitwise_count(a ^ b).mean()) / BITS


def load_filters(path: Path = PARAMETERS) -> list[BoxFilter]:
    """Return trained filters."""
    return [BoxFilter(**each) for each in json.loads(path.read_text())["filters"]]


def save_filters(filters: Sequence[BoxFilter], note: str, path: Path = PARAMETERS) -> None:
    """Write trained filters, one a line, with a note on the audio they were trained on."""
    lines = ",\n".join(f"  {json.dumps(asdict(each))}" for each in filters)
    path.write_text(f'{{"note": {json.dumps(note)},\n"filters": [\n{lines}\n]}}\n')


@cache
def _band_matrix() -> NDArray[np.float32]:
    """Return which bins of the spectrum each band has, scaled to the power of full scale."""
    edges = np.geomspace(LOWEST_HZ, HIGHEST_HZ, BANDS + 1) * WINDOW / RATE
    bins = np.arange(WINDOW // 2 + 1)[:, None]
    inside = (bins >= np.floor(edges[:-1])) & (
        bins < np.maximum(np.floor(edges[1:]), edges[:-1] + 1)
    )
    return inside.astype(np.float32) / np.float32((WINDOW / 4) ** 2)
