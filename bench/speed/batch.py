"""``airsift segment`` of many recordings: an hour of MP3, two jobs beside one, 20 000 files.

The first table is the CPU of a command on an hour of MP3, with its start, and of the start alone (a
file of a second); ``decoder`` is demultiplexing and decoding in this process. Least of some rounds.

The second is a folder with one job, with two, and with two commands at once that have half of it
each and know nothing of each other (``apart``): no program can be faster than that, where the limit
is the machine. Rounds in turns, the median of each: seconds by the clock, and CPU. It says nothing
on a busy machine; the ratios of CPU tell what is left.

The third is a folder of very short files: the time of the whole, that of passing over all of it
again, the time until the first result is there, and the largest memory of the parent.

::

    python -m bench.speed.batch --hours --jobs --many 20000
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import av
import numpy as np
import soxr

from bench.memory import peak_mb
from bench.profile import programme, write
from bench.report import Report, arguments
from bench.speed.pipeline import ENVIRONMENT, SEGMENT
from stream.demo.clips import RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MP3_RATE = 44_100


def recording(path: Path, seconds: int) -> Path:
    """Write a programme of speech and music as MP3 in stereo, repeated to its length."""
    samples = programme(min(seconds, 600))
    samples = np.resize(samples, (seconds * RATE,))
    write(path, "libmp3lame", soxr.resample(samples, RATE, MP3_RATE), MP3_RATE)
    return path


def decode(path: Path) -> None:
    """Decode a file with FFmpeg's libraries, and drop the frames."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            packet.decode()


def used(call: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds by the clock and of CPU of a call, with processes that it waits for."""
    began, before = time.perf_counter(), _cpu_s()
    call()
    return time.perf_counter() - began, _cpu_s() - before


def _cpu_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def run(commands: Sequence[Sequence[object]]) -> None:
    """Run commands at the same time, and wait for all."""
    running = [
        subprocess.Popen([*SEGMENT, *map(str, command)], env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        for command in commands
    ]
    if any(process.wait() for process in running):
        raise SystemExit("a command failed")


def hours(report: Report, folder: Path, rounds: int) -> None:
    """Measure an hour of MP3."""
    hour, second = recording(folder / "hour.mp3", 3600), recording(folder / "second.mp3", 1)
    calls: dict[str, Callable[[], object]] = {
        "hour_cpu_s": lambda: run([[hour]]),
        "start_cpu_s": lambda: run([[second]]),
        "decoder_cpu_s": lambda: decode(hour),
    }
    least = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            least[name] = min(least[name], used(call)[1])
    report.row("an hour of MP3, stereo", **least)


def jobs(report: Report, folder: Path, files: int, seconds: int, rounds: int) -> None:
    """Measure a folder with one job, two, and two commands."""
    source = recording(folder / "source.mp3", seconds)
    whole = folder / "whole"
    halves = [folder / "half0", folder / "half1"]
    for place in (whole, *halves):
        place.mkdir()
    for number in range(files):
        for place in (whole, halves[number % 2]):
            shutil.copy(source, place / f"{number}.mp3")
    ways: dict[str, Sequence[Sequence[object]]] = {
        "one": [["--jobs", 1, whole]],
        "two": [["--jobs", 2, whole]],
        "apart": [["--jobs", 1, half] for half in halves],
    }
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, commands in ways.items():
            taken[way].append(used(lambda commands=commands: run(commands)))
    clock, cpu = (
        {way: median(both[k] for both in times) for way, times in taken.items()} for k in (0, 1)
    )
    report.row(
        f"{files} files of {seconds} s, by the clock",
        **{f"{way}_s": value for way, value in clock.items()},
        two_jobs=clock["one"] / clock["two"],
        apart=clock["one"] / clock["apart"],
    )
    report.row(
        f"{files} files of {seconds} s, CPU",
        **{f"{way}_s": value for way, value in cpu.items()},
        two_jobs=cpu["one"] / cpu["two"],
        apart=cpu["one"] / cpu["apart"],
    )


def many(report: Report, folder: Path, files: int, n_jobs: int) -> None:
    """Measure a folder of very short files."""
    source, out = recording(folder / "short.mp3", 1), folder / "out"
    for number in range(files):
        place = folder / "many" / f"{number % 100}"
        place.mkdir(parents=True, exist_ok=True)
        os.link(source, place / f"{number}.mp3")
    command = [*SEGMENT, "--jobs", f"{n_jobs}", "--output", str(out), str(folder / "many")]
    for name in ("made", "passed over"):
        began, before = time.perf_counter(), _cpu_s()
        process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        first_s = peak = 0.0
        while process.poll() is None:
            if not first_s and next(out.glob("*/*.jsonl"), None):
                first_s = time.perf_counter() - began
            peak = max(peak, peak_mb(process.pid))
            time.sleep(0.02)
        if process.returncode:
            raise SystemExit("the command failed")
        report.row(
            f"{files} files of 1 s, {n_jobs} jobs: {name}",
            seconds=time.perf_counter() - began,
            cpu_s=_cpu_s() - before,
            first_s=first_s if name == "made" else 0.0,
            parent_mb=peak,
        )


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--hours", action="store_true", help="measure an hour of MP3")
    parser.add_argument("--jobs", action="store_true", help="measure two jobs beside one")
    parser.add_argument("--many", type=int, default=0, help="number of very short files")
    parser.add_argument("--seconds", type=int, default=600, help="of each file for --jobs")
    parser.add_argument("--files", type=int, default=12, help="for --jobs")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    report = Report("Many recordings")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if options.hours:
            hours(report, place, options.rounds)
        if options.jobs:
            jobs(report, place, options.files, options.seconds, options.rounds)
        if options.many:
            many(report, place, options.many, 2)
    report.finish(options.json)


if __name__ == "__main__":
    main()
