"""The stage that measures levels: its laws, and what it says of each fault."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.audio import AudioChunk
from stream.events import Decision, Level
from stream.levels.faults import faults_of
from stream.pipeline import Pipeline
from stream.session import Sessions
from stream.snapshot import Snapshot
from stream.stages.align import Align
from stream.stages.levels import Levels
from stream.testing import chunks_of, noise, tone
from tests.examples import examples
from tests.stream.doubles import SMOOTH, LoudnessClassifier
from tests.stream.networks import FRONT_END
from tests.stream.restarts import finals, through_json

RATE = 16_000


class Desk:
    """Align and levels, without the rest of the pipeline."""

    def __init__(self, interval_s: int = 5, integrated_s: int = 86_400) -> None:
        self.align = Align(RATE)
        self.levels = Levels(RATE, interval_s, integrated_s)
        self.align.sessions = self.levels.sessions = Sessions()

    def push(self, chunks: Sequence[AudioChunk]) -> list[Level]:
        items = self.levels.push(self.align.push(chunks))
        return [item for item in items if isinstance(item, Level)]

    def end(self) -> list[Level]:
        nothing = np.zeros(0, np.float32)
        return self.push([AudioChunk("a", 0, nothing, RATE, ends="sent")])


def levels_of(samples: np.ndarray, rate: int = RATE, *, start: int = 0) -> list[Level]:
    """Return the events of a whole programme."""
    desk = Desk()
    events = desk.push([AudioChunk("a", start, np.asarray(samples, np.float32), rate)])
    return events + desk.end()


def lines(events: Sequence[Level]) -> list[str]:
    return [event.to_json() for event in events]


def changing(seconds: float, rate: int, channels: int, seed: int = 0) -> np.ndarray:
    """Return noise whose level changes, other in each channel, with silence and clipping."""
    n = round(seconds * rate)
    parts = [noise(seconds, rate, level=0.4, seed=seed + c) for c in range(channels)]
    gain = np.repeat(10 ** np.random.default_rng(seed).uniform(-4, 0.6, n // rate + 1), rate)[:n]
    samples = np.clip(np.stack(parts, axis=1) * gain[:, None], -1, 1).astype(np.float32)
    samples[rate // 2 : rate] = 0
    return samples[:, 0] if channels == 1 else samples


@pytest.mark.slow
@examples(25)
@given(
    st.sampled_from([(8000, 1), (11_025, 2), (16_000, 1), (22_050, 3), (44_100, 2), (8000, 9)]),
    st.lists(st.floats(0, 9.3), max_size=12),
    st.integers(1, 5),
    st.floats(0, 7),
)
def test_however_the_audio_is_cut_the_levels_are_the_same(
    kind: tuple[int, int], cuts: list[float], size: int, first_s: float
) -> None:
    rate, channels = kind
    samples, start = changing(9.3, rate, channels), round(first_s * rate)
    expected = levels_of(samples, rate, start=start)
    chunks = chunks_of(samples, cuts=[round(cut * rate) for cut in cuts], rate=rate, start=start)
    desk, events = Desk(), list[Level]()
    for at in range(0, len(chunks), size):
        events += desk.push(chunks[at : at + size])
    assert lines(events + desk.end()) == lines(expected)
    assert expected[0].start == pytest.approx(start * RATE / rate, abs=1)
    assert [a.end for a in expected[:-1]] == [b.start for b in expected[1:]]
    assert all(event.end % (5 * RATE) == 0 for event in expected[:-1])


def test_chunks_of_one_sample_are_measured() -> None:
    samples = changing(1.5, 8000, 2)
    desk = Desk(interval_s=1)
    events = [e for chunk in chunks_of(samples, 1, rate=8000) for e in desk.push([chunk])]
    whole = Desk(interval_s=1)
    expected = whole.push([AudioChunk("a", 0, samples, 8000)]) + whole.end()
    assert lines(events + desk.end()) == lines(expected)


def restarted(chunks: list[AudioChunk], at: int, desks: tuple[Desk, Desk]) -> list[Level]:
    """Push chunks up to `at` to one desk, and the others, with what it needs, to another."""
    first, second = desks
    events = first.push(chunks[:at])
    session = first.levels.sessions["a"]
    part = first.levels.snapshot(session)
    position = first.align.snapshot(session)
    oldest = first.levels.oldest(session, position)
    assert position - oldest <= 1.2 * RATE
    stored = Snapshot.of({"levels": part, "align": position}, rate=RATE, hop=320, oldest=oldest)
    again = Snapshot.from_json(through_json(stored.encode()).to_json())
    assert again.to_json() == stored.to_json()
    session = second.levels.sessions["a"]
    session.restored = again
    second.align.restore(session, again.align)
    if again.levels is not None:
        second.levels.restore(session, again.levels)
    needed = [c for c in chunks if c.end * RATE > oldest * c.rate]
    return events + second.push(needed) + second.end()


@pytest.mark.slow
@examples(40)
@given(
    st.sampled_from([(8000, 2), (11_025, 1), (16_000, 2), (44_100, 2), (48_000, 1)]),
    st.integers(1, 30),
    st.floats(0.02, 0.9),
    st.floats(0, 7),
)
def test_a_restart_anywhere_repeats_the_same_levels(
    kind: tuple[int, int], at: int, chunk_s: float, first_s: float
) -> None:
    rate, channels = kind
    samples = changing(9.3, rate, channels)
    chunks = chunks_of(samples, round(chunk_s * rate), rate=rate, start=round(first_s * rate))
    whole = Desk(integrated_s=10)
    expected = whole.push(chunks) + whole.end()
    events = restarted(chunks, at, (Desk(integrated_s=10), Desk(integrated_s=10)))
    assert lines(events) == lines(expected)


KINDS = st.tuples(st.sampled_from([8000, 16_000, 48_000]), st.integers(1, 3), st.integers(1, 30))


@pytest.mark.slow
@examples(40)
@given(st.lists(KINDS, min_size=2, max_size=8), st.integers(1, 30), st.integers(0, 200))
def test_a_restart_of_audio_whose_kind_changes_repeats_the_same_levels(
    parts: list[tuple[int, int, int]], at: int, gap: int
) -> None:
    chunks, tenths = [], 0
    for number, (rate, channels, length) in enumerate(parts):
        samples = changing(length / 10, rate, channels, seed=number)
        start = tenths * rate // 10
        chunks += chunks_of(samples, rate // 5, rate=rate, start=start)
        tenths += length + (gap if number == 1 else 0)
    whole = Desk()
    expected = whole.push(chunks) + whole.end()
    events = restarted(chunks, min(at, len(chunks)), (Desk(), Desk()))
    assert lines(events) == lines(expected)


@pytest.mark.slow
def test_restarts_in_turn_change_nothing() -> None:
    rate = 44_100
    samples = changing(40, rate, 2)
    chunks = chunks_of(samples, round(0.35 * rate), rate=rate)
    whole = Desk()
    expected = whole.push(chunks) + whole.end()
    desk, events, stored = Desk(), list[Level](), None
    for at in range(0, len(chunks), 7):
        if stored is not None:
            desk = Desk()
            session = desk.levels.sessions["a"]
            session.restored = stored
            desk.align.restore(session, stored.align)
            assert stored.levels is not None
            desk.levels.restore(session, stored.levels)
        oldest = stored.oldest if stored else 0
        again = [c for c in chunks[: at + 7] if c.end * RATE > oldest * rate]
        events += desk.push(again)
        session = desk.levels.sessions["a"]
        position = desk.align.snapshot(session)
        oldest = desk.levels.oldest(session, position)
        parts = {"levels": desk.levels.snapshot(session), "align": position}
        stored = Snapshot.of(parts, rate=RATE, hop=320, oldest=oldest)
        stored = Snapshot.from_json(json.loads(stored.encode().data))
    assert lines(events + desk.end()) == lines(expected)


def pipeline() -> Pipeline:
    return Pipeline(FRONT_END, LoudnessClassifier(), SMOOTH, levels=Levels(RATE))


@pytest.mark.long
@examples(10)
@given(st.sampled_from([(16_000, 1), (44_100, 2), (11_025, 2)]), st.integers(1, 60))
def test_the_whole_pipeline_restarts_with_the_same_levels(kind: tuple[int, int], at: int) -> None:
    rate, channels = kind
    samples = changing(24, rate, channels)
    chunks = chunks_of(samples, round(0.4 * rate), rate=rate, time=5.0, start=7 * rate // 3)
    expected = pipeline().push(chunks, last=True)
    first, second = pipeline(), pipeline()
    events = first.push(chunks[:at])
    snapshot = through_json(first.snapshot("a"))
    assert len(snapshot.data) < 6000
    assert second.restore("a", snapshot)
    again = [c for c in chunks if c.end * RATE > snapshot.oldest * rate]
    events += second.push(again, last=True)
    assert finals(events) == finals(expected)
    kinds = {event.kind for event in expected}
    assert kinds == {"level", "decision", "segment"}
    decisions = [event for event in expected if isinstance(event, Decision)]
    assert all(event.level_dbfs is not None for event in decisions if event.final)
    assert all(event.time is not None for event in expected)


@pytest.mark.long
@examples(10)
@given(st.lists(st.integers(1, 14 * 44_100), max_size=25), st.integers(1, 5))
def test_the_levels_of_decisions_do_not_depend_on_the_cuts(points: list[int], size: int) -> None:
    rate = 44_100
    samples = changing(14, rate, 2)
    expected = pipeline().push(chunks_of(samples, rate=rate), last=True)
    one, chunks = pipeline(), chunks_of(samples, cuts=points, rate=rate)
    events = []
    for first in range(0, len(chunks), size):
        events += one.push(chunks[first : first + size])
    events += one.push([], last=True)
    key = [sorted(e.to_json() for e in some if e.kind != "segment") for some in (events, expected)]
    assert key[0] == key[1]


def test_a_decision_has_the_level_of_its_window() -> None:
    samples = np.concatenate([tone(s, level=level) for s, level in [(8, 0.5), (8, 0.05)]])
    events = pipeline().push([AudioChunk("a", 0, samples, RATE)], last=True)
    decisions = [event for event in events if isinstance(event, Decision) and event.final]
    for event in decisions:
        wanted = 10 * np.log10(np.mean(samples[event.start : event.end].astype(float) ** 2))
        assert event.level_dbfs == pytest.approx(wanted, abs=0.02)
    assert len({event.level_dbfs for event in decisions}) > 4


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2, 6, 8])
def test_a_sine_at_full_scale_has_its_level(rate: int, channels: int) -> None:
    sine = tone(5, rate, hz=997, level=1.0)
    (event,) = levels_of(np.stack([sine] * channels, axis=1), rate)
    assert event.level_dbfs == pytest.approx(-3.01, abs=0.05)
    assert event.channels_dbfs == pytest.approx((-3.01,) * channels, abs=0.05)
    assert event.true_peak_dbtp == pytest.approx(0.0, abs=0.05)
    assert event.correlation == (None if channels == 1 else 1.0)
    assert (event.silence_s, event.dead_channels) == (0.0, ())


def test_silence_for_hours_is_at_the_floor() -> None:
    desk, zeros = Desk(), np.zeros((600 * 1000, 2), np.float32)
    events = [
        event
        for number in range(12)
        for event in desk.push([AudioChunk("a", number * len(zeros), zeros, 1000)])
    ]
    assert len(events) == 2 * 3600 // 5
    for event in (events[0], events[-1]):
        text = event.to_json()
        assert "Infinity" not in text
        assert "NaN" not in text
        assert event.level_dbfs == event.true_peak_dbtp == -120.0
        assert event.momentary_lufs == event.short_term_lufs == (-120.0)
        assert event.integrated_lufs is event.correlation is None
        assert event.silence_s == 5.0
        assert not event.frozen


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, 1e6])
@pytest.mark.parametrize("channels", [slice(None), 0, 1])
def test_samples_that_are_no_numbers_spoil_nothing_behind_them(
    value: float, channels: slice | int
) -> None:
    samples = np.stack([tone(20, 48_000), tone(20, 48_000)], axis=1)
    clean = levels_of(samples, 48_000)
    samples[100_000:100_200, channels] = value
    events = levels_of(samples, 48_000)
    assert all(np.isfinite(json.loads(e.to_json())["level_dbfs"]) for e in events)
    assert [e.level_dbfs for e in events[1:]] == [e.level_dbfs for e in clean[1:]]
    assert [e.true_peak_dbtp for e in events[1:]] == [e.true_peak_dbtp for e in clean[1:]]
    assert [e.momentary_lufs for e in events[1:]] == [e.momentary_lufs for e in clean[1:]]


def test_a_dead_channel_and_opposite_phase_are_told() -> None:
    left = noise(20, 48_000)
    right = left.copy()
    right[5 * 48_000 :] = 0
    right[10 * 48_000 :] = -left[10 * 48_000 :]
    right[15 * 48_000 :] = noise(5, 48_000, seed=1)
    events = levels_of(np.stack([left, right], axis=1), 48_000)
    assert [event.dead_channels for event in events] == [(), (2,), (), ()]
    assert [event.correlation for event in events][:3] == [1.0, None, -1.0]
    assert events[3].correlation == pytest.approx(0.0, abs=0.01)
    assert events[1].channels_dbfs[1] == -120.0


def test_clipping_is_counted_where_samples_stand_at_full_scale() -> None:
    sine = tone(10, 48_000, hz=1000, level=0.99)
    sine[5 * 48_000 :] *= 2
    events = levels_of(np.clip(sine, -1, 1), 48_000)
    assert [event.clipped for event in events] == [0, int((np.abs(sine) >= 1).sum())]
    assert events[1].clipped > 100_000


def test_one_sample_at_full_scale_is_no_clipping() -> None:
    samples = 0.1 * noise(5, 48_000)
    samples[::1000] = 1.0
    (event,) = levels_of(samples, 48_000)
    assert event.clipped == 0
    assert event.true_peak_dbtp >= 0


def test_channels_and_rate_may_change_in_mid_stream() -> None:
    parts = [(16_000, 1), (48_000, 2), (48_000, 1), (8000, 8), (44_100, 2)]
    desk, events, at_s = Desk(), list[Level](), 0.0
    for rate, channels in parts:
        samples = np.stack([tone(3.3, rate, hz=440, level=0.5)] * channels, axis=1)
        events += desk.push([AudioChunk("a", round(at_s * rate), samples, rate)])
        at_s += 3.3
    events += desk.end()
    assert [event.end for event in events] == [5 * RATE, 10 * RATE, 15 * RATE, round(16.5 * RATE)]
    assert all(event.level_dbfs == pytest.approx(-9.03, abs=0.05) for event in events)
    assert [len(event.channels_dbfs) for event in events] == [2, 8, 2, 2]


@pytest.mark.slow
@examples(30)
@given(
    st.sampled_from([8000, 11_025, 44_100, 48_000]),
    st.floats(0.2, 6.3),
    st.floats(0, 7),
    st.integers(0, 1000),
    st.one_of(st.none(), st.floats(0, 1)),
)
def test_what_both_channels_have_is_measured_once_with_the_same_result(
    rate: int, seconds: float, first_s: float, seed: int, odd_at: float | None
) -> None:
    mono = changing(seconds, rate, 1, seed)
    samples, start = np.stack([mono, mono], axis=1), round(first_s * rate)
    if odd_at is not None:  # one sample of one channel, and only its second is measured in full
        samples[min(round(odd_at * len(mono)), len(mono) - 1), 1] += np.float32(1e-4)
    found = levels_of(samples, rate, start=start)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stream.levels.meter._are_equal", lambda left, right: False)
        expected = levels_of(samples, rate, start=start)
    assert len(found) == len(expected)
    for once, twice in zip(found, expected, strict=True):
        # BLAS adds a few rows in another order, in the last bit of float32.
        for name in ("momentary_lufs", "short_term_lufs", "integrated_lufs"):
            assert getattr(once, name) == pytest.approx(getattr(twice, name), abs=0.011)
        lufs = dict.fromkeys(("momentary_lufs", "short_term_lufs", "integrated_lufs"))
        assert replace(once, **lufs) == replace(twice, **lufs)
    assert len(found[0].channels_dbfs) == 2


def test_a_break_ends_the_interval_and_begins_the_loudness_anew() -> None:
    loud, quiet = tone(7.5, level=0.5), tone(6, level=0.005)
    desk = Desk()
    events = desk.push([AudioChunk("a", 0, loud, RATE), AudioChunk("a", 20 * RATE, quiet, RATE)])
    events += desk.end()
    spans = [(event.start / RATE, event.end / RATE) for event in events]
    assert spans == [(0, 5), (5, 7.5), (20, 25), (25, 26)]
    assert events[1].integrated_lufs - events[3].integrated_lufs == pytest.approx(40, abs=0.2)
    assert [event.short_term_lufs is None for event in events] == [False, False, False, False]


def test_the_integrated_loudness_begins_anew_where_it_is_asked_to() -> None:
    samples = np.concatenate([tone(10, level=0.5), tone(10, level=0.05)])
    desk = Desk(integrated_s=10)
    events = desk.push([AudioChunk("a", 0, samples, RATE)])
    begun = [event.integrated_lufs for event in events]
    assert begun[0] == begun[1]
    whole = levels_of(samples)
    # The first 0.3 s after it look back on what was before.
    assert begun[1] - begun[3] > 10 > 4 > begun[1] - whole[3].integrated_lufs


def test_stations_have_levels_of_their_own() -> None:
    desk, chunks = Desk(), []
    for second in range(6):
        for name, level in (("a", 0.5), ("b", 0.05)):
            chunks += chunks_of(tone(1, level=level), station=name, start=second * RATE)
    events = desk.push(chunks)
    assert [(event.station, event.level_dbfs) for event in events] == [("a", -9.03), ("b", -29.03)]
    assert [event.station for event, _ in desk.levels.latest()] == ["a", "b"]


def test_a_fault_is_more_than_what_programmes_have() -> None:
    rate = 48_000
    stereo = np.stack([noise(5, rate), noise(5, rate, seed=1)], axis=1)
    (well,) = levels_of(stereo, rate)
    assert faults_of(well.to_dict()) == []
    touched, cut, silent, turned = (stereo.copy() for _ in range(4))
    touched[1000:1010] = 1
    touched[2000 : 2000 + rate // 2] = 0
    cut[:1000] = 1
    silent[:rate] = 0
    turned[:, 1] = -turned[:, 0]
    for samples, wanted in (
        (touched, []),
        (cut, ["clipped"]),
        (silent, ["digital_silence"]),
        (turned, ["opposite_phase"]),
    ):
        (event,) = levels_of(samples, rate)
        assert faults_of(event.to_dict()) == wanted


EMPTY = {
    "start": 0, "seconds": 0.0, "energy": 0.0, "channels": [], "channels_s": 0.0, "product": 0.0,
    "rate": 0, "peak": 0.0, "momentary": None, "clipped": 0, "silent": 0, "dead": None,
    "frozen": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"done": 10**9}, "levels lies after align"),
        ({"done": -1}, "levels.done"),
        ({"loudness": {"powers": [float("nan")], "histogram": {"first": 0, "counts": []}}},
         "levels.loudness.powers.0"),
        ({"loudness": {"powers": [], "histogram": {"first": 1999, "counts": [1, 1]}}},
         "levels lies beyond its histogram"),
        ({"interval": {**EMPTY, "seconds": 1.0}}, "levels has sums of no audio"),
        ({"interval": {**EMPTY, "seconds": 1e-300, "energy": 1.0}}, "levels has sums of no audio"),
        ({"repetition": {"marks": [2**40], "repeated": 0}}, "levels.repetition.marks.0"),
    ],
)  # fmt: skip
def test_a_snapshot_that_cannot_be_is_refused(change: dict, said: str) -> None:
    one = pipeline()
    one.push([AudioChunk("a", 0, tone(12), RATE)])
    stored = through_json(one.snapshot("a")).to_json()
    Snapshot.from_json(stored)
    with pytest.raises(ValueError, match=said):
        Snapshot.from_json({**stored, "levels": {**stored["levels"], **change}})
