"""Cost of a wall of stations: CPU of the server, and frames of a real browser that shows it.

python -m bench.web_wall

The page is served by a thread of this process, whose CPU time is read by itself; events are made by
another thread, as objects, as a pipeline makes them. Chromium runs beside it and is driven over the
DevTools protocol: each frame notes its time, first while the wall stands, then while it scrolls.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path

from airsift.config import load
from airsift.web.server import serving
from bench.report import Report, arguments
from stream.events import Decision, Event, Match, Segment
from tests.browser import Page, browser

RATE = 16_000
LABELS = ("speech", "music", "speech_over_music", "other")
LIMIT_CORE, LIMIT_MS = 0.30, 50
RECORD = """(() => {
  globalThis.frames_ = []; globalThis.tasks_ = [];
  new PerformanceObserver((list) => tasks_.push(...list.getEntries().map((e) => e.duration)))
    .observe({type: 'longtask'});
  let last = performance.now();
  const note = (at) => { frames_.push(at - last); last = at; requestAnimationFrame(note); };
  requestAnimationFrame((at) => { last = at; requestAnimationFrame(note); });
})()"""
SCROLL = """(() => {
  const most = document.documentElement.scrollHeight - innerHeight;
  const step = () => {
    scrollTo(0, (Math.sin(performance.now() / 3000) * 0.5 + 0.5) * most);
    requestAnimationFrame(step);
  };
  step();
})()"""


def events_at(tick: int, stations: int, per_second: int) -> list[Event]:
    """Return one event of each station for a tick: decisions, and now and then another."""
    found: list[Event] = []
    seconds = tick / per_second
    begin = 1.78e9
    for n in range(stations):
        name = f"Station {n:03}"
        end = round((seconds + 5) * RATE)
        kind = (tick + n) % per_second
        length = 20 + n % 17
        start_s = (seconds // length) * length
        start, time_s = round(start_s * RATE), begin + start_s
        label = LABELS[(n + int(start_s // length)) % 4]
        is_over = seconds + 1 >= start_s + length
        if kind == 1 or (is_over and kind == 3):
            found.append(
                Segment(name, start, end, RATE, time_s, label, 0.97, is_over, "female", 0.9)
            )  # type: ignore[arg-type]
        elif kind == 2 and label in ("music", "speech_over_music"):
            song = f"{n}-{int(start_s // length)}"
            found.append(
                Match(name, start, end, RATE, time_s, song, f"Song {song}", f"Artist {n}", 0, 9.0,
                      is_over, track_duration=200 * RATE)
            )  # fmt: skip
        else:
            p = 0.5 + 0.5 * ((tick * 7 + n) % 10) / 10
            window = end - 5 * RATE
            found.append(
                Decision(name, window, end, RATE, begin + window / RATE, 1 - p, p, level_dbfs=-20.0)
            )
    return found


def cpu_s(thread: threading.Thread) -> float:
    """Return the CPU time of a thread so far, in seconds."""
    fields = Path(f"/proc/self/task/{thread.native_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def browser_cpu_s(folder: Path) -> float:
    """Return the CPU time of all processes of the browser so far, in seconds."""
    found = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (path / "cmdline").read_bytes():
                fields = (path / "stat").read_text().rpartition(")")[2].split()
                found += int(fields[11]) + int(fields[12])
        except OSError:  # it has ended
            continue
    return found / os.sysconf("SC_CLK_TCK")


def measure(page: Page, web: threading.Thread, folder: Path, seconds: float) -> dict[str, float]:
    """Return the figures of some seconds."""
    page.evaluate("frames_.length = 0; tasks_.length = 0; 0")
    before, drawn, began = cpu_s(web), browser_cpu_s(folder), time.monotonic()
    time.sleep(seconds)
    length_s = time.monotonic() - began
    core = (cpu_s(web) - before) / length_s
    drawing = (browser_cpu_s(folder) - drawn) / length_s
    frames = sorted(page.evaluate("frames_"))
    tasks = page.evaluate("tasks_")
    return {
        "server_share_of_core": core,
        "browser_share_of_core": drawing,
        "frames_per_s": len(frames) / seconds,
        "frame_p50_ms": frames[len(frames) // 2],
        "frame_p99_ms": frames[len(frames) * 99 // 100],
        "frame_max_ms": frames[-1],
        "frames_over_50_ms": sum(each > LIMIT_MS for each in frames),
        "script_tasks_over_50_ms": len(tasks),
    }


def main_thread(page: Page, seconds: float) -> dict[str, float]:
    """Return the CPU time of the page's main thread, which says what it would take alone."""
    traced = page.trace(seconds, ["toplevel", "blink"])
    begun = [each for each in traced if each["name"] == "PageAnimator::serviceScriptedAnimations"]
    [renderer] = {(each["pid"], each["tid"]) for each in begun}
    tasks = [
        each["tdur"] / 1000
        for each in traced
        if each["name"] == "ThreadControllerImpl::RunTask"
        and (each["pid"], each["tid"]) == renderer
        and "tdur" in each
    ]
    return {"cpu_of_frame_ms": sum(tasks) / len(begun), "cpu_of_longest_task_ms": max(tasks)}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--stations", type=int, default=300)
    parser.add_argument("--per-second", type=int, default=4, help="events a second and station")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each part")
    given = parser.parse_args()
    stop = threading.Event()
    report = Report("A wall of stations in a browser")
    with (
        serving(load(sets=["web.port=0"], environ={}).config) as served,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
    ):

        def make() -> None:
            begun, tick = time.monotonic(), 0
            while not stop.is_set():
                served.feed.put(events_at(tick, given.stations, given.per_second))
                tick += 1
                time.sleep(max(0.0, begun + tick / given.per_second - time.monotonic()))

        making = threading.Thread(target=make, name="events")
        making.start()
        [web] = [thread for thread in threading.enumerate() if thread.name == "web"]
        try:
            with browser(Path(folder)) as page:
                page.resize(1440, 900)
                page.visit(served.url)
                page.wait_for(f"document.querySelectorAll('.tile').length === {given.stations}")
                time.sleep(5)
                page.evaluate(RECORD)
                for name in ("tiles", "tiles, scrolling", "rows, scrolling"):
                    if name == "tiles, scrolling":
                        page.evaluate(SCROLL)
                    if name.startswith("rows"):
                        page.evaluate("document.getElementById('density').click()")
                    time.sleep(1)
                    figures = measure(page, web, Path(folder), given.seconds)
                    figures |= main_thread(page, 5.0)
                    report.row(name, stations=given.stations, **figures)
        finally:
            stop.set()
            making.join()
    report.finish(given.json)


if __name__ == "__main__":
    main()
