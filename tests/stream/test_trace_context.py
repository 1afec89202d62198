"""The headers of W3C Trace Context: what is passed on, and what breaks the rules."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.codec.headers import read_headers
from stream.kafka.settings import WireSettings
from stream.trace_context import MAX_LENGTH, MAX_MEMBER, MAX_MEMBERS, NO_TRACE, read_state

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
LOWER, DIGITS = string.ascii_lowercase, string.digits
REST = LOWER + DIGITS + "_-*/"
KEYS = st.builds(str.__add__, st.sampled_from(LOWER), st.text(REST, max_size=12))
TENANTS = st.builds(
    lambda first, tenant, system: f"{first}{tenant}@{system}",
    st.sampled_from(LOWER + DIGITS), st.text(REST, max_size=12), KEYS,
)  # fmt: skip
PRINTABLE = "".join(chr(n) for n in range(0x21, 0x7F) if chr(n) not in ",=")
VALUES = st.builds(str.__add__, st.text(PRINTABLE + " ", max_size=12), st.sampled_from(PRINTABLE))
# Nothing is known of a space before a value and around members: it may be part of either.
MEMBERS = st.builds("{}={}".format, KEYS | TENANTS, VALUES)


def received(*headers: tuple[str, str]) -> tuple[str, str]:
    """Return what is read of some headers beside those of audio."""
    known = [("content-type", b"audio/flac")]
    sent = [(name, value.encode("utf-8", "replace")) for name, value in headers]
    return read_headers([*known, *sent], WireSettings.default()).trace


@given(st.lists(MEMBERS, max_size=12, unique_by=lambda member: member.split("=")[0]), st.data())
def test_a_valid_list_is_passed_on_however_it_is_written(
    members: list[str], data: st.DataObject
) -> None:
    """In several headers, with spaces and empty members: the standard combines them in order."""
    cut = data.draw(st.integers(0, len(members)))
    space = st.sampled_from(["", " ", "\t", " \t "])
    padded = [f"{data.draw(space)}{member}{data.draw(space)}" for member in members]
    lists = [",".join(padded[:cut]), ",".join([*padded[cut:], " "])]
    trace = received(("traceparent", PARENT), *(("TraceState", text) for text in lists))
    assert trace == (PARENT, ",".join(members))


@given(st.lists(st.one_of(MEMBERS, st.text(max_size=600)), max_size=40))
def test_what_is_passed_on_is_valid_and_a_part_of_what_came(members: list[str]) -> None:
    text = ",".join(members)
    state = read_state(text)
    assert len(state) <= MAX_LENGTH
    assert read_state(state) == state
    kept = state.split(",") if state else []
    assert len(kept) <= MAX_MEMBERS
    came = iter([part.strip(" \t") for part in text.split(",")])
    assert all(member in came for member in kept)  # in the same order


@pytest.mark.parametrize(
    "text",
    [
        "A=1", "a", "a=", "=1", "a=b=c", "a= ", "@a=1", "a@=1", "a@1=1", "é=1", "a=é", "a=1\n,b=2",
        f"{'a' * 257}=1", f"a={'1' * 257}", f"a@{'b' * 15}=1", "a@b@c=1",
        ",".join(f"k{n}=1" for n in range(MAX_MEMBERS + 1)), ",".join(["a=1"] * 33),
        "a=1," * 10_000, "x" * 10**6,
    ],
)  # fmt: skip
def test_a_list_that_breaks_the_rules_is_dropped_and_the_trace_is_not(text: str) -> None:
    assert read_state(text) == ""
    assert received(("traceparent", PARENT), ("tracestate", f"b=2,{text}")) == (PARENT, "")


@pytest.mark.parametrize(
    "text", ["a=1", "a=  1", "0a@b=1", "a_-*/=!~", f"{'a' * 256}={'1' * 255}",
             ",".join(f"k{n}=1" for n in range(MAX_MEMBERS))],
)  # fmt: skip
def test_lists_at_the_limits(text: str) -> None:
    assert read_state(text) == text


def test_of_a_key_that_comes_twice_the_first_counts() -> None:
    assert read_state("a=1,b=2,a=3") == "a=1,b=2"


def test_a_long_list_loses_its_longest_members_and_then_its_oldest() -> None:
    large = f"large={'x' * MAX_MEMBER}"
    small = [f"k{n}={'y' * 40}" for n in range(11)]
    assert read_state(",".join([small[0], large, *small[1:5]])).count("large") == 1
    kept = read_state(",".join([large, *small]))
    assert re.findall(r"(\w+)=", kept) == [f"k{n}" for n in range(11)]
    kept = read_state(",".join([*small, "last=1", f"more={'z' * 60}"]))
    assert re.findall(r"(\w+)=", kept) == [*(f"k{n}" for n in range(11)), "last"]


def test_a_state_without_a_trace_is_none() -> None:
    assert received(("tracestate", "a=1")) == NO_TRACE
    assert received(("traceparent", f"{PARENT}x"), ("tracestate", "a=1")) == NO_TRACE
    # Of CloudEvents both headers count, and never one of each.
    assert received(("ce_traceparent", PARENT), ("ce_tracestate", "a=1")) == (PARENT, "a=1")
    assert received(("ce_traceparent", PARENT), ("tracestate", "a=1")) == (PARENT, "")


def test_headers_that_come_ten_thousand_times_cost_little() -> None:
    many = [("tracestate", "a=1")] * 10_000
    assert received(("traceparent", PARENT), *many) == (PARENT, "")
