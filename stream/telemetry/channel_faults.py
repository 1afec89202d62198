"""Detection of faulty channels of a stream, with one log line for each change."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stream.decoding.channels import BLOCKS_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Faults found in this process, by kind; exported to Prometheus.
FAULTS: Counter[str] = Counter(inverted=0, cancelled=0, silent=0)

# Minimum duration before a state is reported.
_MIN_S = {"": 5.0, "inverted": 1.0, "cancelled": 1.0, "silent": 0.0}
_SILENT_S = 5.0  # duration of sound in the other channel before a channel counts as silent
_SILENT = 1e-6  # power relative to the other channel of its pair (-60 dB)
_LOUD = 1e-6  # mean square above which a channel is a reference
_NOTHING = 1e-10  # mean square below which a channel is silent in any case
# Left and right of each pair, by the number of channels, in the order of FFmpeg and WAV. Centre
# and bass channels and the surround channels of a film may be silent.
PAIRS = {
    2: [(0, 1)],
    3: [(0, 1)],
    4: [(0, 1), (2, 3)],
    5: [(0, 1), (3, 4)],
    6: [(0, 1), (4, 5)],
    7: [(0, 1), (5, 6)],
    8: [(0, 1), (4, 5), (6, 7)],
}


def is_silent_beside(power: float, other: float) -> bool | None:
    """Return whether a channel is silent while the other one of its pair is not.

    Parameters
    ----------
    power, other : float >= 0
        Mean squares of the two at one time.

    Returns
    -------
    bool or None
        None where the other has too little sound to tell.
    """
    if power > max(_SILENT * other, _NOTHING):
        return False
    return True if other > _LOUD else None


class _State(NamedTuple):
    kind: str  # a key of `FAULTS`, or "" if there is no fault
    channels: tuple[int, ...]  # from 0


class ChannelFaults:
    """Tracks the state of one stream's channels.

    Parameters
    ----------
    channels : int
        Number of channels.
    """

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._silent = [0] * channels  # blocks for which each channel has been silent
        self._reported = self._now = _State("", ())
        self._lasts = 0  # blocks since the state began

    def push(self, weights: Sequence[NDArray[np.float32]], power: NDArray[np.float64]) -> list[str]:
        """Process the next blocks; return a line for each change.

        Parameters
        ----------
        weights : sequence of k np.ndarray [shape=(channels,)]
            Weights of the channels in each block, see `stream.decoding.channels`.
        power : np.ndarray [shape=(k, channels)]
            Mean square of each channel's samples.
        """
        lines: list[str] = []
        if self._are_good(weights, power):
            return lines
        for mixture, levels in zip(weights, power.tolist(), strict=True):
            state = self._state(mixture, levels)
            self._lasts = self._lasts + 1 if state == self._now else 1
            self._now = state
            if state != self._reported and self._lasts >= _MIN_S[state.kind] * BLOCKS_PER_S:
                self._reported = state
                lines.append(self._line(state))
                if state.kind:
                    FAULTS[state.kind] += 1
        return lines

    def _are_good(self, weights: Sequence[NDArray[np.float32]], power: NDArray[np.float64]) -> bool:
        """Return whether blocks are like those before, all without fault; if so, count them.

        Nearly all audio is so, and this takes one step for all blocks instead of one for each.
        """
        if self._reported.kind or self._now.kind or any(self._silent) or not len(power):
            return False
        if any(each is not weights[0] for each in weights) or min(weights[0].tolist()) <= 0:
            return False
        if power.min() <= max(_SILENT * float(power.max()), _NOTHING):
            return False
        self._lasts += len(power)
        return True

    def _state(self, mixture: NDArray[np.float32], levels: list[float]) -> _State:
        for pair in PAIRS.get(self._channels, []):
            for one, other in (pair, pair[::-1]):
                is_silent = is_silent_beside(levels[one], levels[other])
                if is_silent is not None:
                    self._silent[one] = self._silent[one] + 1 if is_silent else 0
        lowest = min(mixture.tolist())
        if lowest < 0:
            return _State("inverted", tuple(np.flatnonzero(mixture < 0).tolist()))
        if lowest == 0:
            return _State("cancelled", tuple(np.flatnonzero(mixture == 0).tolist()))
        enough = _SILENT_S * BLOCKS_PER_S
        if max(self._silent) < enough:
            return _GOOD
        silent = tuple(c for c, blocks in enumerate(self._silent) if blocks >= enough)
        return _State("silent", silent)

    def _line(self, state: _State) -> str:
        numbers = " and ".join(str(channel + 1) for channel in state.channels)
        which = f"channel {numbers} of {self._channels}"
        if state.kind == "inverted":
            return (
                f"{which} has the opposite sign of the others: its sign is changed before the mean "
                "of the channels is taken; check cables and plug-ins"
            )
        if state.kind == "cancelled":
            return (
                f"{which} cancels parts of the others, such as music in opposite phase under a "
                f"voice: the mean of the others is used; check how the programme is mixed"
            )
        if state.kind == "silent":
            return (
                f"{which} is silent while the other channel of its pair is not: the mean of all "
                "channels is used; check cables and devices"
            )
        return f"the fault of its {self._channels} channels is gone: their mean is used"


_GOOD = _State("", ())
