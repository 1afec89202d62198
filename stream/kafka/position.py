"""Where a message's audio lies in its station: by sample, by time, or by order of arrival."""

from __future__ import annotations

from dataclasses import dataclass

from stream.audio import rescale


@dataclass(frozen=True, slots=True)
class Claim:
    """What a message says of the place of its first sample.

    Parameters
    ----------
    start_sample : int, optional
        Index from the station's sample 0.
    rate : int >= 0
        Samples per second that `start_sample` counts in; 0 for the audio's own.
    time_ms : int, optional
        Unix time in milliseconds.
    arrived_ms : int, optional
        Unix time in milliseconds at which Kafka took the message.
    """

    start_sample: int | None
    rate: int
    time_ms: int | None
    arrived_ms: int | None


class Position:
    """The running position of one station.

    ``start_sample`` is believed as it is. Without it, audio goes on where it ended, and the
    clock only tells of jumps: sample 0 is then 1970-01-01T00:00Z, so a restart does not
    begin to count anew.

    Parameters
    ----------
    jump_s : float
        A ``time_ms`` further than this from the running position is a jump. Smaller
        differences are jitter.
    pause_s : float
        Without ``time_ms``, a message that arrives later than this after the end of the audio
        before it comes after a pause.
    """

    def __init__(self, jump_s: float, pause_s: float) -> None:
        self._jump_s = jump_s
        self._pause_s = pause_s
        self._end: int | None = None
        self._rate = 0

    def resume(self, start: int, rate: int) -> None:
        """Say that the next message's first sample is `start`, at `rate`."""
        self._end, self._rate = start, rate

    def goes_on(self, claim: Claim, slack: int) -> bool:
        """Say whether ``start_sample`` is where the audio ended, or up to `slack` after it."""
        if claim.start_sample is None or self._end is None:
            return False
        start = rescale(claim.start_sample, claim.rate or self._rate, self._rate)
        return self._end <= start <= self._end + slack

    def place(self, claim: Claim, n: int, rate: int) -> int:
        """Return the index, at `rate`, of the first of the message's `n` samples."""
        start = self._start(claim, rate)
        self._end, self._rate = start + n, rate
        return start

    def _start(self, claim: Claim, rate: int) -> int:
        if claim.start_sample is not None:
            return rescale(claim.start_sample, claim.rate or rate, rate)
        end = None if self._end is None else rescale(self._end, self._rate, rate)
        if claim.time_ms is not None:
            said = rescale(claim.time_ms, 1000, rate)
            return said if end is None or self._jumps(said, end, rate) else end
        arrived = rescale(claim.arrived_ms or 0, 1000, rate)
        if end is None or arrived - end > self._pause_s * rate:
            return arrived
        return end

    def _jumps(self, said: int, end: int, rate: int) -> bool:
        # A little back is a message sent twice, which the pipeline drops. Far back is a clock
        # that was set: dropping audio until the clock catches up would be worse than drift.
        return said - end > self._jump_s * rate or 0 < end - said - self._jump_s * rate < 60 * rate
