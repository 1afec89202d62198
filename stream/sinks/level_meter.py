"""The level of audio as it comes, for the eye: a bar, and a peak that stays for a while."""

from __future__ import annotations

from collections import deque
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text

from stream.levels.decibels import FLOOR_DB, of_amplitude, of_power

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.audio import AudioChunk

WINDOW_S = 0.3  # of audio that a level is of, as the needle of a VU meter has it
HOLD_S = 1.5  # of audio for which a peak stays
LOWEST_DB = -60.0  # at the left end of the bar
_LOUD_DB, _FULL_DB = -18.0, -3.0  # from here on yellow, and red
_HIGH = 1e3  # what is beyond is no audio, and is not squared


class LevelMeter:
    """The level of the last `WINDOW_S`, and the highest sample of the last `HOLD_S`.

    Time is that of the audio: a meter that is given nothing stands still until it is cleared.
    """

    def __init__(self) -> None:
        self._at_s = 0.0
        self._powers: deque[tuple[float, float, float]] = deque()  # end, length, mean square
        self._peaks: deque[tuple[float, float]] = deque()  # end and highest, of falling height

    def push(self, chunks: Sequence[AudioChunk]) -> None:
        """Take the next audio."""
        for chunk in chunks:
            if not chunk.samples.size:
                continue
            samples = np.clip(np.nan_to_num(chunk.samples), -_HIGH, _HIGH).astype(np.float64)
            length_s = len(samples) / chunk.rate
            self._at_s += length_s
            self._powers.append((self._at_s, length_s, float(np.mean(samples**2))))
            highest = float(np.abs(samples).max())
            while self._peaks and self._peaks[-1][1] <= highest:
                self._peaks.pop()
            self._peaks.append((self._at_s, highest))
        while len(self._powers) > 1 and self._powers[0][0] <= self._at_s - WINDOW_S + 1e-9:
            self._powers.popleft()
        while len(self._peaks) > 1 and self._peaks[0][0] <= self._at_s - HOLD_S + 1e-9:
            self._peaks.popleft()

    def clear(self) -> None:
        """Forget everything: there is no audio."""
        self._powers.clear()
        self._peaks.clear()

    @property
    def level_dbfs(self) -> float:
        """The level in dB; `FLOOR_DB` without audio. A full sine has -3.01."""
        length = sum(each for _, each, _ in self._powers)
        if not length:
            return FLOOR_DB
        return of_power(sum(each * power for _, each, power in self._powers) / length)

    @property
    def peak_dbfs(self) -> float:
        """The highest sample in dB; `FLOOR_DB` without audio."""
        return of_amplitude(self._peaks[0][1]) if self._peaks else FLOOR_DB

    def render(self, length: int, marks: str) -> Text:
        """Return a bar of `length` columns, with a stroke at the peak."""
        full, at = _column(self.level_dbfs, length), _column(self.peak_dbfs, length)
        loud, red = (_column(each, length) for each in (_LOUD_DB, _FULL_DB))
        cells = [
            (
                marks[0] if column < full else "|" if column == at - 1 else marks[1],
                "dim" if column >= max(full, at) or full <= column < at - 1
                else "green" if column < loud else "yellow" if column < red else "red",
            )
            for column in range(length)
        ]  # fmt: skip
        text = Text()
        for style, run in groupby(cells, key=itemgetter(1)):
            text.append("".join(mark for mark, _ in run), style)
        return text


def _column(decibels: float, length: int) -> int:
    """Return how many of `length` columns lie below a level."""
    return round(min(max(1 - decibels / LOWEST_DB, 0.0), 1.0) * length)
