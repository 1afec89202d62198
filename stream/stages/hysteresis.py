"""Is there speech? Is there music? One switch each, turned by hysteresis."""

from __future__ import annotations

from dataclasses import dataclass

# A change that has not reached its threshold in this many times the shortest length is dated
# later and later, so that what is open, and has to be remembered, does not grow without end.
PATIENCE = 10


@dataclass(slots=True)
class Switch:
    """On or off, and the change that may be under way.

    A change is dated where the probability crosses one half, and counts only if the
    probability goes on to reach a threshold (within `PATIENCE`, else it is dated later) and
    stays on its side of one half for a while::

        p     .1  .1  .2  .7  .9  .9  .9
                       ^ crosses .5: here the change is dated...
                                  ^ ...and here, `min_length` later, it is certain

    Parameters
    ----------
    start : int >= 0
        Sample at which the session begins; the first state holds from there.
    enter, leave : float in (0, 1), leave <= 0.5 <= enter
        A change to on must reach `enter`, a change to off must reach `leave`.
    min_length : int >= 0
        Samples a change must last to count.
    """

    start: int
    enter: float
    leave: float
    min_length: int
    on: bool | None = None  # None until enough has been heard
    settled: int = 0  # no change can be dated before this sample any more
    crossing: int = 0  # where the run of p on its present side of one half began
    reached: bool = False  # whether that run has reached its threshold
    last_p: float | None = None
    last_at: int = 0
    first_at: int = 0
    total_p: float = 0.0
    count: int = 0

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
            self.settled = self.start
        elif (p >= 0.5) != (self.last_p >= 0.5):
            share = (0.5 - self.last_p) / (p - self.last_p)
            self.crossing = round((self.last_at + share * (at - self.last_at)) / grid) * grid
            self.reached = False
        side = p >= 0.5
        self.reached = self.reached or (p >= self.enter if side else p <= self.leave)
        self.last_p, self.last_at = p, at
        self.total_p, self.count = self.total_p + p, self.count + 1
        if self.on is None:
            # The first state is what most of the first `min_length` says.
            if at - self.first_at >= self.min_length:
                return self._begin(at if side == self._mostly_on() else self.crossing)
        elif side == self.on:
            self.settled = at
        elif self.reached and at - self.crossing >= self.min_length:
            return self._turn(side, at)
        else:
            if not self.reached:
                earliest = (at - PATIENCE * self.min_length) // grid * grid
                self.crossing = max(self.crossing, earliest)
            self.settled = max(self.settled, self.crossing)
        return None

    def finish(self, end: int) -> tuple[int, bool] | None:
        """Say that the audio ends at `end`; return the change that this makes certain, if any."""
        if self.on is None:
            return self._begin(end)
        side = self.last_p is not None and self.last_p >= 0.5
        if side != self.on and self.reached and end - self.crossing >= self.min_length:
            return self._turn(side, end)
        self.settled = end
        return None

    def _mostly_on(self) -> bool:
        return self.total_p >= 0.5 * self.count

    def _begin(self, settled: int) -> tuple[int, bool]:
        self.on, self.settled = self._mostly_on(), settled
        return self.start, self.on

    def _turn(self, side: bool, at: int) -> tuple[int, bool]:
        self.on, self.settled = side, at
        return self.crossing, side
