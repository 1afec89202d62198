import os
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest

from airsift.errors import CatalogueError
from fingerprint.catalogue import Catalogue
from fingerprint.metadata import Track

RATE = 16_000


def _match(catalogue, samples):
    matcher = catalogue.matcher()
    return [match.track for match in matcher.match(matcher.extract(samples))]


def test_what_is_added_is_there_when_opened_again(tmp_path, compose):
    track = Track("k", "Title", "Artist", "Album", "ISRC1", extra={"year": "1999", "é": "ü"})
    Catalogue.create(tmp_path).add(compose(1, 8.0), track)
    found = Catalogue.open(tmp_path).tracks()
    assert [(t.key, t.title, t.artist, t.album, t.isrc) for t in found] == [
        ("k", "Title", "Artist", "Album", "ISRC1")
    ]
    assert found[0].duration == 8 * RATE
    assert found[0].extra == {"year": "1999", "é": "ü"}
    assert _match(Catalogue.open(tmp_path), compose(1, 8.0)) == ["k"]


def test_many_tracks_are_merged_as_they_come_and_all_found(tmp_path, compose):
    catalogue = Catalogue.create(tmp_path)
    for seed in range(10):
        catalogue.add(compose(seed, 8.0), Track(str(seed)))
    assert len(catalogue.segments) < 8
    assert catalogue.verify() == []
    for seed in (0, 9):
        assert _match(catalogue, compose(seed, 8.0)) == [str(seed)]
    catalogue.merge()
    assert len(catalogue.segments) == 1
    assert len(list((tmp_path / "segments").iterdir())) == 1
    assert _match(catalogue, compose(4, 8.0)) == ["4"]


def test_a_removed_track_is_not_found_even_before_a_merge(tmp_path, compose):
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


def test_an_open_reader_sees_what_others_add_remove_and_merge(tmp_path, compose):
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


def test_a_reader_holds_no_lock(tmp_path, compose):
    reader = Catalogue.create(tmp_path)
    with Catalogue.create(tmp_path).writing():
        assert _match(reader, compose(0, 8.0)) == []


def test_two_writers_at_once_get_a_clear_line(tmp_path, compose):
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


def test_a_key_is_given_once(tmp_path, compose):
    catalogue = Catalogue.create(tmp_path)
    catalogue.add(compose(0, 8.0), Track("a"))
    with pytest.raises(CatalogueError, match="a: the catalogue has a track of this key"):
        catalogue.add(compose(1, 8.0), Track("a"))
    with pytest.raises(CatalogueError, match="b: the catalogue has no track"):
        catalogue.remove("b")


def test_no_catalogue_is_said_and_not_made(tmp_path):
    with pytest.raises(CatalogueError, match="there is no catalogue here"):
        Catalogue.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_another_version_is_refused_by_name(tmp_path, compose):
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


def test_a_segment_cut_short_is_told_and_the_others_serve(tmp_path, compose):
    catalogue = Catalogue.create(tmp_path)
    for seed in range(3):
        catalogue.add(compose(seed, 8.0), Track(str(seed)))
    number_1 = next(s for s in catalogue.segments if s.tracks.tolist() == [2]).path
    catalogue.close()
    with number_1.open("r+b") as file:
        file.truncate(number_1.stat().st_size // 2)
    opened = Catalogue.open(tmp_path)
    assert len(opened.problems) == 1
    assert "cut short" in opened.problems[0]
    assert "\n" not in opened.problems[0]
    assert _match(opened, compose(0, 8.0)) == ["0"]
    assert _match(opened, compose(1, 8.0)) == []
    assert any(line.startswith("1: ") for line in opened.verify())
    number_1.unlink()
    assert "is not there" in Catalogue.open(tmp_path).problems[0]


def test_leftovers_of_a_killed_writer_go_with_the_next_add(tmp_path, compose):
    catalogue = Catalogue.create(tmp_path)
    (tmp_path / "segments" / "half.new").write_bytes(b"half")
    (tmp_path / "segments" / "orphan.seg").write_bytes(b"whole but never named")
    catalogue.add(compose(0, 8.0), Track("0"))
    assert len(list((tmp_path / "segments").iterdir())) == 1


ADD_FOREVER = """
import sys
import numpy as np
from fingerprint.catalogue import Catalogue
from fingerprint.metadata import Track

catalogue = Catalogue.create(sys.argv[1])
noise = np.random.default_rng(0).standard_normal(16_000 * 4).astype(np.float32) * 0.1
for number in range(10_000):
    catalogue.add(np.roll(noise, 997 * number), Track(f"track-{number}"))
    print(f"track-{number}", flush=True)
"""


@pytest.mark.parametrize("wait", [3, 9])
def test_kill_9_during_add_loses_at_most_the_track_being_added(tmp_path, wait):
    adder = subprocess.Popen(
        [sys.executable, "-c", ADD_FOREVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert adder.stdout is not None
    said = [adder.stdout.readline().strip() for _ in range(wait)]
    time.sleep(0.013)
    os.kill(adder.pid, signal.SIGKILL)
    said += adder.stdout.read().split()
    adder.wait()
    adder.stdout.close()

    opened = Catalogue.open(tmp_path)
    assert opened.verify() == []
    keys = [track.key for track in opened.tracks()]
    assert keys[: len(said)] == said
    assert len(keys) <= len(said) + 1
    opened.add(np.random.default_rng(1).standard_normal(RATE * 4).astype(np.float32), Track("new"))
    assert opened.verify() == []
    assert len(list((tmp_path / "segments").iterdir())) == len(opened.segments)
