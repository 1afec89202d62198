"""The stage that finds repeats: the same events however the audio comes, and after a restart."""

from __future__ import annotations

import wave
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from fingerprint.analysis import peaks
from fingerprint.catalogue import Catalogue
from fingerprint.matching.matcher import LandmarkMatcher
from fingerprint.repeats import finder
from fingerprint.repeats.naming import add_to, find_cluster, title_in
from fingerprint.repeats.store import folder_of
from stream.audio import AudioChunk, Discontinuity, EndOfStream
from stream.events import Decision, Repeat, Segment
from stream.pipeline import Pipeline
from stream.stages.identify import Identify
from stream.stages.matchers import for_all
from stream.stages.repeats import FindRepeats, RepeatSettings, RepeatsPart, SecondLabels
from tests.stream.doubles import SMOOTH, LoudnessClassifier
from tests.stream.networks import FRONT_END
from tests.stream.notes import notes
from tests.stream.restarts import through_json
from tests.stream.sample_matcher import TIMES

RATE = 16_000
SPOTS = (20.3, 100.0, 161.7)  # s
SPOT_S = 9.0
LENGTH_S = 190


@pytest.fixture(scope="module")
def audio() -> np.ndarray:
    made, spot = notes(LENGTH_S, 1), notes(SPOT_S, 2)
    for number, at in enumerate(SPOTS):
        start = round(at * RATE)
        made[start : start + len(spot)] = spot * np.float32(0.5 + 0.3 * number)
    return made


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeats count from half a minute on, so that the audio can be short."""
    monkeypatch.setattr(finder, "MIN_LAG", 30 * RATE // 256)


def items(audio: np.ndarray, first: int, chunk: int, gap: tuple[int, int] | None = None) -> list:
    """Return audio from a sample on as the stage receives it: with a decision every second."""
    out: list = []
    edges = [*range(first, len(audio), chunk), len(audio)]
    for a, b in pairwise(edges):
        out.append(AudioChunk("a", a, audio[a:b], RATE))
        for second in range(a // RATE + 1, b // RATE + 1):
            end = second * RATE
            if end - 5 * RATE >= first:
                out.append(Decision("a", end - 5 * RATE, end, RATE, None, 0.0, 1.0))
            if end % (5 * RATE) == 0:
                out.append(Segment("a", 0, end - 2 * RATE, RATE, None, "music", 0.9, final=False))
    return out


def stage(folder: Path, **more: object) -> FindRepeats:
    return FindRepeats(RepeatSettings(folder, 7.0, **more))  # type: ignore[arg-type]


def repeats(out: list) -> list[Repeat]:
    return [item for item in out if isinstance(item, Repeat)]


@pytest.fixture(scope="module")
def expected(audio: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> list[Repeat]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finder, "MIN_LAG", 30 * RATE // 256)
        made = stage(tmp_path_factory.mktemp("whole"))
        return repeats(made.push([*items(audio, 0, RATE), EndOfStream("a", len(audio), RATE)]))


def test_a_spot_is_reported_with_its_borders_and_its_playings(expected: list[Repeat]) -> None:
    assert [event.count for event in expected] == [2, 3]
    for event, at, before in zip(expected, SPOTS[1:], SPOTS, strict=False):
        assert abs(event.start / RATE - at) < 0.3
        assert abs(event.end / RATE - at - SPOT_S) < 0.3
        assert abs(event.previous / RATE - before) < 0.3
        assert (event.label, event.guess) == ("music", "jingle")
        assert event.id == f"a/repeat/{event.start}/{expected[0].cluster}"


@pytest.mark.parametrize("chunk", [777, 5 * RATE, LENGTH_S * RATE])
def test_chunks_change_nothing(
    audio: np.ndarray, expected: list[Repeat], tmp_path: Path, chunk: int
) -> None:
    made = stage(tmp_path)
    out = []
    for item in [*items(audio, 0, chunk), EndOfStream("a", len(audio), RATE)]:
        out += repeats(made.push([item]))
    # Labels come with their decisions, so with large chunks the audio comes long before them.
    assert out == expected


class Nothing:
    """A matcher with airsift's landmarks and an empty catalogue."""

    def extract(self, samples):
        return peaks.extract(samples)

    def match(self, landmarks):
        return []


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("chunk_s", [1, 10])
def test_the_landmarks_of_identify_are_not_extracted_again(
    audio: np.ndarray,
    expected: list[Repeat],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    share: bool,
    chunk_s: int,
) -> None:
    samples = {"identify": 0, "repeats": 0}
    extract, now = peaks.extract_next, "identify"

    def counted(piece, start, spectrum):
        samples[now] += len(piece)
        return extract(piece, start, spectrum)

    monkeypatch.setattr(peaks, "extract_next", counted)
    identify, made = Identify(for_all(Nothing()), TIMES, share_landmarks=share), stage(tmp_path)
    made.sessions = identify.sessions
    out = []
    for item in [*items(audio, 0, chunk_s * RATE), EndOfStream("a", len(audio), RATE)]:
        now = "identify"
        known = identify.push([item])
        now = "repeats"
        out += repeats(made.push(known))
    assert out == expected
    again = samples["repeats"] / len(audio)
    assert again < 0.4 if share else again > 1.0


@pytest.mark.parametrize("at_s", [8, 95, 107, 125, 170])
def test_a_kill_and_a_restart_change_nothing(
    audio: np.ndarray, expected: list[Repeat], tmp_path: Path, at_s: int
) -> None:
    before = stage(tmp_path)
    out = repeats(before.push(items(audio[: at_s * RATE], 0, RATE)))
    session = before.sessions["a"]
    part = before.snapshot(session)
    oldest = before.oldest(session, at_s * RATE)
    assert part is not None
    assert at_s * RATE - oldest <= 24 * RATE
    assert part.check(at_s * RATE) == ""
    stored = TypeAdapter(RepeatsPart).dump_json(part)
    before.push(items(audio[: (at_s + 12) * RATE], at_s * RATE, RATE))  # lost with the process
    after = stage(tmp_path)
    after.restore(after.sessions["a"], TypeAdapter(RepeatsPart).validate_json(stored))
    again = [
        item
        for item in items(audio, 0, RATE)
        if (item.end > oldest if isinstance(item, AudioChunk) else item.end > at_s * RATE)
    ]
    out += repeats(after.push([*again, EndOfStream("a", len(audio), RATE)]))
    assert out == expected


def test_a_break_between_playings_does_not_part_them(audio: np.ndarray, tmp_path: Path) -> None:
    made = stage(tmp_path)
    out = repeats(made.push(items(audio[: 80 * RATE], 0, RATE)))
    out += repeats(made.push([Discontinuity("a", 80 * RATE, 90 * RATE, RATE, "missing")]))
    out += repeats(made.push(items(audio, 90 * RATE, RATE)))
    assert [event.count for event in out] == [2, 3]
    # A stream that ends, and one that begins anew later, too.
    out += repeats(made.push([EndOfStream("a", len(audio), RATE)]))
    moved = np.concatenate([np.zeros(400 * RATE, np.float32), audio[: 60 * RATE]])
    out += repeats(made.push(items(moved, 400 * RATE, RATE)))
    assert [event.count for event in out] == [2, 3, 4]
    assert len({event.cluster for event in out}) == 1


def test_a_station_that_begins_again_at_zero_forgets_what_lay_there(
    audio: np.ndarray, expected: list[Repeat], tmp_path: Path
) -> None:
    for _ in range(2):
        made = stage(tmp_path)
        out = made.push([*items(audio, 0, RATE), EndOfStream("a", len(audio), RATE)])
        assert repeats(out) == expected


def test_a_clip_is_stored_once(audio: np.ndarray, tmp_path: Path) -> None:
    made = stage(tmp_path, clip_s=30.0)
    (event, _) = repeats(made.push([*items(audio, 0, RATE), EndOfStream("a", len(audio), RATE)]))
    path = folder_of(tmp_path, "a") / "clips" / f"{event.cluster}.wav"
    with wave.open(str(path)) as file:
        assert file.getframerate() == RATE
        stored = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    sound = audio[event.start : event.end]
    assert np.abs(stored / 32767 - sound).max() < 1e-3


def test_a_disk_that_refuses_costs_repeats_and_not_the_station(
    audio: np.ndarray, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    made = stage(tmp_path / "file")
    sent = items(audio[: 60 * RATE], 0, RATE)
    assert made.push(sent) == sent
    assert "repeats cannot be stored" in caplog.text


def test_a_cluster_that_is_named_is_found_by_its_name(
    audio: np.ndarray, expected: list[Repeat], tmp_path: Path
) -> None:
    catalogue = Catalogue.create(tmp_path / "shelf")
    made = stage(tmp_path / "store", title_of=title_in(catalogue))
    first = repeats(made.push(items(audio[: 150 * RATE], 0, RATE)))
    assert [event.title for event in first] == [""]
    found = find_cluster(tmp_path / "store", first[0].cluster)
    add_to(catalogue, found, "Soap", "", "advert")
    second = repeats(made.push(items(audio, 150 * RATE, RATE)))
    assert [event.title for event in second] == ["Soap"]
    matcher = LandmarkMatcher(catalogue)
    start = round(SPOTS[2] * RATE)
    (match,) = matcher.match(matcher.extract(audio[start : start + round(SPOT_S * RATE)]))
    assert (match.title, match.extra["kind"]) == ("Soap", "advert")
    assert matcher.match(matcher.extract(audio[40 * RATE : 50 * RATE])) == []


@pytest.mark.parametrize(
    "change",
    [
        {"done": 10**9},
        {"done": 257},
        {"open": [[0, 1, 2, 0, 0, 0, 0, 0, 0]]},
        {"open": [[9, 5, 2, 0, 0, 0, 0, 0, 0]]},
        {"open": [[9, 0, 2**52, 0, 0, 0, 0, 0, 0]]},
    ],
)
def test_a_snapshot_that_cannot_be_is_refused(change: dict) -> None:
    good = {"done": 256, "begun": 0, "labels": SecondLabels(), "open": []}
    assert RepeatsPart(**good).check(1000) == ""
    assert RepeatsPart(**{**good, **change}).check(1000)


def test_labels_are_the_latest_of_each_second() -> None:
    labels = SecondLabels()
    labels.add(0, 30 * RATE, "music")
    labels.add(10 * RATE, 20 * RATE, "speech")
    frames = 16_000 // 256
    assert labels.text == "m" * 10 + "s" * 10 + "m" * 10
    assert labels.most(12 * frames, 18 * frames) == "speech"
    labels.add(10_000 * RATE, 10_001 * RATE, "other")
    assert labels.most(0, 30 * frames) == ""
    labels.add(10_000 * RATE, 20_000 * RATE, "music")
    assert len(labels.text) == 900


@pytest.mark.slow
@pytest.mark.parametrize("at_s", [97.3, 118.0])
def test_a_pipeline_that_is_restored_finds_the_same_repeats(
    audio: np.ndarray, tmp_path: Path, at_s: float
) -> None:
    def pipeline(name: str) -> Pipeline:
        return Pipeline(FRONT_END, LoudnessClassifier(), SMOOTH, repeats=stage(tmp_path / name))

    def chunks(first: int, last: int) -> list[AudioChunk]:
        edges = [*range(first, last, RATE), last]
        return [AudioChunk("a", x, audio[x:y], RATE) for x, y in pairwise(edges)]

    expected = repeats(pipeline("whole").push(chunks(0, len(audio)), last=True))
    assert [event.count for event in expected] == [2, 3]
    at = round(at_s * RATE)
    first = pipeline("killed")
    out = first.push(chunks(0, at))
    stored = through_json(first.snapshot("a"))
    first.push(chunks(at, at + 11 * RATE))
    second = pipeline("killed")
    assert second.restore("a", stored)
    out += second.push(chunks(stored.oldest, len(audio)), last=True)
    assert repeats(out) == expected
