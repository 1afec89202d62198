"""Changes of a JSON value, for tests of what is read from elsewhere."""

from __future__ import annotations

import copy
import math

from hypothesis import strategies as st

numbers = st.one_of(
    st.integers(-3, 3), st.sampled_from([-(2**63), 2**53, 2**63, 10**400, 10**17]),
    st.floats(), st.sampled_from([math.nan, math.inf, -math.inf, 1e308, 0.5]),
)  # fmt: skip

anything = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value, path=()):
    """Return the path of every inner value."""
    out = [path] if path else []
    if isinstance(value, dict):
        keys = list(value)
    else:
        keys = list(range(len(value))) if isinstance(value, list) else []
    return out + [place for key in keys for place in places(value[key], (*path, key))]


def change(document, path, new):
    """Return JSON with the value at `path` replaced by new(value), or without it for `...`."""
    document = copy.deepcopy(document)
    at = document
    for key in path[:-1]:
        at = at[key]
    value = new(at[path[-1]])
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return document


def replacement(data):
    """Return a function that makes something else of a value."""
    kind = data.draw(st.sampled_from(["anything", "number", "delete", "nest", "double"]))
    if kind == "delete":
        return lambda _: ...
    if kind == "nest":
        return lambda value: [value]
    if kind == "double":
        return lambda value: value * 2 if isinstance(value, str | list | int | float) else value
    new = data.draw(anything if kind == "anything" else numbers)
    return lambda _: new
