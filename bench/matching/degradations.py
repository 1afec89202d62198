"""The degradations of the fingerprint benchmark."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray
from scipy import signal

from airsift.errors import AirsiftError
from bench.matching.music import RATE, rms

Audio = NDArray[np.float32]

# The limiter raises everything down to this peak level to full scale, and recovers this fast.
_QUIET = 0.01
_RELEASE_S = 0.1
_DRIVE_DB = 20


@dataclass(frozen=True)
class DegradationContext:
    """The inputs of degradations: a random generator and clips of speech."""

    rng: np.random.Generator
    speech: list[Audio]

    def talk(self, n: int) -> Audio:
        """Return `n` samples of successive voices."""
        parts: list[Audio] = []
        while sum(map(len, parts)) < n:
            parts.append(self.speech[self.rng.integers(len(self.speech))])
        return np.concatenate(parts)[:n]


@dataclass(frozen=True)
class Condition:
    """A degradation of music.

    `speed` is the duration of the original per second of the result of `apply`. A query of a
    `crossfade` has the end of one track and the start of another.
    """

    name: str
    apply: Callable[[Audio, DegradationContext], Audio]
    speed: float = 1.0
    crossfade: bool = False


def conditions() -> list[Condition]:
    """Return all conditions, in the order of the table."""
    return [
        Condition("clean", lambda x, _: x),
        Condition("MP3 64 kb/s", lambda x, _: coded(x, "mp3", "libmp3lame", RATE, 64_000)),
        Condition("telephone", lambda x, _: coded(_band(x), "wav", "pcm_mulaw", 8_000)),
        Condition("GSM 06.10", lambda x, _: _gsm(_band(x))),
        Condition("equaliser", _equalised),
        Condition("white noise 0 dB", lambda x, s: _mixed(x, _white(len(x), s), 0)),
        Condition("white noise 5 dB louder", lambda x, s: _mixed(x, _white(len(x), s), 5)),
        Condition("babble 0 dB", lambda x, s: _mixed(x, babble(len(x), s), 0)),
        Condition("babble 5 dB louder", lambda x, s: _mixed(x, babble(len(x), s), 5)),
        Condition("speech 5 dB louder", lambda x, s: _mixed(x, s.talk(len(x)), 5)),
        Condition("speech 10 dB louder", lambda x, s: _mixed(x, s.talk(len(x)), 10)),
        Condition("speech 15 dB louder", lambda x, s: _mixed(x, s.talk(len(x)), 15)),
        Condition("reverb 1 s", _reverberant),
        Condition("limiter with clipping", lambda x, _: _limited(x)),
        Condition("crossfade, both tracks", lambda x, _: x, crossfade=True),
        *(_resampled(percent) for percent in (2, -2, 4, -4, 8, -8)),
        *(_stretched(percent) for percent in (4, -4, 7, -8, 12, -12)),
        *(_resampled(percent, semitones) for percent, semitones in ((3, 1), (-5, 2), (7, -2))),
        *(_transposed(semitones) for semitones in (1, -1, 2, -2)),
    ]


def babble(n: int, context: DegradationContext) -> Audio:
    """Return six voices at once."""
    return np.sum([context.talk(n) for _ in range(6)], axis=0, dtype=np.float32)


def drones(music: list[Audio], minutes: float, rng: np.random.Generator) -> list[Audio]:
    """Return drones: frozen seconds of music, and beating chords.

    A frozen second keeps its spectrum with random phases: the notes of the music without their
    timing.
    """
    out = []
    for index in range(int(minutes * 2)):
        n = 30 * RATE
        if index % 3:
            track = music[rng.integers(len(music))]
            start = int(rng.integers(0, len(track) - RATE))
            shape = np.abs(np.fft.rfft(track[start : start + RATE])) + 1e-6  # silence is noise
            smooth = np.interp(np.linspace(0, len(shape) - 1, n // 2 + 1), range(len(shape)), shape)
            phase = rng.uniform(0, 2 * np.pi, len(smooth))
            samples = np.fft.irfft(smooth * np.exp(1j * phase), n)
        else:
            time = np.arange(n) / RATE
            root = rng.uniform(60, 200)
            notes = root * np.repeat([1, 1.5, 2, 2.5, 3, 4], 2) * rng.uniform(0.998, 1.002, 12)
            samples = np.sin(2 * np.pi * notes[:, None] * time + rng.uniform(0, 6, (12, 1))).sum(0)
            samples += 0.05 * rng.standard_normal(n)
        out.append((0.1 * samples / max(samples.std(), 1e-9)).astype(np.float32))
    return out


def _resampled(percent: int, semitones: int = 0) -> Condition:
    """Return another speed, with its pitch and a shift of pitch of its own."""
    speed = 1 + percent / 100
    rate = round(RATE * speed * 2 ** (semitones / 12))
    filters = [("asetrate", str(rate)), ("aresample", str(RATE))]
    name = f"speed {percent:+d} %"
    if semitones:
        filters.append(("atempo", str(speed * RATE / rate)))
        name += f" and {semitones:+d} semitones"
    return Condition(name, lambda x, _: filtered(x, filters), speed if semitones else rate / RATE)


def _stretched(percent: int) -> Condition:
    speed = 1 + percent / 100
    return Condition(
        f"tempo {percent:+d} %", lambda x, _: filtered(x, [("atempo", str(speed))]), speed
    )


def _transposed(semitones: int) -> Condition:
    factor = 2 ** (semitones / 12)
    filters = [
        ("asetrate", str(round(RATE * factor))),
        ("aresample", str(RATE)),
        ("atempo", str(1 / factor)),
    ]
    return Condition(f"pitch {semitones:+d} semitones", lambda x, _: filtered(x, filters))


def _mixed(music: Audio, other: Audio, louder_db: float) -> Audio:
    return music + other * np.float32(rms(music) / rms(other) * 10 ** (louder_db / 20))


def _white(n: int, context: DegradationContext) -> Audio:
    return context.rng.standard_normal(n).astype(np.float32)


def _reverberant(music: Audio, context: DegradationContext) -> Audio:
    """Convolve with a room of 1 s decay, 6 dB louder than the direct sound."""
    time = np.arange(RATE) / RATE
    room = context.rng.standard_normal(RATE) * 10 ** (-3 * time)
    room /= np.sqrt(np.square(room).sum())
    room[0] += 0.5
    return signal.fftconvolve(music, room)[: len(music)].astype(np.float32)


def _limited(music: Audio) -> Audio:
    """Drive a limiter without attack 20 dB too far, and clip what is over full scale."""
    level = np.abs(music)
    release = np.float32(np.exp(-1 / (_RELEASE_S * RATE)))
    peak = np.empty_like(level)
    last = np.float32(_QUIET)
    for index, value in enumerate(level):
        last = max(value, last * release, np.float32(_QUIET))
        peak[index] = last
    return np.clip(music / peak * np.float32(10 ** (_DRIVE_DB / 20)), -1, 1).astype(np.float32)


def _equalised(music: Audio, context: DegradationContext) -> Audio:
    """Raise or lower four bands by up to 12 dB."""
    for hz in (120, 500, 2000, 5000):
        gain = 10 ** (context.rng.uniform(-12, 12) / 40)
        angle = 2 * np.pi * hz / RATE
        alpha = np.sin(angle) / 2
        b = [1 + alpha * gain, -2 * np.cos(angle), 1 - alpha * gain]
        a = [1 + alpha / gain, -2 * np.cos(angle), 1 - alpha / gain]
        music = signal.lfilter(b, a, music)
    return music.astype(np.float32)


def _band(music: Audio) -> Audio:
    band = signal.butter(4, [300, 3400], "bandpass", fs=RATE, output="sos")
    return signal.sosfilt(band, music).astype(np.float32)


def filtered(samples: Audio, filters: list[tuple[str, str]]) -> Audio:
    """Apply FFmpeg's filters, given as (name, arguments), one after another."""
    graph = av.filter.Graph()
    source = last = graph.add_abuffer(
        sample_rate=RATE, format="fltp", layout="mono", time_base=f"1/{RATE}"
    )
    for name, argument in filters:
        following = graph.add(name, argument)
        last.link_to(following)
        last = following
    sink = graph.add("abuffersink")
    last.link_to(sink)
    graph.configure()
    source.push(_frame(samples, "fltp", RATE))
    source.push(None)
    parts = []
    while True:
        try:
            parts.append(sink.pull().to_ndarray()[0])
        except (av.error.BlockingIOError, av.error.EOFError):
            return np.concatenate(parts)


def coded(samples: Audio, container: str, codec: str, rate: int, bit_rate: int = 0) -> Audio:
    """Encode and decode samples at `RATE`."""
    if rate != RATE:
        samples = signal.resample_poly(samples, rate, RATE).astype(np.float32)
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate, layout="mono")
        if bit_rate:
            stream.bit_rate = bit_rate
        form = "fltp" if codec in ("libmp3lame", "aac") else "s16"
        for packet in (*stream.encode(_frame(samples, form, rate)), *stream.encode(None)):
            out.mux(packet)
    file.seek(0)
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=RATE)
    parts = []
    with av.open(file) as coded:
        for frame in (*coded.decode(audio=0), None):
            parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    return np.concatenate(parts)


def _gsm(samples: Audio) -> Audio:
    """Code with GSM 06.10 full rate, 13 kb/s; FFmpeg can only decode it."""
    if shutil.which("sox") is None:
        raise AirsiftError("sox is not there, and GSM 06.10 needs it; run `apt-get install sox`")
    raw = ["-t", "raw", "-e", "signed", "-b", "16", "-c", "1", "-r"]
    narrow = signal.resample_poly(samples, 1, 2)
    data = (np.clip(narrow, -1, 1) * 32767).astype(np.int16).tobytes()
    gsm = ["-t", "gsm", "-r", "8000", "-"]
    for command in (["sox", *raw, "8000", "-", *gsm], ["sox", *gsm, *raw, "8000", "-"]):
        data = subprocess.run(command, input=data, capture_output=True, check=True).stdout
    coded = np.frombuffer(data, np.int16).astype(np.float32) / np.float32(32768)
    wide: Audio = signal.resample_poly(coded, 2, 1).astype(np.float32)
    return wide


def _frame(samples: Audio, form: str, rate: int) -> av.AudioFrame:
    data = samples[None]
    if form == "s16":
        data = (np.clip(data, -1, 1) * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(data), format=form, layout="mono")
    frame.sample_rate = rate
    frame.pts = 0
    return frame
