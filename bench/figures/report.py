"""The picture of docs/reports.md: the page of a made-up day, in a real browser.

    python -m bench.figures.report docs/figures/report.png

The day follows a rule and a fixed seed: news at the full hour, songs with a talk-over at their
ends, adverts that come again, an outage, some dead air, and a night that is all music. It needs
Chromium.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from airsift.reports.page import page_of
from airsift.reports.report import Report, report_station
from stream.events import Event, Gap, Level, Match, Repeat, Segment
from stream.history.address import address_of, open_engine
from stream.history.reader import History
from stream.history.rows import row_of
from stream.history.writer import Writer

STATION = "Radio North"
ZONE = ZoneInfo("Europe/Berlin")
DAY_S = round(datetime(2026, 11, 28, tzinfo=ZONE).timestamp())
RATE = 16_000
WORDS = [
    "Night", "Harbour", "Amber", "Signal", "Paper", "Glass", "Northern", "Slow", "Copper",
    "Lantern", "River", "Static",
]  # fmt: skip
BEFORE = 3  # days of history before the one that is shown
SIZE = 1180, 1120


class Programme:
    """Events of a day, written one after the other."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.at = -86_400.0 * BEFORE
        self.events: list[Event] = []

    def segment(self, label: str, seconds: float) -> None:
        """Add a segment behind the last one."""
        self.events.append(Segment(*self._next(seconds), label, 0.97, final=True))  # type: ignore[arg-type]

    def _next(self, seconds: float) -> tuple[str, int, int, int, float]:
        begin = DAY_S + self.at
        self.at += seconds
        return STATION, round(begin * RATE), round((DAY_S + self.at) * RATE), RATE, begin

    def song(self, *, named: bool, talk_s: float) -> None:
        """Add a song whose end is talked over."""
        begin, length = self.at, self.random.uniform(150, 270)
        self.segment("music", length - talk_s)
        if talk_s:
            self.segment("speech_over_music", talk_s)
        if named:
            number = min(round(self.random.expovariate(1 / 25)), 119)
            title = f"{WORDS[number % 12]} {WORDS[(number // 12 + 3) % 12]}"
            artist = f"The {WORDS[(number * 5 + 1) % 12]} Four"
            start, end = (round((DAY_S + each) * RATE) for each in (begin, self.at))
            more = {"album": f"{WORDS[number % 7]} Songs", "record_label": "Own"}
            isrc = f"DEX{number % 90 + 10}26{number:05}"
            self.events.append(
                Match(STATION, start, end, RATE, DAY_S + begin, f"t{number}", title, artist, 0,
                      8.0, final=True, isrc=isrc, **more)
            )  # fmt: skip

    def advert(self, number: int) -> None:
        """Add an advert, which airsift knows by its repetition alone."""
        begin = self.at
        self.segment("speech_over_music", 25 + number)
        start, end = (round((DAY_S + each) * RATE) for each in (begin, self.at))
        self.events.append(
            Repeat(STATION, start, end, RATE, DAY_S + begin, f"{number * 7919:010x}", 3, 0,
                   "speech_over_music", "advert")
        )  # fmt: skip

    def gap(self, seconds: float) -> None:
        """Add an outage."""
        self.events.append(Gap(*self._next(seconds), "connection lost"))

    def silence(self, seconds: float) -> None:
        """Add dead air."""
        begin = self.at
        self.segment("other", seconds)
        start, end = (round((DAY_S + each) * RATE) for each in (begin, self.at))
        self.events.append(
            Level(STATION, start, end, RATE, DAY_S + begin, -92.0, (-92.0,), -90.0, None, None,
                  None, None, 0, seconds, (), frozen=False)
        )  # fmt: skip


def programme() -> list[Event]:
    """Return the events of the day, and of those before it."""
    day = Programme(seed=7)
    for hour in range(-24 * BEFORE, 24):
        end = hour * 3600 + 3600
        is_night = hour % 24 < 5
        if not is_night:
            day.segment("speech", 300 if hour % 3 else 540)
        while day.at < end:
            day.song(named=day.random.random() < 0.93, talk_s=0 if is_night else 14)
            if not is_night:
                day.segment("speech", day.random.uniform(20, 100))
            if 6 <= hour % 24 < 22 and day.random.random() < 0.35:
                for number in day.random.sample(range(6), 3):
                    day.advert(number)
        if hour == 13:
            day.gap(1260)
        if hour == 17:
            day.silence(240)
    return day.events


def make_page(folder: Path) -> Path:
    """Write the page of the day; return its file."""
    address = address_of(str(folder / "day.db"))
    engine = open_engine(address, connect_timeout_s=5)
    Writer(engine, address.name).write([row_of(event) for event in programme()])
    engine.dispose()
    since, until = DAY_S * 1000, (DAY_S + 86_400) * 1000
    with History(
        open_engine(address, connect_timeout_s=5, read_only=True), address.name
    ) as history:
        found = report_station(history, STATION, since, until, ZONE, -60.0)
    page = folder / "report.html"
    page.write_bytes(page_of(Report(since, until, until + 3_600_000, ZONE, [found])))
    return page


def main(target: str, *more: str) -> None:
    """Write the picture."""
    program = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if program is None:
        raise SystemExit("Chromium is not installed: see scripts/system-packages")
    with tempfile.TemporaryDirectory() as folder:
        page = make_page(Path(folder))
        subprocess.run(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             f"--user-data-dir={folder}/browser", f"--window-size={SIZE[0]},{SIZE[1]}",
             *more, f"--screenshot={Path(target).absolute()}", page.as_uri()],
            check=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
