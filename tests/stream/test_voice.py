from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import SpecMismatch
from stream.audio import AudioChunk, Discontinuity, EndOfStream
from stream.events import Decision, Segment
from stream.pipeline import Pipeline
from stream.stages.features import Columns
from stream.stages.smooth import Smooth
from stream.stages.voice import Voice
from stream.testing import chunks_of
from tests.examples import examples
from tests.stream.doubles import SMOOTH, Treble
from tests.stream.networks import FRONT_END, shipped_voice
from tests.stream.restarts import through_json

RATE = 16000
VOICE = shipped_voice()
VALUES = np.random.default_rng(3).random((50 * 110, 144), np.float32) * 12


def voice() -> Voice:
    treble = Treble()
    return Voice(treble, treble.spec)


def decisions(text: str, first: int = 0, station: str = "a") -> list[Decision]:
    """Return one decision a second: s, m, b (both) or . (neither)."""
    p = {"s": (0.95, 0.05), "m": (0.05, 0.95), "b": (0.95, 0.95), ".": (0.05, 0.05)}
    return [
        Decision(station, k * RATE, (k + 5) * RATE, RATE, None, *p[c])
        for k, c in enumerate(text, first)
    ]


def columns(first: int, last: int, station: str = "a") -> Columns:
    return Columns(station, 50 * first, VALUES[50 * first : 50 * last])


def predicted(items: list[object]) -> list[int]:
    return [d.start // RATE for d in items if isinstance(d, Decision) and d.voice_odds is not None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # second    0    5   10   15   20   25
        ("ssssssssssssssssssssssssss", [2, 22]),
        ("ssmmssssssssssssssssssssssssmsss", [6, 26, 31]),
        ("bbbbbbss........", []),
        ("ss.ss.ss.sss....", [11]),
    ],
)
def test_the_third_window_of_a_speech_streak_and_every_twentieth_are_predicted(text, expected):
    out = voice().push([columns(0, len(text) + 4), *decisions(text)])[1:]
    assert predicted(out) == expected
    assert [replace(d, voice_odds=None) for d in out] == decisions(text)


def test_a_window_is_predicted_from_its_own_columns():
    out = voice().push([columns(0, 14), *decisions("s" * 10)])[1:]
    window = VALUES[100:350]
    mean = float((window[:, 72:] - window[:, :72]).mean())
    expected = math.log1p(math.exp(mean)) - math.log1p(math.exp(-mean))
    assert out[2].voice_odds == pytest.approx(expected, abs=1e-3)


@examples(40)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.booleans())
def test_any_cutting_gives_the_same_odds(lengths, broken):
    """Pushes of whole seconds; a decision comes with the last of its columns."""
    total, text = sum(lengths), "ssmsssss.ssbssssssssssssssssssssssssssmmsssss" * 3
    cut = [EndOfStream("a", total * RATE, RATE)] if broken else []
    emitted = decisions(text[: max(total - 4, 0)])
    whole = voice().push([columns(0, total), *emitted, *cut])[1:]
    stage, out, at = voice(), [], 0
    for n in lengths:
        known = max(at - 4, 0)
        new = emitted[known : max(at + n - 4, 0)]
        end = cut if at + n == total else []
        out += stage.push([columns(at, at + n), *new, *end])[1:]
        at += n
    assert out == whole


def test_a_new_session_in_the_same_push_has_its_own_columns():
    other = Columns("a", 500, VALUES[1000:1350])
    cut = Discontinuity("a", 6 * RATE, 10 * RATE, RATE, "missing")
    items = [columns(0, 6), *decisions("ss"), cut, other, *decisions("sss", 10)]
    out = voice().push(items)
    alone = voice().push([other, *decisions("sss", 10)])
    assert predicted(out) == [12]
    assert out[4:] == alone


def test_stations_in_one_push_do_not_mix():
    names = [f"s{k}" for k in range(20)]
    stage = voice()
    items = [columns(5 * k, 5 * k + 7, name) for k, name in enumerate(names)]
    items += [d for k, name in enumerate(names) for d in decisions("sss", 5 * k, name)]
    together = stage.push(items)[len(names) :]
    assert stage.classifier.windows == 20
    for k, name in enumerate(names):
        alone = voice().push([columns(5 * k, 5 * k + 7, name), *decisions("sss", 5 * k, name)])
        assert together[3 * k + 2] == alone[3]


def test_an_hour_without_a_cut_keeps_seconds():
    stage = voice()
    for k in range(300):
        values = Columns("a", 50 * k, VALUES[:50])
        stage.push([values, *(decisions("m", k - 4) if k >= 4 else [])])
    stored = sum(len(span.values) for span in stage.sessions["a"].voice.spans)
    # No window before the third from here can be the third of a streak.
    assert stored == 100


@examples(60)
@given(st.text("sm", min_size=12, max_size=70))
def test_all_columns_of_a_window_are_there_when_it_is_due(text):
    """Columns come a second at a time, so those that are dropped too early are missing."""
    treble = Treble()
    stage, found = Voice(treble, treble.spec), []
    for k in range(len(text) + 4):
        new = decisions(text[k - 4], k - 4) if k >= 4 else []
        found += stage.push([columns(k, k + 1), *new])[1:]
    expected = Voice(treble, treble.spec).push([columns(0, len(text) + 4), *decisions(text)])[1:]
    assert found == expected


def test_networks_of_other_columns_are_refused():
    with pytest.raises(SpecMismatch, match="hop=160"):
        Voice(Treble(hop=160), Treble().spec)


def odds(values: list[float | None]) -> list[Decision]:
    return [
        replace(decision, voice_odds=value)
        for decision, value in zip(decisions("s" * len(values)), values, strict=True)
    ]


def last_segment(items: list[Decision]) -> Segment:
    end = items[-1].end
    emitted = Smooth(SMOOTH).push([*items, EndOfStream("a", end, RATE)])
    return [item for item in emitted if isinstance(item, Segment)][-1]


@pytest.mark.parametrize(
    ("values", "expected", "score"),
    [
        ([2.0, None, None, None, None, 4.0], "female", 1 / (1 + math.exp(-3))),
        ([-2.0, None, None, None, None, -1.0], "male", 1 / (1 + math.exp(-1.5))),
        ([2.0, None, None, None, None, -1.8], None, 1 / (1 + math.exp(-0.1))),
        ([None] * 6, None, None),
    ],
)
def test_a_segment_has_the_mean_of_its_windows(values, expected, score):
    segment = last_segment(odds(values))
    assert segment.voice == expected
    assert segment.voice_score == (None if score is None else round(score, 3))
    reported = segment.to_dict()
    assert (reported["voice"], reported["voice_score"]) == (expected, segment.voice_score)


def test_a_segment_that_is_not_speech_has_no_voice():
    music = [replace(d, voice_odds=3.0) for d in decisions("m" * 8)]
    assert last_segment(music).voice_score is None


def test_each_segment_has_the_windows_within_it():
    items = [*decisions("s" * 10), *decisions("m" * 10, 10), *decisions("s" * 10, 20)]
    items[0] = replace(items[0], voice_odds=3.0)
    items[25] = replace(items[25], voice_odds=-3.0)
    end = 34 * RATE
    emitted = Smooth(SMOOTH).push([*items, EndOfStream("a", end, RATE)])
    finals = [item for item in emitted if isinstance(item, Segment) and item.final]
    assert [(s.label, s.voice) for s in finals] == [
        ("speech", "female"), ("music", None), ("speech", "male"),
    ]  # fmt: skip


@examples(30)
@given(st.lists(st.sampled_from([None, None, -4.0, 3.0]), min_size=2, max_size=40), st.data())
def test_a_snapshot_carries_the_voice_streak(values, data):
    items = [*odds(values), EndOfStream("a", 10**9, RATE)]
    at = data.draw(st.integers(1, len(values)))
    stage, other = Smooth(SMOOTH), Smooth(SMOOTH)
    first = stage.push(items[:at])
    other.restore(other.sessions["a"], stage.snapshot(stage.sessions["a"]))
    assert first + other.push(items[at:]) == Smooth(SMOOTH).push(items)


@pytest.mark.long
@pytest.mark.parametrize("at", [6, 9, 18, 27, 34])
def test_a_restarted_pipeline_reports_the_same_voice(classifier, at):
    def make() -> Pipeline:
        return Pipeline(FRONT_END, classifier, SMOOTH, voice=VOICE)

    t = np.arange(40 * RATE) / RATE
    speech = (t < 13) | (t > 21)
    tones = sum(np.sin(2 * np.pi * np.where(speech, f, 10 * f) * t) for f in (150, 210, 300, 440))
    samples = (0.01 * (1 + t) * tones).astype(np.float32)
    chunks = chunks_of(samples, RATE)
    whole = finals(make().push(chunks, last=True))
    reported = [segment[2] is not None for segment in whole]
    assert reported[0]
    assert reported[-1]
    assert not all(reported)
    first, second = make(), make()
    early = finals(first.push(chunks[:at]))
    snapshot = through_json(first.snapshot("a"))
    second.restore("a", snapshot)
    rest = samples[snapshot.oldest :]
    late = finals(second.push([AudioChunk("a", snapshot.oldest, rest, RATE)], last=True))
    assert early + late == whole


def finals(events: list[object]) -> list[tuple[int, int, float | None]]:
    return [(e.start, e.end, e.voice_score) for e in events if isinstance(e, Segment) and e.final]


def test_noise_has_no_voice(classifier):
    samples = np.zeros(20 * RATE, np.float32)
    treble = Treble()
    pipeline = Pipeline(FRONT_END, classifier, SMOOTH, voice=treble)
    pipeline.push([AudioChunk("a", 0, samples, RATE)], last=True)
    assert treble.windows == 0
    assert not pipeline.sessions
