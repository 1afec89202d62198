"""What a station was at each moment: the states of a period add up, however it is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.reports.airtime import STATES, runs_of, sums_by_part

LABELS = ("speech_over_music", "speech", "music", "other")
spans = st.tuples(st.integers(0, 90), st.integers(0, 30)).map(lambda pair: (pair[0], sum(pair)))
segments = st.lists(
    st.tuples(spans, st.sampled_from([*LABELS, "of a later version"])).map(
        lambda pair: (*pair[0], pair[1])
    ),
    max_size=9,
)
stored = st.tuples(segments, st.lists(spans, max_size=4), st.lists(spans, max_size=4))


def state_at(moment, segments, gaps, silences):
    labels = [label for start, end, label in segments if start <= moment < end]
    if labels:
        known = [label if label in LABELS else "other" for label in labels]
        best = min(known, key=LABELS.index)
        quiet = any(start <= moment < end for start, end in silences)
        return "silence" if best == "other" and quiet else best
    return "gap" if any(start <= moment < end for start, end in gaps) else "unknown"


@given(stored, st.integers(0, 100), st.integers(1, 60))
@pytest.mark.slow
def test_each_moment_has_the_state_that_is_stored_of_it(found, since, length):
    until = since + length
    runs = runs_of(*found, since, until)
    assert [run.start for run in runs] == [since, *(run.end for run in runs[:-1])]
    assert runs[-1].end == until
    assert all(a.state != b.state for a, b in pairwise(runs))
    heard = {moment: run.state for run in runs for moment in range(run.start, run.end)}
    assert heard == {moment: state_at(moment, *found) for moment in range(since, until)}


@given(stored, st.lists(st.integers(0, 120), min_size=2, max_size=6, unique=True).map(sorted))
@pytest.mark.slow
def test_parts_add_up_to_the_period(found, edges):
    since, until = edges[0], edges[-1]
    whole = runs_of(*found, since, until)
    parts = list(pairwise(edges))
    cut = list(sums_by_part(whole, parts))
    for (start, end), sums in zip(parts, cut, strict=True):
        assert sum(sums.values()) == end - start
        # A part that is reported by itself says the same of it.
        [alone] = sums_by_part(runs_of(*found, start, end), [(start, end)])
        assert alone == sums
    [all_of_it] = sums_by_part(whole, [(since, until)])
    assert {state: sum(sums[state] for sums in cut) for state in STATES} == all_of_it


@given(stored, st.integers(0, 100), st.integers(1, 60))
@pytest.mark.slow
def test_labels_add_up_to_the_period_without_what_was_not_heard(found, since, length):
    [sums] = sums_by_part(runs_of(*found, since, since + length), [(since, since + length)])
    heard = sum(sums[state] for state in STATES if state not in ("gap", "unknown"))
    assert heard == length - sums["gap"] - sums["unknown"]


def test_two_processes_with_one_station():
    #            0         10        20        30        40
    # segments   [ music            ]
    #                      [ speech          ]
    # gap                                     [        ]
    # states     music     speech             gap       unknown
    runs = runs_of([(0, 20, "music"), (10, 30, "speech")], [(30, 40)], [], 0, 45)
    assert [(run.start, run.state) for run in runs] == [
        (0, "music"), (10, "speech"), (30, "gap"), (40, "unknown"),
    ]  # fmt: skip
