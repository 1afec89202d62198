"""A simulated catalogue is queried as a real one is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench.matching import scale_page
from bench.matching.scale import Query, Row, measure, prepare
from bench.matching.simulated_index import Blocks
from bench.report import write_section
from fingerprint.analysis.peaks import extract
from model.spec import SAMPLE_RATE as RATE
from stream.testing import music_like

if TYPE_CHECKING:
    from pathlib import Path


def _query(condition: str, track: str, samples: np.ndarray) -> Query:
    return Query(condition, track, extract(samples[10 * RATE : 20 * RATE]).pack())


@pytest.mark.slow
def test_real_tracks_are_found_among_simulated_hours_and_other_music_is_not(tmp_path: Path) -> None:
    music = {name: music_like(30.0, seed=seed) for seed, name in enumerate("ab")}
    queries = [_query("clean", name, samples) for name, samples in music.items()]
    rng = np.random.default_rng(5)
    queries.append(_query("", "", rng.standard_normal(30 * RATE).astype(np.float32) / 10))
    blocks = Blocks([extract(music_like(60.0, seed=7))])
    known = {name: extract(samples) for name, samples in music.items()}
    prepare(tmp_path / "2", 2, blocks, blocks.rates(), known, queries)
    row = measure(tmp_path / "2")
    assert row.hours == 2
    assert row.queries == 3
    assert row.found_percent == {"clean": 100.0}
    assert (row.wrong, row.false) == (0, 0)
    assert row.costs["segments"] == 2
    again = measure(tmp_path / "2")
    assert again.found_percent == row.found_percent


def test_the_page_has_a_row_for_each_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    mark = f"<!-- written by {scale_page.MARK}:"
    page.write_text(f"before\n\n{mark} begin -->old{mark} end -->\n\nafter\n")
    monkeypatch.setattr(scale_page, "PAGE", page)
    monkeypatch.setattr(scale_page, "IMAGE", tmp_path / "figure.svg")
    names = ("first_ms", "cold_wall_ms", "both_ms", "resident_mb", "without_index_mb")
    costs = dict.fromkeys((*names, "segments", "keys_read_percent", "list"), 7.0)
    scale_page.write([Row(hours, 30, {"clean": 97.5}, 1, 0, costs) for hours in (100, 10_000)])
    text = page.read_text()
    assert "| clean | 97.5 | 97.5 |" in text
    assert "| 10,000 h | 1 | 0 |" in text
    assert "old" not in text
    assert text.startswith("before\n\n")
    assert text.endswith("\n\nafter\n")
    assert (tmp_path / "figure.svg").stat().st_size > 1000


def test_a_section_is_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- written by x.py: begin -->\n1\n<!-- written by x.py: end -->\nb\n")
    for body in ("2", "2"):
        write_section(page, "x.py", body)
    assert page.read_text() == (
        "a\n<!-- written by x.py: begin -->\n\n2\n\n<!-- written by x.py: end -->\nb\n"
    )
