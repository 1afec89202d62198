"""The score of made programmes: what is found, what is wrong, and how late."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.matching.broadcast import Broadcast, Playing
from bench.matching.programmes import RATE, Name, Score, kinds, names_in, rows, score
from stream.events import Decision, Match

PLAYINGS = (
    Playing("a", "whole song", 10 * RATE, 40 * RATE),
    Playing("b", "jingle", 50 * RATE, 55 * RATE),
    Playing("a", "part of a song", 70 * RATE, 90 * RATE),
)
BROADCAST = Broadcast("made", np.zeros(100 * RATE, np.float32), PLAYINGS)


def match(track, start_s, end_s, *, final=True):
    span = round(start_s * RATE), round(end_s * RATE)
    return Match("made", *span, RATE, None, track, "", "", 0, 5.0, final)


def name(track, start_s, end_s, first_s=0.0, last_s=0.0):
    return Name(match(track, start_s, end_s), round(first_s * RATE), round(last_s * RATE))


def test_each_name_is_of_the_playing_it_shares_most_with():
    found = score(BROADCAST, [name("a", 71, 89.5, 76, 101), name("a", 10.3, 41.5, 15, 52)])
    first, missed, again = found.results
    assert [first.start_error_s, first.end_error_s] == pytest.approx([0.3, 1.5])
    assert [first.first_name_s, first.final_s] == pytest.approx([5.0, 12.0])
    assert [again.start_error_s, again.end_error_s] == pytest.approx([1.0, 0.5])
    assert missed.names == ()
    assert found.wrong == []
    assert found.found == [first, again]


@pytest.mark.parametrize(
    "wrong",
    [name("c", 10, 40), name("b", 10, 40), name("b", 53, 63), name("a", 91, 99)],
    ids=["unknown", "another track", "mostly behind it", "behind it"],
)
def test_a_name_of_what_does_not_play_is_wrong(wrong):
    found = score(BROADCAST, [wrong])
    assert found.wrong == [wrong]
    assert found.found == []


def test_two_names_of_one_playing_are_seen_as_two():
    found = score(BROADCAST, [name("a", 10, 20), name("a", 25, 40)])
    table = {row[0]: row[2] for row in rows([found])}
    assert table["found"] == ["1 of 3"]
    assert table["found with exactly one final match"] == ["0 of 1"]
    assert ("whole song", "1 of 1") in {row[:2] for row in kinds(found)}
    assert ("jingle", "0 of 1") in {row[:2] for row in kinds(found)}


def test_only_final_matches_count_from_when_they_were_new():
    events = [
        Decision("made", 0, 5 * RATE, RATE, None, 0.0, 1.0),
        match("a", 1, 4, final=False),
        match("b", 2, 4, final=False),
        Decision("made", 25 * RATE, 30 * RATE, RATE, None, 0.0, 1.0),
        match("a", 1, 20),
    ]
    (found,) = names_in(events)
    assert (found.match.track, found.first, found.last) == ("a", 5 * RATE, 30 * RATE)


spans = st.tuples(st.sampled_from("abc"), st.integers(0, 99), st.integers(1, 60))


@given(st.lists(spans, max_size=10))
def test_every_name_is_given_once_or_wrong(made):
    names = [name(track, start, start + length) for track, start, length in made]
    found = score(BROADCAST, names)
    given_ = [each for result in found.results for each in result.names]
    assert len(given_) + len(found.wrong) == len(names)
    assert len((found + Score()).results) == len(PLAYINGS)
