"""Queries and scores of the matching benchmark."""

import numpy as np
import pytest

from airsift.errors import AirsiftError
from bench.matching import queries as queries_module
from bench.matching.__main__ import chosen
from bench.matching.degradations import conditions
from bench.matching.queries import Queries, make
from bench.matching.score import Tracks, score
from tests.fingerprint.music import compose

RATE = 16_000


@pytest.fixture
def paths(tmp_path):
    out = []
    for seed in range(4):
        samples = np.concatenate([np.zeros(RATE, np.float32), compose(seed, 30.0)])
        out.append(tmp_path / f"t{seed}.npy")
        np.save(out[-1], (samples * 32767).astype(np.int16))
    return out


def test_a_crossfade_ends_one_track_and_begins_another(paths, tmp_path, monkeypatch):
    monkeypatch.setattr(queries_module.music, "music", lambda *_: paths)
    monkeypatch.setattr(queries_module.music, "speech", lambda *_, **__: [])
    (condition,) = [each for each in conditions() if each.crossfade]
    made = make(condition, 10, "validation", 3, tmp_path, tmp_path)
    tracks = {path.stem: np.load(path).astype(np.float64) for path in paths}
    for audio, ((first, place), (second, begin)) in zip(made.audio, made.truth, strict=True):
        assert first != second
        for key, at, part in (
            (first, place, slice(0, 3 * RATE)),
            (second, begin, slice(7 * RATE, 10 * RATE)),
        ):
            there = tracks[key][at + part.start : at + part.stop]
            assert np.corrcoef(audio[part], there)[0, 1] > 0.999
        assert tracks[first][place + 10 * RATE :].size < tracks[first].size
        assert begin < 0


def test_a_query_of_two_tracks_is_found_if_both_are(paths):
    truth = [[("t0", 5 * RATE), ("t1", -3 * RATE)]] * 4
    queries = Queries("both", 10, np.zeros((4, 10 * RATE), np.int16), truth, 1.0)
    right, also = ("t0", 5 * RATE, 9.0), ("t1", -3 * RATE, 9.0)
    answers = [
        {"answers": some, "cpu_s": 0.0}
        for some in (
            [right, also],
            [right],
            [right, also, ("t2", RATE, 9.0)],
            [right, ("t1", -3 * RATE, 1.0)],
        )
    ]
    figures = score(queries, answers, 2.0, Tracks(paths))
    assert (figures.found, figures.placed, figures.wrong) == (2, 2, 1)


def test_an_unknown_condition_is_refused():
    assert [seconds for _, seconds in chosen(["clean, 3 s"])] == [3]
    with pytest.raises(AirsiftError, match=r"'clean' is no condition; there are clean, 10 s"):
        chosen(["clean"])
