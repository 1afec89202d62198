"""Labels of your own: a second network beside the one of speech and music."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import SpecMismatch
from model.spec import ModelSpec
from model.units import Array
from stream.audio import AudioChunk, EndOfStream
from stream.events import Decision, Labelled, Segment
from stream.pipeline import Pipeline
from stream.stages.features import Columns
from stream.stages.labels import OwnLabels
from stream.testing import chunks_of
from tests.examples import examples
from tests.stream.doubles import SMOOTH, LoudnessClassifier, sigmoid
from tests.stream.networks import FRONT_END
from tests.stream.restarts import finals, programme, through_json

RATE = 16000


class Bands:
    """Calls a window low, middle or high by the loudness of thirds of the bins."""

    def __init__(self, **facts: object) -> None:
        self.spec = ModelSpec(labels=("low", "middle", "high"), **facts)
        self.lengths: list[int] = []

    def embed(self, windows: Array) -> Array:
        self.lengths += [windows.shape[1]] * len(windows)
        return windows

    def decide(self, windows: Array) -> Array:
        thirds = windows.reshape(len(windows), -1, 3, 48).mean(axis=(1, 3))
        return sigmoid(4 * (thirds - 2))

    def unbatched(self) -> list[str]:
        return []


def stage() -> OwnLabels:
    bands = Bands()
    return OwnLabels(bands, bands.spec, SMOOTH)


def columns(text: str, first: int = 0, station: str = "a") -> Columns:
    """Return a second of loud columns in each third of the bins that a letter names."""
    thirds = {"l": [0], "m": [1], "h": [2], "b": [0, 2], ".": []}
    values = np.zeros((50 * len(text), 3, 48), np.float32)
    for second, letter in enumerate(text):
        values[50 * second : 50 * (second + 1), thirds[letter]] = 6
    return Columns(station, 50 * first, values.reshape(-1, 144))


def decisions(first: int, last: int, station: str = "a") -> list[Decision]:
    return [
        Decision(station, k * RATE, (k + 5) * RATE, RATE, None, 0.5, 0.5)
        for k in range(first, last)
    ]


def found(items: list[object]) -> list[tuple[str, int, int]]:
    return [
        (e.label, round(e.start / RATE), round(e.end / RATE))
        for e in items
        if isinstance(e, Labelled) and e.final
    ]


def run(text: str) -> list[tuple[str, int, int]]:
    items = [columns(text), *decisions(0, len(text) - 4), EndOfStream("a", len(text) * RATE, RATE)]
    return sorted(found(stage().push(items)))


def test_labels_are_independent_and_only_what_holds_is_published() -> None:
    # second          0         1         2         3         4
    assert run("llllllllllllllllllllbbbbbbbbbbbbbbbbbbbb") == [("high", 19, 40), ("low", 0, 40)]
    assert run("....................mmmmmmmmmmmmmmm....................") == [("middle", 19, 36)]
    assert run("........................................") == []


def test_an_open_stretch_has_the_id_that_it_will_have() -> None:
    text = "l" * 30
    out = stage().push([columns(text), *decisions(0, 26)])
    events = [event for event in out if isinstance(event, Labelled)]
    assert events
    assert not any(event.final for event in events)
    assert {event.id for event in events} == {"a/label/0/low"}
    assert events[0].to_dict()["score"] == 1.0


@examples(40)
@given(
    st.text("lmhb.", min_size=12, max_size=60),
    st.lists(st.integers(1, 9), min_size=60, max_size=60),
)
def test_any_cutting_gives_the_same_stretches(text: str, lengths: list[int]) -> None:
    """Pushes of whole seconds; a decision comes with the last of its columns."""
    total = len(text)
    end = EndOfStream("a", total * RATE, RATE)
    whole = stage().push([columns(text), *decisions(0, total - 4), end])
    one, out, at = stage(), [], 0
    for n in lengths:
        part = text[at : at + n]
        if not part:
            break
        new = decisions(max(at - 4, 0), max(at + len(part) - 4, 0))
        at += len(part)
        last = [end] if at == total else []
        out += one.push([columns(part, at - len(part)), *new, *last])
    assert [e for e in out if isinstance(e, Labelled)] == [
        e for e in whole if isinstance(e, Labelled)
    ]


def test_stations_in_one_push_do_not_mix() -> None:
    texts = {"a": "l" * 20, "b": "h" * 20, "c": "l" * 10 + "m" * 10}
    one, items = stage(), []
    for name, text in texts.items():
        items += [columns(text, 0, name), *decisions(0, 16, name)]
    items += [EndOfStream(name, 20 * RATE, RATE) for name in texts]
    together = [event for event in one.push(items) if isinstance(event, Labelled)]
    for name, text in texts.items():
        alone = stage().push(
            [columns(text, 0, name), *decisions(0, 16, name), EndOfStream(name, 20 * RATE, RATE)]
        )
        own = [event for event in together if event.station == name]
        assert own == [event for event in alone if isinstance(event, Labelled)]


def test_an_hour_without_a_cut_keeps_seconds() -> None:
    one = stage()
    for k in range(300):
        one.push([columns("m", k), *(decisions(k - 4, k - 3) if k >= 4 else [])])
    state = one.sessions["a"].labels
    assert state is not None
    assert sum(len(span.values) for span in state.spans) == 200
    assert all(len(smooth.sums) < 20 for smooth in state.smooth.values())


def test_networks_of_other_columns_are_refused() -> None:
    with pytest.raises(SpecMismatch, match="hop=160"):
        OwnLabels(Bands(hop=160), ModelSpec(), SMOOTH)


def make() -> Pipeline:
    bands = Bands()
    return Pipeline(
        FRONT_END, LoudnessClassifier(), SMOOTH, labels=OwnLabels(bands, bands.spec, SMOOTH)
    )


def test_a_pipeline_has_segments_as_without_them() -> None:
    samples = programme(RATE, 40)
    events = make().push([AudioChunk("a", 0, samples, RATE)], last=True)
    plain = Pipeline(FRONT_END, LoudnessClassifier(), SMOOTH)
    alone = plain.push([AudioChunk("a", 0, samples, RATE)], last=True)
    assert [event for event in events if not isinstance(event, Labelled)] == alone
    assert any(isinstance(event, Segment) for event in alone)
    assert {event.label for event in events if isinstance(event, Labelled)} >= {"low"}


@pytest.mark.slow
@pytest.mark.parametrize("at", [3, 11, 24, 39])
def test_a_restart_gives_the_same_stretches(at: int) -> None:
    samples = programme(RATE, 40)
    chunks = chunks_of(samples, RATE)
    whole = finals(make().push(chunks, last=True))
    first, second = make(), make()
    early = first.push(chunks[:at])
    snapshot = through_json(first.snapshot("a"))
    assert second.restore("a", snapshot)
    rest = samples[snapshot.oldest :]
    late = second.push([AudioChunk("a", snapshot.oldest, rest, RATE)], last=True)
    assert finals([*early, *late]) == whole
    assert any("/label/" in name for name in whole)
