from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from stream.alarms.settings import Severity
from stream.events import Alarm, Decision, Event, Gap, Label, Level, Match, Segment
from stream.sinks.console import ConsoleSink
from stream.sinks.format import clock, one_line
from stream.sinks.live_table import Table

RATE = 16_000


def segment(start: float, end: float, label: Label, *, final: bool, station: str = "r") -> Segment:
    return Segment(station, int(start * RATE), int(end * RATE), RATE, None, label, 0.98, final)


def song(start: float, end: float, *, final: bool, title: str = "Title") -> Match:
    times = int(start * RATE), int(end * RATE)
    return Match("r", *times, RATE, None, "t1", title, "Artist", 0, 0.875, final)


def gap(start: float, end: float) -> Gap:
    return Gap("r", int(start * RATE), int(end * RATE), RATE, None, "overflow")


def level(start: float, lufs: float | None = -23.0, *, frozen: bool = False) -> Level:
    return Level(
        "r", int(start * RATE), int((start + 5) * RATE), RATE, None, -25.0, (-25.0, -25.0), -3.0,
        lufs, None, None, 0.9, 0, 0.0, (), frozen,
    )  # fmt: skip


def plain(events: list[Event]) -> str:
    file = io.StringIO()
    sink = ConsoleSink(file)
    for event in events:
        sink.write([event])
    sink.flush()
    sink.close()
    return file.getvalue()


def drawn(events: list[Event], *, size: tuple[int, int] = (100, 24)) -> str:
    """Return what the table shows at last on a terminal of `size` columns and rows."""
    table = Table(io.StringIO())
    table.update(events)
    return "\n".join(line.plain for line in table.render(*size))


def test_segments_songs_and_gaps_are_lines_when_they_begin_and_when_they_are_over() -> None:
    events = [
        Decision("r", 0, 5 * RATE, RATE, None, 0.9, 0.1),
        segment(12, 17, "speech", final=False),
        segment(12, 22, "speech", final=False),
        segment(12, 45, "speech", final=True),
        segment(45, 50, "music", final=False),
        song(46, 52, final=False),
        song(46, 58, final=False),
        song(46, 130.5, final=True),
        gap(130.5, 131),
    ]
    assert plain(events).splitlines() == [
        "r  00:12.0  -        speech             0.98",
        "r  00:12.0  00:45.0  speech             0.98",
        "r  00:45.0  -        music              0.98",
        "r  00:46.0  -        song               Artist - Title (0.88)",
        "r  00:46.0  02:10.5  song               Artist - Title (0.88)",
        "r  02:10.5  02:11.0  gap                overflow",
    ]


def test_a_level_is_a_line_where_the_faults_change() -> None:
    events: list[Event] = [level(0), level(5, frozen=True), level(10, frozen=True), level(15)]
    assert plain(events).splitlines() == [
        "r  00:05.0  00:10.0  level              -23.0 LUFS, peak -3.0 dBTP  frozen",
        "r  00:15.0  00:20.0  level              -23.0 LUFS, peak -3.0 dBTP",
    ]


def alarm(*, final: bool = False, severity: Severity = "critical") -> Alarm:
    return Alarm(
        "r", 5 * RATE, 20 * RATE, RATE, None, "dead_air", final, severity, False, -71.5, -50.0,
        "over" if final else "", "dead air for 15 s",
    )  # fmt: skip


def test_an_alarm_is_a_line_when_it_opens_and_when_it_closes() -> None:
    assert plain([alarm(), alarm(), alarm(final=True)]) == (
        "r  00:05.0  -        ALARM              dead_air: dead air for 15 s (critical)\n"
        "r  00:05.0  00:20.0  alarm              dead_air: dead air for 15 s (over)\n"
    )


def test_the_table_shows_alarms_as_long_as_they_are_open() -> None:
    assert "dead_air: dead air for 15 s" in drawn([level(0), alarm()])
    assert "dead air" not in drawn([level(0), alarm(), alarm(final=True)])
    assert "dead air" in drawn([level(0), alarm()], size=(40, 24))


def test_the_table_shows_loudness_and_faults() -> None:
    events = [segment(0, 10, "music", final=False), level(5, frozen=True)]
    assert re.search(r"-23\.0 LUFS +frozen", drawn(events))
    assert "-25.0 dBFS" in drawn([level(0, None)])
    assert "frozen" in drawn(events, size=(50, 10))


def test_where_the_time_is_known_it_is_shown() -> None:
    at = 1_790_000_000 * RATE  # a station that counts from 1970
    begun = Segment("r", at, at + 12 * RATE, RATE, 1_790_000_000.0, "music", 0.98, False)
    events: list[Event] = [begun, replace(begun, end=at + 45 * RATE, final=True)]
    events.append(replace(begun, start=at + 45 * RATE, end=at + 50 * RATE, time=1_790_000_045.0))
    assert plain(events).splitlines() == [
        "r  2026-09-21 14:13:20Z  -          music              0.98",
        "r  2026-09-21 14:13:20Z  14:14:05Z  music              0.98",
        "r  2026-09-21 14:14:05Z  -          music              0.98",
    ]
    text = drawn(events)
    assert re.search(r"r +music .*14:13:20Z music", text)
    assert re.search(r"14:14:10Z +since 14:14:05Z", text)
    assert "497222" not in plain(events) + text


@pytest.mark.parametrize("time", [-1.0, 2.0**56, float("nan"), float("inf")])
def test_a_time_that_cannot_be_is_not_shown(time: float) -> None:
    event = replace(segment(12, 45, "speech", final=True), time=time)
    assert "r  00:12.0  00:45.0  speech" in plain([event])
    assert event.to_dict()["time"] is None
    assert "00:12.0" in drawn([event])


def test_plain_lines_hold_no_control_codes() -> None:
    nasty = "a\x1b[31m\r\nb\x07"
    text = plain([song(0, 5, final=True, title=nasty), segment(0, 9, "other", final=True)])
    assert re.findall(r"[^\n -~\N{REPLACEMENT CHARACTER}]", text) == []
    assert text.count("\n") == 2


def test_a_file_that_is_not_utf8_still_gets_its_line() -> None:
    raw = io.BytesIO()
    sink = ConsoleSink(io.TextIOWrapper(raw, encoding="ascii"))
    sink.write([song(0, 5, final=True, title="Für Elise")])
    assert b"F?r Elise" in raw.getvalue()


def test_old_warnings_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.sinks.console.MAX_REMEMBERED", 10)
    sink = ConsoleSink(io.StringIO())
    sink.write([segment(second, second + 1, "speech", final=True) for second in range(100)])
    assert len(sink._printed) == 10


def test_the_table_shows_each_station_now_and_lately() -> None:
    text = drawn(
        [
            Decision("r", 0, 65 * RATE, RATE, None, 0.9, 0.2),
            segment(0, 45, "speech", final=True),
            gap(45, 46),
            segment(46, 60, "speech_over_music", final=False),
            song(46, 58, final=False, title="[bold]T\x1b[0m"),
        ]
    )
    _, first, second, third = text.splitlines()
    assert re.search(r"r +speech over music +█{9}░ 0.90 +00:45.0 gap +00:00.0 speech", first)
    assert re.search(r"01:05.0 +since 00:46.0 +█{2}░{8} 0.20", second)
    assert third == "  Artist - [bold]T\N{REPLACEMENT CHARACTER}[0m"


@pytest.mark.parametrize("rows", [8, 12, 24, 50])
def test_the_table_never_outgrows_the_terminal(rows: int) -> None:
    events: list[Event] = [segment(0, 9, "music", final=True, station=f"s{i}") for i in range(60)]
    lines = drawn(events, size=(70, rows)).splitlines()
    assert len(lines) <= rows
    assert max(len(line) for line in lines) <= 70
    assert "more stations" in lines[-1]
    assert any("s59" in line for line in lines)  # the latest, not the first


def test_the_oldest_stations_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.sinks.live_table.MAX_STATIONS", 5)
    table = Table(io.StringIO())
    table.update([segment(0, 9, "music", final=True, station=f"s{i}") for i in range(60)])
    assert list(table._stations) == [f"s{i}" for i in range(55, 60)]


def on_terminal(script: str, **environ: str) -> str:
    """Run Python with a terminal for its standard output; return all that reaches it."""
    ours, theirs = pty.openpty()
    run = [sys.executable, "-c", script]
    variables = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "24", **environ}
    with subprocess.Popen(run, stdout=theirs, stderr=subprocess.PIPE, env=variables) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                seen += (piece := os.read(ours, 65_536))
            except OSError:  # how Linux reports that the other end is closed
                break
            if not piece:
                break
        process.wait()
        assert process.stderr is not None
        seen += process.stderr.read()
    os.close(ours)
    return seen.decode()


SHOW = (
    "import sys\n"
    "from stream.events import Segment\n"
    "from stream.sinks.console import ConsoleSink\n"
    "sink = ConsoleSink(sys.stdout)\n"
    "sink.write([Segment('r', 0, 16_000, 16_000, None, 'speech', 0.9, False)])\n"
)
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


@pytest.mark.process
def test_a_terminal_gets_the_table_and_its_cursor_back() -> None:
    seen = on_terminal(SHOW + "sink.close()\nsink.close()\nprint('after')")
    assert "since 00:00.0" in seen
    assert 0 <= seen.index(HIDE_CURSOR) < seen.index(SHOW_CURSOR) < seen.index("after")


@pytest.mark.process
def test_an_interrupt_gives_the_cursor_back() -> None:
    seen = on_terminal(
        SHOW + "try: raise KeyboardInterrupt\nexcept KeyboardInterrupt: pass\nfinally: sink.close()"
    )
    assert seen.index(HIDE_CURSOR) < seen.index(SHOW_CURSOR)


@pytest.mark.process
def test_a_dumb_terminal_gets_lines() -> None:
    seen = on_terminal(SHOW + "sink.close()", TERM="dumb")
    assert seen == "r  00:00.0  -        speech             0.90\r\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00.0"), (59.96, "01:00.0"), (130.5, "02:10.5"), (3_599.96, "1:00:00.0")],
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_one_line() -> None:
    assert one_line("ok ü\n\x1b") == "ok ü\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"
