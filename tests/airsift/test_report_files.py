"""Reports as tables and pages: nothing computed, nothing injected, the same numbers everywhere."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airsift.cli.report import csv_of
from airsift.reports.clips import Clips
from airsift.reports.page import page_of
from airsift.reports.tables import Column, Kind, Part, Table, as_object, table_of
from fingerprint.repeats.store import Store, folder_of
from stream.clips.songs import song_clip_of
from stream.lines import to_cell
from stream.testing import tone, write_wav
from tests.airsift.reported import DAY, FORMULA, HOSTILE, NORTH, base_of, report_of
from tests.browser import browser
from tests.stream.databases import Base


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return base_of(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def report(base: Base):
    return report_of(base)


@given(st.text() | st.sampled_from(["=1+1", " =1", "+a", "-1", "@x", "\uff1d1", "\t=1", "\r=1"]))
def test_no_cell_of_a_table_is_a_formula(text):
    cell = to_cell(text)
    assert isinstance(cell, str)
    assert not re.match(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]", cell)
    assert not re.search(r"[\x00-\x1f]", cell)


def test_numbers_are_no_texts():
    assert [to_cell(-1), to_cell(-0.5), to_cell(None)] == [-1, -0.5, None]


@pytest.mark.parametrize("part", list(Part))
def test_csv_has_the_rows_of_the_table(report, part):
    table = table_of(report, part)
    rows = list(csv.DictReader(io.StringIO(csv_of(table).decode())))
    assert len(rows) == len(table.rows)
    assert all(list(row) == [column.name for column in table.columns] for row in rows)
    assert all(not cell.startswith(("=", "+", "@", "-")) for row in rows for cell in row.values())


def test_a_title_that_is_a_formula_is_a_text(report):
    [row, *_] = [
        row
        for row in csv.DictReader(io.StringIO(csv_of(table_of(report, Part.playlist)).decode()))
        if row["track"] == "formula"
    ]
    assert row["title"] == f"'{FORMULA}"
    assert row["artist"] == "'+Artist\ufffdwith a tab"


def test_json_says_the_same(report):
    found = json.loads(json.dumps(as_object(report)))
    assert found["schema"] == "airsift.report/1"
    assert found["since"] == "2026-11-28T00:00:00.000+01:00"
    north, hostile = found["stations"]
    assert (north["station"], hostile["station"]) == (NORTH, HOSTILE)
    assert north["uptime"] == round(86_280 / 86_400, 6)
    assert len(north["hours"]) == 24
    assert sum(hour["music_s"] for hour in north["hours"]) == north["music_s"] == 79_080
    assert north["playlist"][1]["under_speech_s"] == 50
    assert [each["cluster"] for each in north["unknown"]] == ["59ffb420f9"]
    assert north["distinct_tracks"] == len(north["tracks"]) == 4
    for part in set(Part) - {Part.stations}:  # no name is of a table and of a number
        assert len(north[part]) + len(hostile[part]) == len(table_of(report, part).rows), part


@pytest.mark.slow
def test_xlsx_has_texts_where_formulas_would_be(report):
    openpyxl = pytest.importorskip("openpyxl")
    from airsift.reports.spreadsheets import xlsx_of

    data = xlsx_of([table_of(report, part) for part in Part])
    book = openpyxl.load_workbook(io.BytesIO(data))
    assert book.sheetnames == [part.value for part in Part]
    for sheet in book:
        for row in sheet.iter_rows():
            assert all(cell.data_type != "f" for cell in row)
    sheet = book["playlist"]
    head = [cell.value for cell in sheet[1]]
    rows = [
        dict(zip(head, (cell.value for cell in row), strict=True)) for row in sheet.iter_rows(2)
    ]
    assert len(rows) == len(table_of(report, Part.playlist).rows)
    assert {row["title"] for row in rows} >= {FORMULA, "Warm Ink"}
    assert rows[0]["begin"].isoformat() == "2026-11-27T23:58:20"
    assert sum(row["under_speech_s"] for row in rows) == 50


@given(st.text(max_size=30), st.sampled_from(["", "\uffff", "\ud800", "\v", "=1+1", "😀" * 20_000]))
@settings(deadline=None, max_examples=30)
@pytest.mark.slow
def test_any_text_leaves_a_workbook_readable(text, odd):
    openpyxl = pytest.importorskip("openpyxl")
    from airsift.reports.spreadsheets import xlsx_of

    rows = [(text + odd,), (odd + text,)]
    data = xlsx_of([Table("odd", (Column("text", Kind.text),), rows)])
    cells = openpyxl.load_workbook(io.BytesIO(data))["odd"]["A"][1:]
    for (given_text,), cell in zip(rows, cells, strict=True):
        found = cell.value or ""
        assert cell.data_type != "f"
        assert len(found.encode("utf-16-le")) <= 2 * 32_767
        changed = [a for a, b in zip(given_text, found, strict=False) if b not in (a, "\ufffd")]
        assert not changed


@pytest.mark.slow
def test_parquet_has_types(report):
    parquet = pytest.importorskip("pyarrow.parquet")
    from airsift.reports.spreadsheets import parquet_of

    for part in Part:
        table = table_of(report, part)
        found = parquet.read_table(io.BytesIO(parquet_of(table, report.zone)))
        assert found.num_rows == len(table.rows)
        assert found.column_names == [column.name for column in table.columns]
    found = parquet.read_table(io.BytesIO(parquet_of(table_of(report, Part.hours), report.zone)))
    assert str(found.schema.field("begin").type) == "timestamp[ms, tz=Europe/Berlin]"
    assert sum(found.column("gap_s").to_pylist()) == 120
    begin = found.column("begin").to_pylist()[0]
    assert begin.timestamp() * 1000 == report.since


class Tags(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_is_whole_and_nothing_is_injected(report):
    page = page_of(report).decode()
    found = Tags()
    found.feed(page)
    assert found.tags.isdisjoint({"script", "iframe", "img", "link", "object", "form", "base"})
    names = {name for name, _ in found.attributes}
    assert not any(name.startswith("on") for name in names)
    assert names.isdisjoint({"src", "srcset", "xlink:href", "action", "style"})
    links = [value for name, value in found.attributes if name == "href"]
    assert links == ["#s0", "#s1"]
    assert "url(" not in page
    assert "@import" not in page
    # Names and titles are there as they are, as text.
    for text in (HOSTILE, FORMULA, "connection lost <b>", "Ghøst ヲ", "still_open <i>"):
        assert text in found.text


def store_clip(root: Path, station: str, cluster: str, seconds: float = 2.0) -> Path:
    """Store a clip as airsift does."""
    path = Store(folder_of(root, station)).clip(cluster)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, tone(seconds), 16_000)
    return path


def test_clips_of_unknown_pieces_are_in_the_page(report, tmp_path: Path):
    store_clip(tmp_path, NORTH, "59ffb420f9")
    page = page_of(report, Clips([tmp_path])).decode()
    [url] = re.findall(r'<audio controls preload="none" src="([^"]+)"', page)
    assert url.startswith("data:audio/mpeg;base64,")


def store_proof(root: Path, start_s: float, track: str, seconds: float = 2.0) -> Path:
    """Store the clip of a match as airsift does."""
    path = song_clip_of(root, NORTH, round((DAY + start_s) * 16_000), track)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, tone(seconds), 16_000)
    return path


def test_the_sound_of_each_play_is_beside_it(report, tmp_path: Path):
    """Also where only a later match of the play has a clip, as after a cut."""
    store_proof(tmp_path, 3520, "orbital")
    store_proof(tmp_path, 30_000, "ink")
    store_proof(tmp_path, 30_001, "ink")  # of a match that is not stored
    store_clip(tmp_path / "repeats", NORTH, "59ffb420f9")
    page = page_of(report, Clips([tmp_path, tmp_path / "repeats"])).decode()
    rows = [row for row in page.split("<tr") if "<audio" in row]
    assert [("Orbital" in row, "Warm Ink" in row, "59ffb420f9" in row) for row in rows] == [
        (True, False, False), (False, True, False), (False, False, True),
    ]  # fmt: skip


def test_a_cluster_names_no_other_file(tmp_path: Path):
    store_clip(tmp_path, "other", "ab")
    clips = Clips([tmp_path])
    assert clips.url("other", "ab")
    for station, cluster in [
        ("x", "../../other/clips/ab"),
        ("other", "ab\0"),
        ("..", "ab"),
        ("", ""),
    ]:
        assert clips.url(station, cluster) == ""


@pytest.mark.parametrize("damage", [b"", b"RIFF", b"\xff" * 5000])
def test_a_damaged_clip_is_none(tmp_path: Path, damage):
    path = store_clip(tmp_path, "r", "ab")
    path.write_bytes(damage)
    assert Clips([tmp_path]).url("r", "ab") == ""


def test_clips_are_left_out_before_a_page_is_too_large(tmp_path: Path):
    clips = Clips([tmp_path], max_bytes=1_000)
    for cluster in ("aa", "bb", "cc"):
        store_clip(tmp_path, "r", cluster)
    found = [bool(clips.url("r", cluster)) for cluster in ("aa", "bb", "cc")]
    assert (found, clips.left_out) == ([True, False, False], 2)


@pytest.mark.process
def test_a_browser_shows_it(report, tmp_path: Path):
    path = tmp_path / "report.html"
    store_clip(tmp_path, NORTH, "59ffb420f9", 3.0)
    store_proof(tmp_path, 30_000, "ink", 3.0)
    path.write_bytes(page_of(report, Clips([tmp_path])))
    with browser(tmp_path) as page:
        colours = set()
        for width, dark in ((1180, False), (1180, True), (390, False)):
            page.resize(width, dark=dark)
            page.open(path)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            colours.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert len(colours) == 2
        assert page.requests == [path.resolve().as_uri()] * 3
        assert page.errors == []
        names = page.evaluate("[...document.querySelectorAll('h2')].map((each) => each.innerText)")
        assert names == [NORTH, HOSTILE]
        bars = page.evaluate("document.querySelectorAll('.chart .hit').length")
        assert bars == 48
        sounds = page.evaluate(
            "new Promise((done) => { const a = document.querySelector('audio');"
            " a.onloadedmetadata = () => done(a.duration); a.onerror = () => done(-1); a.load(); })"
        )
        assert sounds == pytest.approx(3.0, abs=0.2)
        shown = page.evaluate(
            "[...document.querySelectorAll('.chart')].every((each) => each.getBBox().width > 100)"
        )
        assert shown
