"""Speed of decoding files to mono blocks and of resampling to the model's rate, on one thread.

All files hold the same five minutes of stereo noise, the worst case of a lossless codec. Results
are medians, in multiples of real time: "packets to frames" is FFmpeg alone, "mono blocks" is
`AudioReader`, and the last adds `Resampler`. A second table compares the qualities of soxr.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import av
import numpy as np

from bench.report import Report, arguments, median_s
from stream.decoding.reader import AudioReader
from stream.resampler import Resampler

SECONDS = 300
RATE_OUT = 16_000
FORMATS = [
    ("WAV 44.1 kHz", "a.wav", "pcm_s16le", 44_100),
    ("WAV 16 kHz", "b.wav", "pcm_s16le", 16_000),
    ("FLAC 44.1 kHz", "a.flac", "flac", 44_100),
    ("MP3 44.1 kHz", "a.mp3", "libmp3lame", 44_100),
    ("AAC 44.1 kHz", "a.m4a", "aac", 44_100),
    ("Opus 48 kHz", "a.opus", "libopus", 48_000),
]


def write_noise(path: Path, codec: str, rate: int) -> None:
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        for second in range(SECONDS):
            samples = rng.normal(0, 3_000, (1, 2 * rate)).clip(-32_768, 32_767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
            frame.sample_rate, frame.pts = rate, second * rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def decode_only(path: Path) -> None:
    with av.open(str(path), options={"max_size": "65536", "probesize": "100000"}) as container:
        for _ in container.decode(audio=0):
            pass


def read(path: Path) -> None:
    for _ in AudioReader(path, block_s=10.0):
        pass


def read_and_resample(path: Path) -> None:
    reader = AudioReader(path, block_s=10.0)
    resampler = Resampler(reader.rate, RATE_OUT)
    for block in reader:
        resampler.push(block.samples)


def formats(report: Report, folder: Path) -> None:
    for title, name, codec, rate in FORMATS:
        path = folder / name
        write_noise(path, codec, rate)
        results = {
            result: SECONDS / median_s(lambda call=call, path=path: call(path), repeats=3, warmup=1)
            for result, call in [
                ("packets_to_frames_x", decode_only),
                ("mono_blocks_x", read),
                ("mono_16_khz_x", read_and_resample),
            ]
        }
        report.row(title, **results)
        path.unlink()


def resampling(report: Report) -> None:
    for rate in (44_100, 48_000):
        samples = np.random.default_rng(0).uniform(-1, 1, 10 * rate).astype(np.float32)
        results = {}
        for quality in ("LQ", "MQ", "HQ", "VHQ"):
            resampler = Resampler(rate, RATE_OUT, quality)
            spent_s = median_s(lambda r=resampler, s=samples: r.push(s), repeats=20)
            results[f"{quality}_x"] = 10 / spent_s
        report.row(f"{rate} to {RATE_OUT} Hz", **results)


def main() -> None:
    options = arguments(__doc__).parse_args()
    report = Report("Reading and resampling, multiples of real time")
    with tempfile.TemporaryDirectory() as folder:
        formats(report, Path(folder))
    resampling(report)
    report.finish(options.json)


if __name__ == "__main__":
    main()
