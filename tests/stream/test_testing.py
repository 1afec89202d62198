from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift import config
from airsift.build import build_pipeline
from stream.runner import Stop, run_source
from stream.sources.file import FileSource
from stream.testing import RATE, ListSink, ListSource, chunks_of, noise, programme, write_wav


@pytest.mark.slow
def test_the_shipped_model_labels_a_programme_as_what_it_is() -> None:
    source, sink = ListSource([[c] for c in chunks_of(programme(90), RATE)]), ListSink()
    pipeline = build_pipeline(config.load(environ={}).config)
    run_source(source, pipeline, [sink], checkpoint_s=10.0, stop=Stop())
    seconds = dict.fromkeys(("speech", "music", "other", "speech_over_music"), 0.0)
    for event in sink.events:
        if event.kind == "segment" and event.final:
            seconds[event.label] += (event.end - event.start) / RATE
    assert min(seconds["speech"], seconds["music"]) > 25
    assert seconds["speech_over_music"] < 5


@given(st.integers(0, 200), st.integers(1, 90), st.lists(st.integers(-5, 250), max_size=5))
def test_chunks_are_the_signal(n, size, cuts) -> None:
    samples = np.arange(n, dtype=np.float32)
    chunks = chunks_of(samples, size, cuts=cuts, start=7, time=5.0)
    assert np.array_equal(np.concatenate([samples[:0], *(c.samples for c in chunks)]), samples)
    assert all(len(chunk.samples) <= size for chunk in chunks)
    for chunk in chunks:
        assert chunk.start == 7 + chunk.samples[0]
        assert chunk.time == 5.0 + (chunk.start - 7) / RATE


def test_a_file_has_the_samples_that_were_written(tmp_path) -> None:
    samples = noise(2)
    source = FileSource(write_wav(tmp_path / "a.wav", samples))
    read = np.concatenate([chunk.samples for batch in source for chunk in batch])
    np.testing.assert_allclose(read.ravel(), samples, atol=1e-4)
