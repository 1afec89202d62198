from __future__ import annotations

import os
import signal

import pytest

from stream.audio import AudioChunk
from stream.pipeline import Pipeline
from stream.runner import Stop, run_source, stop_on_signals
from stream.sources.base import Lost, Resumed
from stream.testing import ListSink, ListSource, chunks_of, programme
from tests.stream.doubles import SMOOTH
from tests.stream.networks import FRONT_END

RATE = 16000


@pytest.fixture
def pipeline(classifier):
    return Pipeline(FRONT_END, classifier, SMOOTH)


def batches(samples, seconds=1):
    return [[chunk] for chunk in chunks_of(samples, seconds * RATE)]


def test_nothing_is_settled_before_it_is_flushed(pipeline):
    sink = ListSink()

    class Strict(ListSource):
        def checkpoint(self, snapshots):
            assert sink.flushed == len(sink.events)
            super().checkpoint(snapshots)

    source = Strict(batches(programme(20)), resumable=True)
    run_source(source, pipeline, [sink], checkpoint_s=1e-9, stop=Stop())
    assert len(source.checkpoints) == 21
    assert source.checkpoints[10]["a"].oldest > 5 * RATE


def test_a_full_sink_gets_the_same_events_again_and_no_other_sink_does(pipeline):
    slow, quick = ListSink(refusals=7), ListSink()
    run_source(
        ListSource(batches(programme(20))), pipeline, [quick, slow], checkpoint_s=9, stop=Stop()
    )
    assert slow.events == quick.events != []


@pytest.mark.parametrize("resumable", [True, False])
def test_stopping_ends_segments_only_where_nobody_can_go_on(pipeline, resumable):
    stop, sink = Stop(), ListSink()
    source = ListSource(batches(programme(60)), resumable=resumable, stop=stop, stop_at=14)
    run_source(source, pipeline, [sink], checkpoint_s=9, stop=stop)
    closed = [e for e in sink.events if e.kind == "segment" and e.final and e.end == 15 * RATE]
    assert bool(closed) is not resumable
    # Who cannot be resumed is spared the snapshots.
    assert list(source.checkpoints[-1]) == ["a"] * resumable


def test_another_process_goes_on(classifier, pipeline):
    samples, stop = programme(40), Stop()
    alone, before, after = ListSink(), ListSink(), ListSink()
    run_source(
        ListSource(batches(samples)),
        Pipeline(FRONT_END, classifier, SMOOTH),
        [alone],
        checkpoint_s=9,
        stop=Stop(),
    )
    first = ListSource(batches(samples), resumable=True, stop=stop, stop_at=21)
    run_source(first, pipeline, [before], checkpoint_s=9, stop=stop)
    snapshots = first.checkpoints[-1]
    again = [b for b in batches(samples) if b[0].end > snapshots["a"].oldest]
    second = ListSource([[Resumed(*each) for each in snapshots.items()], *again], resumable=True)
    run_source(
        second,
        Pipeline(FRONT_END, classifier, SMOOTH),
        [after],
        checkpoint_s=9,
        stop=Stop(),
    )
    ids = [(e.id, e.end) for e in before.events + after.events]
    assert ids == [(e.id, e.end) for e in alone.events]


def test_a_lost_station_is_forgotten_without_a_word(pipeline):
    sink = ListSink()
    source = ListSource([*batches(programme(12)), [Lost("a")]])
    run_source(source, pipeline, [sink], checkpoint_s=9, stop=Stop())
    assert not any(e.kind == "segment" and e.final for e in sink.events)


def test_a_signal_requests_a_stop_and_the_next_one_is_pythons_again():
    # Whoever is started in the background by a shell has Ctrl-C switched off.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_an_end_is_published_before_it_is_settled(pipeline):
    end = AudioChunk("a", 20 * RATE, programme(0), RATE, ends="idle")
    audio = [*batches(programme(20)), [end], [Lost("a")]]
    sink = ListSink()

    class Strict(ListSource):
        def checkpoint(self, snapshots):
            if len(self.checkpoints) == 20:  # that of the end
                assert any(e.kind == "segment" and e.final for e in sink.events)
            super().checkpoint(snapshots)

    source, stop = Strict(audio, resumable=True), Stop()
    run_source(source, pipeline, [sink], checkpoint_s=1e-9, stop=stop)
    assert source.checkpoints[-3]["a"].to_json()["align"] == 20 * RATE
    assert source.checkpoints[-3]["a"].to_json()["smooth"] is None
    assert "a" not in pipeline.sessions


@pytest.mark.parametrize("size", [4, 100])
def test_how_items_are_divided_into_lists_changes_nothing(classifier, size):
    chunks = [chunk for batch in batches(programme(40)) for chunk in batch]
    other = Pipeline(FRONT_END, classifier, SMOOTH)
    other.push(chunks[:25])
    snapshot = other.snapshot("a")
    again = [chunk for chunk in chunks if chunk.end > snapshot.oldest]
    items = [*chunks[:15], Lost("a"), Resumed("a", snapshot), *again]
    events = []
    for n in (1, size):
        source, sink = ListSource([items[k : k + n] for k in range(0, len(items), n)]), ListSink()
        pipeline = Pipeline(FRONT_END, classifier, SMOOTH)
        run_source(source, pipeline, [sink], checkpoint_s=9, stop=Stop())
        events.append([event.to_json() for event in sink.events])
    assert events[0] == events[1]
    assert not any(e.kind == "decision" and 11 * RATE < e.start < 20 * RATE for e in sink.events)
