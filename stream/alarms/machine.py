"""When an alarm opens and closes: a state machine for one rule of one station.

It knows samples, and nothing of audio. What it is given are observations in order: whether the
condition of the rule is there, for [start, end)::

                     delay                          clear
                  ├─────────┤                    ├─────────┤
    condition  ___████_████████████████████████_____█_______________
               idle│ pending │      open         │  closing   │ idle
                   since     opened                           closed, with the end where
                                                              the condition was last there

An interruption shorter than `clear` is none, before the alarm opens and while it is open. The laws,
for any observations:

- opened and closed alternate, and a closed alarm lies before the next one;
- an alarm opens no earlier than `delay` after its condition began, and at the latest with the first
  observation that ends so late;
- outside of the hours of its rule none opens, and the delay counts from their begin; one that is
  open closes at any time;
- the state and the observations behind it give all that follows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from stream.ranges import Finite, Flag, Sample

Step = Literal["opened", "escalated", "closed"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things last in a rule, in samples.

    Parameters
    ----------
    delay : int >= 0
        From the begin of a condition to its alarm.
    clear : int >= 0
        From the end of a condition to the end of its alarm; 0: with the first observation.
    escalate : int >= 0
        From the opening of an alarm to its escalation; 0: never.
    """

    delay: int
    clear: int
    escalate: int


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen in [start, end).

    Parameters
    ----------
    start, end : int
        In samples; of one watch they never go back.
    present : bool or None
        Whether the condition is there; None where that cannot be said, or it lies between the
        limits of the hysteresis: then it is as it was.
    active : bool
        Whether it is in the hours of the rule.
    value : float or None
        What was measured.
    """

    start: int
    end: int
    present: bool | None
    active: bool = True
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """A condition that is, or was a moment ago, there: a part of a station's snapshot.

    Parameters
    ----------
    since : int
        First sample of the condition.
    absent : int or None
        Since when the condition is not there; None while it is.
    opened : int or None
        End of the observation with which the alarm opened; None before.
    escalated : bool
        Whether it has escalated.
    value : float or None
        What was measured last while the condition was there.
    """

    since: Sample
    absent: Sample | None = None
    opened: Sample | None = None
    escalated: Flag = False
    value: Finite | None = None


class Move(NamedTuple):
    """What follows from an observation.

    Parameters
    ----------
    watch : Watch or None
        The state from now on; None where there is no condition.
    step : {"opened", "escalated", "closed"} or None
        What happened.
    of : Watch or None
        The state that it happened to, with `absent` as the end of a closed one.
    """

    watch: Watch | None
    step: Step | None = None
    of: Watch | None = None


_IDLE = Move(None)


def observe(watch: Watch | None, limits: Limits, seen: Observation) -> Move:
    """Return the next state of a rule, and what happened."""
    if watch is None:
        if not (seen.present and seen.active):
            return _IDLE
        watch = Watch(seen.start)
    elif watch.opened is None and not seen.active:
        return _IDLE
    present = watch.absent is None if seen.present is None else seen.present
    if not present:
        since = seen.start if watch.absent is None else watch.absent
        watch = replace(watch, absent=max(since, watch.since))
        if seen.end - since < limits.clear:
            return Move(watch)
        return Move(None, "closed", watch) if watch.opened is not None else _IDLE
    value = watch.value if seen.value is None else seen.value
    watch = replace(watch, absent=None, value=value)
    if watch.opened is None:
        if seen.end - watch.since < limits.delay:
            return Move(watch)
        watch = replace(watch, opened=seen.end)
        return Move(watch, "opened", watch)
    is_due = limits.escalate and seen.end - watch.opened >= limits.escalate
    if is_due and seen.active and not watch.escalated:
        watch = replace(watch, escalated=True)
        return Move(watch, "escalated", watch)
    return Move(watch)


def end(watch: Watch | None, at: int) -> Move:
    """Return what follows where nothing more can be observed from sample `at` on."""
    if watch is None or watch.opened is None:
        return _IDLE
    last = max(at, watch.since) if watch.absent is None else watch.absent
    return Move(None, "closed", replace(watch, absent=last))
