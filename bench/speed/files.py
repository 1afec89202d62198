"""Files to segments: CPU beside that of FFmpeg's decoder alone.

The table is in CPU seconds of one thread, the least of some rounds in turns: ``decoder`` is
demultiplexing and decoding in this process, ``ffmpeg`` is ``ffmpeg -threads 1 -i FILE -f null -``
where a binary is named or found, with its start. `bench.speed.batch` is about many files.

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


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="of each file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ffmpeg", default=shutil.which("ffmpeg"), help="the binary")
    options = parser.parse_args()
    report = Report("Files to segments: microseconds of CPU for a second")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        formats(report, place, options.seconds, options.rounds, options.ffmpeg)
    report.finish(options.json)


if __name__ == "__main__":
    main()
