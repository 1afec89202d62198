"""Where a message's audio lies in its station, and which jumps of its count are believed.

::

                        near the track
                    ┌──────────────────────┐
                    v                      │            track: where the audio goes on
    message ─> [ track only ] ── far ──> [ track, candidate ]
                    ^                      │            candidate: where it would go on after
                    └──────────────────────┘            the jump that one message claims
                    continues the candidate,
                    which becomes the track

A message that is far from the running position is held. The next message of the station decides:
if it goes on from there, the jump was real and both are processed behind a gap; if it goes on
from the running position, the held one was an outlier and nothing has changed.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from airsift.errors import DecodeError
from stream.audio import rescale
from stream.kafka.codec.sample_count import Claim, Rules, Track
from stream.ranges import MAX_INDEX_S, MAX_RATE, MAX_TIME_S, is_index

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Claim", "Place", "Placed", "Position", "Rules", "Verdict"]

_PAUSE_S = 3600.0  # single messages with pauses of up to this between them confirm each other
# Two producers under one name may jump for ever. After this many jumps each next one needs twice
# as many messages that confirm it, until the station has gone on for a minute without any.
_FREE_JUMPS = 16
_MAX_CONFIRMATIONS = 64
_CALM_S = 60.0
_LATE_S = 10.0  # after the end of a stream, what lies so close before it came late, or comes twice
_FIELDS = len(Track._fields)
_MAX_NUMBER = MAX_INDEX_S * MAX_RATE  # of a place: samples at the greatest rate there is


class Verdict(Enum):
    """What becomes of a message."""

    NEAR = "near"
    HELD = "held"
    CONFIRMED = "confirmed"


class Placed(NamedTuple):
    """Where a message lies: its first sample, at its own rate.

    `claim` is what it says of that, and `off_s` how far it is from where the station was, in
    seconds. `is_empty` is whether it has no samples yet.
    """

    start: int
    verdict: Verdict = Verdict.NEAR
    off_s: float = 0.0
    claim: str = ""
    is_empty: bool = False


class Place(NamedTuple):
    """What `Position` knows, as plain numbers: a `Track`, and what is known of a jump.

    Parameters
    ----------
    end, rate, offset_ms, arrived_ms, top, shift, guess_ms, doubt_ms
        The running `Track`.
    jumps : int
        Jumps that were followed lately.
    calm_s : float
        Seconds of audio since the last message that was far.
    held : int
        Messages in a row that claim the same jump; 0 where there is no candidate.
    held_end, held_rate, held_offset_ms, held_arrived_ms, held_top, held_shift, held_guess_ms, \
    held_doubt_ms
        The `Track` of the candidate.
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
    held: int = 0
    held_end: int = 0
    held_rate: int = 0
    held_offset_ms: float | None = None
    held_arrived_ms: int | None = None
    held_top: int = 0
    held_shift: int = 0
    held_guess_ms: float | None = None
    held_doubt_ms: float | None = None

    @property
    def track(self) -> Track:
        """The running count."""
        return _track(self[:_FIELDS])

    @property
    def candidate(self) -> Track | None:
        """The count after the jump that is waiting to be confirmed."""
        return _track(self[-_FIELDS:]) if self.held else None


NOWHERE = Place()


def read_place(values: Sequence[Any]) -> Place:
    """Return a place that was JSON in between.

    Raises
    ------
    ValueError
        It is no place.
    """
    if len(values) != len(Place._fields):
        raise ValueError(f"place has {len(values)} numbers, not {len(Place._fields)}")
    for name, value in zip(Place._fields, values, strict=True):
        default = Place._field_defaults[name]
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise ValueError(f"place {name}={value!r} is no number")
        if value is None and default is not None:
            raise ValueError(f"place {name} is missing")
        if value is not None and not abs(value) <= _MAX_NUMBER:
            raise ValueError(f"place {name}={value!r} is out of range")
        if isinstance(default, int) and not (isinstance(value, int) and value >= 0):
            raise ValueError(f"place {name}={value!r} is no whole number from 0 on")
    place = Place(*values)
    if place.rate > MAX_RATE or (place.held and place.held_rate != place.rate):
        raise ValueError(f"place rate={place.rate}, held_rate={place.held_rate}")
    return place


class Position:
    """The running position of one station.

    ``start_sample`` gives the sample. Without it, audio goes on where it ended, and the
    clock only tells of jumps: the first sample is counted from 1970-01-01T00:00Z, so a restart
    does not begin to count anew, and from there on samples are counted. The difference between
    clock and count is followed slowly, so that neither jitter nor drift becomes a jump.

    Parameters
    ----------
    rules : Rules
        How far a message may be off.

    Attributes
    ----------
    place : Place
        What is known. From an earlier value the same messages are placed the same again.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.place = Place()

    def resume(self, place: Sequence[float | None]) -> None:
        """Go on at a `place`, which may have been JSON in between."""
        self.place = Place(*place)  # type: ignore[arg-type]  # checked by who read it
        if self.place.top < self.place.end:
            self.place = self.place._replace(top=self.place.end)

    def judge(self, claim: Claim) -> Verdict:
        """Return what `put` will say of a message at the running rate."""
        place = self.place
        if not place.rate or place.track.is_near(claim, self._rules):
            return Verdict.NEAR
        if place.held >= self._needed and self.is_more_of_candidate(claim):
            return Verdict.CONFIRMED
        return Verdict.HELD

    def continues(self, claim: Claim, verdict: Verdict, slack: int) -> bool:
        """Whether ``start_sample`` is where the audio ended, or up to `slack` after it.

        The audio that ended is the candidate's for a message that confirms it.
        """
        known: Track | None = self.place.track
        if verdict is Verdict.CONFIRMED:
            known = self.place.candidate
        if verdict is Verdict.HELD and not self.is_more_of_candidate(claim):
            return False
        if claim.start_sample is None or known is None or not known.rate:
            return False
        start = rescale(claim.start_sample, claim.rate or known.rate, known.rate) + known.shift
        return known.end <= start <= known.end + slack

    def put(self, claim: Claim, n: int, rate: int, verdict: Verdict | None = None) -> Placed:
        """Place a message of `n` samples at `rate`.

        Parameters
        ----------
        verdict : Verdict, optional
            What `judge` has said of it, if it was asked.

        Raises
        ------
        DecodeError
            The place is beyond what a station may have.
        """
        place = self.place
        if claim.start_sample is not None:
            _check(claim, rate)
        if n and place.rate not in (0, rate):
            place = _at_rate(place, rate)
        before, self.place = self.place, place
        verdict = verdict or self.judge(claim)
        off_s = place.track.off_s(claim, self._rules)
        try:
            start = self._put(claim, n, rate, verdict)
        except DecodeError:
            self.place = before
            raise
        if place.rate and place.rate != rate:  # there was no sample to know the rate by
            start = rescale(start, place.rate, rate)
        said = "" if verdict is Verdict.NEAR else str(claim)
        return Placed(start, verdict, off_s, said, not n)

    def time(self, start: int, rate: int, verdict: Verdict = Verdict.NEAR) -> float | None:
        """Return the Unix time of a sample in seconds; None where it is not known."""
        known = self.place.candidate if verdict is Verdict.HELD else self.place.track
        return None if known is None else known.time(start, rate)

    def begin_again(self, claim: Claim, first_s: float) -> Place | None:
        """Return where a message after the end of a stream, which began at `first_s`, finds it.

        It needs no other one to confirm it. Behind the end it lies where it says; what goes back
        is counted anew, behind the end.

        Returns
        -------
        Place, optional
            None for a message that came late, or comes again: it lies shortly before the end.
        """
        track = self.place.track
        if not track.rate:
            return self.place
        off_s, top_s = track.off_s(claim, self._rules), track.top / track.rate
        if -_LATE_S <= off_s < 0 and claim.start_sample is not None:
            if top_s + off_s >= first_s + _LATE_S:
                return None
        elif off_s >= 0 and track.is_near(claim, self._rules):
            return self.place
        start, begun = track.leap(claim, 0, self._rules)
        # As if there had been audio up to there: the message is then near, also after a restart.
        return Place(*begun._replace(end=start, top=start, guess_ms=None, doubt_ms=None))

    def drop_candidate(self) -> None:
        """Forget the jump that was waiting to be confirmed."""
        if self.place.held:
            self.place = Place(*self.place.track, self.place.jumps, self.place.calm_s)

    @property
    def _needed(self) -> int:
        """How many messages in a row have to claim a jump before the one that confirms it."""
        over = self.place.jumps - _FREE_JUMPS
        return 1 if over < 0 else min(2 ** (over + 1), _MAX_CONFIRMATIONS)

    def is_more_of_candidate(self, claim: Claim) -> bool:
        """Whether a message goes on from the one that is held."""
        candidate = self.place.candidate
        if candidate is None:
            return False
        near = candidate.is_near(claim, self._rules)
        return near or candidate.is_after_pause(claim, self._rules, _PAUSE_S)

    def _put(self, claim: Claim, n: int, rate: int, verdict: Verdict) -> int:
        place, candidate = self.place, self.place.candidate
        if verdict is Verdict.NEAR:
            if not n:  # no whole frame yet: nothing is known of its rate either
                self.drop_candidate()
                return place.end
            if place.rate:
                start, track = place.track.add(claim, n, self._rules)
            else:
                start, track = place.track.begin(claim, n, rate)
            calm_s = min(place.calm_s + n / track.rate, _CALM_S)
            jumps = 0 if calm_s >= _CALM_S else place.jumps
            new = Place(*track, jumps, calm_s)
        elif verdict is Verdict.CONFIRMED:
            assert candidate is not None
            start, track = candidate.add(claim, n, self._rules)
            new = Place(*track, place.jumps + 1)
        elif candidate is not None and self.is_more_of_candidate(claim):
            start, track = candidate.add(claim, n, self._rules)
            new = Place(*place.track, place.jumps, 0.0, place.held + 1, *track)
        else:
            start, track = place.track.leap(claim, n, self._rules)
            new = Place(*place.track, place.jumps, 0.0, 1, *track)
        if not (is_index(start, track.rate) and is_index(start + n, track.rate)):
            raise DecodeError(
                f"{claim} puts the audio at second {start // track.rate} of its station, which is "
                "out of range; send it under another station's name"
            )
        self.place = new
        return start


def _check(claim: Claim, rate: int) -> None:
    assert claim.start_sample is not None
    if claim.start_sample > MAX_TIME_S * (claim.rate or rate):
        raise DecodeError(
            f"header start_sample={claim.start_sample} is out of range: at "
            f"{claim.rate or rate} samples per second it must be below {MAX_TIME_S} s, which "
            "counted from 1970 is the year 2200"
        )


def _at_rate(place: Place, rate: int) -> Place:
    """Return the same place in samples of another rate."""
    track, candidate = place.track.at_rate(rate), _track(place[-_FIELDS:]).at_rate(rate)
    return Place(*track, place.jumps, place.calm_s, place.held, *candidate)


def _track(values: Sequence[float | None]) -> Track:
    return Track(*values)  # type: ignore[arg-type]  # one of `Place`'s two halves
