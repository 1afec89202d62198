"""The comparison of programs follows one rule for all; the tables here are worked out by hand."""

from __future__ import annotations

import csv
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.peers import page, score, significance, windows
from bench.peers.answers import Answers, ask, read_answers, version
from bench.peers.environments import PEERS, Peer
from model.corpus.takes import Take
from model.spec import HOP
from stream.testing import write_wav
from tests.examples import examples

SPEECH, MUSIC, NONE = 0, 1, -1
SILENT = np.zeros(80_000, np.float32)

# Two sources for thresholds, three for the test; one window each of the kinds of a source.
ROWS = [
    ("v1.wav", "validation", "calls", "speech", 1, 0, "a"),
    ("v2.wav", "validation", "choir", "singing", 0, 1, "b"),
    ("v3.wav", "validation", "zoo", "noise", 0, 0, "c"),
    ("t1.wav", "test", "poems", "speech", 1, 0, "d"),
    ("t2.wav", "test", "poems", "speech", 1, 0, "e"),
    ("t3.wav", "test", "violin", "music", 0, 1, "f"),
    ("t4.wav", "test", "street", "noise", 0, 0, "g"),
    ("m1.wav", "test", "poems", "speech over music at -10 dB", 1, 1, "d"),
    ("m2.wav", "test", "poems", "speech over music at -10 dB", 1, 1, "e"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with (tmp_path / "windows.csv").open("w", newline="") as out:
        csv.writer(out).writerows([windows.COLUMNS, *ROWS])
    (tmp_path / "programmes.csv").write_text(
        "path,class,start_s,end_s\np.wav,speech,0,10\np.wav,music,10,20\n"
    )
    for number, row in enumerate(ROWS, 1):
        write_wav(tmp_path / row[0], np.full(80_000, number / 1000))
    write_wav(tmp_path / "p.wav", np.zeros(20 * 16_000))
    return tmp_path


def answers(known: windows.Known, labelled: dict[str, tuple[float, float]]) -> Answers:
    found = Answers(["speech", "music"], "by hand", True)
    for each in known.windows:
        speech, music = labelled[each.path.stem]
        found.by_key[each.key] = {"speech": speech, "music": music}
    return found


ANSWERS = {
    "v1": (0.30, 0.10), "v2": (0.10, 0.90), "v3": (0.20, 0.70),
    "t1": (0.90, 0.95), "t2": (0.28, 0.10), "t3": (0.40, 0.90), "t4": (0.10, 0.71),
    "m1": (0.80, 0.90), "m2": (0.80, 0.60),
}  # fmt: skip


def test_the_label_is_the_likelier_of_those_that_reach_their_threshold() -> None:
    scores = np.array([[0.6, 0.5], [0.6, 0.7], [0.3, 0.69], [0.3, 0.1], [0.5, 0.9], [0.7, 0.7]])
    labelled = score.one_label(scores, (0.5, 0.7))
    assert labelled.tolist() == [SPEECH, MUSIC, NONE, NONE, MUSIC, SPEECH]


def test_thresholds_are_the_best_ones_of_the_validation_windows_near_one_half(folder) -> None:
    known = windows.read(folder)
    scored = score.label_windows(known, answers(known, ANSWERS))
    # v1 is right from 0.30 down; v3 is rejected above 0.70, and from 0.20 up.
    assert scored.thresholds == (0.3, 0.72)
    assert scored.labelled.tolist() == [MUSIC, NONE, MUSIC, NONE]
    assert scored.right.tolist() == [False, False, True, True]


def test_a_large_source_does_not_outweigh_a_small_one_in_thresholds() -> None:
    # 30 windows of speech need a threshold of at most 0.4; 20 of noise are rejected from 0.6 up.
    scores = np.array([[0.4]] * 30 + [[0.58]] * 20)
    truth = np.array([SPEECH] * 30 + [NONE] * 20)
    speech, noise = [("a", "speech")] * 30, [("c", "noise")] * 10 + [("d", "noise")] * 10
    # One source against two, then two against two: the lower of equally good ones.
    assert score.choose_thresholds(scores, truth, speech + noise) == (0.6,)
    speech[15:] = [("b", "speech")] * 15
    assert score.choose_thresholds(scores, truth, speech + noise) == (0.4,)
    # Sources of 5 windows do not count.
    speech[15:] = [("b", "speech")] * 5 + [("e", "speech")] * 5 + [("f", "speech")] * 5
    assert score.choose_thresholds(scores, truth, speech + noise) == (0.6,)


def test_means_are_over_sources_and_not_over_windows() -> None:
    # Speech: 9 of 10 and 10 of 20 right; music 10 of 10; noise 4 of 10; 3 windows do not count.
    parts = [
        ("a", "speech", [SPEECH] * 9 + [MUSIC], SPEECH),
        ("b", "speech", [SPEECH] * 10 + [NONE] * 10, SPEECH),
        ("c", "music", [MUSIC] * 10, MUSIC),
        ("d", "noise", [NONE] * 4 + [SPEECH] * 6, NONE),
        ("e", "music", [NONE] * 3, MUSIC),
    ]
    scored = score.Scored(
        score.LABELS,
        (0.5, 0.5),
        np.array([label for *_, labelled, _ in parts for label in labelled]),
        np.array([truth for *_, labelled, truth in parts for _ in labelled]),
        [(source, kind) for source, kind, labelled, _ in parts for _ in labelled],
        ["x"] * 53,
    )
    assert score.class_means(scored) == pytest.approx({"speech": 0.7, "music": 1.0, "noise": 0.4})
    assert scored.right.mean() == pytest.approx(33 / 53)
    # Speech: h = 0.7, f = 0: 1.4 / 1.7. Music: h = 1, f = (0.1 + 0) / 2: 2 / 2.05.
    assert score.macro_f(scored) == pytest.approx((1.4 / 1.7 + 2 / 2.05) / 2)


def test_spans_count_by_the_share_of_the_window_that_they_cover(folder) -> None:
    known = windows.read(folder)
    by_key = {known.windows[0].key: {"speech": [(0.0, 2.0), (1.0, 3.0)], "music": 0.25}}
    found = score.scores_of(known.windows[:1], by_key, score.LABELS)
    assert found.tolist() == [[0.6, 0.25]]


def test_a_program_without_a_label_is_asked_for_the_other_one_only(folder) -> None:
    known = windows.read(folder)
    of = answers(known, ANSWERS)
    of.labels = ["speech"]
    scored = score.label_windows(known, of)
    # Of v1 to v3 only v1 is speech: from 0.22 to 0.30 all are right, and 0.3 is nearest to 0.5.
    assert scored.thresholds == (0.3,)
    assert scored.truth.tolist() == [SPEECH, SPEECH, NONE, NONE]
    assert scored.right.tolist() == [True, False, False, True]
    assert score.macro_f(scored) is None
    assert score.both_found(known, of, (0.3,)) == score.programme_figures(known, of) == {}


def test_mixtures_need_both_labels_and_programmes_are_scored_by_spans(folder) -> None:
    known = windows.read(folder)
    of = answers(known, ANSWERS)
    found = score.both_found(known, of, (0.3, 0.72))
    assert found == {"speech over music at -10 dB": 0.5}
    of.by_key[known.programmes[0].key] = {"speech": [(0.4, 10.4)], "music": [(10.4, 30.0)]}
    spliced = score.programme_figures(known, of)
    assert spliced["boundaries found within 1 s"] == 1.0
    # Speech has a second too many: 20 of 21; music is all right.
    assert spliced["segment-based macro F, 1 s"] == pytest.approx((20 / 21 + 1) / 2, abs=0.001)


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [(0, 0, 1.0), (3, 3, 1.0), (5, 0, 2 / 32), (0, 6, 2 / 64), (1, 9, 2 * 11 / 1024)],
)
def test_mcnemar_is_the_binomial_of_the_windows_that_differ(first, second, p) -> None:
    assert significance.mcnemar(first, second) == pytest.approx(p)


def test_a_difference_in_one_source_is_not_one_in_all() -> None:
    # Ahead by 10 windows of 10 in one of two sources: 50 points, and the other source may come.
    first = np.array([True] * 20)
    second = np.array([False] * 10 + [True] * 10)
    units = [("a", "speech")] * 10 + [("b", "speech")] * 10
    found = significance.difference(first, second, units, ["x"] * 20)
    assert (found.only_first, found.only_second, found.points) == (10, 0, 50.0)
    assert found.p == pytest.approx(2 / 1024)
    assert (found.low, found.high) == (0.0, 100.0)


def test_groups_of_a_drawn_source_are_drawn_as_well() -> None:
    # One source: its groups differ by +1 and 0, so the mean of two drawn ones is 0, 0.5 or 1.
    draws = significance.bootstrap(
        np.array([1.0] * 5 + [0.0] * 5), [("a", "music")] * 10, ["x"] * 5 + ["y"] * 5
    )
    values, counts = np.unique(draws[1:], return_counts=True)
    assert draws[0] == 0.5
    assert values.tolist() == [0.0, 0.5, 1.0]
    assert counts / significance.DRAWS == pytest.approx([0.25, 0.5, 0.25], abs=0.04)


@examples(25)
@given(st.lists(st.booleans(), min_size=1, max_size=30), st.data())
def test_swapping_two_programs_swaps_the_difference(first, data) -> None:
    size = len(first)
    second = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    units = [("abc"[at % 3], "speech") for at in range(size)]
    groups = ["xy"[at % 2] for at in range(size)]
    one, other = (
        significance.difference(np.array(a), np.array(b), units, groups)
        for a, b in ((first, second), (second, first))
    )
    assert one.p == other.p
    assert (one.only_first, one.only_second) == (other.only_second, other.only_first)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


def test_windows_are_drawn_from_the_groups_in_turn() -> None:
    groups = {"many": [SILENT] * 9, "two": [SILENT] * 2, "one": [SILENT]}
    drawn = [group for group, _ in windows.in_turn(groups, 6, np.random.default_rng(0))]
    assert sorted(drawn[:3]) == ["many", "one", "two"]
    assert sorted(drawn[3:]) == ["many", "many", "two"]


def take(source: str, group: str, kind: str = "music", active: bool = True) -> Take:
    seed = zlib.crc32(group.encode())
    samples = np.random.default_rng(seed).normal(0, 0.1, 8 * 80_000).astype(np.float32)
    flags = np.full(len(samples) // HOP, active)
    return Take(group, kind, samples, flags, source, "recipe")


def test_the_windows_of_a_source_do_not_depend_on_other_sources() -> None:
    of_one = [take("b", "x"), take("b", "y"), take("b", "silent", active=False)]
    more = [take("a", "z"), *of_one, take("b", "q", "speech")]
    alone, among = (windows.draw(takes, 5) for takes in (of_one, more))
    assert [(each.source, each.kind, each.group) for each in among[5:10]] == [
        ("b", "music", each.group) for each in alone
    ]
    assert sorted({each.group for each in alone}) == ["x", "y"]
    for each, other in zip(alone, among[5:10], strict=True):
        assert np.array_equal(each.samples, other.samples)
        level_db = 20 * np.log10(np.sqrt(np.mean(each.samples**2)))
        assert -32.1 < level_db < -11.9


def test_music_is_mixed_under_speech_at_its_level() -> None:
    random = np.random.default_rng(0)
    voice, band = (random.normal(0, 0.05, 80_000).astype(np.float32) for _ in range(2))
    cuts = [
        windows.Cut("poems", "speech", "a", voice), windows.Cut("songs", "singing", "b", band),
    ]  # fmt: skip
    mixed = list(windows.mixtures(cuts, 5, random))
    assert [each.kind for each in mixed] == [
        f"speech over music at {level_db} dB" for level_db in (-5, -10, -15, -20)
    ]
    for each, level_db in zip(mixed, windows.MIXED_DB, strict=True):
        under = each.samples - voice
        assert 20 * np.log10(under.std() / voice.std()) == pytest.approx(level_db, abs=0.1)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("group", "voice", "has no column group"),
        ("validation", "training", "split='training' must be one of"),
        ("validation", "test", "has no window of the validation split"),
    ],
)
def test_a_wrong_list_of_windows_is_one_line(folder, old, new, error) -> None:
    listed = folder / "windows.csv"
    listed.write_text(listed.read_text().replace(old, new))
    with pytest.raises(SystemExit, match=error):
        windows.read(folder)


def adapter(monkeypatch: pytest.MonkeyPatch, asked: list[dict]) -> None:
    """Answer instead of the adapter's process, and note what it was asked."""

    def run(command, **options) -> None:
        lists, out = json.loads(Path(command[3]).read_text()), Path(command[4])
        asked.append(lists)
        with out.open("a") as lines:
            about = {"labels": ["speech", "music"], "how": "test", "programmes": False}
            lines.write(json.dumps({"about": about}) + "\n")
            for key in lists["windows"]:
                answer = {"speech": 0.0, "music": 1.0}
                lines.write(json.dumps({"key": key, "answer": answer}) + "\n")

    monkeypatch.setattr("bench.peers.answers.subprocess.run", run)


def test_only_new_windows_are_asked_even_after_a_cut(folder, tmp_path, monkeypatch) -> None:
    asked: list[dict] = []
    adapter(monkeypatch, asked)
    known, peer = windows.read(folder), Peer("airsift")
    first = ask("a", peer, known, tmp_path / "work", 0, {})
    assert len(asked[0]["windows"]) == len(known.windows) == len(first.by_key)
    assert ask("a", peer, known, tmp_path / "work", 0, {}).by_key == first.by_key
    assert len(asked) == 1

    write_wav(folder / "t1.wav", np.full(80_000, 0.5))
    (stored,) = (tmp_path / "work" / "answers").glob("*.jsonl")
    stored.write_bytes(stored.read_bytes()[:-5])  # killed while it wrote the last answer
    last, changed = known.windows[-1].key, windows.read(folder)
    ask("a", peer, changed, tmp_path / "work", 0, {})
    new = next(each.key for each in changed.windows if each.path.name == "t1.wav")
    assert set(asked[1]["windows"]) == {new, last}
    assert set(read_answers(stored).by_key) == {
        each.key for each in [*known.windows, *changed.windows]
    }


def test_new_weights_ask_airsift_again_and_no_other(tmp_path) -> None:
    model = tmp_path / "model.pt"
    before = {}
    for content in (b"old", b"new"):
        model.write_bytes(content)
        found = {n: version(peer, {"AIRSIFT_MODEL": str(model)}) for n, peer in PEERS.items()}
        changed = {name for name in found if before and found[name] != before[name]}
        before = found
    assert changed == {"airsift"}


def test_the_page_has_the_tables_between_its_marks(folder, tmp_path) -> None:
    known = windows.read(folder)
    model = tmp_path / "model.pt"
    model.write_bytes(b"weights")
    better = ANSWERS | {"t1": (0.9, 0.1), "t2": (0.5, 0.1)}
    of = page.Compared(
        windows.Known(known.windows, []),
        {"airsift": answers(known, better), "other": answers(known, ANSWERS)},
        model,
        shipped=True,
    )
    place = tmp_path / "peers.md"
    place.write_text(f"# Peers\n\n{page.BEGIN}\nstale words\n{page.END}\n\nEnd\n")
    page.write(page.tables(of), place)
    text = place.read_text()
    assert text.startswith("# Peers\n")
    assert text.endswith(f"{page.END}\n\nEnd\n")
    assert "stale words" not in text
    assert "The row of airsift is of the shipped weights" in text
    assert "| speech | poems | 2 | 2 | 100.0 | 0.0 |" in text
    assert "| other | speech | 2 | 2 | 0 | 0.5000 | +100.0 (+100.0 to +100.0) |" in text
    place.write_text("# Peers\n")
    with pytest.raises(SystemExit, match="has not both marks"):
        page.write("", place)
