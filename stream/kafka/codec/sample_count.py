"""One running count of a station: where its next message belongs if nothing has jumped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from stream.audio import rescale
from stream.ranges import is_time
from stream.timekeeping import slewed

_JITTER_S = 0.1  # a time that is off by this much is jitter, however short the chunks are
_NEAR_S = 10.0  # within this, missing audio is taken for a whole number of chunks
BACK_S = 60.0  # audio from up to this long before the end came late, or comes again
_MIN_GAP_S = 1.0  # between two counts whose distance is not known
_MAX_GAP_S = 7 * 86_400.0  # the longest gap that a count leaves which began anew
_UNIX_S = 1e9  # a count of samples that has reached 2001 counts from 1970
_DAY_S = 86_400.0


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
    continues : bool
        Whether the first sample is known to follow the last one, whatever the rest says.
    again : bool
        Whether the message was refused before and is sent again: what lies in the past is then no
        jump of its station.
    """

    start_sample: int | None
    rate: int
    time_ms: int | None
    arrived_ms: int | None
    continues: bool = False
    again: bool = False

    def __str__(self) -> str:
        if self.start_sample is not None:
            return f"start_sample={self.start_sample}"
        if self.time_ms is not None:
            return f"time_ms={self.time_ms}"
        return f"the record's timestamp {self.arrived_ms}"


@dataclass(frozen=True, slots=True)
class Rules:
    """How far a message may be off.

    Parameters
    ----------
    jump_s : float
        A ``time_ms`` further than this from the running position is a jump, as is one that is
        off by more than half of the chunk (but never less than 0.1 s). What is off by about a
        whole number of chunks is taken for exactly that.
    pause_s : float
        Without ``time_ms``, a message that arrives later than this, and its own length, after
        the one before it comes after a pause.
    confirm_jump_s : float
        A jump further ahead than this, or further back than 60 s, has to be confirmed.
    """

    jump_s: float
    pause_s: float
    confirm_jump_s: float


class Track(NamedTuple):
    """A running count, as plain numbers.

    Parameters
    ----------
    end, rate : int
        Where the last message ended, in samples, and their rate; 0 before the first one.
    offset_ms : float, optional
        Unix time of sample 0 by the clock that places messages, as far as it is known.
    arrived_ms : int, optional
        When the last message arrived.
    top : int
        The greatest `end` so far.
    shift : int
        Samples added to ``start_sample``: not 0 once a producer has begun to count anew.
    guess_ms : float, optional
        Unix time of sample 0 by ``start_sample`` or by arrival, where messages give no time.
    doubt_ms : float, optional
        Another `guess_ms`, by the last message: taken over if the next one says the same.
    """

    end: int = 0
    rate: int = 0
    offset_ms: float | None = None
    arrived_ms: int | None = None
    top: int = 0
    shift: int = 0
    guess_ms: float | None = None
    doubt_ms: float | None = None

    def at_rate(self, rate: int) -> Track:
        """Return the same count in samples of another rate."""
        if self.rate in (0, rate):
            return self
        end, top, shift = (rescale(n, self.rate, rate) for n in (self.end, self.top, self.shift))
        return self._replace(end=end, top=top, shift=shift, rate=rate)

    def time(self, start: int, rate: int) -> float | None:
        """Return the Unix time of a sample in seconds; None where it is not known."""
        zero_ms = self.guess_ms if self.offset_ms is None else self.offset_ms
        if zero_ms is None:
            return None
        time = start / rate + zero_ms / 1000
        return time if is_time(time) else None

    def off_s(self, claim: Claim, rules: Rules) -> float:
        """Return by how many seconds a message begins after what was there before it."""
        if claim.continues or not self.rate:
            return 0.0
        if claim.start_sample is not None:
            return (self._index(claim) - self.top) / self.rate
        if claim.time_ms is not None:
            return self._off_clock_s(claim.time_ms)
        elapsed_s = self.elapsed_s(claim)
        if elapsed_s is None:
            return 0.0
        if elapsed_s < -BACK_S:
            return elapsed_s
        off_s = self._off_clock_s(claim.arrived_ms)
        return off_s if off_s > rules.pause_s and elapsed_s > rules.pause_s else 0.0

    def is_near(self, claim: Claim, rules: Rules) -> bool:
        """Whether a message is believed without another one that confirms it."""
        off_s = self.off_s(claim, rules)
        return off_s <= rules.confirm_jump_s and (off_s >= -BACK_S or claim.again)

    def is_after_pause(self, claim: Claim, rules: Rules, max_s: float) -> bool:
        """Whether a message comes after a pause of at most `max_s` that its arrival agrees with."""
        off_s, elapsed_s = self.off_s(claim, rules), self.elapsed_s(claim)
        return elapsed_s is not None and 0 < off_s <= max_s and abs(off_s - elapsed_s) <= BACK_S

    def elapsed_s(self, claim: Claim) -> float | None:
        """Return how long after the last message this one arrived."""
        if claim.arrived_ms is None or self.arrived_ms is None:
            return None
        return (claim.arrived_ms - self.arrived_ms) / 1000

    def add(self, claim: Claim, n: int, rules: Rules) -> tuple[int, Track]:
        """Return where a message that is near begins, and the count after it.

        `n` is its length in samples at the rate of this count; one that completes no frame yet
        moves nothing.
        """
        if not n:
            return self.end, self
        offset_ms, rate = self.offset_ms, self.rate
        said_ms = claim.arrived_ms if claim.time_ms is None else claim.time_ms
        if claim.start_sample is not None and not claim.continues:
            start = self._index(claim)
            end, offset_ms = start + n, self._follow(claim.time_ms, start, n)
        elif claim.start_sample is not None:
            start, end = self.end, self.end + n
            offset_ms = self._follow(claim.time_ms, start, n)
        else:
            start = self.end
            if said_ms is None:
                pass
            elif offset_ms is None:
                offset_ms = said_ms - start * 1000 / rate
            elif self._jumps(claim, n, rules):
                start = max(start + self._whole(self._off_clock_s(said_ms), n, rules), 0)
            else:
                offset_ms = self._follow(said_ms, start, n)
            # A chunk that comes late, or again, lies before the end and does not move it.
            end = max(self.end, start + n)
        return start, self._moved(claim, start, n, end, offset_ms)

    def begin(self, claim: Claim, n: int, rate: int) -> tuple[int, Track]:
        """Return where the first message of a station begins, and the count after it."""
        said_ms = claim.arrived_ms if claim.time_ms is None else claim.time_ms
        start, offset_ms = 0, None
        if claim.start_sample is not None:
            start = rescale(claim.start_sample, claim.rate or rate, rate)
            if claim.time_ms is not None:
                offset_ms = claim.time_ms - start * 1000 / rate
        elif said_ms is not None:
            start, offset_ms = rescale(said_ms, 1000, rate), 0.0
        fresh = Track(rate=rate)
        return start, fresh._moved(claim, start, n, start + n, offset_ms)

    def leap(self, claim: Claim, n: int, rules: Rules) -> tuple[int, Track]:
        """Return where a message that is far begins if it is believed, and the count after it.

        Ahead, the gap is as long as the message says. A count or a clock that went back goes on
        behind the end: what was published stays as it is. A second jump ahead, of a count that
        goes on like that, is no longer than the time between two arrivals, or a week: otherwise
        a clock that swings would carry the station away.
        """
        off_s, rate = self.off_s(claim, rules), self.rate
        new = self._replace(guess_ms=None, doubt_ms=None)
        if claim.start_sample is not None:
            raw = rescale(claim.start_sample, claim.rate or rate, rate)
            if raw >= self.top + _MIN_GAP_S * rate:
                start = raw
            elif 0 < off_s <= _MAX_GAP_S:
                start = raw + self.shift
            else:
                start = self.top + self._gap(claim, n)
            offset_ms = None
            if claim.time_ms is not None:
                offset_ms = claim.time_ms - start * 1000 / rate
            new = new._replace(shift=start - raw)
            return start, new._moved(claim, start, n, start + n, offset_ms)
        said_ms = claim.arrived_ms if claim.time_ms is None else claim.time_ms
        assert said_ms is not None
        offset_ms = self.offset_ms
        raw = rescale(said_ms, 1000, rate)
        if 0 < off_s <= _MAX_GAP_S:
            start = self.top + round(off_s * rate)
        elif off_s > 0 and raw > self.top:
            start, offset_ms = raw, 0.0
        else:
            # Dropping audio until the clock catches up would be worse than a jump of its time.
            start = self.top + (self._gap(claim, n) if off_s > 0 else 0)
            offset_ms = said_ms - start * 1000 / rate
        return start, new._moved(claim, start, n, start + n, offset_ms)

    def _index(self, claim: Claim) -> int:
        assert claim.start_sample is not None
        return rescale(claim.start_sample, claim.rate or self.rate, self.rate) + self.shift

    def _gap(self, claim: Claim, n: int) -> int:
        """Return, in samples, how much is missing by the times of arrival."""
        gap_s = (self.elapsed_s(claim) or 0.0) - n / self.rate
        return round(min(max(gap_s, _MIN_GAP_S), _MAX_GAP_S) * self.rate)

    def _off_clock_s(self, said_ms: int | None) -> float:
        if said_ms is None or self.offset_ms is None:
            return 0.0
        return (said_ms - self.offset_ms) / 1000 - self.end / self.rate

    def _jumps(self, claim: Claim, n: int, rules: Rules) -> bool:
        length_s = n / self.rate
        if claim.time_ms is not None:
            off_s = abs(self._off_clock_s(claim.time_ms))
            return off_s > min(rules.jump_s, max(length_s / 2, _JITTER_S))
        # Not by the running position alone: it is ahead of producers that send in bursts.
        elapsed_s = self.elapsed_s(claim)
        paused = elapsed_s is None or elapsed_s > rules.pause_s + length_s
        return paused and self._off_clock_s(claim.arrived_ms) > rules.pause_s

    def _whole(self, off_s: float, n: int, rules: Rules) -> int:
        """Return a jump in samples; a short one in whole chunks, because times jitter."""
        jump = round(off_s * self.rate)
        chunks = round(jump / n) * n
        near = abs(off_s) <= _NEAR_S and abs(jump - chunks) <= rules.jump_s * self.rate
        return chunks if near else jump

    def _follow(self, said_ms: int | None, start: int, n: int) -> float | None:
        """Return the Unix time of sample 0 after a message has given a time."""
        known_ms = self.offset_ms
        if said_ms is None:
            return known_ms
        said_zero_ms = said_ms - start * 1000 / self.rate
        if known_ms is None or abs(said_zero_ms - known_ms) > BACK_S * 1000:
            return said_zero_ms
        return slewed(known_ms, said_zero_ms, n * 1000 / self.rate)

    def _moved(self, claim: Claim, start: int, n: int, end: int, offset_ms: float | None) -> Track:
        """Return the count after a message at `start`."""
        guess_ms, doubt_ms = self.guess_ms, None
        if claim.start_sample is not None and claim.time_ms is None:
            guess_ms, doubt_ms = self._guess(claim, start, n)
        arrived_ms = self.arrived_ms if claim.arrived_ms is None else claim.arrived_ms
        top = max(self.top, end)
        return Track(end, self.rate, offset_ms, arrived_ms, top, self.shift, guess_ms, doubt_ms)

    def _guess(self, claim: Claim, start: int, n: int) -> tuple[float | None, float | None]:
        """Return `guess_ms` and `doubt_ms` after a message that gives no time of its own.

        A count that began at 1970 is the time itself. Else a message is taken for sent when its
        last sample was there.
        """
        assert claim.start_sample is not None
        said_s = claim.start_sample / (claim.rate or self.rate)
        arrived_ms = claim.arrived_ms
        if said_s >= _UNIX_S and (arrived_ms is None or said_s <= arrived_ms / 1000 + _DAY_S):
            return -self.shift * 1000 / self.rate, None
        if arrived_ms is None:
            return self.guess_ms, self.doubt_ms
        said_ms = arrived_ms - (start + n) * 1000 / self.rate
        if self.guess_ms is None:
            return said_ms, None
        if abs(said_ms - self.guess_ms) <= BACK_S * 1000:
            return slewed(self.guess_ms, said_ms, n * 1000 / self.rate), None
        if self.doubt_ms is not None and abs(said_ms - self.doubt_ms) <= BACK_S * 1000:
            return said_ms, None
        return self.guess_ms, said_ms
