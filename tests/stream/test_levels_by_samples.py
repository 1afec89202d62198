"""Levels are those of the samples, at any rate, however they come, and over restarts and gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.audio import AudioChunk, rescale
from stream.events import Decision, Event, Level
from stream.levels.k_weighting import block_edges
from stream.levels.true_peak import REACH, STRETCH
from stream.pipeline import Pipeline
from stream.stages.levels import Levels
from stream.testing import noise
from tests.examples import examples
from tests.stream.doubles import SMOOTH, LoudnessClassifier
from tests.stream.networks import FRONT_END
from tests.stream.restarts import through_json

RATE = 16_000
FLOOR = -120.0
NEAR = 0.011  # decibels have two decimals
BETWEEN = 12.0  # dB that a value between samples may be above all of them


@dataclass(frozen=True)
class Part:
    """Audio between two gaps, at the station's rate."""

    start: int
    samples: np.ndarray  # of shape [n, channels]

    @property
    def end(self) -> int:
        return self.start + len(self.samples)


def decibels(power: float) -> float:
    return max(10 * float(np.log10(power + 1e-300)), FLOOR)


def parts_of(
    lengths: Sequence[tuple[float, int]], rate: int, channels: int, first: int, seed: int
) -> list[Part]:
    """Return parts of given seconds, each with the samples that are missing before it.

    Their loudness changes four times a second; some quarters are silent, some beyond full scale.
    """
    rng, parts, at = np.random.default_rng(seed), list[Part](), first
    for number, (seconds, gap) in enumerate(lengths):
        n = max(round(seconds * rate), 1)
        gains = 10 ** rng.uniform(-4, 0.5, n // (rate // 4) + 1)
        gains[rng.random(len(gains)) < 0.1] = 0
        gain = np.repeat(gains, rate // 4)[:n]
        gain = np.pad(gain, (0, n - len(gain)), mode="edge")
        sound = [noise(n / rate + 1, rate, level=0.4, seed=seed + 9 * number + c)[:n] for c in
                 range(channels)]  # fmt: skip
        weights = rng.uniform(0.1, 1, channels)
        samples = np.clip(np.stack(sound, axis=1) * gain[:, None] * weights, -1, 1)
        at += gap if number else 0
        parts.append(Part(at, samples.astype(np.float32)))
        at += n
    return parts


def chunks_of_parts(parts: Sequence[Part], sizes: Sequence[int], rate: int) -> list[AudioChunk]:
    """Return the parts cut into chunks of the given sizes in turns, beginning anew in each part."""
    chunks = []
    for part in parts:
        at, turn = 0, 0
        while at < len(part.samples):
            piece = part.samples[at : at + sizes[turn % len(sizes)]]
            samples = piece[:, 0] if piece.shape[1] == 1 else piece
            chunks.append(AudioChunk("a", part.start + at, samples, rate))
            at, turn = at + len(piece), turn + 1
    return chunks


def joined(parts: Sequence[Part]) -> list[Part]:
    """Return the parts with those joined that follow each other without a gap."""
    out = [parts[0]]
    for part in parts[1:]:
        if part.start == out[-1].end:
            out[-1] = Part(out[-1].start, np.concatenate([out[-1].samples, part.samples]))
        else:
            out.append(part)
    return out


def of_station(sample: int, rate: int, parts: Sequence[Part]) -> int:
    """Return the sample of the station that a time of an event stands for.

    That is a whole second, or where audio begins or ends: both are rounded to the model's rate.
    """
    known = [edge for part in parts for edge in (part.start, part.end)]
    exact = [edge for edge in known if rescale(edge, rate, RATE) == sample]
    if exact or (sample * rate) % RATE:
        return exact[0] if exact else rescale(sample, RATE, rate)
    return sample * rate // RATE


def between(parts: Sequence[Part], start: int, end: int) -> np.ndarray:
    """Return the samples in [start, end), without what is missing."""
    pieces = [part.samples[max(start - part.start, 0) : max(end - part.start, 0)] for part in parts]
    return np.concatenate(pieces).astype(np.float64)


def expected_intervals(parts: Sequence[Part], rate: int, interval_s: int) -> list[tuple[int, int]]:
    """Return where the events of the parts begin and end, at the station's rate."""
    step = interval_s * rate
    out = []
    for part in parts:
        edges = range(part.start // step * step + step, part.end, step)
        out += list(pairwise([part.start, *edges, part.end]))
    return out


def check_level(
    event: Level, samples: np.ndarray, before: np.ndarray, start: int, rate: int
) -> None:
    """Compare what a level says with the samples that it is of, and with a few before them."""
    powers = np.mean(samples**2, axis=0)
    assert event.level_dbfs == pytest.approx(decibels(powers.mean()), abs=NEAR)
    assert event.channels_dbfs == pytest.approx([decibels(p) for p in powers], abs=NEAR)
    highest = decibels(float(np.abs(samples).max()) ** 2)
    # Between the last samples before it, a peak is known only now.
    near = decibels(float(np.abs(np.concatenate([before, samples])).max()) ** 2)
    assert highest - NEAR <= event.true_peak_dbtp <= near + BETWEEN
    if event.correlation is not None:
        left, right = samples[:, 0], samples[:, 1]
        wanted = float(left @ right) / len(left) / np.sqrt(powers[0] * powers[1])
        assert event.correlation == pytest.approx(wanted, abs=0.0015)
    elif samples.shape[1] > 1:
        assert powers[:2].min() <= 1.1e-10
    silent, end = 0, start + len(samples)
    for second in range(start // rate, end // rate + 1):
        tenths = [second * rate + edge for edge in block_edges(rate)]
        silent += sum(
            start <= a and b <= end and not samples[a - start : b - start].any()
            for a, b in pairwise(tenths)
        )
    assert event.silence_s == pytest.approx(silent / 10)


def pipeline(interval_s: int) -> Pipeline:
    levels = Levels(RATE, interval_s, 20 * interval_s)
    return Pipeline(FRONT_END, LoudnessClassifier(), SMOOTH, levels=levels)


def run_with_restarts(
    chunks: Sequence[AudioChunk], restarts: Sequence[int], interval_s: int
) -> list[Event]:
    """Push chunks one by one, with a new process before each chunk of the given numbers."""
    one, events = pipeline(interval_s), list[Event]()
    for number, chunk in enumerate(chunks):
        if number in restarts:
            stored = through_json(one.snapshot("a"))
            one = pipeline(interval_s)
            if one.restore("a", stored):
                again = [c for c in chunks[:number] if c.end * RATE > stored.oldest * c.rate]
                events += one.push(again)
        events += one.push([chunk])
    return events + one.push([], last=True)


RATES = st.one_of(
    st.sampled_from([8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000]),
    st.integers(8_000, 48_000),
)
LENGTHS = st.lists(
    st.tuples(
        st.one_of(st.floats(0.001, 7), st.integers(1, 6).map(float)),
        st.one_of(st.just(0), st.integers(1, 50), st.integers(51, 300_000)),
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.long
@examples(60)
@given(
    rate=RATES,
    channels=st.integers(1, 3),
    lengths=LENGTHS,
    sizes=st.lists(st.integers(200, 30_000), min_size=1, max_size=5),
    restarts=st.lists(st.integers(1, 150), max_size=4),
    first_s=st.floats(0, 7),
    interval_s=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_levels_are_those_of_the_samples(
    rate: int,
    channels: int,
    lengths: list[tuple[float, int]],
    sizes: list[int],
    restarts: list[int],
    first_s: float,
    interval_s: int,
    seed: int,
) -> None:
    parts = parts_of(lengths, rate, channels, round(first_s * rate), seed)
    chunks = chunks_of_parts(parts, sizes, rate)
    parts = joined(parts)
    events = run_with_restarts(chunks, restarts, interval_s)

    # Each interval has its event, and one: a restart may repeat it, changes and loses none.
    by_id: dict[str, Level] = {}
    for event in events:
        if isinstance(event, Level):
            assert by_id.setdefault(event.id, event) == event
    levels = list(by_id.values())
    intervals = expected_intervals(parts, rate, interval_s)
    spans = [(rescale(a, rate, RATE), rescale(b, rate, RATE)) for a, b in intervals]
    assert [(event.start, event.end) for event in levels] == spans
    for event, (start, end) in zip(levels, intervals, strict=True):
        before = between(parts, start - REACH - STRETCH, start)
        check_level(event, between(parts, start, end), before, start, rate)

    decisions = [event for event in events if isinstance(event, Decision) and event.final]
    for decision in decisions:
        # Powers are known second by second: a first window that begins within one has all of it.
        whole = decision.start // RATE * RATE
        first = next(part for part in reversed(parts) if part.start * RATE <= decision.start * rate)
        start = max(first.start, of_station(whole, rate, parts))
        end = of_station(decision.end, rate, parts)
        samples = between(parts, start, end)
        if len(samples) < rate // 100:  # rounded to the model's rate, a few are others
            continue
        wanted = decibels(float(np.mean(samples**2)))
        assert decision.level_dbfs is not None
        assert decision.level_dbfs == pytest.approx(wanted, abs=0.03)
