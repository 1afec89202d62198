"""A series: read once, in any number of runs; what comes back has one name in all episodes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import mutagen.id3
import pytest

from airsift.build import build_pipeline
from airsift.config import load
from airsift.podcasts.series import Series, kind_of
from fingerprint.repeats.clusters import Cluster, Occurrence
from fingerprint.repeats.recordings import Recording
from stream import repeats_of_files
from tests.airsift.podcasts.episodes import Span, make
from tests.command import airsift

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, list[Span]]:
    return make(tmp_path_factory.mktemp("Ä series"))


@pytest.fixture(scope="module")
def store(shelf: dict[Path, list[Span]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a command that has read the series."""
    folder = tmp_path_factory.mktemp("store")
    done = airsift(
        "chapters", "--series", next(iter(shelf)).parent, "--store", folder, "--format", "text"
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def json_of(done: object) -> list[dict]:
    assert done.returncode == 0, done.stderr  # type: ignore[attr-defined]
    return json.loads(done.stdout)["chapters"]  # type: ignore[attr-defined]


def test_adverts_songs_and_openings_are_chapters(
    shelf: dict[Path, list[Span]], store: Path
) -> None:
    for path, spans in shelf.items():
        options = ("--store", store, "--set", "podcasts.min_chapter_s=10")
        found = json_of(airsift("chapters", path, "--series", path.parent, *options))
        [advert] = [each for each in found if each["title"] == "Advert"]
        true = next(each for each in spans if each.what == "advert")
        assert advert["toc"] is False
        assert abs(advert["startTime"] - true.start_s) < 0.5
        assert abs(advert["endTime"] - true.end_s) < 0.5
        songs = [each for each in spans if each.what in ("starfall", "elevator")]
        music = [each for each in found if each["title"] == "Music"]
        for song, chapter in zip(songs, music, strict=True):
            assert abs(chapter["startTime"] - song.start_s) < 1
            assert abs(chapter["endTime"] - song.end_s) < 1


def test_a_new_episode_reads_no_old_one_again(
    shelf: dict[Path, list[Span]],
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[str] = []
    real = repeats_of_files.read_pieces

    def counted(path: Path, *rest: object, **named: object) -> object:
        read.append(path.name)
        return real(path, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(repeats_of_files, "read_pieces", counted)
    pipeline = build_pipeline(load(sets=["model.voice=false"]).config)
    name, paths = str(next(iter(shelf)).parent), list(shelf)
    for number in range(1, 4):  # in runs of their own
        one_by_one = Series(name, tmp_path)
        assert one_by_one.add(paths[:number], lambda: pipeline) == []
    assert read == [path.name for path in paths]
    at_once = Series(name, store)
    assert one_by_one.returning() == at_once.returning()
    settings = load().config.podcasts
    for path in paths:
        assert one_by_one.chapters(path, settings) == at_once.chapters(path, settings)


def test_what_broke_off_is_cut_off_again(
    shelf: dict[Path, list[Span]], store: Path, tmp_path: Path
) -> None:
    paths = list(shelf)
    pipeline = build_pipeline(load(sets=["model.voice=false"]).config)
    name = str(paths[0].parent)
    series = Series(name, tmp_path)
    series.add(paths[:2], lambda: pipeline)
    kept = (series.store.folder / "recordings.json").read_bytes()
    series.add(paths[2:], lambda: pipeline)
    # The third episode's peaks and runs are there, as after a kill before its end.
    (series.store.folder / "recordings.json").write_bytes(kept)
    again = Series(name, tmp_path)
    again.add(paths, lambda: pipeline)
    assert again.returning() == Series(name, store).returning()


def test_an_episode_that_was_moved_and_tagged_is_known(
    shelf: dict[Path, list[Span]], store: Path, tmp_path: Path
) -> None:
    path = next(iter(shelf))
    moved = tmp_path / "moved.mp3"
    shutil.copyfile(path, moved)
    tags = mutagen.id3.ID3()
    tags.add(mutagen.id3.TIT2(text=["Other"]))
    tags.save(moved)
    series = Series(str(path.parent), store)
    assert series.add([moved], lambda: pytest.fail("it is read again")) == []
    assert series.episode(moved) == [*series.episode(path)]


def test_what_is_named_is_a_chapter_of_this_name_in_every_episode(
    shelf: dict[Path, list[Span]], store: Path, tmp_path: Path
) -> None:
    folder = next(iter(shelf)).parent
    options = ("--store", store, "--catalogue", tmp_path / "names")
    listed = airsift("repeats", "--series", folder, "--store", store, "--json")
    clusters = [json.loads(line) for line in listed.stdout.splitlines()]
    opening = next(each for each in clusters if each["guess"] == "opening")
    assert (opening["episodes"], opening["count"]) == (3, 3)
    assert {each["guess"] for each in clusters} == {"opening", "advert"}
    named = airsift(
        "catalogue", "name", opening["cluster"], "Welcome", "--kind", "jingle", *options
    )
    assert named.returncode == 0, named.stderr
    for path in shelf:
        found = json_of(airsift("chapters", path, "--series", folder, *options))
        assert found[0]["title"] == "Welcome"
    # An episode that is no part of the series has it by the catalogue.
    alone = json_of(airsift("chapters", path, "--catalogue", tmp_path / "names"))
    assert alone[0]["title"] == "Welcome"


def test_chapters_are_written_into_the_files(
    shelf: dict[Path, list[Span]], store: Path, tmp_path: Path
) -> None:
    folder = next(iter(shelf)).parent
    done = airsift("chapters", "--series", folder, "--store", store, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == [
        f"{path.stem}.chapters.json" for path in shelf
    ]
    mine = tmp_path / "out" / f"{next(iter(shelf)).stem}.chapters.json"
    written = mine.read_text()
    mine.write_text("mine")
    command = ("chapters", "--series", folder, "--store", store, "-o", tmp_path / "out")
    done = airsift(*command)
    assert (done.returncode, mine.read_text(), done.stderr.count("\n")) == (1, "mine", 1)
    assert "replace it with --overwrite" in done.stderr
    done = airsift(*command, "--overwrite")
    assert (done.returncode, mine.read_text(), done.stderr) == (0, written, "")
    copy = tmp_path / "copy.mp3"
    path = next(iter(shelf))
    before = path.read_bytes()
    done = airsift("chapters", path, "--series", folder, "--store", store, "-o", copy)
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == before
    assert len(mutagen.id3.ID3(copy).getall("CHAP")) >= 3
    done = airsift("chapters", path, "--series", folder, "--store", store, "-o", copy)
    assert (done.returncode, done.stderr) == (0, "")  # the same again
    done = airsift("chapters", copy, "--series", folder, "--store", store, "--write")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name episodes, or a series"),
        (["a.mp3", "--write", "--output", "b.mp3"], "leave out --output"),
        (["a.mp3", "--latest", "2"], "leave it out"),
        (["a.mp3", "b.mp3", "--format", "json"], "2 episodes need a file each"),
        (["x/a.mp3", "y/a.mp3", "--output", "out"], "would both be"),
        (["a.mp3", "--output", "b.odd"], "its name says no format"),
        (["a.mkv", "--output", "b.mkv"], "end it in .txt, .json, .vtt, .psc or .xml"),
        (["a.wav", "--write"], "only mp3, m4a"),
        (["a.mp3", "--output", "a.mp3"], "give --write"),
        (["http://localhost/a.mp3"], "download the file"),
        (["-"], "standard input is read once"),
        (["absent.mp3"], "absent.mp3: cannot be read (No such file or directory); check"),
        (["--series", "absent"], "neither a folder nor an address"),
    ],
)
def test_a_wrong_call_is_one_line(arguments: list[str], says: str) -> None:
    done = airsift("chapters", *arguments)
    assert done.returncode == 1
    assert says in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


def test_rubbish_among_the_episodes_is_told_and_passed_over(
    shelf: dict[Path, list[Span]], tmp_path: Path
) -> None:
    path = next(iter(shelf))
    shutil.copyfile(path, tmp_path / "good.mp3")
    (tmp_path / "bad.mp3").write_bytes(b"no audio" * 99)
    (tmp_path / "empty.mp3").write_bytes(b"")
    done = airsift("chapters", "--series", tmp_path, "--store", tmp_path / "s", "--format", "text")
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == str(tmp_path / "good.mp3")
    assert [each in done.stderr for each in ("bad.mp3", "empty.mp3")] == [True, True]
    assert done.stderr.count("\n") == 2


def test_openings_lie_at_the_begin_of_most_episodes() -> None:
    recordings = [Recording(f"{n}", n * 10_000, n * 10_000 + 9_000, f"{n}") for n in range(5)]

    def kind(*offsets: int | None) -> str:
        spans = [
            Occurrence(n * 10_000 + at, n * 10_000 + at + 600, "speech")
            for n, at in enumerate(offsets)
            if at is not None
        ]
        return kind_of(Cluster("x", spans, 0.9), recordings)

    assert kind(0, 10, 800, None, 5) == "opening"
    assert kind(0, 10, 5_000, 3, 5) == "advert"
    assert kind(0, 10, None, None, 5) == "advert"
    assert kind(8_400, 8_300, None, 8_350, 8_400) == "closing"
