"""Matches joined to plays: one play where the track goes on, and sums that add up."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.reports.playlist import HOLE_MS, plays_in
from stream.events import Match
from stream.history.rows import row_of

RATE = 1000  # one sample a millisecond
MINUTE = 60_000
T0 = 1_800_000_000_000


def match(start, end, track_start=0, track="t"):
    """Return a match, in milliseconds from `T0`."""
    begin = T0 + start
    return row_of(
        Match("r", begin, T0 + end, RATE, begin / 1000, track, "T", "A", track_start, 5.0,
              final=True)
    )  # fmt: skip


def found(rows, segments=(), since=0, until=60 * MINUTE):
    return plays_in(
        [row for row in rows if (row.ends_ms or 0) >= T0 + since - HOLE_MS],
        [(T0 + start, T0 + end, label) for start, end, label in segments],
        T0 + since,
        T0 + until,
    )


def test_a_song_that_a_gap_cuts_is_one_play():
    rows = [match(0, 70_000), match(85_000, 220_000, track_start=85_000)]
    [play] = found(rows)
    assert (play.begin - T0, play.end - T0, play.heard_ms) == (0, 220_000, 205_000)


def test_a_song_that_begins_again_is_two():
    assert len(found([match(0, 200_000), match(230_000, 400_000)])) == 2


def test_a_song_that_is_played_faster_is_one():
    #  4 % faster: two minutes of air are 124.8 s of the track
    rows = [match(0, 60_000), match(120_000, 200_000, track_start=124_800)]
    assert len(found(rows)) == 1


def test_what_two_processes_heard_counts_once():
    [play] = found([match(0, 100_000), match(40_000, 120_000, track_start=40_000)])
    assert play.heard_ms == 120_000


def test_a_song_over_midnight_belongs_to_the_day_it_begins_in():
    rows = [match(-100_000, 80_000)]
    [before] = found(rows, since=-10 * MINUTE, until=0)
    [after] = found(rows)
    assert (before.continued, after.continued) == (False, True)
    assert (before.heard_ms, after.heard_ms) == (100_000, 80_000)


def test_foreground_and_under_speech():
    segments = [
        (0, 20_000, "speech_over_music"),
        (20_000, 90_000, "music"),
        (90_000, 99_000, "other"),
    ]
    [play] = found([match(0, 100_000)], segments)
    assert (play.foreground_ms, play.under_speech_ms, play.other_ms) == (70_000, 20_000, 10_000)


@st.composite
def programmes(draw: st.DrawFn):
    """Return matches as one process writes them, some songs in pieces, and segments."""
    rows, at = [], draw(st.integers(-40, 10)) * MINUTE
    while at < 70 * MINUTE and len(rows) < 25:
        track, length = draw(st.sampled_from("abc")), draw(st.integers(20, 400)) * 1000
        start = at
        for _ in range(draw(st.integers(1, 3))):
            piece = draw(st.integers(5, 200)) * 1000
            rows.append(match(at, at + piece, at - start, track))
            at += piece + draw(st.integers(0, 120)) * 1000
        at += draw(st.integers(0, 30)) * 1000 + length // 10
    edges = sorted(draw(st.lists(st.integers(-45 * 60, 75 * 60), max_size=20, unique=True)))
    labels = st.sampled_from(["music", "speech", "speech_over_music", "other"])
    segments = [(start * 1000, end * 1000, draw(labels)) for start, end in pairwise(edges)]
    return rows, segments


@given(programmes(), st.lists(st.integers(1, 59), max_size=4, unique=True))
@pytest.mark.slow
def test_plays_and_seconds_of_parts_add_up_to_those_of_the_period(programme, cuts):
    rows, segments = programme
    edges = [0, *(cut * MINUTE for cut in sorted(cuts)), 60 * MINUTE]

    def sums(since, until):
        plays = found(rows, segments, since, until)
        return (
            sum(not play.continued for play in plays),
            sum(play.foreground_ms for play in plays),
            sum(play.under_speech_ms for play in plays),
            sum(play.other_ms for play in plays),
        )

    parts = [sums(*pair) for pair in pairwise(edges)]
    assert tuple(map(sum, zip(*parts, strict=True))) == sums(0, 60 * MINUTE)
