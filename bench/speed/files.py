"""Files to segments: CPU beside that of FFmpeg's decoder alone, and two processes beside one.

The first table is in CPU seconds of one thread, the least of some rounds in turns: ``decoder`` is
demultiplexing and decoding in this process, ``ffmpeg`` is ``ffmpeg -threads 1 -i FILE -f null -``
where a binary is named or found, with its start. The second is the time by the clock of
``airsift segment`` over a folder, with one job and with two; it says nothing on a busy machine.

::

    python -m bench.speed.files --ffmpeg /usr/bin/ffmpeg
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import av
import soxr

from airsift import config
from airsift.build import build_pipeline
from bench.profile import programme, write
from bench.report import Report, arguments
from bench.speed.pipeline import ENVIRONMENT, SEGMENT
from stream.demo.clips import RATE
from stream.runner import Stop, run_source
from stream.sinks.final import FinalEvents
from stream.sources.file import FileSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream.pipeline import Pipeline

FORMATS = (
    ("MP3 44.1 kHz stereo", "a.mp3", "libmp3lame", 44_100),
    ("AAC 44.1 kHz stereo", "a.m4a", "aac", 44_100),
    ("Opus 48 kHz stereo", "a.opus", "libopus", 48_000),
    ("WAV 44.1 kHz stereo", "a.wav", "pcm_s16le", 44_100),
)


def decode(path: Path) -> None:
    """Decode a file with FFmpeg's libraries, and drop the frames."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            packet.decode()


def segments(path: Path, pipeline: Pipeline) -> None:
    """Do what ``airsift segment`` does."""
    source = FileSource(path)
    sink = FinalEvents(lambda event: event.to_json())
    run_source(source, pipeline, [sink], checkpoint_s=1.0, stop=Stop())
    source.close()


def cpu_s(call: Callable[[], object]) -> float:
    """Return the CPU seconds of a call, with those of processes that it waits for."""
    before = _used()
    call()
    return _used() - before


def _used() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def formats(report: Report, folder: Path, seconds: int, rounds: int, ffmpeg: str | None) -> None:
    pipeline = build_pipeline(config.load(environ={}).config)
    samples = programme(seconds)
    for title, name, codec, rate in FORMATS:
        path = folder / name
        write(path, codec, soxr.resample(samples, RATE, rate), rate)
        calls: dict[str, Callable[[], object]] = {
            "decoder": lambda path=path: decode(path),
            "segments": lambda path=path: segments(path, pipeline),
        }
        if ffmpeg is not None:
            command = [ffmpeg, "-v", "error", "-threads", "1", "-i", str(path), "-f", "null", "-"]
            calls["ffmpeg"] = lambda command=command: subprocess.run(command, check=True)
        spent = {key: float("inf") for key in calls}
        for _ in range(rounds + 1):
            for key, call in calls.items():
                spent[key] = min(spent[key], cpu_s(call))
        ratios = {f"segments_to_{key}": spent["segments"] / spent[key] for key in calls}
        del ratios["segments_to_segments"]
        report.row(title, **{f"{key}_us": 1e6 * s / seconds for key, s in spent.items()}, **ratios)


def processes(report: Report, folder: Path, files: int, seconds: int, rounds: int) -> None:
    source = folder / "a.mp3"
    many = folder / "many"
    many.mkdir()
    for number in range(files):
        shutil.copy(source, many / f"{number}.mp3")
    best = {1: float("inf"), 2: float("inf")}
    for _ in range(rounds):
        for jobs in best:
            began = time.perf_counter()
            command = [*SEGMENT, "--jobs", str(jobs), str(many)]
            subprocess.run(command, check=True, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
            best[jobs] = min(best[jobs], time.perf_counter() - began)
    report.row(
        f"{files} files of {seconds} s",
        one_job_s=best[1],
        two_jobs_s=best[2],
        ratio=best[1] / best[2],
    )


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="of each file")
    parser.add_argument("--files", type=int, default=8, help="in the folder")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ffmpeg", default=shutil.which("ffmpeg"), help="the binary")
    options = parser.parse_args()
    report = Report("Files to segments: microseconds of CPU for a second, and jobs")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        formats(report, place, options.seconds, options.rounds, options.ffmpeg)
        processes(report, place, options.files, options.seconds, options.rounds)
    report.finish(options.json)


if __name__ == "__main__":
    main()
