from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import SpecMismatch
from stream.audio import AudioChunk
from stream.events import Decision, Gap, Segment
from stream.offline import ClipClassifier
from stream.pipeline import Pipeline
from stream.snapshot import StoredSnapshot
from stream.testing import chunks_of, programme
from tests.examples import examples
from tests.stream.doubles import SMOOTH
from tests.stream.networks import FRONT_END
from tests.stream.restarts import through_json

RATE = 16000


@pytest.fixture(scope="session")
def make(classifier):
    return lambda: Pipeline(FRONT_END, classifier, SMOOTH)


def rounded(events):
    """Return events as subscribers see them, with scores to the precision that is promised."""
    out = []
    for event in events:
        values = event.to_dict()
        for key in ("p_speech", "p_music", "score"):
            if key in values:
                values[key] = round(values[key], 2)
        out.append(values)
    return sorted(
        out, key=lambda v: (v["station"], v["schema"], v["start_sample"], v["end_sample"])
    )


@pytest.mark.long
@examples(12)
@given(st.lists(st.integers(1, 40 * RATE), max_size=25), st.integers(1, 5))
def test_however_the_audio_is_cut_the_events_are_the_same(make, points, size):
    samples = programme(40)
    whole = make()
    expected = whole.push(chunks_of(samples), last=True)
    one, chunks, out = make(), chunks_of(samples, cuts=points), []
    for first in range(0, len(chunks), size):
        out += one.push(chunks[first : first + size])
    out += one.push([], last=True)
    assert rounded(out) == rounded(expected)
    assert len([e for e in expected if isinstance(e, Segment) and e.final]) >= 3


def test_later_audio_changes_nothing_final(make):
    samples = programme(60)
    finals = [
        [e for e in make().push([AudioChunk("a", 0, samples[: n * RATE], RATE)]) if is_final(e)]
        for n in (30, 60)
    ]
    assert rounded(finals[1])[: len(finals[0])] == rounded(finals[0])
    assert finals[0]


def is_final(event):
    return isinstance(event, Segment) and event.final


@pytest.mark.parametrize(("rate", "seconds"), [(16000, 7), (44100, 3), (48000, 10), (8000, 2)])
def test_silence_in_front_moves_everything_by_its_length(make, rate, seconds):
    samples = np.repeat(programme(25), 3)[: 25 * rate] if rate != RATE else programme(25)
    plain = make().push([AudioChunk("a", 0, samples, rate)], last=True)
    later = make().push([AudioChunk("a", seconds * rate, samples, rate)], last=True)
    shift = seconds * RATE
    assert [event.to_dict() for event in later] == [
        replace(event, start=event.start + shift, end=event.end + shift).to_dict()
        for event in plain
    ]
    assert {event.kind for event in plain} == {"decision", "segment"}


def test_silence_has_no_speech_and_no_music(make):
    events = make().push([AudioChunk("a", 0, np.zeros(20 * RATE, np.float32), RATE)], last=True)
    assert {e.label for e in events if isinstance(e, Segment)} == {"other"}


def test_a_gap_closes_the_segment_and_is_reported(make):
    samples = programme(20)
    events = make().push(
        [
            AudioChunk("a", 0, samples, RATE),
            AudioChunk("a", 30 * RATE, samples, RATE, gap_reason="reconnect"),
        ],
        last=True,
    )
    gaps = [e for e in events if isinstance(e, Gap)]
    assert [(g.start, g.end, g.reason) for g in gaps] == [(20 * RATE, 30 * RATE, "reconnect")]
    for segment in filter(is_final, events):
        assert segment.end <= 20 * RATE or segment.start >= 30 * RATE
    assert any(s.end == 20 * RATE for s in filter(is_final, events))
    assert any(s.start == 30 * RATE for s in filter(is_final, events))


def test_stations_in_one_push_are_as_each_alone(make):
    audio = {f"s{k}": programme(16, seed=k) for k in range(5)}
    chunks = [AudioChunk(name, 0, samples, RATE) for name, samples in audio.items()]
    together = make().push(chunks, last=True)
    for chunk in chunks:
        mine = [e for e in together if e.station == chunk.station]
        assert rounded(mine) == rounded(make().push([chunk], last=True))


def test_the_end_leaves_the_pipeline_as_new(make):
    one, chunk = make(), AudioChunk("a", 0, programme(15), RATE)
    assert rounded(one.push([chunk], last=True)) == rounded(one.push([chunk], last=True))


def test_events_carry_the_time_of_the_source(make):
    events = make().push([AudioChunk("a", 0, programme(12), RATE, time=0.0)], last=True)
    assert [e.to_dict()["time"] for e in events if isinstance(e, Decision) and e.final][:2] == [
        "1970-01-01T00:00:00.000Z",
        "1970-01-01T00:00:01.000Z",
    ]


@pytest.mark.long
@examples(8)
@given(st.integers(1, 79))
def test_a_restart_anywhere_repeats_nothing_and_loses_nothing(make, at):
    samples = programme(40)
    chunks = [
        AudioChunk("a", n, samples[n : n + RATE // 2], RATE, time=5.0 + n / RATE)
        for n in range(0, len(samples), RATE // 2)
    ]
    expected = make().push(chunks, last=True)
    first, second = make(), make()
    out = first.push(chunks[:at])
    snapshot = through_json(first.snapshot("a"))
    assert len(snapshot.data) < 3000
    second.restore("a", snapshot)
    again = [chunk for chunk in chunks if chunk.end > snapshot.oldest]
    assert (at * RATE // 2) - again[0].start < 7 * RATE
    out += second.push(again, last=True)
    assert rounded(out) == rounded(expected)


@pytest.mark.parametrize(("rate", "ms"), [(44100, 20), (44100, 40), (48000, 20), (16000, 10)])
def test_a_restart_after_the_very_first_chunk_loses_nothing(make, rate, ms):
    times = np.arange(12 * rate) / rate * RATE
    samples = np.interp(times, np.arange(12 * RATE), programme(12)).astype(np.float32)
    n = rate * ms // 1000
    chunks = chunks_of(samples, n, rate=rate)
    first, second = make(), make()
    events = first.push(chunks[:1])
    snapshot = through_json(first.snapshot("a"))
    second.restore("a", snapshot)
    again = [chunk for chunk in chunks if chunk.end * RATE > snapshot.oldest * rate]
    events += second.push(again, last=True)
    assert {e.id for e in events} == {e.id for e in make().push(chunks, last=True)}


def test_a_snapshot_of_another_version_begins_anew(make):
    one = make()
    one.restore("a", StoredSnapshot(b'{"version":99}', 0))
    chunk = AudioChunk("a", 0, programme(12), RATE)
    assert rounded(one.push([chunk], last=True)) == rounded(make().push([chunk], last=True))


def test_a_forgotten_station_emits_nothing_more(make):
    one = make()
    one.push([AudioChunk("a", 0, programme(12), RATE)])
    one.forget("a")
    assert one.push([], last=True) == []


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(0, 2)), max_size=6),
    st.floats(1e9, 2e9),
)
@examples(10)
def test_after_the_end_of_all_streams_a_pipeline_is_as_new(make, parts, unix):
    used, fresh, at = make(), make(), {"a": 0, "b": 0}
    for station, seconds, silence in parts:
        at[station] += silence * RATE
        samples = np.full(seconds * RATE, 0.1, np.float32)
        used.push([AudioChunk(station, at[station], samples, RATE, unix + at[station] / RATE)])
        at[station] += len(samples)
    used.push([], last=True)
    for station in "ab":
        assert used.snapshot(station) == fresh.snapshot(station)
    later = [AudioChunk("a", 0, np.zeros(7 * RATE, np.float32), RATE, unix + 1000)]
    again, first = used.push(later, last=True), fresh.push(later, last=True)
    assert [event.to_json() for event in again] == [event.to_json() for event in first]
    assert first[0].time == unix + 1000


@pytest.mark.parametrize(
    "fact", ["sample_rate", "hop", "n_bins", "bins_per_octave", "fmin_hz", "compression"]
)
def test_a_network_of_other_columns_is_refused(classifier, fact):
    spec = replace(classifier.spec, **{fact: getattr(classifier.spec, fact) * 2})
    with pytest.raises(SpecMismatch, match=rf"front end has {fact}=\S+ \(the model has"):
        Pipeline(FRONT_END, SimpleNamespace(spec=spec), SMOOTH)
    with pytest.raises(SpecMismatch, match=rf"front end has {fact}="):
        ClipClassifier(FRONT_END, SimpleNamespace(spec=spec))
