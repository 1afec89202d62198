"""The values that the Python interface returns."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import airsift
from airsift.api.results import result_of
from stream import events

SEGMENT = airsift.Segment(0.0, 12.5, "speech", 0.98, "female", 0.91)
MATCH = airsift.Match(12.5, 20.0, "abel", 9.5, 3.25, "Starfall", "Abel")
FOUND = airsift.Segments(
    [SEGMENT, airsift.Segment(12.5, 20.0, "music", 0.9)],
    name="news.wav",
    duration_s=21.0,
    matches=[MATCH],
    warnings=["news.wav: damaged at 00:03"],
)
seconds = st.floats(0, 1e5)
texts = st.text(st.characters(codec="utf-8"), max_size=8)
segments = st.builds(airsift.Segment, seconds, seconds, texts, st.floats(0, 1))
recordings = st.builds(
    lambda found, name, warnings: airsift.Segments(found, name=name, warnings=warnings),
    st.lists(segments, max_size=5),
    texts,
    st.lists(texts, max_size=2),
)


@given(recordings)
def test_a_recording_survives_pickle_and_copies(found: airsift.Segments) -> None:
    for again in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found), found.copy()):
        assert type(again) is airsift.Segments
        assert again == found
        assert again is not found


@pytest.mark.parametrize(
    "change", [{"name": "x"}, {"duration_s": 1.0}, {"matches": []}, {"warnings": []}]
)
def test_recordings_differ_in_what_is_known_of_them(change: dict[str, object]) -> None:
    other = airsift.Segments(FOUND, **{**vars(FOUND), **change})
    assert other != FOUND
    assert other == list(FOUND)


def test_values_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        SEGMENT.label = "music"  # type: ignore[misc]
    assert {SEGMENT: 1}[airsift.Segment(0.0, 12.5, "speech", 0.98, "female", 0.91)] == 1


def test_the_text_tells_all() -> None:
    assert repr(FOUND).splitlines() == [
        "Segments of news.wav, 21.00 s",
        "     0.00     12.50  speech             0.980  female",
        "    12.50     20.00  music              0.900",
        "    12.50     20.00  plays Abel - Starfall",
        "warning: news.wav: damaged at 00:03",
    ]
    many = airsift.Segments([airsift.Segment(0.0, 3.0, "speech", 0.98)] * 100)
    assert len(repr(many).splitlines()) == 62
    assert "40 more" in repr(many)


def test_a_notebook_shows_no_markup_of_a_recording() -> None:
    evil = '<script>alert("x")</script>\x1b[2J'
    found = airsift.Segments(
        [airsift.Segment(0.0, 3.0, evil, 0.5, evil)],
        name=evil,
        matches=[airsift.Match(0.0, 3.0, evil, 1.0, 0.0, evil, evil)],
        warnings=[evil],
    )
    shown = found._repr_html_()
    assert "<script" not in shown
    assert "\x1b" not in shown
    assert shown.count("&lt;script&gt;") >= 6
    assert airsift.Segments()._repr_html_()


@pytest.mark.slow
def test_a_table_of_pandas() -> None:
    pytest.importorskip("pandas")
    frame = FOUND.to_frame()
    assert [*frame.columns] == ["start_s", "end_s", "label", "score", "voice", "voice_score"]
    assert frame.groupby("label")["end_s"].max().to_dict() == {"music": 20.0, "speech": 12.5}
    assert [*airsift.Segments().to_frame().columns] == [*frame.columns]


@pytest.mark.slow
def test_an_annotation_of_pyannote() -> None:
    pytest.importorskip("pyannote.core")
    annotation = FOUND.to_annotation()
    assert annotation.uri == "news.wav"
    found = [(s.start, s.end, label) for s, _, label in annotation.itertracks(yield_label=True)]
    assert found == [(0.0, 12.5, "speech"), (12.5, 20.0, "music")]


@pytest.mark.parametrize(
    ("package", "call"), [("pandas", "to_frame"), ("pyannote", "to_annotation")]
)
def test_a_missing_extra_is_named(package: str, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(airsift.AirsiftError, match=r"airsift\[formats\]"):
        getattr(FOUND, call)()


def test_events_become_results_with_the_numbers_of_their_json() -> None:
    segment = events.Segment("a", 160, 48_160, 16_000, None, "speech", 0.98765, True, "male", 0.8)
    assert result_of(segment) == airsift.Segment(0.01, 3.01, "speech", 0.988, "male", 0.8)
    match = events.Match(
        "a", 16_000, 32_000, 16_000, None, "k", "T", "", 8_000, 7.12345, final=True, isrc="X"
    )
    assert result_of(match) == airsift.Match(1.0, 2.0, "k", 7.123, 0.5, "T", None, None, "X")
    assert result_of(events.Gap("a", 0, 1, 16_000, None, "missing")) is None


def test_labels_of_your_own_are_beside_the_segments() -> None:
    own = events.Labelled("a", 16_000, 48_000, 16_000, None, "applause", 0.91234, True)
    found = airsift.Segments([airsift.Segment(0.0, 3.0, "speech", 0.98)], events=[own.to_dict()])
    assert found.labels == [airsift.Segment(1.0, 3.0, "applause", 0.912)]
    assert list(found) == [airsift.Segment(0.0, 3.0, "speech", 0.98)]
    assert result_of(own) is None


@pytest.mark.process
def test_an_import_loads_no_library_that_computes() -> None:
    program = (
        "import sys, airsift\n"
        "heavy = {'numpy', 'torch', 'onnxruntime', 'pandas', 'pyannote', 'pydantic', 'av'}\n"
        "found = heavy & set(sys.modules)\n"
        "assert not found, found\n"
        "airsift.Segments([airsift.Segment(0.0, 1.0, 'music', 0.5)])\n"
        "assert not heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_the_public_names_are_these() -> None:
    # Another one is an addition; one fewer breaks the programs of others, as CHANGELOG must say.
    assert {*airsift.__all__} == {
        "AirsiftError",
        "Catalogue",
        "Match",
        "Segment",
        "Segments",
        "Stream",
        "Track",
        "Window",
        "Windows",
        "__version__",
        "classify",
        "segment",
    }
    assert [*airsift.__all__] == sorted(airsift.__all__)
    assert {*airsift.__all__} <= {*dir(airsift)}
    for name in airsift.__all__:
        assert getattr(airsift, name) is not None
    with pytest.raises(AttributeError, match=r"airsift.*segmnt"):
        airsift.segmnt  # noqa: B018
