from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.records.size import batch_bytes, max_batch_bytes
from stream.lines import to_json, to_json_bytes

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | texts
    | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(scalars, lambda v: st.lists(v) | st.dictionaries(texts, v), max_leaves=10)


@given(values)
def test_fast_json_says_the_same_in_one_line_without_control_codes(value):
    data = to_json_bytes(value)
    assert json.loads(data) == json.loads(to_json(value)) == value
    assert not any(code < 32 or code == 127 for code in data)
    text = data.decode()
    assert text.isprintable() or not any(c in text for c in "\x85\x9b\u2028\u2029\u202e\u2066")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("value", [lambda n: n, lambda n: {"NaN": [1, n]}])
def test_a_number_that_is_not_finite_is_an_error(number, value):
    with pytest.raises(ValueError, match="JSON"):
        to_json_bytes(value(number))


def test_its_name_is_a_text():
    assert to_json_bytes({"NaN": "Infinity"}) == b'{"NaN":"Infinity"}'


@given(
    st.none() | st.binary(max_size=300),
    st.none() | st.binary(max_size=20_000),
    st.lists(st.tuples(texts, st.none() | st.binary(max_size=300)), max_size=5),
)
def test_the_bound_of_a_batch_is_never_too_small(key, value, headers):
    assert max_batch_bytes(key, value, headers) >= batch_bytes(key, value, headers)
