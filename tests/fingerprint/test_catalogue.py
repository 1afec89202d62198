import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from airsift.errors import CatalogueError
from fingerprint.catalogue import Catalogue
from fingerprint.index import merge
from fingerprint.matching.matcher import LandmarkMatcher
from fingerprint.track import Track
from tests.fingerprint.music import compose

RATE = 16_000


@pytest.fixture
def small_steps(monkeypatch):
    monkeypatch.setattr(merge, "FLUSH_TRACKS", 2)


def _match(catalogue, samples):
    matcher = LandmarkMatcher(catalogue)
    return [match.track for match in matcher.match(matcher.extract(samples))]


def test_what_is_added_is_there_when_opened_again(tmp_path):
    extra = {"year": 1999, "é": "ü", "gain": -1.5, "own": True, "note": None}
    track = Track("k", "Title", "Artist", "Album", "ISRC1", "Label", extra=extra)
    Catalogue.create(tmp_path).add(compose(1, 8.0), track)
    found = Catalogue.open(tmp_path).tracks()
    assert found == [replace(track, duration=8 * RATE, recording="k")]
    matcher = LandmarkMatcher(Catalogue.open(tmp_path))
    (match,) = matcher.match(matcher.extract(compose(1, 8.0)))
    assert (match.track, match.title, match.artist) == ("k", "Title", "Artist")
    assert (match.album, match.isrc, match.label) == ("Album", "ISRC1", "Label")
    assert (match.duration, match.extra) == (8 * RATE, extra)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"title": "x" * 10_001}, "title is str of length 10001, not a text of at most 10000"),
        ({"extra": {"a": float("nan")}}, "not JSON compliant"),
        ({"extra": {"a": ["b"]}}, "extra field 'a' is a list"),
        ({"extra": {"a": "é" * 5_000}}, "extra fields have 10009 bytes as JSON, at most 10000"),
    ],
)
def test_a_track_that_could_not_be_read_back_is_not_stored(tmp_path, fields, message):
    catalogue = Catalogue.create(tmp_path)
    with pytest.raises(CatalogueError, match=message):
        catalogue.add(compose(1, 8.0), Track("k", **fields))
    assert catalogue.tracks() == []


def test_metadata_in_memory_is_bounded(tmp_path, monkeypatch):
    """Every candidate asks for its track: over the years, for all of them."""
    made = Catalogue.create(tmp_path)
    for seed in range(5):
        made.add(compose(seed, 4.0), Track(f"k{seed}"))
    catalogue = Catalogue.open(tmp_path)
    reads = []
    read = catalogue._metadata.track
    monkeypatch.setattr(catalogue._metadata, "track", lambda n: (reads.append(n), read(n))[1])
    monkeypatch.setattr("fingerprint.catalogue.MAX_READ", 3)
    for number in (1, 2, 3, 3, 4, 1, 5, 5):
        assert catalogue.track(number) == made.track(number)
    assert reads == [1, 2, 3, 4, 1, 5]


@pytest.mark.slow
def test_many_tracks_are_merged_as_they_come_and_all_found(small_steps, tmp_path):
    catalogue = Catalogue.create(tmp_path)
    for seed in range(10):
        catalogue.add(compose(seed, 8.0), Track(str(seed)))
    assert len(catalogue.segments) < 6
    assert catalogue.verify() == []
    for seed in (0, 9):
        assert _match(catalogue, compose(seed, 8.0)) == [str(seed)]
    catalogue.merge()
    assert len(catalogue.segments) == 1
    assert len(list((tmp_path / "segments").iterdir())) == 1
    assert _match(catalogue, compose(4, 8.0)) == ["4"]


def test_a_removed_track_is_not_found_even_before_a_merge(tmp_path):
    catalogue = Catalogue.create(tmp_path)
    for seed in range(3):
        catalogue.add(compose(seed, 8.0), Track(str(seed)))
    before = catalogue.stats()["postings"]
    catalogue.remove("1")
    assert _match(catalogue, compose(1, 8.0)) == []
    assert _match(catalogue, compose(2, 8.0)) == ["2"]
    catalogue.merge()
    assert catalogue.stats()["postings"] < before
    assert _match(catalogue, compose(2, 8.0)) == ["2"]
    catalogue.add(compose(1, 8.0), Track("1"))
    assert _match(catalogue, compose(1, 8.0)) == ["1"]


def test_an_open_reader_sees_what_others_add_remove_and_merge(tmp_path):
    writer = Catalogue.create(tmp_path)
    writer.add(compose(0, 8.0), Track("0"))
    reader = Catalogue.open(tmp_path)
    assert _match(reader, compose(1, 8.0)) == []
    writer.add(compose(1, 8.0), Track("1"))
    assert _match(reader, compose(1, 8.0)) == ["1"]
    writer.merge()
    assert _match(reader, compose(1, 8.0)) == ["1"]
    writer.remove("1")
    assert _match(reader, compose(1, 8.0)) == []


def test_a_reader_holds_no_lock(tmp_path):
    reader = Catalogue.create(tmp_path)
    with Catalogue.create(tmp_path).writing():
        assert _match(reader, compose(0, 8.0)) == []


def test_two_writers_at_once_get_a_clear_line(tmp_path):
    first, second = Catalogue.create(tmp_path), Catalogue.create(tmp_path)
    with (
        first.writing(),
        pytest.raises(CatalogueError, match="another process is writing"),
    ):
        second.add(compose(0, 8.0), Track("0"))
    second.add(compose(0, 8.0), Track("0"))
    assert [track.key for track in second.tracks()] == ["0"]


@pytest.mark.parametrize(
    ("samples", "rule"),
    [
        (np.ones(2 * RATE, np.float32), "lasts 2.0 s"),
        (np.zeros(5 * RATE, np.float32), "silent"),
        (np.full(5 * RATE, np.nan, np.float32), "silent"),
    ],
)
def test_what_cannot_be_found_again_is_refused(tmp_path, samples, rule):
    catalogue = Catalogue.create(tmp_path)
    with pytest.raises(CatalogueError, match=rule):
        catalogue.add(samples, Track("bad"))
    assert catalogue.tracks() == []


def test_a_key_is_given_once(tmp_path):
    catalogue = Catalogue.create(tmp_path)
    catalogue.add(compose(0, 8.0), Track("a"))
    with pytest.raises(CatalogueError, match="a: the catalogue has a track of this key"):
        catalogue.add(compose(1, 8.0), Track("a"))
    with pytest.raises(CatalogueError, match="b: the catalogue has no track"):
        catalogue.remove("b")


def test_a_missing_catalogue_is_reported_and_not_created(tmp_path):
    with pytest.raises(CatalogueError, match="there is no catalogue here"):
        Catalogue.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_another_version_is_refused_by_name(tmp_path):
    Catalogue.create(tmp_path).add(compose(0, 8.0), Track("0"))
    with sqlite3.connect(tmp_path / "catalogue.db") as db:
        db.execute("UPDATE settings SET analysis = replace(analysis, '\"hop\": 256', '\"hop\": 1')")
    db.close()
    with pytest.raises(CatalogueError, match=r"made with hop=1, .* reads hop=256"):
        Catalogue.open(tmp_path)


def test_a_database_that_is_none_is_refused(tmp_path):
    (tmp_path / "catalogue.db").write_bytes(b"not a database, but longer than a page" * 300)
    with pytest.raises(CatalogueError, match="not the database of a catalogue"):
        Catalogue.open(tmp_path)


@pytest.fixture
def three_files(small_steps, tmp_path):
    """A catalogue of six tracks in three files; returns the file of tracks 2 and 3."""
    catalogue = Catalogue.create(tmp_path)
    for seed in range(6):
        catalogue.add(compose(seed, 8.0), Track(str(seed), content=f"file {seed}"))
    (path,) = [s.path for s in catalogue.segments if s.tracks.tolist() == [3, 4]]
    catalogue.close()
    return path


def _cut_short(path):
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [(_cut_short, "cut short"), (lambda path: path.unlink(), "is not there")],
)
def test_a_lost_segment_is_reported_and_the_others_serve(three_files, tmp_path, spoil, problem):
    spoil(three_files)
    opened = Catalogue.open(tmp_path)
    assert len(opened.problems) == 1
    assert problem in opened.problems[0]
    assert "\n" not in opened.problems[0]
    assert _match(opened, compose(0, 8.0)) == ["0"]
    assert _match(opened, compose(2, 8.0)) == []
    assert [line[:3] for line in opened.verify()[1:]] == ["2: ", "3: "]


@pytest.mark.slow
def test_a_damaged_segment_never_stops_a_consumer(three_files, tmp_path):
    rng = np.random.default_rng(0)
    whole = three_files.read_bytes()
    for _ in range(8):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 20):
            data[place] = rng.integers(256)
        three_files.write_bytes(data)
        opened = Catalogue.open(tmp_path)
        assert _match(opened, compose(0, 8.0)) == ["0"]
        _match(opened, compose(2, 8.0))
        assert any(three_files.name in line for line in opened.verify())
        opened.close()


def test_what_a_damaged_segment_held_can_be_added_again(three_files, tmp_path):
    _cut_short(three_files)
    opened = Catalogue.open(tmp_path)
    assert opened.contents() == {f"file {seed}" for seed in (0, 1, 4, 5)}
    for seed in (2, 3):
        opened.add(compose(seed, 8.0), Track(str(seed)))
    assert _match(opened, compose(2, 8.0)) == ["2"]
    opened.merge()
    assert opened.problems == []
    assert opened.verify() == []
    assert sorted(track.key for track in opened.tracks()) == list("012345")
    assert [path.name for path in (tmp_path / "segments").iterdir()] == [
        segment.path.name for segment in opened.segments
    ]


def test_a_segment_that_lost_many_tracks_is_written_again(three_files, tmp_path):
    opened = Catalogue.open(tmp_path)
    opened.remove("2")
    with opened.writing():
        opened.add(compose(6, 8.0), Track("6"))
        opened.add(compose(7, 8.0), Track("7"))
    assert not three_files.exists()
    assert _match(opened, compose(3, 8.0)) == ["3"]
    assert opened.verify() == []


def test_a_damaged_database_is_one_line_with_the_remedy(tmp_path):
    catalogue = Catalogue.create(tmp_path)
    catalogue.add(compose(1, 8.0), Track("1"))
    catalogue.close()
    database = tmp_path / "catalogue.db"
    content = bytearray(database.read_bytes())
    content[4096:4196] = bytes(100)
    database.write_bytes(content)
    (line,) = Catalogue.open(tmp_path).verify()
    assert "the database is damaged (" in line
    assert "\n" not in line


def test_leftovers_of_a_killed_writer_go_with_the_next_add(tmp_path):
    catalogue = Catalogue.create(tmp_path)
    (tmp_path / "segments" / "half.new").write_bytes(b"half")
    (tmp_path / "segments" / "orphan.seg").write_bytes(b"whole but never named")
    catalogue.add(compose(0, 8.0), Track("0"))
    assert list((tmp_path / "segments").iterdir()) == []


def test_removing_is_all_or_nothing(tmp_path):
    catalogue = Catalogue.create(tmp_path)
    for seed in range(3):
        catalogue.add(compose(seed, 8.0), Track(str(seed)))
    with pytest.raises(CatalogueError, match=r"^x, y: .* so nothing was removed"):
        catalogue.remove("1", "x", "2", "y")
    assert len(catalogue.tracks()) == 3
    catalogue.remove("1", "2")
    assert [track.key for track in catalogue.tracks()] == ["0"]


def test_a_catalogue_is_made_by_several_at_once(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Catalogue.create(tmp_path), range(8)))
    made[0].add(compose(0, 8.0), Track("0"))
    assert [[track.key for track in catalogue.tracks()] for catalogue in made] == [["0"]] * 8
