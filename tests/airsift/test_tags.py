"""``airsift tags check``: claims, content, confidence, resuming, and bad input."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mutagen.id3
import mutagen.mp4
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc

from airsift.config import load
from airsift.errors import CatalogueError, ConfigError, DecodeError
from airsift.tags.analysis import Content, analyse, build_analysis
from airsift.tags.beta import below_half
from airsift.tags.catalogue import Entry, own_tags, read_entries
from airsift.tags.decisions import read_decisions
from airsift.tags.judging import Sorted, Verdict, claims_of, judge
from airsift.tags.listing import lines_of
from airsift.tags.mapping import Claim, TagMap, load_map, split_tags
from airsift.tags.store import Store
from stream.decoding.excerpts import read_excerpts, spread
from stream.sinks.format import width_of
from stream.testing import music_like, noise, speech_like, tone, write_wav
from tests.command import airsift
from tests.stream.media import encode
from tests.terminal import AIRSIFT, run, strange

RATE = 16_000
CONTENT = Content(60.0, 300.0, 0.1, 0.9, 0.05, 0.9, (1.0,), (30.0, 5.0))
shares = st.floats(0, 1)


def verdict(analysed_s: float, against: float, name: str = "a.mp3") -> Verdict:
    content = Content(analysed_s, analysed_s, 0.0, 1.0, 0.0, against, (), ())
    return Verdict(Entry(Path(name), name, ("Podcast",)), Claim.speech, content)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six files, of which two have the tag of the other class, and a table of them."""
    folder = tmp_path_factory.mktemp("shelf")
    rows = []
    for number in range(6):
        samples = (music_like if number % 2 else speech_like)(15.0, seed=number)
        name = f"{number}.wav"
        write_wav(folder / name, samples)
        is_music = (number % 2 == 1) != (number in (2, 3))
        rows.append((name, "Rock; Pop" if is_music else "Hörbuch"))
    with (folder / "catalogue.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "genre"), *rows])
    return folder


@pytest.mark.parametrize(
    ("tags", "claim"),
    [
        (["Audiobook"], Claim.speech),
        (["Children's AUDIOBOOK"], Claim.speech),
        (["Hip-Hop"], Claim.music),
        (["R&B"], Claim.music),
        (["Drum & Bass"], Claim.music),
        (["Rock", "Pop"], Claim.music),
        (["Rock", "Podcast"], None),
        (["Neoperreo"], None),
        (["popular science"], Claim.music),  # a user's map may say better
        (["popcorn"], None),  # a part of a word is no word
        ([], None),
    ],
)
def test_tags_claim_speech_or_music_or_nothing(tags: list[str], claim: Claim | None) -> None:
    assert load_map().claim(tags) is claim


@given(st.permutations(["Rock", "Indie", "Live at home"]))
def test_the_order_of_tags_does_not_matter(tags: list[str]) -> None:
    assert load_map().claim(tags) is Claim.music


def test_the_longest_of_overlapping_terms_counts() -> None:
    terms = TagMap({"opera": Claim.music, "soap opera": Claim.speech})
    assert terms.claim(["Soap Opera"]) is Claim.speech
    assert terms.claim(["Opera buffa"]) is Claim.music


def test_a_map_of_the_user_adds_and_overrides(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('speech = ["Popular science", "beat"]\nmusic = ["neoperreo"]\n')
    terms = load_map(path)
    assert terms.claim(["popular science"]) is Claim.speech
    assert terms.claim(["Beat"]) is Claim.speech
    assert terms.claim(["Neoperreo"]) is Claim.music
    assert terms.claim(["Audiobook"]) is Claim.speech


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('speach = ["x"]', "'speach' is unknown; it may have speech and music"),
        ('speech = "x"', "speech must be a list of texts"),
        ('speech = ["x"]\nmusic = ["X"]', "'X' is in both lists"),
        ('speech = ["?!"]', "has no letters"),
        ("speech = [", "is no TOML"),
    ],
)
def test_a_wrong_map_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words.replace("?", r"\?")):
        load_map(path)


def test_cells_of_several_tags_are_split() -> None:
    assert split_tags("Rock; Pop/Funk,Soul | Jazz") == ["Rock", "Pop", "Funk", "Soul", "Jazz"]


def test_files_state_their_own_tags(tmp_path: Path) -> None:
    mp3, m4b, wav, mka = (tmp_path / f"a.{end}" for end in ("mp3", "m4b", "wav", "mka"))
    encode(mp3, tone(1.0, 44_100), 44_100, "libmp3lame")
    frames = mutagen.id3.ID3()
    frames.add(mutagen.id3.TCON(encoding=3, text=["(101)", "Talk"]))
    frames.save(mp3)
    encode(m4b, tone(1.0, 44_100), 44_100, "aac", format="mp4")
    atoms = mutagen.mp4.MP4(m4b)
    atoms.add_tags() if atoms.tags is None else None
    atoms["stik"], atoms["\xa9gen"] = [2], ["Krimi"]
    atoms.save()
    write_wav(wav, tone(1.0))
    encode(mka, tone(1.0), RATE, "flac", format="matroska")
    assert own_tags(mp3) == ("Speech", "Talk")
    assert own_tags(m4b) == ("Krimi", "audiobook")
    assert own_tags(wav) == own_tags(mka) == ()


@given(st.floats(1, 10_000), shares, shares)
def test_more_against_the_tags_is_surer(seconds: float, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 0 <= verdict(seconds, low).confidence <= verdict(seconds, high).confidence <= 1


@given(st.floats(0.55, 1), st.floats(1, 1000), st.floats(1, 1000))
def test_more_audio_is_surer_of_what_it_shows(share: float, a: float, b: float) -> None:
    short, long = sorted((a, b))
    assert verdict(short, share).confidence <= verdict(long, share).confidence + 1e-3


parameters = st.floats(1, 30_000)


@given(parameters, parameters)
def test_the_share_below_a_half_is_the_incomplete_beta_function(a: float, b: float) -> None:
    assert below_half(a, b) == pytest.approx(betainc(a, b, 0.5), abs=1e-9)


def test_half_against_the_tags_is_undecided() -> None:
    assert verdict(600.0, 0.5).confidence == pytest.approx(0.5)
    assert verdict(10.0, 1.0).confidence == pytest.approx(0.75)


@given(st.lists(shares, max_size=20), shares)
def test_disagreements_are_sorted_and_above_the_threshold(
    values: list[float], threshold: float
) -> None:
    result = Sorted()
    judge([verdict(60.0, each, f"{n}.mp3") for n, each in enumerate(values)], threshold, result)
    sure = [each.confidence for each in result.disagreements]
    assert sure == sorted(sure, reverse=True)
    assert all(each >= threshold for each in sure)
    assert len(sure) + result.agreeing == len(values)


def test_what_claims_nothing_is_counted() -> None:
    result = Sorted()
    entries = [Entry(Path(tag), tag, (tag,)) for tag in ("Rock", "Zydeco live", "Zydeco live")]
    assert [claim for _, claim in claims_of(entries, load_map(), result)] == [Claim.music]
    assert result.unclear == {"Zydeco live": 2}


@given(st.floats(1, 10_000), st.integers(1, 30))
def test_pieces_are_spread_over_the_file(duration_s: float, count: int) -> None:
    starts = spread(duration_s, count, 10.0)
    assert len(starts) == count
    assert starts == sorted(starts)
    if duration_s >= 10.0 * count:
        assert starts[0] >= 0
        assert starts[-1] + 10.0 <= duration_s + 1e-6
        assert all(b - a >= 10.0 - 1e-6 for a, b in itertools.pairwise(starts))


@pytest.mark.parametrize(
    ("end", "codec", "tolerance_s"),
    [
        ("wav", "pcm_s16le", 0.001),
        ("flac", "flac", 0.3),
        ("mp3", "libmp3lame", 0.1),
        ("m4a", "aac", 0.1),
        ("opus", "libopus", 0.1),
        ("mka", "libopus", 0.1),
    ],
)
def test_a_piece_begins_where_it_should(
    end: str, codec: str, tolerance_s: float, tmp_path: Path
) -> None:
    # The frequency says the time: 200 Hz and 10 Hz more each second.
    rate = 48_000
    t = np.arange(60 * rate) / rate
    sweep = 0.5 * np.sin(2 * np.pi * (200 * t + 5 * t**2)).astype(np.float32)
    path = tmp_path / f"a.{end}"
    encode(path, sweep, rate, codec)
    problems: list[str] = []
    for piece in read_excerpts(path, [5.0, 40.0, 20.0], 2.0, problems):
        assert len(piece.samples) == 2 * piece.rate
        spectrum = np.abs(np.fft.rfft(piece.samples * np.hanning(len(piece.samples))))
        middle_hz = np.average(np.arange(len(spectrum)) / 2, weights=spectrum**2)
        assert abs((middle_hz - 200) / 10 - (piece.start_s + 1)) < tolerance_s + 0.05
    assert not problems


@pytest.mark.slow
def test_a_short_file_is_analysed_as_segment_does(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    parts = [speech_like(12.0), music_like(18.0)]
    write_wav(path, np.concatenate(parts))
    content = analyse(path, 60.0, build_analysis(load(None, []).config), [])
    done = airsift("segment", path)
    segments = [json.loads(line) for line in done.stdout.splitlines()]
    total = sum(each["end_s"] - each["start_s"] for each in segments)
    for label, share in (("speech", content.speech), ("music", content.music)):
        some = [each for each in segments if label in each["label"].split("_over_")]
        expected = sum(each["end_s"] - each["start_s"] for each in some) / total
        assert share == pytest.approx(expected, abs=1e-3)
    assert content.analysed_s == pytest.approx(30, abs=0.1)


@pytest.mark.slow
def test_a_long_file_is_analysed_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    encode(path, np.concatenate([music_like(150.0), speech_like(150.0)]), RATE, "flac")
    pipeline = build_analysis(load(None, []).config)
    content = analyse(path, 60.0, pipeline, [])
    assert content.analysed_s == pytest.approx(60, abs=0.5)
    assert content.duration_s == pytest.approx(300, abs=0.1)
    assert 0.4 < content.p_music + content.speech * 0 < 0.6
    assert all(at < 150 for at in content.music_at)
    assert all(at >= 150 for at in content.speech_at)
    assert analyse(path, 60.0, pipeline, []) == content  # nothing is left of a file


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_a_file_that_is_no_audio_is_told(seconds: float, tmp_path: Path) -> None:
    pipeline = build_analysis(load(None, []).config)
    (tmp_path / "text.mp3").write_text("no audio " * 400)
    write_wav(tmp_path / "short.wav", tone(0.2))
    with pytest.raises(DecodeError, match=r"text\.mp3"):
        analyse(tmp_path / "text.mp3", seconds, pipeline, [])
    with pytest.raises(DecodeError, match="too little audio"):
        analyse(tmp_path / "short.wav", seconds, pipeline, [])


def test_the_store_forgets_changed_files_and_other_settings(tmp_path: Path) -> None:
    audio, path = tmp_path / "a.wav", tmp_path / "store"
    write_wav(audio, noise(1.0))
    with Store(path, "one") as store:
        store.add(audio, CONTENT)
    with Store(path, "one") as store:
        assert store.get(audio) == CONTENT
        assert store.get(tmp_path / "b.wav") is None
    with Store(path, "two") as store:
        assert store.get(audio) is None
    write_wav(audio, noise(2.0))
    with Store(path, "one") as store:
        assert store.get(audio) is None


@given(cut=st.integers(1, 200))
def test_a_line_cut_short_costs_only_itself(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    files = [write_wav(folder / f"{n}.wav", noise(0.1, seed=n)) for n in range(3)]
    with Store(folder / "store", "one") as store:
        store.add(files[0], CONTENT)
        store.add(files[1], CONTENT)
    data = (folder / "store").read_bytes()
    (folder / "store").write_bytes(data[:-cut])
    with Store(folder / "store", "one") as store:
        assert store.get(files[0]) == CONTENT
        assert (store.get(files[1]) is None) == (cut > 1)
        store.add(files[2], CONTENT)
    with Store(folder / "store", "one") as store:
        assert store.get(files[0]) == store.get(files[2]) == CONTENT


def test_another_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine\n")
    with pytest.raises(ConfigError, match="name another one with --store"):
        Store(tmp_path / "notes.txt", "one")
    assert (tmp_path / "notes.txt").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,genre\na,b\n", "its columns are file, genre; it needs `path`"),
        ("path,title\na,b\n", "it needs `path`, and `genre` or `tags`"),
        ("", "its columns are none"),
        ("path,genre\n", "lists no files"),
    ],
)
def test_a_table_with_wrong_columns_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(CatalogueError, match=words):
        read_entries(tmp_path / "c.csv")


def test_rows_without_a_file_and_repeated_ones_are_told(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("Path,Tags\na.mp3,Rock\n,Pop\na.mp3,Talk\n")
    entries, found = read_entries(tmp_path / "c.csv")
    assert entries == [Entry(tmp_path / "a.mp3", "a.mp3", ("Rock",))]
    assert [problem.split(": ", 1)[1] for problem in found.problems] == [
        "line 3: names no file; it is left out",
        "line 4: 'a.mp3' is there twice; its first row is used",
    ]
    assert found.failed == 1


def test_the_last_decision_about_a_file_counts(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("path,decision\na,wrong\nb,Right\na,right\nc,wrong\nc,\n")
    assert read_decisions(path) == {"a": "right", "b": "right"}
    path.write_text("path,decision\na,perhaps\n")
    with pytest.raises(CatalogueError, match="line 2: decision 'perhaps' is unknown"):
        read_decisions(path)
    path.write_text("path\na\n")
    with pytest.raises(CatalogueError, match="it needs `path` and `decision`"):
        read_decisions(path)


@pytest.mark.parametrize("columns", [40, 79, 199])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    names = ["a.mp3", "x" * 300, "音" * 90 + ".wav", "tab\tbell\a.wav"]
    some = [verdict(60.0, 0.9, name) for name in names]
    lines = lines_of(some, columns)
    assert len(lines) == 5
    assert all(width_of(line) <= columns for line in lines)
    assert not strange("\n".join(lines))


@pytest.mark.slow
def test_the_planted_tags_are_listed_in_every_format(shelf: Path, tmp_path: Path) -> None:
    store = ["--store", tmp_path / "store"]
    done = airsift("tags", "check", shelf / "catalogue.csv", *store, "--format", "jsonl")
    assert done.returncode == 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["path"]: row["contains"] for row in rows} == {"2.wav": "speech", "3.wav": "music"}
    done = airsift("tags", "check", shelf / "catalogue.csv", *store, "--format", "csv")
    table = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["path"] for row in table] == [row["path"] for row in rows]
    (tmp_path / "d.csv").write_text("path,decision\n2.wav,wrong\n")
    decided = ["--decisions", tmp_path / "d.csv"]
    done = airsift("tags", "check", shelf / "catalogue.csv", *store, *decided)
    assert done.stdout.splitlines()[1:][-1].startswith("1 disagree, 4 agree")
    assert done.stdout.splitlines()[-1].endswith("1 decided before")
    assert "2.wav" not in done.stdout


@pytest.mark.slow
def test_broken_and_missing_files_are_told_and_passed_over(shelf: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp3").write_text("no audio " * 400)
    rows = f"path,genre\ngone.mp3,Rock\ntext.mp3,Rock\n{shelf}/2.wav,Rock\n"
    (tmp_path / "c.csv").write_text(rows)
    done = airsift("tags", "check", tmp_path / "c.csv", "--store", tmp_path / "s")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("1 disagree, 0 agree")
    assert sorted(line.split(": ")[1].split("/")[-1] for line in done.stderr.splitlines()) == [
        "gone.mp3",
        "text.mp3",
    ]


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
def test_the_table_fits_the_terminal(size: tuple[int, int], shelf: Path, tmp_path: Path) -> None:
    command = [*AIRSIFT, "tags", "check", str(shelf / "catalogue.csv"), "--threshold", "0"]
    ran = run([*command, "--store", str(tmp_path / "store")], size)
    assert ran.code == 0
    assert ran.out is not None
    assert ran.out.lines[0].startswith("sure")
    assert len([line for line in ran.out.lines if ".wav" in line]) == 6
    assert not strange(ran.out.text)


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("jobs", [1, 2])
def test_after_a_kill_only_what_is_missing_is_analysed(
    jobs: int, shelf: Path, tmp_path: Path
) -> None:
    rows = [("path", "genre")]
    for number in range(60):
        path = tmp_path / f"{number}.wav"
        os.link(shelf / f"{number % 6}.wav", path)
        rows.append((path.name, "Rock"))
    with (tmp_path / "c.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    store = tmp_path / "store"
    command = [sys.executable, "-m", "airsift", "tags", "check", str(tmp_path / "c.csv")]
    command += ["--store", str(store), "--jobs", str(jobs), "--format", "jsonl"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not store.exists() or store.read_bytes().count(b"\n") < 10:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    before = store.read_bytes()
    known = before.count(b"\n")
    assert known < 60
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    after = store.read_bytes()
    assert after.startswith(before[: before.rindex(b"\n") + 1])
    assert len(done.stdout.splitlines()) == 30
    paths = [json.loads(line)["path"] for line in after.splitlines() if line.endswith(b"}")]
    assert len(paths) == len(set(paths)) == 60  # none was analysed twice


@pytest.mark.slow
@pytest.mark.process
def test_the_output_is_the_same_with_any_number_of_processes(shelf: Path, tmp_path: Path) -> None:
    rows = [("path", "genre")]
    for number in range(13):
        name = f"{number}.wav"
        if number == 7:  # one line of its own, in its place
            (tmp_path / name).write_text("no audio")
        else:
            os.link(shelf / f"{number % 6}.wav", tmp_path / name)
        rows.append((name, "Rock"))
    with (tmp_path / "c.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    found = []
    for jobs in (1, 2, 3):
        done = airsift(
            "tags", "check", tmp_path / "c.csv", "--store", tmp_path / f"store-{jobs}", "--jobs",
            jobs, "--format", "jsonl",
        )  # fmt: skip
        found.append((done.returncode, done.stdout, done.stderr))
    assert found[0] == found[1] == found[2]
    assert found[0][0] == 1
    assert found[0][1].count("\n") == 7
    stores = [(tmp_path / f"store-{jobs}").read_bytes() for jobs in (1, 2, 3)]
    assert stores[0] == stores[1] == stores[2]
