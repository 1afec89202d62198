from __future__ import annotations

import json
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.events import Gap, Segment
from stream.history.rows import MAX_KEY, Row, latest, published, row_of, short_key
from tests.stream.stored_events import RATE, events, storable


@pytest.mark.slow
@settings(max_examples=50)
@given(events())
def test_what_was_stored_is_what_was_published(event):
    assert published(row_of(event)) == storable(event.to_dict())


@pytest.mark.slow
@settings(max_examples=50)
@given(events())
def test_a_row_survives_the_spool(event):
    row = row_of(event)
    line = row.to_json()
    assert "\n" not in line
    assert Row.from_json(line) == row


@pytest.mark.slow
@settings(max_examples=50)
@given(events(), events())
def test_rows_have_one_key_where_events_have_one_id_and_no_more(first, second):
    same = first.id == second.id and first.kind == second.kind
    assert (row_of(first).key == row_of(second).key) is same or first.station != second.station


def test_ids_that_are_equal_as_text_are_told_apart():
    outer = Segment("a/segment/1", 5, 9, RATE, None, "music", 1.0, final=True)
    named = Gap("a/segment/1/segment/5", 0, 9, RATE, None, "x")
    assert row_of(outer).key != row_of(named).key


def segment(end, *, final, start=0):
    return row_of(Segment("radio", start, end, RATE, 1.0, "music", 0.5, final))


@given(
    st.lists(st.integers(1, 50), max_size=4),
    st.integers(1, 50),
    st.integers(0, 3),
    st.randoms(use_true_random=False),
)
def test_in_any_order_and_however_often_the_final_one_stays(opens, end, copies, random):
    final = segment(end, final=True)
    rows = [segment(each, final=False) for each in opens] + [final] * (copies + 1)
    random.shuffle(rows)
    assert latest(rows) == [final]


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans(), st.integers(0, 2)), max_size=8))
def test_batches_may_be_cut_anywhere(rows):
    rows = [segment(end, final=final, start=start) for end, final, start in rows]
    for cut in range(len(rows) + 1):
        assert latest([*latest(rows[:cut]), *latest(rows[cut:])]) == latest(rows)


def test_what_is_open_grows_and_does_not_shrink():
    rows = [segment(end, final=False) for end in (10, 20, 30)]
    for order in permutations(rows):
        assert latest(order) == [rows[2]]


def test_of_two_final_ones_the_later_written_stays():
    first, second = segment(10, final=True), segment(5, final=True)
    assert latest([first, second]) == [second]
    assert latest([second, first]) == [first]


@given(st.text(max_size=3 * MAX_KEY))
def test_a_key_fits_into_an_index(text):
    key = short_key(text)
    assert len(key.encode()) <= MAX_KEY
    assert key == text or len(text.encode()) > MAX_KEY


@pytest.mark.parametrize("line", ["", "{}", "[]", '"x"', '{"track":3}', "not json"])
def test_a_damaged_line_is_no_row(line):
    with pytest.raises((ValueError, TypeError, KeyError)):
        Row.from_json(line)


def test_times_are_those_of_the_schema():
    row = row_of(Gap("radio", RATE, 3 * RATE, RATE, 1_767_225_600.1239, "x"))
    assert (row.starts_ms, row.ends_ms) == (1_767_225_600_123, 1_767_225_602_123)
    assert json.loads(Gap("r", 0, 1, RATE, 1_767_225_600.1239, "x").to_json())["time"].endswith(
        "00.123Z"
    )
