"""EBU R128: the test signals of EBU Tech 3341 that are made by rule, and FFmpeg's own meter."""

from __future__ import annotations

from fractions import Fraction

import av
import av.filter
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from stream.levels.decibels import FLOOR_DB, of_amplitude
from stream.levels.gated_loudness import BINS, ERROR_LU, Histogram, Loudness
from stream.levels.k_weighting import (
    BLOCKS_PER_S,
    FORGOTTEN_DB,
    HISTORY_S,
    KWeighting,
    block_edges,
    block_sums,
    sections,
)
from stream.levels.meter import Meter
from stream.levels.true_peak import oversampling
from stream.testing import music_like, noise, speech_like
from tests.examples import examples

RATE = 48_000
RATES = [8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000]


def sine(seconds: float, lufs: float, rate: int = RATE, hz: float = 1000.0) -> np.ndarray:
    """Return a stereo sine whose peaks are at `lufs` dB: of 1 kHz, it has that loudness."""
    t = np.arange(round(seconds * rate)) / rate
    one = 10 ** (lufs / 20) * np.sin(2 * np.pi * hz * t)
    return np.stack([one, one], axis=1).astype(np.float32)


def steps(*parts: tuple[float, float], rate: int = RATE) -> np.ndarray:
    """Return stereo sines one after the other, of seconds and LUFS."""
    return np.concatenate([sine(seconds, lufs, rate) for lufs, seconds in parts])


class Shown:
    """What a meter shows of a programme: each momentary and short-term value, and the result."""

    def __init__(self, samples: np.ndarray, rate: int = RATE, start: int = 0) -> None:
        meter = Meter(samples.shape[1], rate, start)
        loudness = Loudness()
        self.momentary: list[float] = []
        self.short_term: list[float] = []
        self.peak = 0.0
        weighted: list[float] = []
        while len(samples):
            samples = samples[meter.take(samples) :]
            second = meter.measure(self.peak)
            self.peak = second.peak
            weighted += second.weighted
        for power in weighted:
            value = loudness.push([power])
            if value is not None:
                self.momentary.append(value)
            if loudness.short_term is not None:
                self.short_term.append(loudness.short_term)
        self.integrated = loudness.integrated

    @property
    def true_peak(self) -> float:
        return of_amplitude(self.peak)


# EBU Tech 3341, table 1: the parts as (LUFS, s), and the integrated loudness, within 0.1 LU.
CASES = {
    1: ([(-23, 20)], -23),
    2: ([(-33, 20)], -33),
    3: ([(-36, 10), (-23, 60), (-36, 10)], -23),
    4: ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23),
    5: ([(-26, 20), (-20, 20.1), (-26, 20)], -23),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
def test_integrated_loudness_of_the_cases_1_to_5(case: int, rate: int) -> None:
    parts, wanted = CASES[case]
    shown = Shown(steps(*parts, rate=rate), rate)
    assert shown.integrated == pytest.approx(wanted, abs=0.1)
    if case < 3:
        assert shown.momentary[10:] == pytest.approx(
            [wanted] * (len(shown.momentary) - 10), abs=0.1
        )
        assert shown.short_term == pytest.approx([wanted] * len(shown.short_term), abs=0.1)


def test_case_6_of_five_channels() -> None:
    one = sine(20, 0)[:, 0]
    levels = [-28, -28, -24, -200, -30, -30]  # left, right, centre, bass, and the surrounds
    samples = np.stack([one * 10 ** (level / 20) for level in levels], axis=1)
    assert Shown(samples.astype(np.float32)).integrated == pytest.approx(-23, abs=0.1)
    five = np.delete(samples, 3, axis=1).astype(np.float32)
    assert Shown(five).integrated == pytest.approx(-23, abs=0.1)


def test_case_9_short_term_is_constant() -> None:
    parts = [(-20, 1.34), (-30, 1.66)] * 5
    shown = Shown(steps(*parts))
    assert shown.short_term == pytest.approx([-23] * len(shown.short_term), abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(0, 20, 3))
def test_case_10_short_term_of_a_tone_of_three_seconds(number: int) -> None:
    before, tone_s = 0.15 * number, 3.0
    samples = np.concatenate([np.zeros((round(before * RATE), 2)), sine(tone_s, -23),
                              np.zeros((RATE, 2))])  # fmt: skip
    assert max(Shown(samples.astype(np.float32)).short_term) == pytest.approx(-23, abs=0.1)


def test_case_12_momentary_is_constant() -> None:
    parts = [(-20, 0.18), (-30, 0.22)] * 25
    shown = Shown(steps(*parts))
    assert shown.momentary[7:] == pytest.approx([-23] * (len(shown.momentary) - 7), abs=0.1)


@pytest.mark.parametrize("number", range(0, 20, 3))
def test_case_13_momentary_of_a_tone_of_400_ms(number: int) -> None:
    before = 0.02 * number
    samples = np.concatenate([np.zeros((round(before * RATE), 2)), sine(0.4, -23),
                              np.zeros((RATE, 2))])  # fmt: skip
    # A tenth of a second is the step: a tone that lies across them shows up to 0.6 LU less.
    highest = max(Shown(samples.astype(np.float32)).momentary)
    assert -23.1 - (0.58 if number % 5 else 0) <= highest <= -22.9


# Table 1, cases 15 to 19: part of the rate, phase in degrees, level of the sine, and true peak.
PEAKS = {
    15: (Fraction(1, 4), 0.0, 0.5, -6.0),
    16: (Fraction(1, 4), 45.0, 0.5, -6.0),
    17: (Fraction(1, 6), 60.0, 0.5, -6.0),
    18: (Fraction(1, 8), 67.5, 0.5, -6.0),
    19: (Fraction(1, 4), 45.0, 1.41, 3.0),
}


@pytest.mark.parametrize("case", PEAKS)
@pytest.mark.parametrize("rate", [8000, 44_100, 48_000])
def test_true_peak_of_the_cases_15_to_19(case: int, rate: int) -> None:
    part, phase, level, wanted = PEAKS[case]
    n = np.arange(3 * rate)
    wave = level * np.sin(2 * np.pi * float(part) * n + np.radians(phase))
    fade = np.minimum(1, np.minimum(n, n[::-1]) / (0.1 * rate))  # no click at the ends
    shown = Shown(np.stack([wave * fade] * 2, axis=1).astype(np.float32), rate)
    assert wanted - 0.4 <= shown.true_peak <= wanted + 0.2


@pytest.mark.parametrize("rate", [8000, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("level", [0.3, 1.2])
def test_true_peak_is_the_greatest_of_all_that_could_be_looked_at(rate: int, level: float) -> None:
    rng = np.random.default_rng(0)
    spectrum = rng.normal(size=(2, 2 * rate // 2 + 1)) + 1j * rng.normal(size=(2, rate + 1))
    spectrum[:, round(0.4 * 2 * rate) :] = 0
    samples = np.fft.irfft(spectrum, 2 * rate)
    scale = level / np.abs(samples).max()
    factor, wanted = oversampling(rate), 0.0
    for shift in range(factor):
        turn = np.exp(1j * np.pi * np.arange(rate + 1) / rate * shift / factor)
        between = np.fft.irfft(spectrum * turn, 2 * rate) * scale
        wanted = max(wanted, np.abs(between[:, 10:-10]).max())
    shown = Shown((samples * scale).T[10:-2].astype(np.float32), rate)
    assert shown.true_peak == pytest.approx(of_amplitude(float(wanted)), abs=0.05)


def by_ffmpeg(samples: np.ndarray, rate: int) -> tuple[list[float], float, float]:
    """Return FFmpeg's momentary values, integrated loudness and true peak (not in dB)."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        sample_rate=rate, format="flt", layout=layout, time_base=Fraction(1, rate)
    )
    meter = graph.add("ebur128", "metadata=1:peak=true")
    sink = graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    momentary, found = [], {}
    step = rate // 10
    for at in range(0, len(samples), step):
        part = np.ascontiguousarray(samples[at : at + step]).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(part, format="flt", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
        graph.push(frame)
        while True:
            try:
                got = graph.pull()
            except (av.BlockingIOError, av.EOFError):
                break
            found = dict(got.metadata) or found
            if got.metadata:
                momentary.append(float(got.metadata["lavfi.r128.M"]))
    peaks = [float(v) for k, v in found.items() if k.startswith("lavfi.r128.true_peaks_ch")]
    return momentary, float(found["lavfi.r128.I"]), max(peaks)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("kind", ["music", "speech", "noise", "six"])
def test_loudness_is_that_of_ffmpeg(rate: int, kind: str) -> None:
    make = {"music": music_like, "speech": speech_like}.get(kind, noise)
    parts = [make(14, rate, seed=seed) for seed in range(6 if kind == "six" else 2)]
    fade = np.repeat([1.0, 0.03, 0.3, 1.0, 0.0, 0.1, 1.0], 2 * rate)[: 14 * rate, None]
    samples = (np.stack(parts, axis=1) * fade).astype(np.float32)
    shown = Shown(samples, rate)
    momentary, integrated, peak = by_ffmpeg(samples, rate)
    assert shown.integrated == pytest.approx(integrated, abs=0.1)
    if kind in ("music", "speech"):  # white noise reaches to where interpolators differ
        assert shown.true_peak == pytest.approx(of_amplitude(peak), abs=0.1)
    # FFmpeg gives 400 ms from the first 100 ms on, with silence before them.
    theirs, ours = np.array(momentary[3:]), np.array(shown.momentary)
    n = min(len(theirs), len(ours))
    loud = theirs[:n] > -70
    assert loud.sum() > 100
    assert np.abs(theirs[:n] - ours[:n])[loud].max() < 0.05


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("signal_kind", ["noise", "hum", "offset"])
def test_the_filter_is_the_recursion_that_the_standard_gives(rate: int, signal_kind: str) -> None:
    k = KWeighting(rate)
    n = k.history + rate
    assert n % 8 == 0
    assert rate * HISTORY_S <= k.history
    quiet = 1e-3 * noise(n / rate + 1, rate)[:n]
    t = np.arange(n) / rate
    samples = {
        "noise": noise(n / rate + 1, rate)[:n],
        "hum": 0.9 * np.sin(2 * np.pi * 20 * t) + quiet,
        "offset": 0.9 + quiet,
    }[signal_kind]
    both = np.stack([samples, samples[::-1]]).astype(np.float32)
    sos = np.array([[*zeros, *poles] for zeros, poles in sections(rate)])
    wanted = signal.sosfilt(sos, both.astype(np.float64), axis=1)
    error = np.abs(k.filtered(both) - wanted).max()
    assert error < 10 ** (-120 / 20)


def test_the_coefficients_at_48_khz_are_those_of_the_standard() -> None:
    shelf, high_pass = sections(48_000)
    assert shelf[0] == pytest.approx((1.53512485958697, -2.69169618940638, 1.19839281085285))
    assert shelf[1] == pytest.approx((1.0, -1.69065929318241, 0.73248077421585))
    assert high_pass[0] == (1.0, -2.0, 1.0)
    assert high_pass[1] == pytest.approx((1.0, -1.99004745483398, 0.99007225036621))


@pytest.mark.parametrize("rate", RATES)
def test_what_is_before_the_history_is_forgotten(rate: int) -> None:
    sos = np.array([[*zeros, *poles] for zeros, poles in sections(rate)])
    impulse = np.zeros(rate)
    impulse[0] = 1
    response = signal.sosfilt(sos, impulse)
    rest = np.abs(response[KWeighting(rate).history :]).sum()
    assert 20 * np.log10(max(rest, 1e-30)) < FORGOTTEN_DB


def test_a_rate_too_low_for_the_shelf_has_the_high_pass_alone() -> None:
    for rate in (1000, 2000, 3363, 3999):
        t = np.arange(20 * rate) / rate
        samples = (0.1 * np.sin(2 * np.pi * 200 * t)).astype(np.float32)[:, None]
        assert Shown(samples, rate).integrated == pytest.approx(
            -24.01, abs=0.1
        )  # the high-pass: -0.31 dB


@pytest.mark.parametrize("rate", [8000, 11_025, 22_255])
def test_tenths_of_a_second_are_all_of_it(rate: int) -> None:
    samples = np.stack([noise(1, rate), noise(1, rate, seed=1)])
    sums, edges = block_sums(samples), block_edges(rate)
    assert len(edges) == BLOCKS_PER_S + 1
    assert edges[-1] == rate
    for channel in range(2):
        for i in range(BLOCKS_PER_S):
            part = samples[channel, edges[i] : edges[i + 1]].astype(np.float64)
            assert sums[channel, i] == pytest.approx(part @ part, rel=1e-5)


@examples(100)
@given(st.lists(st.floats(-110, 20), min_size=4, max_size=400))
def test_the_histogram_is_as_good_as_the_list(values: list[float]) -> None:
    histogram = Histogram()
    for lufs in values:
        if lufs >= -70:
            histogram.add(lufs)
    powers = np.array([10 ** ((v + 0.691) / 10) for v in values if v >= -70])
    if not len(powers):
        assert histogram.integrated() is None
        return
    found = histogram.integrated()
    assert found is not None
    assert len(histogram.counts) <= BINS
    # Where a value lies within the error of the gate, it may be on the other side.
    gate = 10 * np.log10(powers.mean()) - 0.691 - 10
    answers = []
    for shift in (-2 * ERROR_LU, 0, 2 * ERROR_LU):
        above = powers[10 * np.log10(powers) - 0.691 >= gate + shift]
        answers.append(10 * np.log10(above.mean()) - 0.691)
    assert min(answers) - ERROR_LU - 1e-9 <= found <= max(answers) + ERROR_LU + 1e-9


def test_mono_counts_as_one_channel() -> None:
    assert Shown(sine(5, -23)[:, :1]).integrated == pytest.approx(-26.01, abs=0.1)


def test_silence_has_no_integrated_loudness() -> None:
    shown = Shown(np.zeros((5 * RATE, 2), np.float32))
    assert shown.integrated is None
    assert set(shown.momentary) == {FLOOR_DB}
