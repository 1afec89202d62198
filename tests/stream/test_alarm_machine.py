"""The laws of `stream.alarms.machine`, for random observations.

One letter is one sample: X the condition, _ none, ? nothing to say; lower case: out of its hours.
"""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from stream.alarms.machine import Limits, Observation, Watch, end, observe

LIMITS = Limits(delay=3, clear=2, escalate=0)
PRESENT = {"x": True, "_": False, "-": False, "?": None, "!": None}


def seen(text: str, start: int = 0) -> list[Observation]:
    """Return an observation for each letter: X and _, x and - out of hours; ? and ! of None."""
    return [
        Observation(start + i, start + i + 1, PRESENT[char.lower()], active=char in "X_?")
        for i, char in enumerate(text)
    ]


def run(observations: list[Observation], limits: Limits, watch: Watch | None = None) -> list:
    """Return (step, since, end) of everything that happens."""
    out = []
    for each in observations:
        watch, step, of = observe(watch, limits, each)
        if of is not None:
            out.append((step, of.since, of.absent if step == "closed" else each.end))
    return out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("XX_____", []),
        ("_XXX___", [("opened", 1, 4), ("closed", 1, 4)]),
        ("XX_X___", [("opened", 0, 4), ("closed", 0, 4)]),  # an interruption of 1 is none
        ("XX__X__", []),  # one of 2 is
        ("XXX_X_X__", [("opened", 0, 3), ("closed", 0, 7)]),
        ("X??____", [("opened", 0, 3), ("closed", 0, 3)]),  # what is not known is as before
        ("XXX_?_X", [("opened", 0, 3), ("closed", 0, 3)]),
        ("???XXX", [("opened", 3, 6)]),
        ("xxxXX_", []),  # the delay counts from the begin of the hours
        ("xxxXXX--", [("opened", 3, 6), ("closed", 3, 6)]),
        ("XXXxxx--", [("opened", 0, 3), ("closed", 0, 6)]),  # it stays open over their end
        ("XXxX__", []),
    ],
)
def test_pictures(text: str, expected: list) -> None:
    assert run(seen(text), LIMITS) == expected


def test_an_alarm_that_lasts_escalates_once() -> None:
    limits = Limits(delay=2, clear=1, escalate=3)
    found = run(seen("XXXXXXXXX_XX"), limits)
    assert found == [
        ("opened", 0, 2), ("escalated", 0, 5), ("closed", 0, 9), ("opened", 10, 12),
    ]  # fmt: skip


def test_it_does_not_escalate_out_of_its_hours() -> None:
    assert run(seen("XXxxxxX"), Limits(2, 1, 2)) == [("opened", 0, 2), ("escalated", 0, 7)]


limits = st.builds(Limits, st.integers(0, 12), st.integers(0, 8), st.integers(0, 10))


@st.composite
def observations(draw: st.DrawFn, active: bool | None = None) -> list[Observation]:
    """Return observations in order, some with unseen samples between them."""
    at, out = 0, []
    for _ in range(draw(st.integers(0, 60))):
        at += draw(st.sampled_from([0, 0, 0, 0, 1, 5]))
        length = draw(st.integers(1, 3))
        present = draw(st.sampled_from([True, True, False, None]))
        is_active = draw(st.sampled_from([True, True, True, False])) if active is None else active
        out.append(Observation(at, at + length, present, is_active))
        at += length
    return out


@given(observations(), limits)
def test_opened_and_closed_alternate(seen: list[Observation], limits: Limits) -> None:
    found = [each for each in run(seen, limits) if each[0] != "escalated"]
    for (step, since, last), (following, next_since, next_last) in pairwise(found):
        assert {step, following} == {"opened", "closed"}
        if step == "opened":
            assert next_since == since
            assert next_last >= since
        else:
            assert next_since >= last
    assert not found or found[0][0] == "opened"


@given(observations(), limits)
def test_none_opens_within_its_delay_or_out_of_its_hours(
    seen: list[Observation], limits: Limits
) -> None:
    active = {each.end: each.active for each in seen}
    for step, since, last in run(seen, limits):
        if step == "opened":
            assert last - since >= limits.delay
            assert active[last]
            assert all(each.active for each in seen if since <= each.start and each.end <= last)
        if step == "escalated":
            assert limits.escalate
            assert active[last]


@given(st.integers(0, 30), st.lists(st.integers(1, 3), min_size=1, max_size=40), limits)
def test_one_that_lasts_opens_with_the_first_observation_behind_its_delay(
    start: int, lengths: list[int], limits: Limits
) -> None:
    at, seen = start, []
    for length in lengths:
        seen.append(Observation(at, at + length, present=True))
        at += length
    opened = [last for step, _, last in run(seen, limits) if step == "opened"]
    if at - start >= limits.delay:
        assert len(opened) == 1
        assert limits.delay <= opened[0] - start < limits.delay + max(lengths) or not limits.delay
    else:
        assert opened == []


@given(observations(), limits)
def test_what_is_shorter_than_clear_changes_nothing(
    seen: list[Observation], limits: Limits
) -> None:
    """An interruption that is shorter than `clear` may as well not be."""
    found = run(seen, limits)
    filled, at = list(seen), 0
    while at < len(seen):
        upto = at
        while upto < len(seen) and seen[upto].present is False:
            upto += 1
        is_short = upto > at and seen[upto - 1].end - seen[at].start < limits.clear
        before = at > 0 and seen[at - 1].present and seen[at - 1].end == seen[at].start
        if is_short and before and upto < len(seen) and seen[upto].present:
            filled[at:upto] = [Observation(e.start, e.end, None, e.active) for e in seen[at:upto]]
        at = max(upto, at + 1)
    again = [each for each in run(filled, limits) if each[0] == "closed"]
    assert [since for _, since, _ in again] == [
        since for step, since, _ in found if step == "closed"
    ]


@given(observations(), limits, st.data())
def test_a_restart_at_any_point_changes_nothing(
    seen: list[Observation], limits: Limits, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(seen)))
    watch = None
    for each in seen[:at]:
        watch, _, _ = observe(watch, limits, each)
    stored = TypeAdapter(Watch | None)
    again = stored.validate_python(json.loads(stored.dump_json(watch)))
    assert again == watch
    assert run(seen[:at], limits) + run(seen[at:], limits, again) == run(seen, limits)


@given(observations(), limits, st.integers(0, 20))
def test_the_end_closes_what_is_open_and_nothing_else(
    seen: list[Observation], limits: Limits, more: int
) -> None:
    found = run(seen, limits)
    watch = None
    for each in seen:
        watch, _, _ = observe(watch, limits, each)
    at = (seen[-1].end if seen else 0) + more
    move = end(watch, at)
    assert move.watch is None
    is_open = bool(found) and found[-1][0] != "closed"
    assert (move.step == "closed") == is_open
    if move.of is not None:
        assert move.of.absent is not None
        assert move.of.since <= move.of.absent <= at


def test_there_and_gone_between_two_limits() -> None:
    """Which the rule gives as None: it is as it was."""
    found = run(seen("?X?X???_??_X"), Limits(2, 3, 0))
    assert found == [("opened", 1, 3), ("closed", 1, 7)]
