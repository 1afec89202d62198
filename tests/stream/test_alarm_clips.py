"""The sound around alarms."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from stream.alarms.clips import AlarmClips, clip_of
from stream.alarms.rules import AlarmPlan
from stream.alarms.settings import AlarmSettings
from stream.audio import EndOfStream
from stream.clips.recorder import ClipRecorder
from stream.clips.settings import ClipSettings
from stream.events import Alarm
from stream.sources.base import Lost
from stream.stations.entry import StationEntry
from tests.stream.clips import RATE, audio, seconds


def alarm(rule: str, start: float, end: float, station: str = "a") -> Alarm:
    return Alarm(
        station, round(start * RATE), round(end * RATE), RATE, None, rule, False, "warning", False,
        None, None, "", "text",
    )  # fmt: skip


def opened(folder: Path, allowed: bool = True, seconds: float = 10.0) -> ClipRecorder:
    settings = ClipSettings.default(folder=str(folder), seconds=seconds)
    return ClipRecorder(AlarmClips(), settings, RATE, lambda _: allowed)


def test_half_is_before_the_alarm_opened_and_half_after(tmp_path: Path) -> None:
    clips, dead = opened(tmp_path), alarm("dead_air", 12, 27)
    for at in range(60):
        clips.on_items([audio(at)])
        if at == 29:  # it is known a little late
            clips.on_batch([], [dead])
    clips.close()
    path = clip_of(tmp_path, dead)
    assert seconds(path) == list(range(22, 32))
    assert json.loads(path.with_suffix(".json").read_text()) == dead.to_dict()
    assert len(list(tmp_path.rglob("*.*"))) == 2


def test_of_a_station_that_is_gone_it_is_the_last_that_was_heard(tmp_path: Path) -> None:
    clips, gone = opened(tmp_path), alarm("gone", 30, 30)
    clips.on_items([audio(at) for at in range(30)])
    clips.on_batch([], [gone, alarm("missing", 99, 99)])
    clips.close()
    assert seconds(clip_of(tmp_path, gone)) == list(range(20, 30))
    assert len(list(tmp_path.rglob("*.wav"))) == 1


def test_where_the_audio_ends_the_clip_does(tmp_path: Path) -> None:
    clips, dead = opened(tmp_path), alarm("dead_air", 1, 3)
    clips.on_items([*(audio(at) for at in range(5)), EndOfStream("a", 5 * RATE, RATE)])
    clips.on_batch([], [dead])
    clips.close()
    assert seconds(clip_of(tmp_path, dead)) == [0, 1, 2, 3, 4]


def test_nothing_is_kept_where_it_may_not_be_or_of_what_is_lost(tmp_path: Path) -> None:
    forbidden = opened(tmp_path, allowed=False)
    forbidden.on_items([audio(at) for at in range(9)])
    forbidden.on_batch([], [alarm("dead_air", 1, 3)])
    forbidden.close()
    lost = opened(tmp_path)
    lost.on_items([audio(at) for at in range(9)])
    lost.on_step([Lost("a")])
    lost.on_batch([], [alarm("dead_air", 1, 3)])
    lost.close()
    assert list(tmp_path.iterdir()) == []


def test_names_of_stations_lead_nowhere(tmp_path: Path) -> None:
    clips = opened(tmp_path / "clips")
    for name in ("../../x", "/etc/passwd", "a\0b", "😀" * 60):
        clips.on_items([audio(0, 4, name), EndOfStream(name, 0, 1)])
        clips.on_batch([], [alarm("dead_air", 0, 1, name)])
    clips.close()
    assert len(list((tmp_path / "clips").glob("*/dead_air-0.wav"))) == 4


def test_a_folder_that_cannot_be_written_is_said_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    clips = opened(tmp_path / "file")
    for at in range(3):
        clips.on_items([audio(9 * at, 9)])
        clips.on_batch([], [alarm("dead_air", 9 * at, 9 * at + 1)])
    clips.close()
    assert caplog.text.count("is dropped") == 1


def test_old_clips_are_removed_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "0123456789abcdef"
    folder.mkdir()
    old = [folder / "dead_air-1.wav", folder / "dead_air-1.json", folder / "notes.txt"]
    for path in [*old, folder / "dead_air-2.wav"]:
        path.write_text("")
    for path in old:
        os.utime(path, (time.time() - 40 * 86_400,) * 2)
    opened(tmp_path).close()
    assert sorted(path.name for path in folder.iterdir()) == ["dead_air-2.wav", "notes.txt"]


def test_memory_is_bounded() -> None:
    clips = opened(Path("unused"))
    for at in range(600):
        clips.on_items([audio(at)])
    recent = clips._recent["a"]
    assert sum(len(samples) for _, samples in recent.pieces) <= 22 * RATE
    clips.close()


def test_an_entry_may_forbid_it() -> None:
    entries = {name: StationEntry(name=name, source="kafka", clips=name == "a") for name in "ab"}
    plan = AlarmPlan(AlarmSettings.default(), RATE, entries)
    assert [plan.of(name).may_keep for name in "abc"] == [True, False, True]
