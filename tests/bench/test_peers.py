"""The comparison of programs counts in the same way for all of them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from bench.peers import score, windows
from stream.testing import write_wav


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        ("s.wav", "speech", 1, 0, "a"),
        ("m.wav", "music", 0, 1, "b"),
        ("n.wav", "noise", 0, 0, "c"),
        ("b.wav", "music at -10 dB and speech", 1, 1, "a"),
        ("v.wav", "singing", 0, 1, "d"),
    ]
    with (tmp_path / "windows.csv").open("w", newline="") as out:
        csv.writer(out).writerows([("path", "condition", "speech", "music", "group"), *rows])
    (tmp_path / "programmes.csv").write_text(
        "path,class,start_s,end_s\np.wav,speech,0,10\np.wav,music,10,20\n"
    )
    for name in ("p.wav", *(row[0] for row in rows)):
        write_wav(tmp_path / name, np.zeros(16_000 * (20 if name == "p.wav" else 5)))
    return tmp_path


def answers(known, given: dict[str, dict], programme: dict) -> dict:
    by_name = {each.path.name: given[each.path.name] for each in known.windows}
    return {
        "labels": ["speech", "music"],
        "windows": {"answers": {str(e.path): by_name[e.path.name] for e in known.windows}},
        "programmes": {"answers": {str(e.path): programme for e in known.programmes}},
    }


TRUE_SPANS = {
    "s.wav": {"speech": [(0.0, 3.0), (2.0, 4.0)], "music": []},
    "m.wav": {"speech": [], "music": [(0.5, 5.0)]},
    "n.wav": {"speech": [], "music": []},
    "b.wav": {"speech": [(0.0, 4.0)], "music": [(1.0, 5.0)]},
    "v.wav": {"speech": [(0.0, 4.0)], "music": [(0.0, 4.0)]},
}


def test_spans_and_scores_count_alike(folder) -> None:
    known = windows.read(folder)
    programme = {"speech": [(0.4, 10.4)], "music": [(10.4, 30.0)]}
    by_spans = answers(known, TRUE_SPANS, programme)
    by_score = answers(
        known,
        {
            name: {label: 0.9 if spans[label] else 0.1 for label in ("speech", "music")}
            for name, spans in TRUE_SPANS.items()
        },
        programme,
    )
    first, second = (score.window_figures(known, each) for each in (by_spans, by_score))
    for metrics in (first, second):
        assert metrics["F_speech"] == "80.0"  # 2 of 2, and the song
        assert metrics["F_music"] == metrics["singing_is_music"] == "100.0"
        assert metrics["noise_labelled"] == "0.0"
        assert metrics["both_at_-10_dB"] == "100.0"
    assert (first["share"], second["share"]) == ("0.02", "score")
    spliced = score.programme_figures(known, by_spans)
    assert spliced["boundaries_found"] == "100.0"
    assert spliced["event_F_0.5s"] == "100.0"
    assert spliced["segment_F_1s"] == "97.6"  # speech has a step too many: 20 of 21


def test_metrics_of_a_label_that_a_peer_lacks_are_left_out(folder) -> None:
    known = windows.read(folder)
    given = answers(known, TRUE_SPANS, {"speech": []}) | {"labels": ["speech"]}
    metrics = score.window_figures(known, given)
    assert metrics["F_speech"] == "80.0"
    assert metrics["F_music"] == metrics["macro_F"] == metrics["both_at_-10_dB"] == "-"
    assert set(score.programme_figures(known, given).values()) == {"-"}


def test_any_other_sample_or_truth_is_another_set(folder) -> None:
    first = windows.read(folder).digest
    assert windows.read(folder).digest == first
    data = bytearray((folder / "s.wav").read_bytes())
    data[-1] ^= 1
    (folder / "s.wav").write_bytes(data)
    second = windows.read(folder).digest
    listed = folder / "programmes.csv"
    listed.write_text(listed.read_text().replace("0,10", "0,9"))
    assert len({first, second, windows.read(folder).digest}) == 3


def test_a_list_without_a_column_is_one_line(folder) -> None:
    listed = folder / "windows.csv"
    listed.write_text(listed.read_text().replace("group", "voice"))
    with pytest.raises(SystemExit, match="has no column group"):
        windows.read(folder)
