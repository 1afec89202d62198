"""onnxruntime beside torch on one thread: parts, the pipeline, a live step, and a whole command.

Both in turns within each round, in CPU time, so that other load on the machine changes both alike.
The ratio is the median over the rounds. The last table runs `airsift segment` on files of 30 s, as
a user does, and needs no more than the command.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from airsift import config
from airsift.build import build_pipeline
from airsift.networks import build_backend, build_model
from bench.memory import peak_mb
from bench.profile import write
from bench.report import Report, arguments
from bench.speed.pipeline import recording
from stream.audio import AudioChunk
from stream.testing import programme, write_wav

if TYPE_CHECKING:
    from collections.abc import Callable

    from model.units import Array
    from stream.pipeline import Pipeline

    Calls = dict[str, Callable[[], object]]  # by backend

BACKENDS = ("torch", "onnx")
RATE = 16_000
MP3_RATE = 44_100
KINDS = {".wav": "file", ".mp3": "MP3 in stereo"}


def settings(backend: str) -> config.Config:
    return config.load(sets=[f"model.backend={backend}"], environ={}).config


def compare(report: Report, name: str, audio_s: float, calls: Calls, rounds: int) -> None:
    """Add a row: how many times faster than the audio each call is, and the ratio."""
    taken: dict[str, list[float]] = {backend: [] for backend in calls}
    for _ in range(rounds + 1):
        for backend, call in calls.items():
            begun = time.process_time()
            call()
            taken[backend].append(time.process_time() - begun)
    speeds = {f"{each}_x": audio_s / median(of[1:]) for each, of in taken.items()}
    pairs = zip(taken["torch"][1:], taken["onnx"][1:], strict=True)
    report.row(name, **speeds, ratio=median(a / b for a, b in pairs))


def repeated(call: Callable[..., object], *values: Array, times: int) -> Callable[[], object]:
    return lambda: [call(*values) for _ in range(times)]


def parts(report: Report, rounds: int) -> None:
    """Measure front end, frames and predictions alone, in pushes of 10 s and of one step."""
    models = {each: build_model(settings(each), build_backend(settings(each))) for each in BACKENDS}
    rng = np.random.default_rng(0)
    for seconds, times in ((10, 6), (1, 30)):
        samples = (rng.standard_normal((1, seconds * RATE)) * 0.1).astype(np.float32)
        columns = (rng.random((1, seconds * 50 + 30, 144)) * 8).astype(np.float32)
        frames = rng.random((seconds, 22, 160)).astype(np.float32)
        calls: dict[str, Calls] = {"columns": {}, "frames": {}, "predictions": {}}
        for backend, (front_end, network) in models.items():
            state = front_end.initial_state(1)
            calls["columns"][backend] = repeated(front_end, samples, state, times=times)
            calls["frames"][backend] = repeated(network.embed, columns, times=times)
            calls["predictions"][backend] = repeated(network.predict, frames, times=times)
        for what, of in calls.items():
            compare(report, f"{what}, {seconds} s at once", seconds * times, of, rounds)


def processing(pipeline: Pipeline, pushes: list[list[AudioChunk]]) -> Callable[[], object]:
    return lambda: [*map(pipeline.push, pushes), pipeline.push([], last=True)]


def whole(report: Report, rounds: int) -> None:
    """Measure samples to decisions and segments: a file, and live stations."""
    for name, rate, seconds, stations, push_s in (
        ("file, 16 kHz, 10 s at a push", RATE, 120, 1, 10),
        ("file, 44.1 kHz, 10 s at a push", 44_100, 120, 1, 10),
        ("one station, 1 s at a push", RATE, 60, 1, 1),
        ("eight stations, 1 s at a push", RATE, 30, 8, 1),
    ):
        samples, step = recording(seconds, rate), push_s * rate
        pushes = [
            [AudioChunk(f"s{k}", at, samples[at : at + step], rate) for k in range(stations)]
            for at in range(0, len(samples), step)
        ]
        calls = {each: processing(build_pipeline(settings(each)), pushes) for each in BACKENDS}
        compare(report, name, seconds * stations, calls, rounds)


def command(report: Report, rounds: int) -> None:
    """Measure `airsift segment` on files of 30 s: time, CPU time, and memory."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        wav, mp3 = write_wav(Path(folder) / "a.wav", programme(30)), Path(folder) / "a.mp3"
        sound = programme(30, MP3_RATE)
        write(mp3, "libmp3lame", np.stack([sound, 0.7 * sound], axis=1), MP3_RATE)
        cases = [(wav, "torch"), (wav, "onnx"), (mp3, "onnx")]
        found: dict[tuple[Path, str], list[tuple[float, float, float]]] = {c: [] for c in cases}
        for _ in range(rounds + 1):
            for path, backend in cases:
                words = [sys.executable, "-m", "airsift", "segment", str(path)]
                begun, cpu = time.perf_counter(), os.times()
                with subprocess.Popen(
                    [*words, "--set", f"model.backend={backend}"],
                    stdout=subprocess.PIPE, env=environment,
                ) as process:  # fmt: skip
                    peak = 0.0
                    while process.poll() is None:
                        peak = max(peak, peak_mb(process.pid))
                        time.sleep(0.02)
                after = os.times()
                used = after.children_user - cpu.children_user
                used += after.children_system - cpu.children_system
                found[path, backend].append((time.perf_counter() - begun, used, peak))
    for (path, backend), all_rounds in found.items():
        seconds, cpu_s, peaks = zip(*all_rounds[1:], strict=True)
        report.row(
            f"airsift segment, 30 s {KINDS[path.suffix]}, {backend}",
            seconds=median(seconds), cpu_s=median(cpu_s), peak_mb=median(peaks),
        )  # fmt: skip


TABLES = {
    "parts": parts,
    "whole": whole,
    "command": lambda report, rounds: command(report, max(rounds // 2, 1)),
}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    report = Report("onnxruntime beside torch, times real time on one thread")
    for name in options.only:
        TABLES[name](report, options.rounds)
    report.finish(options.json)


if __name__ == "__main__":
    main()
