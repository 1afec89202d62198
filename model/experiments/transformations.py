"""Changes of audio that leave its class: pitch, tempo, level and equalisation.

Tempo and pitch change by FFmpeg's `atempo`, which overlaps stretches of the waveform where they
fit, and by soxr. Transposed up and back by 2 or 6 semitones, 24 windows of the corpus then differ
from themselves by 8 to 19 % of their constant-Q magnitudes; after librosa's phase vocoder by 23 to
34 %, which a network could mistake for the effect of the transposition.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, get_args

import av
import numpy as np
import soxr
from scipy import signal

from airsift.errors import ConfigError
from model.spec import SAMPLE_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from model.experiments.windows import Windows

    Samples = NDArray[np.float32]

Kind = Literal["transposition", "tempo", "level", "tilt", "bass", "treble"]
KINDS: tuple[Kind, ...] = get_args(Kind)
UNITS: dict[Kind, str] = {
    "transposition": "semitones", "tempo": "times", "level": "dB", "tilt": "dB", "bass": "dB",
    "treble": "dB",
}  # fmt: skip
RANGES: dict[Kind, tuple[float, float]] = {
    "transposition": (-12, 12), "tempo": (0.5, 2), "level": (-60, 40), "tilt": (-24, 24),
    "bass": (-24, 24), "treble": (-24, 24),
}  # fmt: skip
BASS_HZ, TREBLE_HZ, MIDDLE_HZ = 200.0, 3000.0, 1000.0


@dataclass(frozen=True, slots=True)
class Change:
    """One change.

    Parameters
    ----------
    kind : str
        transposition: pitch without tempo, in semitones. tempo: without pitch, 1.25 is faster by a
        quarter. level: in dB, without a limit at full scale. bass, treble: a shelf below 200 Hz or
        above 3 kHz, in dB. tilt: treble up and bass down by half of the amount each, around 1 kHz.
    amount : float
        In the kind's unit.

    Raises
    ------
    ConfigError
        The kind is unknown, or the amount is out of its range.
    """

    kind: Kind
    amount: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"change={self.kind!r} is unknown: use one of {', '.join(KINDS)}")
        low, high = RANGES[self.kind]
        if not low <= self.amount <= high:
            raise ConfigError(
                f"{self.kind}={self.amount:g} must be from {low:g} to {high:g} {UNITS[self.kind]}"
            )

    @property
    def name(self) -> str:
        """As the table shows it: ``transposition +2 semitones``."""
        sign = "" if self.kind == "tempo" else "+"
        return f"{self.kind} {self.amount:{sign}g} {UNITS[self.kind]}"

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return self.amount == (1 if self.kind == "tempo" else 0)


def changed(windows: Windows, first: int, last: int, change: Change) -> Samples:
    """Return changed windows.

    Parameters
    ----------
    windows : Windows
        The windows.
    first, last : int
        Those to change.
    change : Change
        How.

    Returns
    -------
    np.ndarray [shape=(last - first, length), float32]
        Of the windows' length. A faster one has more of the recording, and silence at its end
        where there is no more.
    """
    if change.kind == "tempo" and change.amount > 1:
        length = round(windows.length * change.amount)
        samples = windows.surroundings(first, last, length)
    else:
        samples = windows.samples(first, last)
    return np.stack([_fitted(apply(each, change), windows.length) for each in samples])


def apply(samples: Samples, change: Change) -> Samples:
    """Return changed audio.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32]
        Mono at 16 kHz.
    change : Change
        How.

    Returns
    -------
    np.ndarray [shape=(m,), float32]
        m is about n, or n / tempo.
    """
    if change.is_identity:
        return samples
    amount = change.amount
    if change.kind == "level":
        return samples * np.float32(10 ** (amount / 20))
    if change.kind == "tempo":
        return stretched(samples, amount)
    if change.kind == "transposition":
        ratio = 2 ** (amount / 12)
        # Longer by the ratio, then played faster by it.
        longer = stretched(samples, 1 / ratio)
        return np.asarray(
            soxr.resample(longer, SAMPLE_RATE * ratio, SAMPLE_RATE, quality="HQ"), np.float32
        )
    shelves = {
        "bass": [(BASS_HZ, amount, False)],
        "treble": [(TREBLE_HZ, amount, True)],
        "tilt": [(MIDDLE_HZ, -amount / 2, False), (MIDDLE_HZ, amount / 2, True)],
    }[change.kind]
    sections = np.array([shelf(hertz, gain_db, high=high) for hertz, gain_db, high in shelves])
    return np.asarray(signal.sosfilt(sections, samples), np.float32)


def shelf(centre_hz: float, gain_db: float, *, high: bool) -> list[float]:
    """Return a shelf as one second-order section.

    It is that of R. Bristow-Johnson's cookbook, with slope 1: `gain_db` / 2 at its centre, and 0
    dB at the other end. torchaudio has the same one, but its output ends at full scale.
    """
    a = 10 ** (gain_db / 40)
    w = 2 * np.pi * centre_hz / SAMPLE_RATE
    cos, alpha = np.cos(w), np.sin(w) / 2 * np.sqrt(2)
    if high:
        cos = -cos  # the mirror image in frequency, up to the signs of what is odd in z
    root = 2 * np.sqrt(a) * alpha
    b = [a * ((a + 1) - (a - 1) * cos + root), 2 * a * ((a - 1) - (a + 1) * cos),
         a * ((a + 1) - (a - 1) * cos - root)]  # fmt: skip
    d = [(a + 1) + (a - 1) * cos + root, -2 * ((a - 1) + (a + 1) * cos),
         (a + 1) + (a - 1) * cos - root]  # fmt: skip
    if high:
        b[1], d[1] = -b[1], -d[1]
    return [float(each / d[0]) for each in (*b, *d)]


def stretched(samples: Samples, tempo: float) -> Samples:
    """Play faster or slower without a change of pitch, by FFmpeg's `atempo`.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32]
        Mono at 16 kHz.
    tempo : float in [0.5, 2]
        2 is twice as fast.
    """
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        sample_rate=SAMPLE_RATE, format="fltp", layout="mono", time_base=Fraction(1, SAMPLE_RATE)
    )
    sink = graph.add("abuffersink")
    tempo_filter = graph.add("atempo", f"{tempo:.9f}")
    source.link_to(tempo_filter)
    tempo_filter.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(samples[None], np.float32), format="fltp", layout="mono"
    )
    frame.sample_rate = SAMPLE_RATE
    source.push(frame)
    source.push(None)
    parts: list[Samples] = []
    while True:
        try:
            pulled = sink.pull()
        except (av.error.EOFError, av.error.BlockingIOError):
            return np.concatenate(parts) if parts else np.zeros(0, np.float32)
        assert isinstance(pulled, av.AudioFrame)
        parts.append(pulled.to_ndarray()[0])


def _fitted(samples: Samples, length: int) -> Samples:
    """Return the middle of longer audio, or shorter audio with silence behind it."""
    out = np.zeros(length, np.float32)
    begin = max(len(samples) - length, 0) // 2
    cut = samples[begin : begin + length]
    out[: len(cut)] = cut
    return out
