"""Where a message's audio lies in its station: by sample, by time, or by order of arrival."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from stream.audio import rescale

if TYPE_CHECKING:
    from collections.abc import Sequence

# What a station's clock gains or loses on its samples is followed this fast: crystals differ by
# less, and one message with a wrong time moves nothing that anybody would notice.
_SLEW = 500e-6
_JITTER_S = 0.1  # a time that is off by so much is jitter, however short the chunks are
_NEAR_S = 10.0  # within so much, missing audio is taken for a whole number of chunks
_BACK_S = 60.0  # a clock that goes back further was set


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


class Place(NamedTuple):
    """What `Position` knows, as plain numbers.

    Parameters
    ----------
    end, rate : int
        Where the audio so far ends, in samples, and their rate; 0 for a station never heard.
    offset_ms : float, optional
        Unix time of sample 0 by the clock that places messages, as far as it is known.
    arrived_ms : int, optional
        When the last message arrived.
    """

    end: int = 0
    rate: int = 0
    offset_ms: float | None = None
    arrived_ms: int | None = None


NOWHERE = Place()


class Position:
    """The running position of one station.

    ``start_sample`` is believed as it is. Without it, audio goes on where it ended, and the
    clock only tells of jumps: the first sample is counted from 1970-01-01T00:00Z, so a restart
    does not begin to count anew, and from there on samples are counted. The difference between
    clock and count is followed slowly, so that neither jitter nor drift becomes a jump.

    Parameters
    ----------
    jump_s : float
        A ``time_ms`` further than this from the running position is a jump, as is one that is
        off by more than half of the chunk (but never less than 0.1 s). What is off by about a
        whole number of chunks is taken for exactly that.
    pause_s : float
        Without ``time_ms``, a message that arrives later than this, and its own length, after
        the one before it comes after a pause.

    Attributes
    ----------
    place : Place
        What is known. Whoever sets it to an earlier value gets the same starts again for the
        same messages.
    """

    def __init__(self, jump_s: float, pause_s: float) -> None:
        self._jump_s = jump_s
        self._pause_s = pause_s
        self.place = Place()

    def resume(self, place: Sequence[float | None]) -> None:
        """Go on at a `place`, which may have been JSON in between."""
        self.place = Place(*place)  # type: ignore[arg-type]  # checked by who read it

    def goes_on(self, claim: Claim, slack: int) -> bool:
        """Say whether ``start_sample`` is where the audio ended, or up to `slack` after it."""
        end, rate = self.place.end, self.place.rate
        if claim.start_sample is None or not rate:
            return False
        return end <= rescale(claim.start_sample, claim.rate or rate, rate) <= end + slack

    def put(self, claim: Claim, n: int, rate: int) -> int:
        """Return the index, at `rate`, of the first of the message's `n` samples."""
        if not n:  # no whole frame yet: nothing is known of its rate either
            return rescale(self.place.end, self.place.rate or rate, rate)
        known, arrived_ms = self.place, claim.arrived_ms
        if known.rate and known.rate != rate:
            self.place = known = known._replace(end=rescale(known.end, known.rate, rate), rate=rate)
        if claim.start_sample is not None:
            start = rescale(claim.start_sample, claim.rate or rate, rate)
            end, offset_ms = start + n, self._learn(claim.time_ms, start, n, rate)
        else:
            start, offset_ms = self._by_time(claim, n, rate)
            # A chunk that comes late, or again, lies before the end and does not move it.
            end = max(known.end, start + n)
        arrived_ms = known.arrived_ms if arrived_ms is None else arrived_ms
        self.place = Place(end, rate, offset_ms, arrived_ms)
        return start

    def time(self, start: int, rate: int) -> float | None:
        """Return the Unix time of a sample in seconds, by the clock that places messages."""
        offset_ms = self.place.offset_ms
        return None if offset_ms is None else start / rate + offset_ms / 1000

    def _by_time(self, claim: Claim, n: int, rate: int) -> tuple[int, float | None]:
        end, known_rate, offset_ms, _ = self.place
        said_ms = claim.arrived_ms if claim.time_ms is None else claim.time_ms
        if said_ms is None:
            return end, offset_ms
        if not known_rate:
            return rescale(said_ms, 1000, rate), 0.0
        if offset_ms is None:
            return end, said_ms - end * 1000 / rate
        off_s = (said_ms - offset_ms) / 1000 - end / rate
        if claim.time_ms is None:
            jumps = off_s > self._pause_s and self._paused(claim, n / rate)
        else:
            jumps = abs(off_s) > min(self._jump_s, max(n / rate / 2, _JITTER_S))
        if not jumps:
            return end, self._learn(said_ms, end, n, rate)
        if off_s < -_BACK_S:
            # Dropping audio until the clock catches up would be worse than drift.
            return end, said_ms - end * 1000 / rate
        return max(end + self._whole(off_s, n, rate), 0), offset_ms

    def _paused(self, claim: Claim, length_s: float) -> bool:
        # Not by the running position alone: it is ahead of who sends in bursts.
        before_ms = self.place.arrived_ms
        if before_ms is None or claim.arrived_ms is None:
            return True
        return claim.arrived_ms - before_ms > (self._pause_s + length_s) * 1000

    def _whole(self, off_s: float, n: int, rate: int) -> int:
        """Return a jump in samples; a short one in whole chunks, because times jitter."""
        jump = round(off_s * rate)
        chunks = round(jump / n) * n
        near = abs(off_s) <= _NEAR_S and abs(jump - chunks) <= self._jump_s * rate
        return chunks if near else jump

    def _learn(self, said_ms: int | None, start: int, n: int, rate: int) -> float | None:
        """Return the Unix time of sample 0 after a message has said it again."""
        known_ms = self.place.offset_ms
        if said_ms is None:
            return known_ms
        said_zero_ms = said_ms - start * 1000 / rate
        if known_ms is None or abs(said_zero_ms - known_ms) > _BACK_S * 1000:
            return said_zero_ms
        most_ms = _SLEW * n * 1000 / rate
        return known_ms + min(max(said_zero_ms - known_ms, -most_ms), most_ms)
