"""The running sample count of a station: where its next message belongs if nothing jumps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from stream.audio import rescale
from stream.ranges import is_time
from stream.timekeeping import slewed

_JITTER_S = 0.1  # a smaller error of a time is jitter, however short the chunks are
_NEAR_S = 10.0  # a shorter gap is rounded to a whole number of chunks
BACK_S = 60.0  # audio up to this long before the end is late or a duplicate
_MIN_GAP_S = 1.0  # between two counts of unknown distance
_MAX_GAP_S = 7 * 86_400.0  # longest gap after a count that was reset
_UNIX_S = 1e9  # a sample number beyond 2001 is Unix time
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class TimestampHint:
    """The fields of a message that give the position of its first sample.

    Parameters
    ----------
    start_sample : int, optional
        Number of the sample, from the station's sample 0.
    rate : int >= 0
        Rate of `start_sample` in samples per second; 0 for the audio's own.
    time_ms : int, optional
        Unix time in milliseconds.
    arrived_ms : int, optional
        Unix time in milliseconds of the Kafka record.
    continues : bool
        Whether the first sample is known to follow the last one; overrides the other fields.
    again : bool
        Whether it is a replayed dead letter. A position in the past is then not a jump.
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
class TimelineRules:
    """How far a message may be off.

    Parameters
    ----------
    jump_s : float
        A ``time_ms`` further than this from the running count is a jump, as is one that is off by
        more than half a chunk (but never less than 0.1 s). A jump of about a whole number of
        chunks is rounded to that number.
    pause_s : float
        Without ``time_ms``, a message that arrives later than this plus its own length after the
        previous one follows a pause.
    confirm_jump_s : float
        A jump further ahead than this, or further back than 60 s, needs a second message.
    """

    jump_s: float
    pause_s: float
    confirm_jump_s: float


class SampleCount(NamedTuple):
    """A running count as plain numbers.

    Parameters
    ----------
    end, rate : int
        End of the last message in samples, and their rate; 0 before the first message.
    offset_ms : float, optional
        Unix time of sample 0 by the clock that positions messages, if known.
    arrived_ms : int, optional
        Arrival of the last message.
    top : int
        The largest `end` so far.
    shift : int
        Samples added to ``start_sample``; not 0 after a producer has reset its count.
    guess_ms : float, optional
        Unix time of sample 0 by ``start_sample`` or arrival, if messages give no time.
    doubt_ms : float, optional
        A deviating `guess_ms` of the last message; adopted if the next message agrees.
    """

    end: int = 0
    rate: int = 0
    offset_ms: float | None = None
    arrived_ms: int | None = None
    top: int = 0
    shift: int = 0
    guess_ms: float | None = None
    doubt_ms: float | None = None

    def at_rate(self, rate: int) -> SampleCount:
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

    def off_s(self, hint: TimestampHint, rules: TimelineRules) -> float:
        """Return how many seconds after the end of the audio a message begins."""
        if hint.continues or not self.rate:
            return 0.0
        if hint.start_sample is not None:
            return (self._index(hint) - self.top) / self.rate
        if hint.time_ms is not None:
            return self._off_clock_s(hint.time_ms)
        elapsed_s = self.elapsed_s(hint)
        if elapsed_s is None:
            return 0.0
        if elapsed_s < -BACK_S:
            return elapsed_s
        off_s = self._off_clock_s(hint.arrived_ms)
        return off_s if off_s > rules.pause_s and elapsed_s > rules.pause_s else 0.0

    def is_near(self, hint: TimestampHint, rules: TimelineRules) -> bool:
        """Whether the position of a message is accepted without a second message."""
        off_s = self.off_s(hint, rules)
        return off_s <= rules.confirm_jump_s and (off_s >= -BACK_S or hint.again)

    def is_after_pause(self, hint: TimestampHint, rules: TimelineRules, max_s: float) -> bool:
        """Whether a message follows a pause of at most `max_s` that matches its arrival."""
        off_s, elapsed_s = self.off_s(hint, rules), self.elapsed_s(hint)
        return elapsed_s is not None and 0 < off_s <= max_s and abs(off_s - elapsed_s) <= BACK_S

    def elapsed_s(self, hint: TimestampHint) -> float | None:
        """Return the seconds between the arrivals of the last message and this one."""
        if hint.arrived_ms is None or self.arrived_ms is None:
            return None
        return (hint.arrived_ms - self.arrived_ms) / 1000

    def add(self, hint: TimestampHint, n: int, rules: TimelineRules) -> tuple[int, SampleCount]:
        """Return the first sample of a message that is near, and the count after it.

        `n` is its length in samples at the rate of this count. A message without a whole frame
        changes nothing.
        """
        if not n:
            return self.end, self
        offset_ms, rate = self.offset_ms, self.rate
        hint_ms = hint.arrived_ms if hint.time_ms is None else hint.time_ms
        if hint.start_sample is not None and not hint.continues:
            start = self._index(hint)
            end, offset_ms = start + n, self._follow(hint.time_ms, start, n)
        elif hint.start_sample is not None:
            start, end = self.end, self.end + n
            offset_ms = self._follow(hint.time_ms, start, n)
        else:
            start = self.end
            if hint_ms is None:
                pass
            elif offset_ms is None:
                offset_ms = hint_ms - start * 1000 / rate
            elif self._jumps(hint, n, rules):
                start = max(start + self._whole(self._off_clock_s(hint_ms), n, rules), 0)
            else:
                offset_ms = self._follow(hint_ms, start, n)
            # A late or duplicate chunk lies before the end and does not move it.
            end = max(self.end, start + n)
        return start, self._moved(hint, start, n, end, offset_ms)

    def begin(self, hint: TimestampHint, n: int, rate: int) -> tuple[int, SampleCount]:
        """Return the first sample of a station's first message, and the count after it."""
        hint_ms = hint.arrived_ms if hint.time_ms is None else hint.time_ms
        start, offset_ms = 0, None
        if hint.start_sample is not None:
            start = rescale(hint.start_sample, hint.rate or rate, rate)
            if hint.time_ms is not None:
                offset_ms = hint.time_ms - start * 1000 / rate
        elif hint_ms is not None:
            start, offset_ms = rescale(hint_ms, 1000, rate), 0.0
        fresh = SampleCount(rate=rate)
        return start, fresh._moved(hint, start, n, start + n, offset_ms)

    def leap(self, hint: TimestampHint, n: int, rules: TimelineRules) -> tuple[int, SampleCount]:
        """Return the first sample of a message that is far, if it is accepted, and the count after.

        Ahead, the gap has the length that the message gives. A count or clock that went back
        continues behind the end, because published events do not change. Once a count is shifted
        like that, a further jump ahead is at most as long as the time between two arrivals, or a
        week: otherwise a clock that swings would move the station further and further ahead.
        """
        off_s, rate = self.off_s(hint, rules), self.rate
        new = self._replace(guess_ms=None, doubt_ms=None)
        if hint.start_sample is not None:
            raw = rescale(hint.start_sample, hint.rate or rate, rate)
            if raw >= self.top + _MIN_GAP_S * rate:
                start = raw
            elif 0 < off_s <= _MAX_GAP_S:
                start = raw + self.shift
            else:
                start = self.top + self._gap(hint, n)
            offset_ms = None
            if hint.time_ms is not None:
                offset_ms = hint.time_ms - start * 1000 / rate
            new = new._replace(shift=start - raw)
            return start, new._moved(hint, start, n, start + n, offset_ms)
        hint_ms = hint.arrived_ms if hint.time_ms is None else hint.time_ms
        assert hint_ms is not None
        offset_ms = self.offset_ms
        raw = rescale(hint_ms, 1000, rate)
        if 0 < off_s <= _MAX_GAP_S:
            start = self.top + round(off_s * rate)
        elif off_s > 0 and raw > self.top:
            start, offset_ms = raw, 0.0
        else:
            # Dropping audio until the clock catches up would be worse than a jump of its time.
            start = self.top + (self._gap(hint, n) if off_s > 0 else 0)
            offset_ms = hint_ms - start * 1000 / rate
        return start, new._moved(hint, start, n, start + n, offset_ms)

    def _index(self, hint: TimestampHint) -> int:
        assert hint.start_sample is not None
        return rescale(hint.start_sample, hint.rate or self.rate, self.rate) + self.shift

    def _gap(self, hint: TimestampHint, n: int) -> int:
        """Return the length of the missing audio in samples, by the times of arrival."""
        gap_s = (self.elapsed_s(hint) or 0.0) - n / self.rate
        return round(min(max(gap_s, _MIN_GAP_S), _MAX_GAP_S) * self.rate)

    def _off_clock_s(self, hint_ms: int | None) -> float:
        if hint_ms is None or self.offset_ms is None:
            return 0.0
        return (hint_ms - self.offset_ms) / 1000 - self.end / self.rate

    def _jumps(self, hint: TimestampHint, n: int, rules: TimelineRules) -> bool:
        length_s = n / self.rate
        if hint.time_ms is not None:
            off_s = abs(self._off_clock_s(hint.time_ms))
            return off_s > min(rules.jump_s, max(length_s / 2, _JITTER_S))
        # The count alone is no proof: it runs ahead of the clock if a producer sends in bursts.
        elapsed_s = self.elapsed_s(hint)
        paused = elapsed_s is None or elapsed_s > rules.pause_s + length_s
        return paused and self._off_clock_s(hint.arrived_ms) > rules.pause_s

    def _whole(self, off_s: float, n: int, rules: TimelineRules) -> int:
        """Return a jump in samples; a short one in whole chunks, because times jitter."""
        jump = round(off_s * self.rate)
        chunks = round(jump / n) * n
        near = abs(off_s) <= _NEAR_S and abs(jump - chunks) <= rules.jump_s * self.rate
        return chunks if near else jump

    def _follow(self, hint_ms: int | None, start: int, n: int) -> float | None:
        """Return the Unix time of sample 0 after a message that gives a time."""
        known_ms = self.offset_ms
        if hint_ms is None:
            return known_ms
        hint_zero_ms = hint_ms - start * 1000 / self.rate
        if known_ms is None or abs(hint_zero_ms - known_ms) > BACK_S * 1000:
            return hint_zero_ms
        return slewed(known_ms, hint_zero_ms, n * 1000 / self.rate)

    def _moved(
        self, hint: TimestampHint, start: int, n: int, end: int, offset_ms: float | None
    ) -> SampleCount:
        """Return the count after a message at `start`."""
        guess_ms, doubt_ms = self.guess_ms, None
        if hint.start_sample is not None and hint.time_ms is None:
            guess_ms, doubt_ms = self._guess(hint, start, n)
        arrived_ms = self.arrived_ms if hint.arrived_ms is None else hint.arrived_ms
        top = max(self.top, end)
        return SampleCount(
            end, self.rate, offset_ms, arrived_ms, top, self.shift, guess_ms, doubt_ms
        )

    def _guess(self, hint: TimestampHint, start: int, n: int) -> tuple[float | None, float | None]:
        """Return `guess_ms` and `doubt_ms` after a message without a time.

        A sample number that counts from 1970 is the time. Otherwise, the message is assumed to be
        sent as soon as its last sample is recorded.
        """
        assert hint.start_sample is not None
        hint_s = hint.start_sample / (hint.rate or self.rate)
        arrived_ms = hint.arrived_ms
        if hint_s >= _UNIX_S and (arrived_ms is None or hint_s <= arrived_ms / 1000 + _DAY_S):
            return -self.shift * 1000 / self.rate, None
        if arrived_ms is None:
            return self.guess_ms, self.doubt_ms
        hint_ms = arrived_ms - (start + n) * 1000 / self.rate
        if self.guess_ms is None:
            return hint_ms, None
        if abs(hint_ms - self.guess_ms) <= BACK_S * 1000:
            return slewed(self.guess_ms, hint_ms, n * 1000 / self.rate), None
        if self.doubt_ms is not None and abs(hint_ms - self.doubt_ms) <= BACK_S * 1000:
            return hint_ms, None
        return self.guess_ms, hint_ms
