"""airsift's events for the demo's programmes, stored in tests/golden/.

When a change is meant to change it: ``pytest tests/stream/test_demo_golden.py --update-golden``,
then read the difference before committing it.
"""

from __future__ import annotations

import json

import pytest

from airsift import config as configuration
from airsift.build import build_pipeline
from stream.demo.catalogue import build_catalogue
from stream.demo.clips import RATE
from stream.demo.programme import assemble, programmes
from stream.runner import Stop, run_source
from stream.sinks.final import FinalEvents
from stream.sources.file import FileSource
from stream.testing import write_wav
from tests.stream.golden import COMPARED, GOLDEN, TOLERANCE


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    folder = tmp_path_factory.mktemp("catalogue")
    build_catalogue(folder)
    return folder


def row_of(event):
    values = event.to_dict()
    row = {key: values[key] for key in COMPARED if key in values}
    return row | {"score": round(values["score"], 2)}


def events_of(name, folder, catalogue, backend):
    path = folder / f"{name}.wav"
    write_wav(path, assemble(name).samples, RATE)
    chosen = [f"identify.catalogue='{catalogue}'", f"model.backend={backend}"]
    config = configuration.load(sets=chosen, environ={}).config
    rows = []
    source = FileSource(path, name)
    run_source(
        source,
        build_pipeline(config),
        [FinalEvents(lambda event: rows.append(row_of(event)))],
        checkpoint_s=60.0,
        stop=Stop(),
    )
    source.close()
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "onnx"])
@pytest.mark.parametrize("name", programmes())
def test_events_are_the_golden_ones(name, backend, tmp_path, catalogue, request):
    path = GOLDEN / f"{name}.json"
    events = events_of(name, tmp_path, catalogue, backend)
    if request.config.getoption("--update-golden"):
        lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in events)
        path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    golden = json.loads(path.read_text(encoding="utf-8"))
    scores = [row.pop("score") for row in events]
    expected = [row.pop("score") for row in golden]
    assert scores == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE)
    assert events == golden
