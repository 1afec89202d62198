"""Speed of decoding files to mono blocks and of resampling to the model's rate, on one thread.

All files hold the same two minutes of stereo noise, the worst case of a lossless codec. Results
are medians, in multiples of real time: "packets to frames" is FFmpeg alone, "mono blocks" is
`AudioReader`, and the last adds the resampler of the pipeline. The second table compares this
resampler with soxr's, in pushes of 10 s, 1 s and 0.1 s; ``soxr, grid`` begins anew every 2 s, so
that it gives the same bits wherever it begins, as the pipeline's does by itself. The third compares
decoders of Opus: FFmpeg's own, libopus in FFmpeg, and libopus alone at 48 and at 16 kHz. Times of
the last two are CPU, in turns.
"""

from __future__ import annotations

import ctypes
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from bench.report import Report, arguments, median_s
from stream.decoding.reader import AudioReader
from stream.resampler import GridResampler, Resampler, resampler_from

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 120
ROUNDS = 5
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
    resampler = resampler_from(reader.rate, RATE_OUT, 0)
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


def least_us(calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Return the least CPU of each call, in microseconds for a second of audio."""
    spent = dict.fromkeys(calls, float("inf"))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            began = time.process_time()
            call()
            spent[name] = min(spent[name], time.process_time() - began)
    return {name: 1e6 * s / seconds for name, s in spent.items()}


def resampling(report: Report) -> None:
    kinds = {
        "polyphase": lambda rate: resampler_from(rate, RATE_OUT, 0),
        "soxr": lambda rate: Resampler(rate, RATE_OUT),
        "soxr, grid": lambda rate: GridResampler(rate, RATE_OUT, 0),
    }
    for rate in (44_100, 48_000):
        samples = np.random.default_rng(0).uniform(-1, 1, 20 * rate).astype(np.float32)
        for push_s in (10, 1, 0.1):
            step = round(push_s * rate)

            def run(kind: str, rate: int = rate, step: int = step, x: np.ndarray = samples) -> None:
                resampler = kinds[kind](rate)
                for start in range(0, len(x), step):
                    resampler.push(x[start : start + step])

            calls = {f"{kind}_us": partial(run, kind) for kind in kinds}
            report.row(f"{rate} Hz, pushes of {push_s} s", **least_us(calls, 20))


def opus(report: Report, folder: Path) -> None:
    path = folder / "b.opus"
    write_noise(path, "libopus", 48_000)
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        header = stream.codec_context.extradata
        packets = [bytes(packet) for packet in container.demux(stream) if packet.size]

    def decode(name: str) -> None:
        context = av.CodecContext.create(name, "r")
        context.extradata, context.thread_count = header, 1
        for packet in packets:
            context.decode(av.Packet(packet))

    calls: dict[str, Callable[[], object]] = {
        "ffmpeg_us": partial(decode, "opus"),
        "ffmpeg_libopus_us": partial(decode, "libopus"),
    }
    for file in Path(av.__file__).parents[1].glob("av.libs/libopus*"):  # what PyAV brings
        library = ctypes.CDLL(str(file))
        for rate, channels in ((48_000, 2), (16_000, 2), (16_000, 1)):
            call = partial(decode_by_libopus, library, packets, rate, channels)
            calls[f"libopus_{rate}_{channels}_us"] = call
    report.row("Opus, 48 kHz stereo", **least_us(calls, SECONDS))


def decode_by_libopus(library: ctypes.CDLL, packets: list[bytes], rate: int, channels: int) -> None:
    library.opus_decoder_create.restype = ctypes.c_void_p
    error = ctypes.c_int()
    decoder = ctypes.c_void_p(library.opus_decoder_create(rate, channels, ctypes.byref(error)))
    out = np.empty(rate * channels // 8, np.float32)
    at = ctypes.c_void_p(out.ctypes.data)
    for packet in packets:
        library.opus_decode_float(decoder, packet, len(packet), at, rate // 8, 0)
    library.opus_decoder_destroy(decoder)


def main() -> None:
    options = arguments(__doc__).parse_args()
    report = Report("Reading and resampling, multiples of real time")
    with tempfile.TemporaryDirectory() as folder:
        formats(report, Path(folder))
        resampling(report)
        opus(report, Path(folder))
    report.finish(options.json)


if __name__ == "__main__":
    main()
