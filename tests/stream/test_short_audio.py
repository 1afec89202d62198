"""Audio of less than a window: what is decided about it, and that each sample has a decision."""

from __future__ import annotations

import itertools
import json
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from model.classifier import Classifier
from model.networks import presets
from model.spec import ModelSpec
from model.torch_backend import TorchClassifier
from stream.audio import AudioChunk, end_of
from stream.events import Decision, Gap, Level, Segment
from stream.offline import ClipClassifier
from stream.pipeline import Pipeline
from stream.runner import Stop, run_source
from stream.sources.file import FileSource
from stream.sources.microphone import BlockQueue
from stream.testing import ListSink, ListSource, chunks_of, music_like, programme, write_wav
from tests.examples import examples
from tests.stream.doubles import SMOOTH, LoudnessClassifier
from tests.stream.networks import FRONT_END, shipped
from tests.stream.restarts import make, through_json

RATE = 16_000
HOP = 320
HALF = RATE // 2
AUDIO = programme(12)
# Samples of a station's count at which audio begins: on a step, on a column, anywhere.
STARTS = st.one_of(st.just(0), st.integers(0, 50).map(HOP.__mul__), st.integers(0, 10**6))


def decisions(events):
    return [event for event in events if isinstance(event, Decision)]


def without_levels(events):
    return [event for event in events if not isinstance(event, Level)]


def published(events):
    """Return the events as subscribers have them, each as often as it came, in order of content."""
    return sorted(event.to_json() for event in events)


def check_early(events, *, over=True):
    """Check that each early decision is alone with its id, and that one final one replaces it."""
    early = {}
    closed = set()
    for decision in decisions(events):
        assert decision.id not in closed
        if decision.final:
            closed.add(decision.id)
            if decision.id in early:
                assert decision.end >= early[decision.id].end
        else:
            assert decision.id not in early
            assert 1.48 * RATE < decision.end - decision.start < 2.5 * RATE
            early[decision.id] = decision
    assert early.keys() <= closed or not over
    return early


@examples(60)
@given(STARTS, st.integers(HALF, 9 * RATE))
def test_every_sample_lies_in_a_final_decision_and_a_segment(start, length):
    events = make().push([AudioChunk("a", start, AUDIO[:length], RATE)], last=True)
    final = [d for d in decisions(events) if d.final]
    reached = -(-start // HOP) * HOP  # columns begin there
    for decision in final:
        assert decision.start <= reached
        reached = max(reached, decision.end)
        assert HALF - HOP < decision.end - decision.start <= 5 * RATE
    assert reached == start + length
    segments = [e for e in events if isinstance(e, Segment) and e.final]
    assert (segments[0].start, segments[-1].end) == (final[0].start, start + length)
    assert all(a.end == b.start for a, b in itertools.pairwise(segments))
    assert check_early(events) or length < 2.5 * RATE


@examples(20)
@given(STARTS, st.integers(1, HALF - HOP))
def test_less_than_half_a_second_has_no_event_but_its_level(start, length):
    events = make().push([AudioChunk("a", start, AUDIO[:length], RATE)], last=True)
    assert without_levels(events) == []


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("seconds", [0.5, 1.2, 4.99])
def test_half_a_second_is_enough_at_any_rate(rate, seconds):
    samples = music_like(6, rate)[: round(seconds * rate)]
    events = make().push([AudioChunk("a", 0, samples, rate)], last=True)
    (final,) = [d for d in decisions(events) if d.final]
    assert (final.start, final.end) == (0, round(seconds * RATE))


@pytest.mark.slow
@examples(40)
@given(
    start=STARTS,
    parts=st.lists(
        st.tuples(st.integers(1, 7 * RATE), st.integers(0, 2 * RATE)), min_size=1, max_size=3
    ),
    cuts=st.lists(st.integers(1, 20 * RATE), max_size=12),
    stops=st.sets(st.integers(0, 14), max_size=3),
)
# A window that begins within a second, behind a gap: its level is of all that second has.
@example(start=0, parts=[(1, 5073), (10_926, 0)], cuts=[], stops={0, 1})
# Audio behind a gap that ends as near as the ends of windows and seconds may lie apart.
@example(start=0, parts=[(7681, 1), (9, 0)], cuts=[], stops=set())
@example(start=5074, parts=[(10_926, 0)], cuts=[5000], stops={0, 1})
@example(start=5074, parts=[(40_000, 3001), (20_000, 0)], cuts=[5000, 12_000], stops={1, 2, 3})
def test_cuts_gaps_and_restarts_change_no_event_and_no_count(start, parts, cuts, stops):
    """A restart goes on where the snapshot says, so even an early decision comes once."""
    log, at = [], start
    for length, silence in parts:
        log.append(AudioChunk("a", at, AUDIO[:length], RATE))
        at += length + silence
    expected = make().push(log, last=True)
    check_early(expected)
    pieces = [
        piece for chunk in log for piece in chunks_of(chunk.samples, cuts=cuts, start=chunk.start)
    ]
    pipeline, out = make(), []
    for number, piece in enumerate(pieces):
        out += pipeline.push([piece])
        check_early(out, over=False)
        if number in stops:
            snapshot = through_json(pipeline.snapshot("a"))
            pipeline = make()
            assert pipeline.restore("a", snapshot)
            again = [c for c in pieces[: number + 1] if c.end > snapshot.oldest]
            out += pipeline.push(again)
    out += pipeline.push([], last=True)
    assert published(out) == published(expected)


@pytest.mark.parametrize("came_s", [2.3, 3, 4.5])
def test_an_early_decision_whose_audio_is_lost_becomes_final_as_it_was(came_s):
    first, second = make(), make()
    before = first.push([AudioChunk("a", 0, AUDIO[: round(came_s * RATE)], RATE)])
    (early,) = decisions(before)
    second.restore("a", through_json(first.snapshot("a")))
    late, segment = without_levels(second.push([end_of("a", RATE)]))
    assert (segment.start, segment.end) == (0, round(came_s * RATE))
    assert (late.id, late.end, late.final) == (early.id, early.end, True)
    assert (late.p_speech, late.p_music) == (early.p_speech, early.p_music)
    assert second.push([], last=True) == []


def test_a_file_of_a_jingle_has_one_decision_and_one_segment(tmp_path):
    path = write_wav(tmp_path / "jingle.wav", music_like(1.2, seed=3))
    sink = ListSink()
    pipeline = Pipeline(FRONT_END, shipped(), SMOOTH)
    with closing(FileSource(path)) as source:
        run_source(source, pipeline, [sink], checkpoint_s=60.0, stop=Stop())
    decision, segment = sink.events
    assert isinstance(decision, Decision)
    assert (decision.start, decision.end, decision.final) == (0, 19_200, True)
    assert isinstance(segment, Segment)
    assert (segment.start, segment.end, segment.final) == (0, 19_200, True)
    row = json.loads(decision.to_json())
    p = row["p_speech"], row["p_music"]
    assert row["confidence"] == pytest.approx(max(p[0], 1 - p[0]) * max(p[1], 1 - p[1]), abs=6e-4)


def test_a_microphone_that_is_stopped_after_3_s_has_an_early_and_a_final_decision():
    """It counts from 0; at 2 s and the front end's latency the first decision is there."""
    blocks = BlockQueue("microphone", 48_000, 1000)
    samples = music_like(3, 48_000)
    pushes = []
    for at in range(0, len(samples), 480):
        blocks.put(samples[at : at + 480, None], at / 48_000, 0.0, False)
        pushes.append(blocks.read(0))
    pipeline = make()
    latency_s = FRONT_END.latency / RATE
    heard_s = []

    class Listening(ListSink):
        def write(self, events):
            if events and not heard_s:
                heard_s.append(pipeline.sessions["microphone"].align.next / 48_000)
            super().write(events)

    sink = Listening()
    run_source(ListSource(pushes), pipeline, [sink], checkpoint_s=60.0, stop=Stop())
    early, final, segment = without_levels(sink.events)
    assert (early.start, early.end, early.final) == (0, 2 * RATE, False)
    assert 2 + latency_s <= heard_s[0] <= 2 + latency_s + 0.15
    assert (final.start, final.end, final.final) == (0, 3 * RATE, True)
    assert final.id == early.id
    assert (segment.start, segment.end, segment.final) == (0, 3 * RATE, True)


def test_audio_between_gaps_is_judged_on_its_own():
    log = [AudioChunk("a", k * 2 * RATE, AUDIO[:RATE], RATE) for k in range(3)]
    events = make().push(log, last=True)
    spans = [(k * 2 * RATE, k * 2 * RATE + RATE) for k in range(3)]
    assert [(d.start, d.end) for d in decisions(events)] == spans
    assert [(s.start, s.end) for s in events if isinstance(s, Segment)] == spans
    assert len([e for e in events if isinstance(e, Gap)]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["slim", "report2015"])
@pytest.mark.parametrize("start", [0, 5000])
def test_a_network_of_other_frames_judges_short_audio_too(name, start):
    torch.manual_seed(1)
    network = presets.make(name, 2).eval()
    spec = ModelSpec(
        context_columns=network.context, stride_columns=network.stride,
        frame_size=network.frame_size, moments=0,
    )  # fmt: skip
    pipeline = Pipeline(FRONT_END, TorchClassifier(Classifier(network, spec)), SMOOTH)
    for seconds in (0.5, 3, 6.3):
        samples = AUDIO[: round(seconds * RATE)]
        events = pipeline.push([AudioChunk("a", start, samples, RATE)], last=True)
        assert decisions(events)[-1].end == start + len(samples)
        assert all(np.isfinite([d.p_speech, d.p_music]).all() for d in decisions(events))
        check_early(events)


@examples(15)
@given(st.integers(1, 12 * RATE))
def test_windows_of_a_file_cover_it(length):
    clips = ClipClassifier(FRONT_END, LoudnessClassifier())
    with tempfile.TemporaryDirectory() as folder:
        path = write_wav(Path(folder) / "a.wav", AUDIO[:length])
        with closing(FileSource(path)) as source:
            windows = list(clips.windows(source))
    ends = [*range(5 * RATE, length + 1, 5 * RATE)]
    ends += [length] if length % (5 * RATE) >= HALF else []
    assert [window.end for window in windows] == ends
    assert [window.start for window in windows] == [
        end - 1 - (end - 1) % (5 * RATE) for end in ends
    ]
