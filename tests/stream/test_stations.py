"""Many stations as one source: what one gives does not depend on the others."""

from __future__ import annotations

import io
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airsift.errors import ConfigError, DecodeError, SourceError
from stream.audio import AudioChunk
from stream.sources.base import Lost, Source, SourceItem
from stream.sources.settings import HttpSettings
from stream.stations.entry import StationEntry
from stream.stations.source import StationsSource
from stream.telemetry.logs import logging_to
from tests.waiting import wait_until

RATE = 8_000
NOW = 1_800_000_000.0
HTTP = HttpSettings.default(max_backoff_s=0.01)


@dataclass
class Script:
    """What a station's source does each time it is opened; the last one is repeated.

    `None` fails to open; a number gives as many chunks of 1 s, and then fails if it is negative.
    """

    turns: list[int | None]
    live: bool = False
    hold: threading.Event | None = None  # is waited for after the chunks
    opened: int = 0
    closed: int = 0
    given: list[list[float]] = field(default_factory=list)


class Scripted(Source):
    def __init__(self, name: str, script: Script) -> None:
        self.name, self.script = name, script
        turn = script.turns[min(script.opened, len(script.turns) - 1)]
        script.opened += 1
        if turn is None:
            raise SourceError(f"{name} cannot be opened")
        self.turn = turn

    def __iter__(self) -> Iterator[list[AudioChunk]]:
        marks = [self.script.opened + i / 1000 for i in range(abs(self.turn))]
        self.script.given.append(marks)
        for i, mark in enumerate(marks):
            at = NOW + 1000 * self.script.opened + i if self.script.live else None
            yield [AudioChunk(self.name, i * RATE, np.full(RATE, mark, np.float32), RATE, at)]
        while self.script.hold is not None and not self.script.hold.wait(0.02):
            yield []
        if self.turn < 0:
            raise DecodeError(f"{self.name} is broken")

    def close(self) -> None:
        self.script.closed += 1


def write(path: Path, names: list[str], extra: str = "") -> None:
    entries = [f'[[stations]]\nname = "{name}"\nsource = "{name}.wav"\n' for name in names]
    path.write_text("".join(entries) + extra, encoding="utf-8")


def opened(path: Path, scripts: dict[str, Script]) -> StationsSource:
    def open_one(entry: StationEntry) -> Source:
        return Scripted(entry.name, scripts[entry.name])

    return StationsSource(path, open_one, HTTP)


def drained(source: StationsSource, timeout_s: float = 20.0) -> dict[str, list[SourceItem]]:
    """Return all items of each station."""
    found: dict[str, list[SourceItem]] = defaultdict(list)
    deadline = time.monotonic() + timeout_s
    for items in source:
        for item in items:
            found[item.station].append(item)
        assert time.monotonic() < deadline
    return found


def marks_of(items: list[SourceItem]) -> list[list[float]]:
    """Return the marks of each stream, by what ends them."""
    streams: list[list[float]] = [[]]
    for item in items:
        if isinstance(item, AudioChunk) and item.ends:
            streams.append([])
        elif isinstance(item, AudioChunk):
            streams[-1].append(round(float(item.samples[0]), 3))
    assert streams[-1] == []
    return streams[:-1]


# A file ends when it was once read to its end: the last turn is a whole one.
TURNS = st.lists(st.one_of(st.none(), st.integers(-4, -1)), max_size=4)
SCRIPTS = st.builds(lambda turns, last: Script([*turns, last]), TURNS, st.integers(1, 12))


@settings(max_examples=25, deadline=None)
@given(scripts=st.lists(SCRIPTS, min_size=1, max_size=6))
def test_each_station_gives_what_its_own_source_gives(
    tmp_path_factory: pytest.TempPathFactory, scripts: list[Script]
) -> None:
    path = tmp_path_factory.mktemp("list") / "stations.toml"
    by_name = {f"s{i}": script for i, script in enumerate(scripts)}
    write(path, list(by_name))
    with closing(opened(path, by_name)) as source:
        found = drained(source)
    assert set(found) == set(by_name)
    for name, script in by_name.items():
        assert marks_of(found[name]) == script.given
        assert script.opened == len(script.turns)
        assert script.closed == len(script.given)
        # A file that is read again counts from 0 again, and is forgotten before.
        assert [isinstance(item, Lost) for item in found[name]].count(True) == len(script.given)
        assert isinstance(found[name][-1], Lost)
    assert source.reconnects == sum(script.closed - 1 for script in scripts)


def test_live_audio_counts_from_1970_and_goes_on_there_after_an_error(tmp_path: Path) -> None:
    hold = threading.Event()
    live, broken = Script([-2, None, 3, 1], live=True, hold=hold), Script([None])
    hold.set()
    write(tmp_path / "list", ["live", "broken"])
    chunks: list[AudioChunk] = []
    deadline = time.monotonic() + 20
    with closing(opened(tmp_path / "list", {"live": live, "broken": broken})) as source:
        for items in source:
            assert not any(isinstance(item, Lost) for item in items)
            chunks += [item for item in items if isinstance(item, AudioChunk)]
            if len([chunk for chunk in chunks if chunk.ends]) == 2 and source.failing:
                break
            assert time.monotonic() < deadline
        assert source.failing >= 1
    audio = [chunk for chunk in chunks if not chunk.ends][:5]
    assert [chunk.start / RATE - NOW for chunk in audio] == [1000, 1001, 3000, 3001, 3002]
    assert [chunk.time for chunk in audio] == [chunk.start / RATE for chunk in audio]


def test_stations_are_added_changed_and_removed_while_others_play(tmp_path: Path) -> None:
    path, holds = tmp_path / "list", {name: threading.Event() for name in "abcd"}
    scripts = {name: Script([2], hold=hold) for name, hold in holds.items()}
    write(path, ["a", "b", "c"])
    found: dict[str, list[SourceItem]] = defaultdict(list)
    with closing(opened(path, scripts)) as source:
        reading = iter(source)

        def read_until(condition: str) -> None:
            deadline = time.monotonic() + 20
            while not eval(condition, {"found": found, "scripts": scripts, "Lost": Lost}):
                for item in next(reading):
                    found[item.station].append(item)
                assert time.monotonic() < deadline, condition

        read_until("all(len(found[n]) == 2 for n in 'abc')")
        # b goes, c changes, d comes, and an entry without a source is wrong.
        write(path, ["a"], '[[stations]]\nname="c"\nsource="other.wav"\n[[stations]]\nname="e"\n')
        with path.open("a") as file:
            file.write('[[stations]]\nname="d"\nsource="d.wav"\n')
        source.reload()
        read_until("len(found['d']) == 2 and len(found['c']) == 6 and len(found['b']) == 4")
        assert len(found["a"]) == 2
        assert isinstance(found["b"][3], Lost)
        assert scripts["a"].opened == 1
        assert scripts["c"].opened == 2
        assert scripts["b"].closed == 1
        # A list that cannot be read, or an entry that became wrong, changes nothing.
        path.write_text("[[stations")
        source.reload()
        for _ in range(3):
            next(reading)
        path.write_text('[[stations]]\nname="a"\n[[stations]]\nname="d"\nsource="d.wav"\n')
        source.reload()
        read_until("len(found['c']) == 8")
        assert len(found["a"]) == len(found["d"]) == 2
        for hold in holds.values():
            hold.set()
        for items in reading:
            for item in items:
                found[item.station].append(item)
    assert {name: scripts[name].opened for name in "abcd"} == {"a": 1, "b": 1, "c": 2, "d": 1}
    assert all(isinstance(items[-1], Lost) for items in found.values())


def test_a_station_that_comes_back_under_its_name_follows_its_end(tmp_path: Path) -> None:
    path, script = tmp_path / "list", Script([3], hold=threading.Event())
    other = Script([1], hold=threading.Event())
    found: list[SourceItem] = []
    write(path, ["x", "y"])
    with closing(opened(path, {"x": script, "y": other})) as source:
        for turn, items in enumerate(source):
            found += [item for item in items if item.station == "x"]
            if script.opened < 8 and turn % 2:
                write(path, ["y"] if turn % 4 == 1 else ["x", "y"])
                source.reload()
            elif script.opened >= 8:
                break
    script_streams = [marks for marks in script.given if marks]
    kinds = "".join("L" if isinstance(item, Lost) else "E" if item.ends else "a" for item in found)
    # Whole or cut, each stream ends and is forgotten before the next begins.
    assert all(part.endswith("E") and set(part[:-1]) <= {"a"} for part in kinds.split("L")[:-1])
    assert len(script_streams) >= kinds.count("L")


def test_an_error_of_airsift_itself_is_the_stations_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "list", ["bad", "good"])
    good = Script([5])

    def open_one(entry: StationEntry) -> Source:
        if entry.name == "bad":
            raise ZeroDivisionError
        return Scripted("good", good)

    with closing(StationsSource(tmp_path / "list", open_one, HTTP)) as source:
        chunks = 0
        for items in source:
            chunks += len(items)
            if chunks >= 7 and source.failing:
                break
        assert source.failing == 1
    assert "its source failed" in caplog.text


def test_a_list_without_a_station_that_can_be_used_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text('[[stations]]\nname = "a"\n')
    with pytest.raises(ConfigError, match="has no station that can be used"):
        opened(path, {})


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text(""),
        lambda path: path.write_text("# nothing\n"),
        lambda path: path.write_text("stations = []\n"),
        lambda path: path.write_text('[[stations]]\nname="b"\nsource="b"\nenabled=false\n'),
        lambda path: path.write_text("a = 1" + "0" * 5000),
        lambda path: path.write_text("a = " + "[" * 5000),
        lambda path: path.write_bytes(b"\xff\xfe\0"),
        lambda path: path.unlink(),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), path.symlink_to(path)),
        lambda path: (path.unlink(), os.mkfifo(path)),
        lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    ],
)
def test_what_is_no_list_any_more_leaves_the_stations_as_they_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], object]
) -> None:
    path, script = tmp_path / "list", Script([2], hold=threading.Event())
    write(path, ["a"])
    with closing(opened(path, {"a": script})) as source:
        reading = iter(source)
        damage(path)
        source.reload()
        found = [item for _ in range(8) for item in next(reading)]
        assert [item.station for item in found] == ["a", "a"]
        assert list(source.entries) == ["a"]
    assert "the stations stay as they are" in caplog.text


def test_each_entry_that_is_wrong_is_a_line_of_the_log(tmp_path: Path) -> None:
    path, script, out = tmp_path / "list", Script([1]), io.StringIO()
    write(path, ["a"], "".join(f'[[stations]]\nname = "%s{n}"\n' for n in range(20)))
    with logging_to(out), closing(opened(path, {"a": script})) as source:
        drained(source)
    lines = [line for line in out.getvalue().splitlines() if "is left out" in line]
    assert [f"%s{n} is left out" in line for n, line in enumerate(lines)] == [True] * 20


def test_a_list_may_come_from_a_pipe_once(tmp_path: Path) -> None:
    path, script = tmp_path / "list", Script([1])
    os.mkfifo(path)
    writer = threading.Thread(target=write, args=(path, ["a"]))
    writer.start()
    with closing(opened(path, {"a": script})) as source:
        assert list(drained(source)) == ["a"]
    writer.join()


def test_a_fast_file_waits_for_its_reader(tmp_path: Path) -> None:
    script = Script([60])
    write(tmp_path / "list", ["a"])
    with closing(opened(tmp_path / "list", {"a": script})) as source:
        time.sleep(0.3)
        assert source.queued <= 7
        found = drained(source)
    assert len(marks_of(found["a"])[0]) == 60


def test_behind_is_how_long_live_audio_has_waited_and_a_file_never_is(tmp_path: Path) -> None:
    hold = threading.Event()
    write(tmp_path / "list", ["live", "tape"])
    scripts = {"live": Script([3], live=True, hold=hold), "tape": Script([60])}
    with closing(opened(tmp_path / "list", scripts)) as source:
        wait_until(lambda: source.queued >= 9)  # three of the one, and six of the other
        time.sleep(0.3)  # the loop is busy elsewhere
        reading = iter(source)
        while not any(item.station == "live" for item in next(reading)):
            pass
        waited = source.behind_s
        for _ in range(5):  # what is left is the file
            next(reading)
        assert waited >= 0.3
        assert source.behind_s == 0
