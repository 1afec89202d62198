"""Momentary, short-term and integrated loudness by EBU R128, from the power of 0.1 s blocks.

Momentary loudness is of the last 4 blocks, short-term of the last 30. Integrated loudness is the
mean over all momentary powers but those below two gates: -70 LUFS, and 10 LU below the mean of
those above the first. For hours of audio that would be a long list; so only their number in each
0.1 LU is stored, as libebur128's histogram mode does. A momentary loudness counts as the middle of
its 0.1 LU, so the result is wrong by at most `ERROR_LU`, and by less where loudness changes.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from math import floor
from typing import Annotated, Self

import numpy as np
from pydantic import Field, Strict

from stream.levels.decibels import LOUDNESS_DB, loudness

MOMENTARY, SHORT_TERM = 4, 30  # blocks of 0.1 s
GATE_LUFS, GATE_LU = -70.0, -10.0
ERROR_LU = 0.05
_BINS_PER_LU = 10
_MAX_LUFS = 130.0  # decoded audio is at most 120 dB over full scale
BINS = round((_MAX_LUFS - GATE_LUFS) * _BINS_PER_LU)
_POWERS = 10 ** (
    (GATE_LUFS + (np.arange(BINS) + 0.5) / _BINS_PER_LU - LOUDNESS_DB) / 10
)  # of the middle of each bin
_POWER_LIST = _POWERS.tolist()

Count = Annotated[int, Strict(), Field(ge=0, le=2**40)]
Power = Annotated[float, Strict(), Field(ge=0, le=1e15, allow_inf_nan=False)]
DECIMALS = 12  # that a block's power keeps: 0.0001 LU at -70 LUFS, and its text says all of it


@dataclass(slots=True)
class Histogram:
    """How many momentary powers lie in each 0.1 LU: from bin `first` on, as far as there are any.

    Parameters
    ----------
    first : int >= 0
        The bin of the first count, from -70 LUFS on.
    counts : list of int >= 0
        Of this bin and those that follow.
    """

    first: Annotated[int, Strict(), Field(ge=0, lt=BINS)] = 0
    counts: Annotated[list[Count], Field(max_length=BINS)] = field(default_factory=list)

    def add(self, lufs: float) -> None:
        """Count one that is not below the first gate."""
        number = min(floor((lufs - GATE_LUFS) * _BINS_PER_LU), BINS - 1)
        if not self.counts:
            self.first = number
        if number < self.first:
            self.counts[:0] = [0] * (self.first - number)
            self.first = number
        missing = number - self.first - len(self.counts) + 1
        if missing > 0:
            self.counts += [0] * missing
        self.counts[number - self.first] += 1

    def integrated(self) -> float | None:
        """Return the integrated loudness in LUFS; None where nothing was above the gate."""
        counts = np.array(self.counts, np.float64)
        powers = _POWERS[self.first : self.first + len(counts)]
        n = counts.sum()
        if not n:
            return None
        gate = float(counts @ powers / n) * 10 ** (GATE_LU / 10)
        above = bisect_left(_POWER_LIST, gate) - self.first
        if above > 0:
            counts, powers = counts[above:], powers[above:]
        return loudness(float(counts @ powers / counts.sum()))

    def copy(self) -> Self:
        """Return one that can change on its own."""
        return type(self)(self.first, [*self.counts])


@dataclass(slots=True)
class Loudness:
    """The loudness of one programme.

    Parameters
    ----------
    powers : list of float >= 0
        Of the last blocks, K-weighted and added over the channels.
    histogram : Histogram
        Of all momentary powers so far.
    """

    powers: Annotated[list[Power], Field(max_length=SHORT_TERM)] = field(default_factory=list)
    histogram: Histogram = field(default_factory=Histogram)

    def push(self, powers: list[float]) -> float | None:
        """Take the next blocks; return the greatest momentary loudness among them, in LUFS.

        None where there are less than 0.4 s so far.
        """
        begin = max(len(self.powers) - MOMENTARY + 1, 0)
        self.powers += [round(power, DECIMALS) for power in powers]
        last = self.powers[begin:]
        found = [
            loudness((a + b + c + d) / MOMENTARY)
            for a, b, c, d in zip(last, last[1:], last[2:], last[3:], strict=False)
        ]
        for lufs in found:
            if lufs >= GATE_LUFS:
                self.histogram.add(lufs)
        del self.powers[:-SHORT_TERM]
        return max(found, default=None)

    @property
    def short_term(self) -> float | None:
        """The loudness of the last 3 s, in LUFS; None where there are less."""
        if len(self.powers) < SHORT_TERM:
            return None
        return loudness(sum(self.powers) / SHORT_TERM)

    @property
    def integrated(self) -> float | None:
        """The loudness so far, behind both gates, in LUFS; None where all was below."""
        return self.histogram.integrated()

    def copy(self) -> Self:
        """Return one that can change on its own."""
        return type(self)([*self.powers], self.histogram.copy())
