"""What alarms cost, in CPU on one thread.

For a second of stereo of one station: the stage `levels` without and with the level of each second,
in turns, and the stage `alarms` with the rules of configs/default.toml, where nothing is wrong and
where four rules are open. Then one look at silent stations, which is due twice a second.
"""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median

import numpy as np

from bench.report import Report, arguments
from stream.alarms.rules import AlarmPlan
from stream.alarms.settings import AlarmSettings
from stream.audio import AudioChunk
from stream.events import Alarm, Decision
from stream.stages.alarms import LOOK_S, WatchAlarms
from stream.stages.levels import Levels, SecondLevel
from stream.testing import ManualClock, chunks_of, noise

RATE = 16_000
SECONDS = 120
ROUNDS = 7
STATIONS = 200


def stereo() -> list[AudioChunk]:
    left, right = noise(SECONDS), noise(SECONDS, seed=1)
    return chunks_of(np.stack([left, right], axis=1), RATE // 2)


def measure(report: Report) -> list[SecondLevel]:
    """Time the stage `levels`; return the level of each second."""
    chunks, found = stereo(), list[SecondLevel]()
    spent: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(ROUNDS + 1):
        for each_second in spent:
            stage = Levels(RATE, each_second=each_second)
            began = time.process_time()
            items = [item for chunk in chunks for item in stage.push([chunk])]
            spent[each_second].append(time.process_time() - began)
            found = [item for item in items if isinstance(item, SecondLevel)] or found
    before, after = (1e6 * median(times[1:]) / SECONDS for times in spent.values())
    report.row("levels", us=before)
    report.row("levels, for alarms", us=after)
    return found


def watch(report: Report, levels: list[SecondLevel]) -> None:
    plan = AlarmPlan(AlarmSettings.default(), RATE)
    wrong = [
        replace(each, level=replace(each.level, level_dbfs=-90.0, correlation=-0.9, frozen=True))
        for each in levels
    ]
    for name, seconds, p in (("alarms", levels, 0.9), ("alarms, four are open", wrong, 0.1)):
        rows, opened = [], 0
        for _ in range(ROUNDS):
            stage = WatchAlarms(lambda: plan, RATE, ManualClock())
            began, opened = time.process_time(), 0
            for at, each in enumerate(seconds):
                chunk = AudioChunk("a", at * RATE, np.zeros(RATE, np.float32), RATE)
                decision = Decision("a", at * RATE, (at + 5) * RATE, RATE, None, p, p)
                items = stage.push([chunk, each, decision])
                opened += sum(isinstance(item, Alarm) for item in items)
            rows.append(time.process_time() - began)
        assert opened == (4 if seconds is wrong else 0)
        report.row(name, us=1e6 * median(rows) / len(seconds))


def look(report: Report) -> None:
    plan, clock, rows = AlarmPlan(AlarmSettings.default(), RATE), ManualClock(), []
    stage = WatchAlarms(lambda: plan, RATE, clock)
    for n in range(STATIONS):
        stage.push([AudioChunk(f"station {n}", 0, np.zeros(RATE, np.float32), RATE)])
    for _ in range(50):  # half of the delay of `gone`
        clock.now += LOOK_S / 2
        began = time.process_time()
        stage.push([])
        clock.now += LOOK_S / 2
        stage.push([])
        rows.append(time.process_time() - began)
    report.row(f"a look at {STATIONS} stations", us=1e6 * median(rows))


def main() -> None:
    options = arguments(__doc__).parse_args()
    report = Report("Alarms, microseconds of CPU for a second of a station")
    levels = measure(report)
    watch(report, levels)
    look(report)
    report.finish(options.json)


if __name__ == "__main__":
    main()
