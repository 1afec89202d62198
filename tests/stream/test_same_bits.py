"""Published events have the same bytes for any chunks, batches and restarts."""

from __future__ import annotations

import itertools
import json
import re
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift import config
from airsift.build import build_pipeline
from model import units
from stream.audio import AudioChunk
from stream.events import Decision
from stream.pipeline import Pipeline
from stream.testing import chunks_of, music_like, programme, speech_like
from tests.examples import examples
from tests.stream.doubles import SMOOTH
from tests.stream.networks import FRONT_END, shipped, shipped_voice
from tests.stream.restarts import through_json

RATE = 16000
SECONDS = 40


def make():
    return Pipeline(FRONT_END, shipped(), SMOOTH, voice=shipped_voice())


def chunks(programme, station, rate, seconds=20, n_s=0.5):
    times = np.arange(seconds * rate) / rate * RATE
    samples = programme(seconds, seed=hash(station) % 7)
    if rate != RATE:
        samples = np.interp(times, np.arange(len(samples)), samples).astype(np.float32)
    return chunks_of(samples, round(n_s * rate), station=station, rate=rate)


def lines(events):
    return sorted({repr(event) for event in events})


@pytest.mark.slow
@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("at", [14, 31])
def test_a_restart_that_catches_up_in_one_batch_moves_no_byte(rate, at):
    mine = chunks(programme, "a", rate)
    alone = make()
    expected = [event for chunk in mine for event in alone.push([chunk])]
    first, second = make(), make()
    out = [event for chunk in mine[:at] for event in first.push([chunk])]
    snapshot = through_json(first.snapshot("a"))
    second.restore("a", snapshot)
    again = [chunk for chunk in mine if chunk.end * RATE > snapshot.oldest * rate]
    assert (at * rate // 2 - again[0].start) / rate < 10
    others = [c for name in "bcd" for c in chunks(programme, name, RATE, n_s=0.31)]
    out += [event for event in second.push([*others, *again]) if event.station == "a"]
    assert lines(out) == lines(expected)


def station_of(station, rate, start=0):
    """Return syllables, noise with them, music, then nothing: something of every kind."""
    seed = ord(station)
    t = np.arange(SECONDS * rate) / rate
    hiss = np.random.default_rng(seed).standard_normal(20 * rate)
    samples = np.zeros(len(t), np.float32)
    samples[: 20 * rate] = speech_like(20, rate, seed=seed)
    samples[: 20 * rate] += 0.02 * hiss * (np.sin(2 * np.pi * t[: 20 * rate] / 19) > 0.5)
    samples[20 * rate : 34 * rate] = music_like(14, rate, seed=seed)
    return AudioChunk(station, start, samples, rate)


@cache
def programmes():
    # Station, rate and first sample: on the grid of steps, off it, and of another rate.
    return {
        "a": station_of("a", 16000), "b": station_of("b", 16000, 4_321_987),
        "c": station_of("c", 44100, 441_000), "d": station_of("d", 8000, 77),
    }  # fmt: skip


@pytest.fixture(scope="module")
def expected():
    """Return the events of each programme alone, in one piece."""
    return {name: lines(make().push([p], last=True)) for name, p in programmes().items()}


def pieces_of(whole, cuts):
    edges = [0, *sorted({int(cut * len(whole.samples)) for cut in cuts} - {0}), len(whole.samples)]
    return [
        AudioChunk(whole.station, whole.start + a, whole.samples[a:b], whole.rate)
        for a, b in itertools.pairwise(edges)
    ]


@pytest.mark.long
@examples(15)
@given(st.data())
def test_cuts_batches_and_restarts_move_no_byte(expected, data):
    """Any stations together, each cut anywhere, in pushes of any size, restarted between them."""
    fraction = st.floats(0, 1, exclude_max=True)
    chosen = data.draw(st.sets(st.sampled_from("abcd"), min_size=1).map(sorted))
    pieces = [
        piece
        for name in chosen
        for piece in pieces_of(programmes()[name], data.draw(st.lists(fraction, max_size=12)))
    ]
    pieces.sort(key=lambda p: (p.end - programmes()[p.station].start) / p.rate)
    pushes = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=6))
    restart_after = data.draw(st.integers(0, len(pieces)))
    stage, events, done = make(), [], 0
    for size in itertools.cycle(pushes):
        if done >= len(pieces):
            break
        events += stage.push(pieces[done : done + size])
        before, done = done, done + size
        if before < restart_after <= done:
            stage, again = restarted(stage, pieces[:done])
            events += stage.push(again)
    events += stage.push([], last=True)
    assert lines(events) == sorted(line for name in chosen for line in expected[name])


def restarted(stage, pieces):
    """Return a new pipeline that goes on from the snapshots of one, and what it must be given."""
    other, again = make(), []
    for station in {piece.station for piece in pieces}:
        snapshot = through_json(stage.snapshot(station))
        other.restore(station, snapshot)
        again += [
            p for p in pieces if p.station == station and p.end * RATE > snapshot.oldest * p.rate
        ]
    return other, again


@pytest.mark.slow
def test_the_programmes_cover_all_kinds_of_events(expected):
    printed = "".join(line for all_lines in expected.values() for line in all_lines)
    assert len(set(re.findall(r"label='(\w+)'", printed))) >= 3
    assert "final=True" in printed
    assert "voice_odds=None" in printed
    assert re.search(r"voice_odds=-?\d", printed)


@pytest.mark.slow
def test_what_is_decided_by_is_what_is_published():
    events = make().push([programmes()["a"]], last=True)
    decisions = [d for d in events if isinstance(d, Decision) and d.final]
    assert len(decisions) == SECONDS - 4
    for decision in decisions:
        row = json.loads(decision.to_json())
        assert (row["p_speech"], row["p_music"]) == (decision.p_speech, decision.p_music)
        numbers = [decision.p_speech, decision.p_music]
        numbers += [p for frame in decision.boundary_frames for p in frame[1:]]
        assert numbers == [round(p, 4) for p in numbers]


@pytest.mark.slow
def test_where_rows_change_each_other_they_are_computed_alone(monkeypatch, caplog):
    monkeypatch.setattr(units, "checked_sizes", lambda *_: (1,))
    settings = config.load(environ={}).config
    pipeline = build_pipeline(settings, ready=True)
    lines_of = [record.getMessage() for record in caplog.records if record.name == "model.units"]
    for name in ("columns", "embed", "predict"):
        assert any(f"{name} computed one step" in line for line in lines_of)
    chunks = [chunk for name in "ab" for chunk in pieces_of(programmes()[name], [0.3, 0.55, 0.8])]
    together = pipeline.push(chunks, last=True)
    one_by_one = [event for chunk in chunks for event in pipeline.push([chunk])]
    one_by_one += pipeline.push([], last=True)
    assert lines(together) == lines(one_by_one)


def test_no_warning_where_the_law_holds(caplog):
    build_pipeline(config.load(environ={}).config, ready=True)
    warnings = [record for record in caplog.records if record.name == "model.units"]
    assert bool(warnings) == bool(FRONT_END.unbatched() + shipped().unbatched())
