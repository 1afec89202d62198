"""The same audio again and again: a player or an encoder that hangs, or samples that stand still.

Each half of a second has a mark: the checksum of the samples that lead to its greatest one. In
audio that repeats every P seconds, whatever P is, the greatest sample of a half second has been the
greatest of an earlier one, mostly, and the samples before it were the same, to the last bit. So a
second is a repetition if one of its marks was there in the `MEMORY_S` seconds before it. A station
is frozen if most of its last seconds are: a P of up to 1 s is found after about 7 s, a longer one
in its second or third round.

It finds loops of decoded samples: of PCM, of a stream server that sends its buffer again, of a
device that stands still. It does not find a loop that is encoded anew, because no codec of music
gives the same samples twice; nor one longer than `MEMORY_S`, nor silence, which is reported by
itself. A test tone of whole periods is a loop, and is found.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, Strict

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

MEMORY_S = 30
PER_S = 2  # marks
WINDOW_S = 10  # seconds that are judged together,
ENOUGH = 6  # and how many of them are repetitions
MARK = 64  # samples

_Bits = Annotated[int, Strict(), Field(ge=0, lt=2**32)]


def peaks_of(magnitudes: NDArray[np.float32]) -> list[list[tuple[float, int]]]:
    """Return the greatest sample of each channel in each half of a second, and where it is.

    Parameters
    ----------
    magnitudes : np.ndarray [shape=(channels, rate), float32]
        Absolute values of the second. Where one is not a number, that is the greatest.
    """
    halves = (0, magnitudes.shape[1] // 2, magnitudes.shape[1])
    return [
        [
            (float(values[at]), at)
            for values in magnitudes
            for at in [begin + int(values[begin:end].argmax())]
        ]
        for begin, end in pairwise(halves)
        if begin < end
    ]


def marks_of(
    samples: NDArray[np.float32], peaks: Sequence[Sequence[tuple[float, int]]]
) -> list[int]:
    """Return the marks of a second; none of a half that is silent.

    Parameters
    ----------
    samples : np.ndarray [shape=(channels, MARK + rate), float32]
        The second, and `MARK` samples before it.
    peaks : sequence of sequence of (float, int)
        As of `peaks_of`.
    """
    marks = list[int]()
    for half in peaks:
        peak, at = max(half, key=itemgetter(0))  # of equal ones that of the first channel
        if peak:
            marks.append(zlib.crc32(samples[:, at + 1 : at + 1 + MARK].tobytes()))
    return marks


@dataclass(slots=True)
class Repetition:
    """What is remembered of a station.

    Parameters
    ----------
    marks : list of int
        Of the last seconds with sound, the oldest first.
    repeated : int
        The last `WINDOW_S` seconds, one bit each, the newest last: whether it is a repetition.
    """

    marks: Annotated[list[_Bits], Field(max_length=MEMORY_S * PER_S)] = field(default_factory=list)
    repeated: Annotated[int, Strict(), Field(ge=0, lt=2**WINDOW_S)] = 0

    def push(self, marks: Sequence[int]) -> bool:
        """Take the marks of the next second; return whether audio is frozen at its end."""
        again = any(mark in self.marks for mark in marks)
        self.repeated = (self.repeated << 1 | again) & (2**WINDOW_S - 1)
        self.marks += marks
        del self.marks[: -MEMORY_S * PER_S]
        return self.repeated.bit_count() >= ENOUGH

    def copy(self) -> Self:
        """Return one that can change on its own."""
        return type(self)([*self.marks], self.repeated)
