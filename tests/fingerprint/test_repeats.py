"""Laws of repeats: independent of chunks, of the order of pairs, and of restarts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fingerprint.analysis.landmarks import Landmarks
from fingerprint.repeats.alignment import BLOCK, Run
from fingerprint.repeats.clusters import Cluster, Occurrence, clusters_of
from fingerprint.repeats.finder import MIN_LAG, RepeatFinder
from fingerprint.repeats.kinds import LIVE_S, guess
from fingerprint.repeats.store import DAY, RUNS, Store, StoredRun, folder_of, stations_in
from fingerprint.repeats.window import BlockPairs, Window
from fingerprint.settings import HOP, N_BINS, SAMPLE_RATE
from tests.fingerprint.repeats import SECOND, Air, search

LAG_S = MIN_LAG / SECOND


def seconds(cluster: Cluster) -> list[tuple[float, float]]:
    return [(each.start / SECOND, each.end / SECOND) for each in cluster.occurrences]


@pytest.fixture(scope="module")
def air() -> Air:
    """Twenty-five minutes: a spot three times, and a jingle that is also within it."""
    made = Air(1500, 1)
    jingle = made.piece(5)
    rest = made.piece(20)
    spot = tuple(
        np.concatenate([a, b + (round(5 * SECOND) if n == 0 else 0)])
        for n, (a, b) in enumerate(zip(jingle, rest, strict=True))
    )
    for at in (100.0, 520.0, 1100.0):
        made.put(at, spot)
    for at in (830.0, 1450.0):
        made.put(at, jingle)
    return made


@pytest.fixture(scope="module")
def whole(air: Air, tmp_path_factory: pytest.TempPathFactory) -> tuple[list, list[Cluster]]:
    finder, found = search(tmp_path_factory.mktemp("whole"), air, [])
    return found, finder.clusters.all()


def test_a_piece_of_n_playings_is_one_cluster_of_n(whole: tuple[list, list[Cluster]]) -> None:
    found, clusters = whole
    by_count = {len(each.occurrences): each for each in clusters}
    assert sorted(by_count) == [3, 5]
    for (start, end), at in zip(seconds(by_count[3]), (100, 520, 1100), strict=True):
        assert abs(start - at) < 0.5
        assert abs(end - at - 25) < 0.5
    for (start, end), at in zip(seconds(by_count[5]), (100, 520, 830, 1100, 1450), strict=True):
        assert abs(start - at) < 0.5
        assert abs(end - at - 5) < 0.5
    spot, jingle = by_count[3].id, by_count[5].id
    at = [(each.cluster, round(each.start / SECOND), each.count) for each in found]
    # Within the spot at 1100 s the jingle is less than five minutes after the one before.
    assert at == [(spot, 520, 2), (jingle, 830, 3), (spot, 1100, 3), (jingle, 1450, 5)]


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(cuts=st.lists(st.integers(1, 93_000), max_size=8))
def test_chunks_change_nothing(
    air: Air, whole: tuple[list, list[Cluster]], cuts: list[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    finder, found = search(tmp_path_factory.mktemp("cut"), air, cuts)
    assert (found, finder.clusters.all()) == whole


@pytest.mark.parametrize("cut_s", [60.0, 530.0, 545.0, 846.0, 1108.0])
def test_a_restart_changes_nothing(
    air: Air, whole: tuple[list, list[Cluster]], tmp_path: Path, cut_s: float
) -> None:
    snapshot_at = round(cut_s * SECOND) // BLOCK * BLOCK
    killed_at = min(snapshot_at + 4 * BLOCK, air.frames)
    finder = RepeatFinder("a", Store(tmp_path), 0, 7)
    found = finder.add(air.landmarks(0, snapshot_at))
    runs = list(finder.open)
    finder.add(air.landmarks(snapshot_at, killed_at))
    again = RepeatFinder("a", Store(tmp_path), snapshot_at * HOP, 7, runs)
    found += again.add(air.landmarks(snapshot_at))
    found += again.finish()
    assert (found, again.clusters.all()) == whole
    assert clusters_of("a", Store(tmp_path).runs()).all() == whole[1]


RUNS_OF_SPOTS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(-20, 20)), min_size=1, max_size=20
)


@given(made=RUNS_OF_SPOTS, random=st.randoms(use_true_random=False))
def test_clusters_do_not_depend_on_the_order_of_runs(made: list, random) -> None:
    runs = []
    for number, (a, b, wrong) in enumerate(made):
        start, end = sorted((a, b))
        if start != end:
            lag, at = (end - start) * 40_000, end * 40_000
            runs.append(StoredRun(Run(lag, at + wrong, at + 600, 1000, 80, 100), number, ""))
    mixed = list(runs)
    random.shuffle(mixed)
    first, second = clusters_of("a", runs).all(), clusters_of("a", mixed).all()
    assert first == second
    # Each playing is in one cluster, and those that a run links are in the same one.
    places = [round(each.start / 40_000) for cluster in first for each in cluster.occurrences]
    assert len(places) == len(set(places))


def test_a_loop_in_one_piece_and_stationary_sounds_are_no_repeats(tmp_path: Path) -> None:
    made = Air(1000, 3)
    loop = made.piece(8)
    for turn in range(20):
        made.put(100 + 8 * turn, loop, kept=0.9)
    # A hum: peaks at three frequencies all the time, and hardly any others.
    hum = made.frame >= round(600 * SECOND)
    made.bin[hum] = np.random.default_rng(0).choice([20, 56, 77], hum.sum())
    finder, found = search(tmp_path, made, [])
    assert found == []
    assert finder.clusters.all() == []


def test_silence_is_no_repeat(tmp_path: Path) -> None:
    finder = RepeatFinder("a", Store(tmp_path), 0, 7)
    silent = Landmarks.none(0)
    nothing = Landmarks(silent.time, silent.bin, silent.rank, 0, 1000 * SAMPLE_RATE // HOP * HOP)
    assert finder.add(nothing) + finder.finish() == []


def test_a_jingle_played_twice_within_five_minutes_is_found_with_the_third(tmp_path: Path) -> None:
    made = Air(1200, 4)
    jingle = made.piece(6)
    for at in (50, 200, 1000):
        made.put(at, jingle)
    finder, found = search(tmp_path, made, [])
    (cluster,) = finder.clusters.all()
    assert [round(start) for start, _ in seconds(cluster)] == [50, 200, 1000]
    assert [each.count for each in found] == [3]


def test_a_piece_is_found_within_the_window_and_not_beyond(tmp_path: Path) -> None:
    made = Air(1800, 5)
    spot = made.piece(20)
    made.put(100, spot)
    made.put(1000, spot)
    for days, times in ((1.0, 1), (0.01, 0)):  # 864 s
        finder = RepeatFinder("a", Store(tmp_path / str(days)), 0, days)
        assert len(finder.add(made.landmarks()) + finder.finish()) == times


def test_a_window_that_is_loaded_answers_as_one_that_was_filled() -> None:
    random = np.random.default_rng(2)
    filled, blocks = Window(), [3, 4, 9, 70, 71, 72, 150]
    frames, bins = [], []
    for number in blocks:
        frame = np.sort(random.integers(0, BLOCK, 300)) + number * BLOCK
        bin_ = random.integers(0, 30, 300)
        filled.add(number, BlockPairs.of(frame, bin_))
        frames.append(frame)
        bins.append(bin_)
    loaded = Window()
    loaded.load(BlockPairs.of(np.concatenate(frames), np.concatenate(bins)), blocks[-1] + 1)
    query = BlockPairs.of(frames[1] + 200 * BLOCK, bins[1])
    answers = [np.sort(w.look_up(query, MIN_LAG, 10**7)) for w in (filled, loaded)]
    assert len(answers[0])
    assert (answers[0] == answers[1]).all()
    assert (np.bincount(answers[0]).argmax(), len(filled)) == (200 * BLOCK, len(loaded))


def test_days_older_than_the_window_are_deleted(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    finder = RepeatFinder("a", Store(tmp_path), 0, 1.0)
    for day in range(4):
        frame = np.sort(random.integers(0, BLOCK, 200)) + day * DAY
        made = Landmarks(
            frame * HOP, np.zeros(200, np.float32), np.zeros(200, np.int16),
            day * DAY * HOP, (day * DAY + BLOCK) * HOP,
        )  # fmt: skip
        finder.add(made)
    assert [path.name for path in sorted(tmp_path.glob("*.peaks"))] == [
        "1970-01-03.peaks", "1970-01-04.peaks",
    ]  # fmt: skip


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 3 * DAY), st.integers(0, N_BINS - 1), st.booleans()),
                min_size=1, max_size=50), st.integers(0, 3 * DAY))  # fmt: skip
def test_peaks_are_stored_and_cut(
    tmp_path_factory: pytest.TempPathFactory, peaks: list[tuple[int, int, bool]], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("store")
    frame, bin_, strong = (np.array(column) for column in zip(*sorted(peaks), strict=True))
    store = Store(folder)
    for some in np.array_split(np.arange(len(frame)), 3):
        if len(some):
            store.add(frame[some], bin_[some], strong[some].astype(bool))
    for each in (store, Store(folder)):
        found = each.peaks(0, 4 * DAY)
        assert [*zip(*(x.tolist() for x in found), strict=True)] == [
            (f, b) for f, b, _ in sorted(peaks)
        ]
    store.cut(cut)
    left = [(f, b) for f, b, s in sorted(peaks) if f < cut and s]
    for each in (store, Store(folder)):
        found = each.strong_peaks(0, 4 * DAY)
        assert [*zip(*(x.tolist() for x in found), strict=True)] == left


def test_damaged_files_cost_what_they_hold(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add(np.array([5, 9]), np.array([1, 2]), np.array([True, False]))
    good = StoredRun(Run(20_000, 30_000, 30_500, 900, 50, 60), 24, "abc", "music")
    store.add_runs([good])
    with (tmp_path / RUNS).open("a") as file:
        file.write('{"lag": 3}\n[]\n' + good.to_json()[:30])
    with (tmp_path / "1970-01-01.peaks").open("ab") as file:
        file.write(b"\x01\x02")  # half a peak
    again = Store(tmp_path)
    assert again.runs() == [good]
    assert len(again.problems) == 2
    assert again.peaks(0, 100)[0].tolist() == [5, 9]
    (tmp_path / "1970-01-01.peaks").write_bytes(b"\xff" * 8 + b"\0" * 8)
    assert "damaged" in Store(tmp_path).problems[0]


@pytest.mark.parametrize("name", ["Radio Ö", "..", "a/b", "x" * 500, "%41", "~", "\udcff"])
def test_every_station_has_a_folder_of_its_own(tmp_path: Path, name: str) -> None:
    folder = folder_of(tmp_path, name)
    assert folder.parent == tmp_path
    assert folder_of(tmp_path, f"{name}.") != folder
    Store(folder).add_runs([])
    if len(name) < 100 and name.isprintable():
        assert stations_in(tmp_path) == [(name, folder)]


@pytest.mark.parametrize(
    ("length_s", "label", "share", "starts_s", "kind"),
    [
        (200, "music", 0.8, [0, 9000], "song"),
        (8, "music", 0.8, [0, 9000], "jingle"),
        (30, "speech_over_music", 0.8, [0, 9000], "advert"),
        (30, "speech", 0.8, [0, 9000], "advert"),
        (40, "speech_over_music", 0.3, [0, 9000], "bed"),
        (20, "speech_over_music", 0.8, [LIVE_S + 3600 * n + 20 * n for n in range(4)],
         "programme open"),
        (20, "speech_over_music", 0.8, [LIVE_S + 3500 * n for n in range(4)], "advert"),
        (20, "other", 0.8, [0, 9000], "other"),
    ],
)  # fmt: skip
def test_guesses(
    length_s: float, label: str, share: float, starts_s: list[float], kind: str
) -> None:
    occurrences = [
        Occurrence(round(at * SECOND), round((at + length_s) * SECOND), label) for at in starts_s
    ]
    assert guess(Cluster("x", occurrences, share)) == kind
