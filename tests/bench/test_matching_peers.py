"""The comparison of matchers counts seconds as worked out by hand here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.matching import peers_page
from bench.matching.answers import stored_answers
from bench.matching.background import (
    GAPS_S,
    LENGTHS_S,
    LEVELS_DB,
    Background,
    Bit,
    Span,
    backgrounds,
    tally,
    total,
)
from bench.matching.broadcast import Library
from bench.matching.chains import CHAINS, chains
from bench.matching.degradations import DegradationContext
from bench.matching.peer_material import Clips, Material
from bench.matching.peers import ChainResult, Contender, ProgrammeResult, compare, windows
from bench.matching.programs import olaf_results, panako_results
from model.spec import SAMPLE_RATE as RATE
from stream.testing import music_like, speech_like
from tests.examples import examples

if TYPE_CHECKING:
    from pathlib import Path

    from bench.matching.matchers import QueryResult

# What Olaf prints of a query with two matches, of one with none, and of a silent one behind each.
OLAF = """\
113, 0.12, 9.59, 1, 3036899153, 30.12, 39.59
11, 0.61, 8.11, 0, 2519706026, 2.30, 9.80
0, 0.00, 0.00, , 0, 0.00, 0.00
0, 0.00, 0.00, , 0, 0.00, 0.00
0, 0.00, 0.00, , 0, 0.00, 0.00
"""
PANAKO = """\
Processing 2 queries on 1 seperate threads.
Index; Total ; Query path;Query start (s);Query stop (s); Match path;Match id; Match start (s)
2 ; 2 ; /tmp/q1.wav ; 0.891 ; 7.907 ; /a/b/0007.wav ; 114 ; 30.891 ; 37.907 ; 58 ; 1.000 % ; 1.000
1 ; 2 ; /tmp/q0.wav ; -1.000 ; -1.000 ; null ; null ; -1.000 ; -1.000 ; -1 ; -1.000 % ; -1.000
"""


def _programme() -> Background:
    """Ten seconds: two of a track, two of unknown music, two of another track, speech between."""
    bits = (
        Bit("a", 1 * RATE, 3 * RATE, -3.0),
        Bit("", 4 * RATE, 6 * RATE, -10.0),
        Bit("b", 7 * RATE, 9 * RATE, -22.0),
    )
    return Background("made", np.zeros(10 * RATE, np.float32), bits)


def test_seconds_are_right_wrong_or_missed() -> None:
    spans = [
        Span(0.0, 2.0, "a", 5.0),  # one second too early, one right
        Span(4.0, 5.0, "b", 5.0),  # unknown music
        Span(7.0, 8.0, "a", 5.0),  # another track
        Span(8.0, 9.0, "a", 5.0),  # weaker than the next
        Span(8.0, 9.0, "b", 6.0),
    ]
    found = tally(_programme(), spans)
    assert (found.right, found.wrong, found.missed) == (2, 3, 2)
    assert found.wrong_in == {"speech only": 1, "unknown music": 1, "another track": 1}
    assert found.by_level == {"0 to -5 dB": (1, 2), "-20 to -25 dB": (1, 2)}
    assert found.precision == pytest.approx(2 / 5)
    assert found.recall == pytest.approx(2 / 4)
    assert found.f1 == pytest.approx(4 / 9)


def test_all_that_plays_is_all_right_and_silence_is_missed() -> None:
    programme = _programme()
    spans = [Span(b.start / RATE, b.end / RATE, b.track, 1.0) for b in programme.bits if b.track]
    assert tally(programme, spans).f1 == 1.0
    assert tally(programme, []).recall == 0.0
    assert tally(programme, []).precision == 1.0


@given(
    st.lists(
        st.builds(
            Span, st.floats(-2, 12), st.floats(-2, 12), st.sampled_from(["a", "b", "c"]),
            st.floats(0, 9),
        )
    )
)  # fmt: skip
@examples(60)
def test_every_second_of_a_track_is_right_or_missed(spans: list[Span]) -> None:
    found = tally(_programme(), spans)
    assert found.right + found.missed == 4
    assert found.wrong == found.wrong_in.total() <= 10 - found.right
    twice = total([found, found])
    assert (twice.right, twice.wrong, twice.missed) == (
        2 * found.right, 2 * found.wrong, 2 * found.missed,
    )  # fmt: skip
    assert twice.f1 == pytest.approx(found.f1)


def test_programmes_have_music_of_the_lengths_and_levels_promised() -> None:
    audio = Library(
        {name: music_like(30.0, seed=seed) for seed, name in enumerate("ab")},
        [music_like(30.0, seed=9)],
        [[speech_like(6.0, seed=1)], [speech_like(6.0, seed=2)]],
    )
    one, again = (next(backgrounds(audio, 1, 2.0, seed=4)) for _ in range(2))
    assert np.array_equal(one.samples, again.samples)
    assert one.bits == again.bits
    assert len(one.samples) == 2 * 60 * RATE
    assert {bit.track for bit in one.bits} == {"", "a", "b"}
    ends = [0, *(bit.end for bit in one.bits)]
    for before, bit in zip(ends, one.bits, strict=False):
        assert LENGTHS_S[0] <= (bit.end - bit.start) / RATE <= LENGTHS_S[1]
        assert LEVELS_DB[0] <= bit.level_db <= LEVELS_DB[1]
        assert GAPS_S[0] - 1e-3 <= (bit.start - before) / RATE <= GAPS_S[1] + 1e-3


def test_windows_overlap_by_half() -> None:
    cut = windows(np.linspace(-0.5, 0.5, 10 * RATE, dtype=np.float32), 4)
    assert [len(each) for each in cut] == [4 * RATE] * 4
    assert np.array_equal(cut[0][2 * RATE :], cut[1][: 2 * RATE])


@pytest.mark.slow
def test_a_chain_has_its_speed_and_its_sound() -> None:
    clip = music_like(6.0)
    made = chains()
    assert [each.name for each in made] == [", ".join(names) for names in CHAINS]
    speeds = {each.name: each.speed for each in made}
    assert speeds["speed +2 %, compressor, AAC 48 kb/s"] == pytest.approx(1.02)
    assert speeds["equaliser, compressor, MP3 64 kb/s"] == 1.0
    (chain,) = (each for each in made if each.name == "speed +2 %, compressor, AAC 48 kb/s")
    out = chain.apply(clip, DegradationContext(np.random.default_rng(0), []))
    assert len(out) == pytest.approx(len(clip) / 1.02, abs=0.2 * RATE)
    assert np.isfinite(out).all()
    # A compressor takes away differences of level.
    quiet, loud = (np.abs(music_like(4.0)) * gain for gain in (0.3, 1.0))
    steps = np.concatenate([quiet, loud]).astype(np.float32)
    levels = [float(np.std(x)) for x in np.split(_compressed(steps), 2)]
    assert levels[1] / levels[0] < 0.7 * float(np.std(loud) / np.std(quiet))


def _compressed(samples: np.ndarray) -> np.ndarray:
    from bench.matching import chains as module

    context = DegradationContext(np.random.default_rng(0), [])
    (step,) = (each for each in module.STUDIO if each.name == module.COMPRESSOR)
    return step.apply(samples, context)[: len(samples) // 2 * 2]


def test_what_olaf_prints_is_read() -> None:
    first, second = olaf_results(OLAF, ["x", "y"], 0.1)
    assert first["answers"] == [("y", 30 * RATE, 113.0), ("x", round(1.69 * RATE), 11.0)]
    assert first["spans"][0] == (0.12, 9.59)
    assert second["answers"] == []


def test_what_panako_prints_is_read() -> None:
    first, second = panako_results(PANAKO, 2, 0.1)
    assert first["answers"] == []
    assert second["answers"] == [("0007", 30 * RATE, 58.0)]
    assert second["spans"] == [(0.891, 7.907)]


def test_stored_answers_are_not_asked_again(tmp_path: Path) -> None:
    asked: list[int] = []

    def run(queries: object) -> list[QueryResult]:
        assert isinstance(queries, list)
        asked.append(len(queries))
        return [{"answers": [], "cpu_s": 0.0} for _ in queries]

    queries = [np.zeros(10, np.int16)] * 3
    stored = tmp_path / "answers" / "some.json"
    assert len(stored_answers(lambda: run, queries, stored)) == 3
    assert len(stored_answers(lambda: run, [*queries, queries[0]], stored)) == 4
    assert asked == [3, 1]


def test_each_matcher_has_the_best_of_its_settings(tmp_path: Path) -> None:
    """Weak and strong settings of one matcher, of which the strong one finds all."""
    programme = _programme()
    clips = np.zeros((2, 10 * RATE), np.int16)
    given = Material(
        [tmp_path / "a.npy"], [Clips("chain", clips, ["a", "b"])], clips[:1], [programme]
    )

    def opened(strong: bool) -> Contender:
        def run(queries: object) -> list[QueryResult]:
            assert isinstance(queries, list)
            none: QueryResult = {"answers": [], "cpu_s": 0.0}
            if len(queries) == 1:  # negatives: named with a score of 3
                return [{"answers": [("a", 0, 3.0)], "cpu_s": 0.0}]
            if len(queries) == 2:
                second = {"answers": [("b", 0, 9.0)], "cpu_s": 0.0} if strong else none
                return [{"answers": [("a", 0, 9.0)], "cpu_s": 0.0}, second]
            out = [none for _ in queries]  # windows of 2 s, one a second
            out[1] = {"answers": [("a", 0, 9.0)], "cpu_s": 0.0}
            if strong:
                out[7] = {"answers": [("b", 0, 9.0)], "cpu_s": 0.0}
            else:
                out[4] = {"answers": [("b", 0, 2.0)], "cpu_s": 0.0}
            return out

        return Contender("made", "strong" if strong else "weak", lambda *_: run, (2,))

    chains, programmes = compare(given, tmp_path, [opened(False), opened(True)])
    assert chains["made"].settings == "strong"
    assert chains["made"].threshold == 3.0
    assert chains["made"].found == {"chain": 2}
    assert chains["made"].wrong == {"chain": 0}
    assert programmes["made"].tally.f1 == 1.0
    _, alone = compare(given, tmp_path, [opened(False)])
    # The threshold of the highest F1 leaves the wrong name out.
    assert alone["made"].tally.precision == 1.0
    assert alone["made"].tally.recall == 0.5


def test_the_page_names_what_was_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    mark = f"<!-- written by {peers_page.MARK}:"
    page.write_text(f"{mark} begin -->{mark} end -->")
    monkeypatch.setattr(peers_page, "PAGE", page)
    monkeypatch.setattr(peers_page, "IMAGE", tmp_path / "figure.svg")
    np.save(tmp_path / "0000.npy", np.zeros(RATE, np.int16))
    clips = Clips("chain", np.zeros((4, RATE), np.int16), ["0000"] * 4)
    given = Material([tmp_path / "0000.npy"], [clips], clips.samples, [_programme()])
    counted = tally(_programme(), [Span(1.0, 4.0, "a", 1.0)])
    peers_page.write(
        given,
        {"Olaf": ChainResult("built", 8.0, {"chain": 3}, {"chain": 1}, 0)},
        {"Olaf": ProgrammeResult("built, windows of 8 s", counted)},
    )
    text = page.read_text()
    assert "| chain | 3, 1 wrong |" in text
    assert "| **all** | **75 %** |" in text
    assert "| Olaf | 66.7 | 50.0 | **57.1** | 100 | 0 | 50 |" in text
    assert "| Olaf | 0 | 0 | 1 | built, windows of 8 s |" in text
    assert (tmp_path / "figure.svg").stat().st_size > 1000
