"""Speed of the pipeline on one thread, and memory and start time of `airsift segment`.

The first table is a long file through the pipeline in pushes of 10 s, at the model's rate and at
others, in turns. The second is speech only, with and without the network of voices, in turns. The
third is an hour of which half is music, with a catalogue of 150 tracks made by rule and without
one, in turns: the music is the catalogue's, or other music. The fourth runs `airsift segment`: peak
resident memory on a short and a long file, compared with ``import torch``, and the time to the
first line, relative to that import, in pairs. The last is the time and the CPU of
``airsift --help``.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path
from statistics import median

import numpy as np
import soxr
import torch

from airsift import config
from airsift.build import build_pipeline
from bench.matching import synthesis
from bench.memory import peak_mb
from bench.report import Report, arguments
from fingerprint.catalogue import Catalogue
from fingerprint.track import Track
from stream.audio import AudioChunk
from stream.demo.clips import RATE, decode, parts
from stream.events import Decision, Match
from stream.testing import chunks_of

SEGMENT = [sys.executable, "-m", "airsift", "segment"]
IMPORT = [sys.executable, "-c", "import torch"]
TRACKS, TRACK_S = 150, 90
TURN = 60 * 16_000  # samples of speech, and then of music
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def recording(seconds: int, rate: int) -> np.ndarray:
    """Return noise, tones and silence in turns."""
    rng = np.random.default_rng(0)
    t = np.arange(seconds * rate) / rate
    tones = np.sin(2 * np.pi * 440 * t) + np.sin(2 * np.pi * 1318 * t)
    mix = 0.2 * tones * (t % 40 < 25) + 0.05 * rng.standard_normal(len(t)) * (t % 30 < 20)
    return mix.astype(np.float32)


def speed(report: Report, seconds: int, rounds: int) -> None:
    pipeline = build_pipeline(config.load(environ={}).config)
    inputs: dict[str, tuple[list[AudioChunk], list[float]]] = {}
    for rate, channels in ((16_000, 1), (44_100, 1), (44_100, 2), (48_000, 2)):
        samples = recording(seconds, rate)
        if channels == 2:
            later = np.roll(samples, rate // 100)
            samples = np.stack([samples, 0.7 * samples + 0.3 * later], axis=1)
        step = 10 * rate
        chunks = [
            AudioChunk("file", start, samples[start : start + step], rate)
            for start in range(0, len(samples), step)
        ]
        inputs[f"PCM at {rate} Hz, {channels} channel(s)"] = chunks, []
    for _ in range(rounds + 1):  # in turns, so that a busy machine slows all of them
        for chunks, cpu in inputs.values():
            start = time.process_time()
            for chunk in chunks:
                pipeline.push([chunk])
            pipeline.push([], last=True)
            cpu.append(time.process_time() - start)
    (_, first), *_ = inputs.values()
    for name, (_, cpu) in inputs.items():
        report.row(
            f"{name}, to decisions and segments",
            audio_s=seconds,
            cpu_s=median(cpu[1:]),
            x_real_time_of_cpu=seconds / median(cpu[1:]),
            to_first=median(a / b for a, b in zip(cpu[1:], first[1:], strict=True)),
        )


def speech(seconds: int, rate: int) -> np.ndarray:
    """Return the speech of the demo's recordings, repeated."""
    spoken = [decode(part) for part in parts().values() if part.kind == "speech"]
    samples = soxr.resample(np.concatenate(spoken), RATE, rate)
    return np.resize(samples, seconds * rate).astype(np.float32)


def voice(report: Report, seconds: int, rounds: int) -> None:
    samples = speech(seconds, 16_000)
    chunks = [
        AudioChunk("file", start, samples[start : start + 160_000], 16_000)
        for start in range(0, len(samples), 160_000)
    ]
    pipelines = {
        on: build_pipeline(config.load(sets=[f"model.voice={on}"], environ={}).config)
        for on in ("true", "false")
    }
    taken: dict[str, list[float]] = {"true": [], "false": []}
    n_voices = 0
    for _ in range(rounds + 1):
        for on, pipeline in pipelines.items():
            start = time.process_time()
            events = [event for chunk in chunks for event in pipeline.push([chunk])]
            pipeline.push([], last=True)
            taken[on].append(time.process_time() - start)
            with_odds = [e for e in events if isinstance(e, Decision) and e.voice_odds is not None]
            n_voices = max(n_voices, len(with_odds))
    with_voice, without = (median(taken[on][1:]) for on in ("true", "false"))
    ratios = [a / b for a, b in zip(taken["true"][1:], taken["false"][1:], strict=True)]
    report.row(
        "speech at 16000 Hz",
        audio_s=seconds,
        voices_asked=n_voices,
        cpu_s=with_voice,
        cpu_s_without_voice=without,
        ratio=median(ratios),
    )


def made_music(number: int, seconds: float) -> np.ndarray:
    """Return piece `number` of music made by rule."""
    kinds = (synthesis.electronic, synthesis.chip, synthesis.tones, synthesis.pads)
    rng = np.random.default_rng([5, number])
    made = kinds[number % len(kinds)](rng, synthesis.pack(number), seconds)
    return (0.1 / max(float(np.sqrt(np.mean(made**2))), 1e-4) * made).astype(np.float32)


def _range(values: list[float]) -> str:
    return f"{min(values):.1f} to {max(values):.1f}" if values else "none"


def catalogue(report: Report, folder: Path, hours: float, rounds: int) -> None:
    stored = Catalogue.create(folder / "catalogue")
    for number in range(TRACKS):
        name = f"track {number}"
        stored.add(made_music(number, TRACK_S), Track(name, title=name))
    stored.merge()
    stored.close()
    spoken = speech(round(1800 * hours), 16_000)
    path = json.dumps(str(folder / "catalogue"))
    pipelines = {
        sets: build_pipeline(config.load(sets=list(sets), environ={}).config)
        for sets in ((), (f"identify.catalogue={path}",))
    }
    for name, first in (("of the catalogue", 0), ("that is not in it", TRACKS)):
        turns = [spoken[start : start + TURN] for start in range(0, len(spoken), TURN)]
        music = [made_music(first + 7 * k % TRACKS, TRACK_S)[:TURN] for k in range(len(turns))]
        samples = np.concatenate([part for pair in zip(turns, music, strict=True) for part in pair])
        taken: dict[tuple[str, ...], list[float]] = {sets: [] for sets in pipelines}
        matches: list[Match] = []
        for _ in range(rounds):
            for sets, pipeline in pipelines.items():
                start = time.process_time()
                events = [
                    event
                    for chunk in chunks_of(samples, 16_000)
                    for event in pipeline.push([chunk])
                ]
                events += pipeline.push([], last=True)
                taken[sets].append(time.process_time() - start)
                matches = [e for e in events if isinstance(e, Match) and e.final]
        # Speech and music take turns: the piece that was played is known at each moment.
        played = {2 * k + 1: f"track {first + 7 * k % TRACKS}" for k in range(len(turns))}
        wrong = [
            match
            for match in matches
            if played.get((match.start + match.end) // 2 // TURN) != match.title
        ]
        without, with_it = (median(cpu) for cpu in taken.values())
        report.row(
            f"half speech, half music {name}",
            audio_s=len(samples) / 16_000,
            matches=len(matches),
            wrong=len(wrong),
            scores_right=_range([m.score for m in matches if m not in wrong]),
            scores_wrong=_range([m.score for m in wrong]),
            cpu_s=with_it,
            x_real_time_of_cpu=len(samples) / 16_000 / with_it,
            x_without=len(samples) / 16_000 / without,
            ratio=median(b / a for a, b in zip(*taken.values(), strict=True)),
        )


def write_wav(path: Path, seconds: int) -> None:
    minute = (recording(60, 44_100) * 32000).astype("<i2").tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(44_100)
        for _ in range(seconds // 60):
            file.writeframes(minute)
        file.writeframes(minute[: seconds % 60 * 44_100 * 2])


def peak_of(command: list[str]) -> float:
    """Return the largest resident memory of a command in MB, polled until it ends."""
    process, peak = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=ENVIRONMENT), 0.0
    while process.poll() is None:
        peak = max(peak, peak_mb(process.pid))
        time.sleep(0.01)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return peak


def memory(report: Report, folder: Path, hours: float) -> None:
    long, short = folder / "long.wav", folder / "short.wav"
    write_wav(long, round(hours * 3600))
    write_wav(short, 300)
    bare = peak_of(IMPORT)
    for name, command in (
        ("import torch", IMPORT),
        ("airsift segment, 5 min", [*SEGMENT, str(short)]),
        (f"airsift segment, {hours:g} h", [*SEGMENT, str(long)]),
    ):
        peak = peak_of(command)
        report.row(name, peak_mb=peak, above_import_torch_mb=peak - bare)


def seconds_to_first_line(command: list[str]) -> float:
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        process.stdout.readline()
        taken = time.perf_counter() - start
        process.stdout.read()
    return taken


def start(report: Report, folder: Path, rounds: int) -> None:
    path = folder / "start.wav"
    write_wav(path, 30)
    pairs = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        subprocess.run(IMPORT, check=True, env=ENVIRONMENT)
        bare = time.perf_counter() - begun
        pairs.append((seconds_to_first_line([*SEGMENT, str(path)]), bare))
    pairs = pairs[1:]
    report.row(
        "start to first event, 30 s file",
        segment_s=median(a for a, _ in pairs),
        import_torch_s=median(b for _, b in pairs),
        ratio=median(a / b for a, b in pairs),
    )


def show_help(report: Report, folder: Path, rounds: int) -> None:
    command = [sys.executable, "-m", "airsift", "--help"]
    seconds, cpu = [], []
    for _ in range(rounds + 1):
        used, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - begun)
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime)
    report.row("airsift --help", seconds=median(seconds[1:]), cpu_s=median(cpu[1:]))


TABLES = {
    "speed": lambda report, folder, options: speed(report, options.seconds, options.rounds),
    "voice": lambda report, folder, options: voice(report, options.seconds, options.rounds),
    "catalogue": lambda report, folder, options: catalogue(
        report, folder, options.music_hours, min(options.rounds, 3)
    ),
    "memory": lambda report, folder, options: memory(report, folder, options.hours),
    "start": lambda report, folder, options: start(report, folder, options.rounds),
    "help": lambda report, folder, options: show_help(report, folder, options.rounds),
}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--seconds", type=int, default=600, help="of audio, for the first tables")
    parser.add_argument("--hours", type=float, default=3.0, help="length of the long file")
    parser.add_argument("--music-hours", type=float, default=1.0, help="of speech and music")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    report = Report("From samples to decisions")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            TABLES[name](report, Path(folder), options)
    report.finish(options.json)


if __name__ == "__main__":
    main()
