"""The timeline of one station: where a message's audio lies, and which jumps are accepted.

::

                      near the current count
                    ┌──────────────────────┐
                    v                      │            current: where the audio goes on
    message ─> [  current  ] ── far ──> [ current, candidate ]
                    ^                      │            candidate: where it goes on after the
                    └──────────────────────┘            jump that one message indicates
                    continues the candidate,
                    which becomes current

A message far from the running count stays pending until the next message of the station arrives.
If that one continues it, the jump was real, and both are processed after a gap. If it continues
the running count, the pending message was an outlier, and nothing has changed.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from airsift.errors import DecodeError
from stream.audio import rescale
from stream.kafka.codec.sample_count import SampleCount, TimelineRules, TimestampHint
from stream.ranges import MAX_INDEX_S, MAX_RATE, MAX_TIME_S, is_index

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAUSE_S = 3600.0  # messages with pauses up to this long confirm each other
# Two producers under one name may jump for ever. After this many jumps, each further jump needs
# twice as many confirmations, until the station has had a minute without a jump.
_FREE_JUMPS = 16
_MAX_CONFIRMATIONS = 64
_CALM_S = 60.0
_LATE_S = 10.0  # a message this close before the end of an ended stream is late or a duplicate
_FIELDS = len(SampleCount._fields)
_MAX_NUMBER = MAX_INDEX_S * MAX_RATE  # samples, at the highest rate


class Verdict(Enum):
    """How a message relates to the running count."""

    NEAR = "near"
    PENDING = "pending"
    CONFIRMED = "confirmed"


class Placement(NamedTuple):
    """The position of a message on its station's timeline.

    Parameters
    ----------
    start : int
        First sample, at the message's own rate.
    verdict : Verdict
        Whether the position is accepted.
    off_s : float
        Distance from the running count in seconds; positive is ahead.
    hint : str
        The field that gives the position, for messages; "" for `Verdict.NEAR`.
    is_empty : bool
        Whether no frame ends in the message, so that it has no samples.
    """

    start: int
    verdict: Verdict = Verdict.NEAR
    off_s: float = 0.0
    hint: str = ""
    is_empty: bool = False


class TimelineState(NamedTuple):
    """The state of a `Timeline` as plain numbers: the running count, and a candidate after a jump.

    Parameters
    ----------
    end, rate, offset_ms, arrived_ms, top, shift, guess_ms, doubt_ms
        The running `SampleCount`.
    jumps : int
        Recent confirmed jumps.
    calm_s : float
        Seconds of audio since the last message that was far.
    pending : int
        Consecutive messages that indicate the same jump; 0 without a candidate.
    pending_end, pending_rate, pending_offset_ms, pending_arrived_ms, pending_top, pending_shift, \
    pending_guess_ms, pending_doubt_ms
        The `SampleCount` of the candidate.
    """

    end: int = 0
    rate: int = 0
    offset_ms: float | None = None
    arrived_ms: int | None = None
    top: int = 0
    shift: int = 0
    guess_ms: float | None = None
    doubt_ms: float | None = None
    jumps: int = 0
    calm_s: float = 0.0
    pending: int = 0
    pending_end: int = 0
    pending_rate: int = 0
    pending_offset_ms: float | None = None
    pending_arrived_ms: int | None = None
    pending_top: int = 0
    pending_shift: int = 0
    pending_guess_ms: float | None = None
    pending_doubt_ms: float | None = None

    @property
    def current(self) -> SampleCount:
        """The running count."""
        return _count_of(self[:_FIELDS])

    @property
    def candidate(self) -> SampleCount | None:
        """The count after a jump that is not confirmed yet."""
        return _count_of(self[-_FIELDS:]) if self.pending else None


UNKNOWN = TimelineState()


def read_timeline(values: Sequence[float | None]) -> TimelineState:
    """Return a state that was stored as JSON.

    Raises
    ------
    ValueError
        The values are not a valid state.
    """
    if len(values) != len(TimelineState._fields):
        raise ValueError(f"place has {len(values)} numbers, not {len(TimelineState._fields)}")
    for name, value in zip(TimelineState._fields, values, strict=True):
        default = TimelineState._field_defaults[name]
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise ValueError(f"place {name}={value!r} is no number")
        if value is None and default is not None:
            raise ValueError(f"place {name} is missing")
        if value is not None and not abs(value) <= _MAX_NUMBER:
            raise ValueError(f"place {name}={value!r} is out of range")
        if isinstance(default, int) and not (isinstance(value, int) and value >= 0):
            raise ValueError(f"place {name}={value!r} is no whole number from 0 on")
    state = TimelineState(*values)  # type: ignore[arg-type]  # checked above
    if state.rate > MAX_RATE or (state.pending and state.pending_rate != state.rate):
        raise ValueError(f"place rate={state.rate}, pending_rate={state.pending_rate}")
    return state


class Timeline:
    """Places the messages of one station.

    ``start_sample`` gives the position. Without it, audio continues where it ended, and the clock
    only reveals jumps: the first sample is numbered by Unix time, so that numbers do not repeat
    after a restart, and samples are counted from there. The offset between clock and count is
    tracked slowly, so that neither jitter nor drift becomes a jump.

    Parameters
    ----------
    rules : TimelineRules
        How far a message may be off.

    Attributes
    ----------
    state : TimelineState
        From an earlier state, the same messages get the same positions again.
    """

    def __init__(self, rules: TimelineRules) -> None:
        self._rules = rules
        self.state = TimelineState()

    def resume(self, state: Sequence[float | None]) -> None:
        """Continue from a stored state."""
        self.state = TimelineState(*state)  # type: ignore[arg-type]  # checked by `read_timeline`
        if self.state.top < self.state.end:
            self.state = self.state._replace(top=self.state.end)

    def assess(self, hint: TimestampHint) -> Verdict:
        """Return the verdict that `put` will have on a message at the running rate."""
        state = self.state
        if not state.rate or state.current.is_near(hint, self._rules):
            return Verdict.NEAR
        if state.pending >= self._needed and self.continues_candidate(hint):
            return Verdict.CONFIRMED
        return Verdict.PENDING

    def continues(self, hint: TimestampHint, verdict: Verdict, slack: int) -> bool:
        """Whether ``start_sample`` is at the end of the audio, or up to `slack` samples after it.

        For a message that confirms the candidate, this is the end of the candidate's audio.
        """
        known: SampleCount | None = self.state.current
        if verdict is Verdict.CONFIRMED:
            known = self.state.candidate
        if verdict is Verdict.PENDING and not self.continues_candidate(hint):
            return False
        if hint.start_sample is None or known is None or not known.rate:
            return False
        start = rescale(hint.start_sample, hint.rate or known.rate, known.rate) + known.shift
        return known.end <= start <= known.end + slack

    def put(
        self, hint: TimestampHint, n: int, rate: int, verdict: Verdict | None = None
    ) -> Placement:
        """Place a message of `n` samples at `rate`.

        Parameters
        ----------
        verdict : Verdict, optional
            The result of `assess`, if known.

        Raises
        ------
        DecodeError
            The position is out of range.
        """
        state = self.state
        if hint.start_sample is not None:
            _check(hint, rate)
        if n and state.rate not in (0, rate):
            state = _at_rate(state, rate)
        before, self.state = self.state, state
        verdict = verdict or self.assess(hint)
        off_s = state.current.off_s(hint, self._rules)
        try:
            start = self._put(hint, n, rate, verdict)
        except DecodeError:
            self.state = before
            raise
        if state.rate and state.rate != rate:  # it has no sample, so its rate is not known
            start = rescale(start, state.rate, rate)
        hint_text = "" if verdict is Verdict.NEAR else str(hint)
        return Placement(start, verdict, off_s, hint_text, not n)

    def time(self, start: int, rate: int, verdict: Verdict = Verdict.NEAR) -> float | None:
        """Return the Unix time of a sample in seconds; None where it is not known."""
        known = self.state.candidate if verdict is Verdict.PENDING else self.state.current
        return None if known is None else known.time(start, rate)

    def begin_again(self, hint: TimestampHint, first_s: float) -> TimelineState | None:
        """Return the state for the first message after the end of a stream that began at `first_s`.

        No second message has to confirm its position. Behind the end, that position is used; a
        message that goes back is numbered anew, behind the end.

        Returns
        -------
        TimelineState, optional
            None for a message shortly before the end, which is late or a duplicate.
        """
        current = self.state.current
        if not current.rate:
            return self.state
        off_s, top_s = current.off_s(hint, self._rules), current.top / current.rate
        if -_LATE_S <= off_s < 0 and hint.start_sample is not None:
            if top_s + off_s >= first_s + _LATE_S:
                return None
        elif off_s >= 0 and current.is_near(hint, self._rules):
            return self.state
        start, begun = current.leap(hint, 0, self._rules)
        # As if there were audio up to there, so that the message is near, also after a restart.
        return TimelineState(*begun._replace(end=start, top=start, guess_ms=None, doubt_ms=None))

    def drop_candidate(self) -> None:
        """Forget an unconfirmed jump."""
        if self.state.pending:
            self.state = TimelineState(*self.state.current, self.state.jumps, self.state.calm_s)

    @property
    def _needed(self) -> int:
        """How many consecutive messages must indicate a jump before one confirms it."""
        over = self.state.jumps - _FREE_JUMPS
        return 1 if over < 0 else min(2 ** (over + 1), _MAX_CONFIRMATIONS)

    def continues_candidate(self, hint: TimestampHint) -> bool:
        """Whether a message continues the candidate."""
        candidate = self.state.candidate
        if candidate is None:
            return False
        near = candidate.is_near(hint, self._rules)
        return near or candidate.is_after_pause(hint, self._rules, _PAUSE_S)

    def _put(self, hint: TimestampHint, n: int, rate: int, verdict: Verdict) -> int:
        state, candidate = self.state, self.state.candidate
        if verdict is Verdict.NEAR:
            if not n:  # no whole frame yet, so its rate is not known
                self.drop_candidate()
                return state.end
            if state.rate:
                start, current = state.current.add(hint, n, self._rules)
            else:
                start, current = state.current.begin(hint, n, rate)
            calm_s = min(state.calm_s + n / current.rate, _CALM_S)
            jumps = 0 if calm_s >= _CALM_S else state.jumps
            new = TimelineState(*current, jumps, calm_s)
        elif verdict is Verdict.CONFIRMED:
            assert candidate is not None
            start, current = candidate.add(hint, n, self._rules)
            new = TimelineState(*current, state.jumps + 1)
        elif candidate is not None and self.continues_candidate(hint):
            start, current = candidate.add(hint, n, self._rules)
            new = TimelineState(*state.current, state.jumps, 0.0, state.pending + 1, *current)
        else:
            start, current = state.current.leap(hint, n, self._rules)
            new = TimelineState(*state.current, state.jumps, 0.0, 1, *current)
        if not (is_index(start, current.rate) and is_index(start + n, current.rate)):
            raise DecodeError(
                f"{hint} puts the audio at second {start // current.rate} of its station, which is "
                "out of range; send it under another station's name"
            )
        self.state = new
        return start


def _check(hint: TimestampHint, rate: int) -> None:
    assert hint.start_sample is not None
    if hint.start_sample > MAX_TIME_S * (hint.rate or rate):
        raise DecodeError(
            f"header start_sample={hint.start_sample} is out of range: at "
            f"{hint.rate or rate} samples per second it must be below {MAX_TIME_S} s, which "
            "counted from 1970 is the year 2200"
        )


def _at_rate(state: TimelineState, rate: int) -> TimelineState:
    """Return the same state in samples of another rate."""
    current, candidate = state.current.at_rate(rate), _count_of(state[-_FIELDS:]).at_rate(rate)
    return TimelineState(*current, state.jumps, state.calm_s, state.pending, *candidate)


def _count_of(values: Sequence[float | None]) -> SampleCount:
    return SampleCount(*values)  # type: ignore[arg-type]  # one half of a `TimelineState`
