"""What levels cost beside decoding, on one thread.

The stage `levels` beside FFmpeg with `AudioReader`, on a minute of stereo made of the clips of the
demo (speech, music, noise), in each codec of web radio, and in MP3 and WAV with the same in both
channels, as speech mostly has. Every round decodes the file once and
measures its levels once, in chunks of half a second as of a live stream; times are CPU, and the
ratio is the median of the ratios of single rounds. The two parts of the stage that compute most
follow: K-weighting and true peak. Aim: less than a fifth of the decode.
"""

from __future__ import annotations

import tempfile
import time
from functools import cache
from pathlib import Path
from statistics import median

import av
import numpy as np

from bench.report import Report, arguments
from stream.audio import AudioChunk
from stream.decoding.reader import AudioReader
from stream.levels.k_weighting import k_weighting
from stream.levels.true_peak import oversampling, true_peak
from stream.sources.file import read_file
from stream.stages.levels import Levels

SECONDS = 60
ROUNDS = 7
CHUNK_S = 0.5
CLIPS = Path(__file__).parents[2] / "stream" / "demo" / "audio"
FORMATS = [
    ("MP3 44.1 kHz, 128 kbit/s", "a.mp3", "libmp3lame", 44_100, 128_000),
    ("MP3 44.1 kHz, 320 kbit/s", "b.mp3", "libmp3lame", 44_100, 320_000),
    ("AAC 44.1 kHz, 128 kbit/s", "a.m4a", "aac", 44_100, 128_000),
    ("Opus 48 kHz, 96 kbit/s", "a.opus", "libopus", 48_000, 96_000),
    ("FLAC 44.1 kHz", "a.flac", "flac", 44_100, 0),
    ("WAV 44.1 kHz", "a.wav", "pcm_s16le", 44_100, 0),
]
SAME = [
    (f"{title}, left = right", *rest)
    for title, *rest in FORMATS
    if rest[1] in ("libmp3lame", "aac", "libopus", "pcm_s16le")
]


@cache
def programme(rate: int) -> np.ndarray:
    """Return the clips one after the other, two at a time, each nearer to another side."""
    clips = [read_file(path, rate) for path in sorted(CLIPS.glob("*.opus"))]
    one = np.resize(np.concatenate(clips), SECONDS * rate)
    other = np.resize(np.concatenate(clips[::-1]), SECONDS * rate)
    left, right = one + 0.3 * other, 0.6 * one - 0.3 * other
    stereo = np.stack([left, right]) * 0.7
    return np.clip(stereo, -1, 1).astype(np.float32)


def write(path: Path, codec: str, rate: int, bit_rate: int, *, same: bool) -> None:
    sound = programme(rate)
    samples = ((sound[[0, 0]] if same else sound) * 32_767).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        if bit_rate:
            stream.bit_rate = bit_rate
        for second in range(SECONDS):
            part = np.ascontiguousarray(samples[:, second * rate : (second + 1) * rate].T)
            frame = av.AudioFrame.from_ndarray(part.reshape(1, -1), format="s16", layout="stereo")
            frame.sample_rate, frame.pts = rate, second * rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def decoded(path: Path) -> list[AudioChunk]:
    reader = AudioReader(path, block_s=CHUNK_S, keep_channels=True)
    return [AudioChunk("a", start, samples, reader.rate) for start, samples, _ in reader]


def measured(chunks: list[AudioChunk]) -> int:
    levels = Levels(16_000)
    return sum(len(levels.push([chunk])) - 1 for chunk in chunks)


def cpu_us(began: float) -> float:
    return 1e6 * (time.process_time() - began) / SECONDS


def compare(report: Report, folder: Path) -> None:
    for each in [*FORMATS, *SAME]:
        title, name, codec, rate, bit_rate = each
        path = folder / name
        write(path, codec, rate, bit_rate, same=each in SAME)
        rows = []
        for _ in range(ROUNDS + 1):
            began = time.process_time()
            chunks = decoded(path)
            decode = cpu_us(began)
            began = time.process_time()
            assert measured(chunks) >= SECONDS // 5 - 1
            rows.append((decode, cpu_us(began)))
        decode, levels = (median(row[i] for row in rows[1:]) for i in (0, 1))
        ratio = median(levels / decode for decode, levels in rows[1:])
        report.row(title, decode_us=decode, levels_us=levels, levels_to_decode=ratio)
        path.unlink()


def parts(report: Report) -> None:
    """Time the two parts that compute most, a second of stereo at a time."""
    for rate in (44_100, 48_000):
        k, samples = k_weighting(rate), programme(rate)
        n = k.history + rate
        seconds = [
            np.ascontiguousarray(samples[:, at : at + n])
            for at in range(0, samples.shape[1] - n, rate)
        ]
        spent: dict[str, list[float]] = {"k_weighting_us": [], "true_peak_us": []}
        for _ in range(ROUNDS):
            began = time.process_time()
            for second in seconds:
                k.filtered(second)
            spent["k_weighting_us"].append(time.process_time() - began)
            magnitudes = [np.abs(second) for second in seconds]
            began = time.process_time()
            for second, values in zip(seconds, magnitudes, strict=True):
                peak = float(values.max())
                true_peak(second, values, k.history, oversampling(rate), peak)
            spent["true_peak_us"].append(time.process_time() - began)
        report.row(
            f"{rate} Hz, stereo",
            **{name: 1e6 * median(s) / len(seconds) for name, s in spent.items()},
        )


def main() -> None:
    options = arguments(__doc__).parse_args()
    report = Report("Levels beside decoding, microseconds of CPU for a second of audio")
    with tempfile.TemporaryDirectory() as folder:
        compare(report, Path(folder))
    parts(report)
    report.finish(options.json)


if __name__ == "__main__":
    main()
