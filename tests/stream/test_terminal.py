"""Output on a terminal: lines stay whole, with the status display below them."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth, wcwidth

from airsift.cli import progress as _progress
from airsift.cli.rows import Format, Rows
from stream.events import Decision, Event, Gap, Match, Segment
from stream.lines import one_line, to_cell, to_json, without_codes
from stream.sinks import terminal
from stream.sinks.console import ConsoleSink
from stream.sinks.format import in_cells, shortened, width_of, wrapped
from stream.sinks.jsonl import JsonlSink
from stream.sinks.live_table import Table
from stream.telemetry.logs import LinesHandler, TextFormatter
from tests.examples import examples
from tests.terminal import SIZES, Terminal, strange

RATE = 16_000
LABELS = ("speech", "music", "speech_over_music", "other")
# Any text, much of it of what is difficult: wide, combining, invisible and obeyed characters.
DIFFICULT = (
    *("\x1b[2J", "\x1b]0;title\a", "\x9b31m", "\r", "\n", "\b", "\t", "\x7f", "\u202e", "\u2028"),
    *("日本語", "ﾃｽﾄ", "한국어", "e\u0301", "\u0301", "ก็", "हिन्दी", "क्\u200dष", "שלום"),
    *(
        "👨\u200d👩\u200d👧",
        "❤\ufe0f",
        "👍🏽",
        "🇩🇪",
        "\u3000",
        "\xa0",
        "\ue000",
        "\udc80",
        "[bold]",
        "{}",
    ),
)
names = st.lists(st.sampled_from(DIFFICULT) | st.text(max_size=12), max_size=12).map("".join)


def segment(station: str, start: int, end: int, label: str = "music", final: bool = False) -> Event:
    return Segment(station, start * RATE, end * RATE, RATE, None, label, 0.98, final)


def match(station: str, title: str, artist: str = "Artist") -> Event:
    return Match(station, 0, 9 * RATE, RATE, None, title, title, artist, 0, 9.0, False)


@pytest.fixture(autouse=True)
def _xterm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


# Text


@pytest.mark.slow
@given(names)
def test_lines_hold_nothing_that_a_terminal_obeys_and_end_nowhere(text: str) -> None:
    for line in (one_line(text), in_cells(text), str(to_cell(text)), to_json(text)):
        assert strange(line) == []
        assert len(line.splitlines()) <= 1
        assert not re.search("[\r\n\v\f]", line)
    assert json.loads(to_json({text: [text]})) == {text: [text]}


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S", "Zs", "Mn", "Mc"])))
def test_what_can_be_read_is_not_changed(text: str) -> None:
    assert one_line(text) == text
    assert without_codes(text) == text
    assert to_json(text) == json.dumps(text, ensure_ascii=False)


def test_titles_in_many_scripts_stay_as_they_are() -> None:
    for title in ("Où est\xa0? ", "夜\u3000の\u3000歌", "क्\u200dष", "👨\u200d👩\u200d👧 ❤\ufe0f"):
        assert one_line(title) == title


@pytest.mark.slow
@given(names, st.integers(0, 40))
def test_what_is_drawn_takes_the_columns_that_it_is_thought_to(text: str, width: int) -> None:
    drawn = in_cells(text)
    if all(unicodedata.category(char) != "Mc" for char in drawn):  # terminals differ on these
        assert width_of(drawn) == wcswidth(drawn)
    for middle in (False, True):
        assert width_of(shortened(drawn, width, middle=middle)) <= max(width, 0)
    lines = wrapped(drawn, width + 2, 3)
    assert len(lines) <= 3
    assert all(width_of(line) <= width + 2 for line in lines)
    if not any("…" in line for line in lines):
        assert "".join("".join(lines).split()) == "".join(drawn.split())


def test_names_with_equal_beginnings_show_their_ends() -> None:
    assert shortened("https://example.org/one.mp3", 16, middle=True) == "https://…one.mp3"
    assert shortened("日本語の番組", 7, middle=True) == "日…組"
    assert shortened("short", 5) == "short"


# Rows for machines


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", list(Format))
def test_rows_are_the_same_on_a_terminal_as_in_a_pipe(
    size: tuple[int, int], kind: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"file": "".join(DIFFICULT).replace("\udc80", "?") * 3, "p": 0.5, "more": None},
        {"file": "a,b\"c'", "p": 1e-9, "more": "x" * 300},
    ]

    def write(out: io.TextIOBase) -> None:
        monkeypatch.setattr(sys, "stdout", out)
        writer = Rows(kind, ("file", "p", "more"))
        for row in rows:
            writer.write(row)

    piped = io.BytesIO()
    file = io.TextIOWrapper(piped, encoding="utf-8", newline="")
    write(file)
    file.flush()
    with Terminal(size) as seen:
        out, err = seen.file(), seen.file()
        monkeypatch.setattr(sys, "stderr", err)
        with _progress._bar(100) as bar:
            assert bar is not None
            bar.update(50, "a file")
            # The bar's own codes go to standard error: what standard output gets is looked at.
            write(Tee(out, written := []))  # type: ignore[arg-type]
        out.close()
        err.close()
        seen.finish()
        assert "".join(written).encode() == piped.getvalue()
        assert strange(seen.text) == []
        lines = piped.getvalue().decode().splitlines()
        assert len(lines) == len(rows) + (kind is Format.csv)
        whole = squeezed("".join(seen.lines))
        assert whole == "".join(map(squeezed, lines))  # and nothing of the bar
    if kind is Format.jsonl:
        assert [json.loads(line) for line in lines] == rows
    else:
        assert [row[1:] for row in csv.reader(lines)][1:] == [["0.5", ""], ["1e-09", "x" * 300]]


class Tee(io.TextIOBase):
    """A text file that remembers what is written to it."""

    encoding = "utf-8"

    def __init__(self, file: io.TextIOBase, written: list[str]) -> None:
        self._file, self._written = file, written

    def write(self, text: str) -> int:
        self._written.append(text)
        return self._file.write(text)

    def flush(self) -> None:
        self._file.flush()

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._file.fileno()


# Drawings and lines


@pytest.mark.parametrize("size", SIZES)
def test_a_bar_leaves_whole_lines_and_nothing_of_itself(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_progress, "REDRAW_S", 0.0)
    with Terminal(size) as seen:
        err, out = seen.file(), seen.file()
        monkeypatch.setattr(sys, "stderr", err)
        with _progress.progress_bar("日本語\x1b[31m" + "long name " * 20, 1000.0) as progress:
            assert progress is not None
            for done in range(0, 1001, 50):
                progress({"a": float(done)})
                seen.settle()
                shown = [line for line in seen.shown if line]
                assert len(shown) == min(done // 50 + 1, size[1])  # the bar is one line
                assert f"{done // 10}%" in shown[-1]
                with terminal.aside(out):
                    out.write(f"row {done}\n")
        err.close()
        out.close()
        seen.finish()
        assert seen.lines == [f"row {done}" for done in range(0, 1001, 50)]
        assert strange(seen.text) == []


@pytest.mark.slow
@pytest.mark.parametrize("size", [*SIZES, (10, 3), (1, 1)])
def test_a_bar_of_files_fits_any_terminal(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_progress, "REDRAW_S", 0.0)
    with Terminal(size) as seen:
        err = seen.file()
        monkeypatch.setattr(sys, "stderr", err)
        with _progress.files_bar(300) as advance:
            for number in range(300):
                advance(f"ファイル {number} " + "x" * 99)
        err.close()
        seen.finish()
        assert seen.lines == []


@pytest.mark.parametrize(
    ("term", "drawn"), [("dumb", False), ("", False), ("unknown", False), ("xterm", True)]
)
def test_a_terminal_that_cannot_draw_gets_no_bar(
    term: str, drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    with Terminal() as seen:
        err = seen.file()
        monkeypatch.setattr(sys, "stderr", err)
        with _progress.progress_bar("a", 1000.0) as progress:
            assert (progress is not None) == drawn
        err.close()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("event"), st.sampled_from(["a", "番組", "x" * 30, "e\u0301\x1b[2J"])),
        st.tuples(st.just("line"), st.integers(0, 10**6)),
    ),
    max_size=25,
)


@pytest.mark.slow
@examples(25)
@given(steps, st.sampled_from(SIZES), names)
def test_log_lines_stay_whole_above_the_table(steps, size: tuple[int, int], title: str) -> None:
    with pytest.MonkeyPatch.context() as patch, Terminal(size) as seen:
        patch.setattr("stream.sinks.live_table.REDRAW_S", 0.0)
        patch.setenv("TERM", "xterm")
        out, err = seen.file(), seen.file()
        table, handler = Table(out), LinesHandler(err)
        handler.setFormatter(TextFormatter("%(message)s"))
        logged = []
        for number, (kind, value) in enumerate(steps):
            if kind == "event":
                table.update([segment(value, number, number + 9), match(value, title)])
            else:
                record = logging.LogRecord("x", logging.INFO, "", 0, "%d", (value,), None)
                handler.emit(record)
                logged.append(handler.format(record))
        table.close()
        out.close()
        err.close()
        seen.finish()
        expected = [line.plain.rstrip() for line in table.render(*size)] if table._stations else []
        lines = seen.lines
        below = lines[len(lines) - len(expected) :]
        above = lines[: len(lines) - len(expected)]
        assert "".join(above) == "".join(logged)  # a narrow terminal breaks lines
        assert [squeezed(line) for line in below] == [squeezed(line) for line in expected]
        assert strange(seen.text) == []


def squeezed(line: str) -> str:
    """Return a line without marks and spaces: a screen has them in other cells, or not at all."""
    chars = unicodedata.normalize("NFD", line)
    return "".join(c for c in chars if unicodedata.category(c)[0] not in "MZ" and wcwidth(c) > 0)


@pytest.mark.parametrize("size", SIZES)
def test_a_table_of_hundreds_of_stations_shows_the_same_ones_while_they_go_on(
    size: tuple[int, int],
) -> None:
    table = Table(io.StringIO())
    stations = [f"s{number:03}" for number in range(300)]
    shown = []
    for turn in range(5):
        for station in stations[turn:] + stations[:turn]:
            table._add(Decision(station, 0, 5 * RATE, RATE, None, 0.9, 0.1))
        lines = [line.plain for line in table.render(*size)]
        assert len(lines) == size[1] - 1
        assert lines[-1] == f"and {300 - len(lines) + 1} more stations"
        shown.append(lines)
    assert all(lines == shown[0] for lines in shown)


def test_a_station_that_went_silent_makes_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("stream.sinks.live_table.time.monotonic", lambda: clock[0])
    table = Table(io.StringIO())
    for station in ("old", *"abcdefghijk"):
        table._add(segment(station, 0, 9))
    clock[0] = 5.0
    for station in "abcdefghijk":
        table._add(segment(station, 0, 14))
    first = table._choose(12), table._choose(3)
    clock[0] = 12.0
    table._add(segment("new", 0, 9))
    for station in "abcdefghijk":
        table._add(segment(station, 0, 19))
    assert first[0] == sorted(["old", *"abcdefghijk"])
    assert "old" not in table._choose(3)
    assert table._choose(3) == first[1]


@pytest.mark.parametrize("size", SIZES)
def test_long_titles_are_read_to_their_end_or_shortened_at_it(size: tuple[int, int]) -> None:
    title = "Orbital Elevator (Extended Club Mix)"
    artist = "Maxstack (Max McCracken)"
    table = Table(io.StringIO())
    for station in ("north", "https://stream.example.org/a/very/long/path/of/a/station.mp3"):
        table._add(segment(station, 0, 9))
        table._add(match(station, title, artist))
    lines = [line.plain for line in table.render(*size)]
    assert all(width_of(line) <= size[0] for line in lines)
    if size[0] >= 80:
        text = " ".join(" ".join(lines).split())
        assert text.count(f"{artist} - {title}") == 2
        assert "https://stream.example.org/a/very/long/path/of/a/station.mp3" in text
        assert "…" not in text


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [[(200, 60), (80, 24)], [(80, 24), (40, 10), (200, 60)]])
def test_a_table_follows_the_size_of_its_terminal(
    sizes: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.sinks.live_table.REDRAW_S", 0.0)
    with Terminal(sizes[0]) as seen:
        out = seen.file()
        sink = ConsoleSink(out)
        for turn, size in enumerate(sizes):
            if turn:
                seen.resize(size)
            for number in range(40 if turn == 0 else 2):
                sink.write([segment(f"station {number}", 0, 9 + turn), match("station 1", "Title")])
            seen.settle()
            assert (seen.screen.columns, seen.screen.lines) == size
            assert sink._table is not None
            expected = [line.plain for line in sink._table.render(*size)]
            shown = [line for line in seen.shown if line]
            assert shown[-len(expected) :] == expected
        sink.close()
        out.close()


def test_without_colour_there_is_none_and_the_table_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []
    for name in ("", "NO_COLOR"):
        if name:
            monkeypatch.setenv(name, "1")
        with Terminal() as shown:
            out = shown.file()
            sink = ConsoleSink(out)
            sink.write([segment("a", 0, 9), Gap("a", 0, 1, RATE, None, "why")])
            sink.close()
            out.close()
            shown.finish()
            seen.append((shown.lines, bool(re.search(r"\x1b\[[0-9;]*3[0-9]", shown.text))))
    (with_colour, coloured), (without, still) = seen
    assert with_colour == without
    assert (coloured, still) == (True, False)


def test_json_lines_on_the_terminal_of_the_table_stay_whole() -> None:
    with Terminal((200, 24)) as seen:
        out = seen.file()
        console, lines = ConsoleSink(out), JsonlSink(out)
        events = [segment("日本", 0, 9 + number) for number in range(5)]
        for event in events:
            console.write([event])
            lines.write([event])
        console.close()
        lines.close()
        out.close()
        seen.finish()
        found = [line for line in "".join(seen.lines).split("}")[:-1] if line]
        assert [json.loads(line + "}")["end_s"] for line in found] == [9.0, 10.0, 11.0, 12.0, 13.0]
        assert sum("station" in line and "now" in line for line in seen.lines) == 1


def test_a_process_that_is_ended_by_force_leaves_a_clean_terminal() -> None:
    with Terminal() as seen:
        out = seen.file()
        sink = ConsoleSink(out)
        sink.write([segment("a", 0, 9)])
        terminal.give_back()
        out.write("airsift: the reason\n")
        out.close()
        seen.finish()
        assert seen.lines == ["airsift: the reason"]
        hides, shows = (seen.text.count(f"\x1b[?25{letter}") for letter in "lh")
        assert hides == shows > 0
        assert seen.text.rindex("\x1b[?25h") > seen.text.rindex("\x1b[?25l")


@pytest.mark.parametrize("make", [lambda f: ConsoleSink(f), lambda f: ConsoleSink(f, live=False)])
def test_no_station_or_title_breaks_the_terminal(
    make: Callable[[io.TextIOBase], ConsoleSink],
) -> None:
    with Terminal() as seen:
        out = seen.file()
        sink = make(out)
        for text in DIFFICULT:
            text = text.replace("\udc80", "?")
            event = replace(match(text, text, text), track=text)
            sink.write([segment(text, 0, 9), event, Gap(text, 0, 1, RATE, None, text)])
        sink.close()
        out.close()
        seen.finish()
        assert strange(seen.text) == []
        assert not seen.screen.title
