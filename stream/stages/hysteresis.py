"""Hysteresis with two thresholds, one each for speech and for music."""

from __future__ import annotations

from dataclasses import dataclass

from stream.ranges import Flag, Number, Probability, Sample

# A change that has not reached its threshold in this many times the minimum length is dated
# later and later, so that what has to be remembered of it is bounded.
MAX_PENDING_LENGTHS = 10


@dataclass(slots=True)
class Hysteresis:
    """On or off, and the change that may be under way.

    A change is dated where the probability crosses one half (later, if it has not reached its
    threshold within `MAX_PENDING_LENGTHS`). It counts if the probability reaches the threshold and
    stays on its side of one half for a while::

        p     .1  .1  .2  .7  .9  .9  .9
                       ^ crosses .5: here the change is dated...
                                  ^ ...and here, `min_length` later, it is certain

    Parameters
    ----------
    start : int >= 0
        Sample at which the audio begins; the first state holds from there.
    onset, offset : float in (0, 1), offset <= 0.5 <= onset
        A change to on must reach `onset`, a change to off must reach `offset`.
    min_length : int >= 0
        Samples a change must last to count.
    """

    start: Sample
    onset: Probability
    offset: Probability
    min_length: Sample
    on: Flag | None = None  # None until the first state is known
    watermark: Sample = 0  # no change can be dated before this sample any more
    crossing: Sample = 0  # where p came to its present side of one half
    reached: Flag = False  # whether it has reached its threshold since
    last_p: Probability | None = None
    last_at: Sample = 0
    first_at: Sample = 0
    total_p: Number = 0.0
    count: Sample = 0

    def push(self, at: int, p: float, *, grid: int) -> tuple[int, bool] | None:
        """Take the probability `p` at sample `at`.

        Returns
        -------
        tuple of (int, bool), optional
            A change that is now certain: the sample it is dated, and whether to on. Dates are
            multiples of `grid`, so that the last bits of `p` cannot move them.
        """
        if self.last_p is None:
            self.first_at = self.crossing = at
            self.watermark = self.start
        elif (p >= 0.5) != (self.last_p >= 0.5):
            share = (0.5 - self.last_p) / (p - self.last_p)
            self.crossing = round((self.last_at + share * (at - self.last_at)) / grid) * grid
            self.reached = False
        side = p >= 0.5
        self.reached = self.reached or (p >= self.onset if side else p <= self.offset)
        self.last_p, self.last_at = p, at
        self.total_p, self.count = self.total_p + p, self.count + 1
        if self.on is None:
            # The first state is that of the mean over the first `min_length`.
            if at - self.first_at >= self.min_length:
                return self._begin(at if side == self._mostly_on() else self.crossing)
        elif side == self.on:
            self.watermark = at
        elif self.reached and at - self.crossing >= self.min_length:
            return self._turn(side, at)
        else:
            if not self.reached:
                earliest = (at - MAX_PENDING_LENGTHS * self.min_length) // grid * grid
                self.crossing = max(self.crossing, earliest)
            self.watermark = max(self.watermark, self.crossing)
        return None

    def finish(self, end: int) -> tuple[int, bool] | None:
        """End the audio at `end`; return the change that this makes certain, if any."""
        if self.on is None:
            return self._begin(end)
        side = self.last_p is not None and self.last_p >= 0.5
        if side != self.on and self.reached and end - self.crossing >= self.min_length:
            return self._turn(side, end)
        self.watermark = end
        return None

    def _mostly_on(self) -> bool:
        return self.total_p >= 0.5 * self.count

    def _begin(self, watermark: int) -> tuple[int, bool]:
        self.on, self.watermark = self._mostly_on(), watermark
        return self.start, self.on

    def _turn(self, side: bool, at: int) -> tuple[int, bool]:
        self.on, self.watermark = side, at
        return self.crossing, side
