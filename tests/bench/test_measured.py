"""Stored figures of matchers: a run of some leaves the columns of the others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.matching import page
from bench.matching.measured import FIRST, OWN, Shown, load, merged, save
from bench.matching.score import Figures

CONDITIONS = ("clean, 10 s", "telephone, 10 s")
NAMES = (OWN, "Chromaprint", "pairwise boosted")


def figures(found: int) -> Figures:
    return Figures(60, found, found, 0, 0, 0, 1.0)


@st.composite
def runs(draw: st.DrawFn):
    """Draw the results of a run of some matchers."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    table = {
        condition: {name: figures(draw(st.integers(0, 60))) for name in names}
        | ({FIRST: figures(draw(st.integers(0, 60)))} if OWN in names else {})
        for condition in draw(st.lists(st.sampled_from(CONDITIONS), min_size=1, unique=True))
    }
    about = {
        "thresholds": dict.fromkeys(names, 2.0), "queries": draw(st.integers(1, 100)),
        "negative_hours": 1.0, "tracks": 9, "hours": 0.5,
        "silence": {"music": [1.0, 0]} if OWN in names else {},
    }  # fmt: skip
    return table, about


@given(first=runs(), second=runs())
def test_a_run_replaces_its_own_columns_and_no_others(first, second) -> None:
    before = merged(Shown(), *first)
    after = merged(before, *second)
    ran = set(second[1]["thresholds"])
    for name, each in before.matchers.items():
        if name not in ran:
            assert after.matchers[name] == each
    for name in ran:
        assert after.matchers[name] == merged(Shown(), *second).matchers[name]
    assert set(after.matchers) == set(before.matchers) | ran
    assert after.about["silence"] == (second[1]["silence"] or before.about["silence"])
    assert merged(after, *second) == after


@given(run=runs())
def test_what_is_stored_is_read(run, tmp_path_factory) -> None:
    file = tmp_path_factory.mktemp("stored") / "figures.json"
    shown = merged(Shown(), *run)
    save(shown, file)
    assert load(file) == shown
    assert load(file.with_name("none.json")) == Shown()


def test_the_page_is_what_is_stored() -> None:
    assert page.section(load()) in page.PAGE.read_text(encoding="utf-8")
