"""An untrusted catalogue, with any content, opens no other file and has bounded cost."""

from __future__ import annotations

import json
import resource
import shutil
import sqlite3
import zlib
from contextlib import closing

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from airsift.errors import CatalogueError
from fingerprint.analysis import hashes
from fingerprint.analysis.peaks import extract
from fingerprint.catalogue import Catalogue
from fingerprint.index import checks, merge
from fingerprint.index.segment_file import HEADER, MAGIC, header_page, open_segment, verify
from fingerprint.matching.matcher import LandmarkMatcher
from fingerprint.track import Track
from tests.examples import examples
from tests.fingerprint.music import compose

ODD = [None, -1, 0, 2**31, 2**62, 9e999, -0.5, "", "x" * 20, b"", b"\0" * 7, b"\xff" * 10**4]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A catalogue of three tracks in files and one in memory."""
    folder = tmp_path_factory.mktemp("original")
    catalogue = Catalogue.create(folder)
    for seed in range(3):
        catalogue.add(compose(seed, 8.0), Track(str(seed), content=f"file {seed}"))
    catalogue.merge()
    catalogue.add(compose(3, 8.0), Track("3"))
    catalogue.close()
    return folder


@pytest.fixture
def folder(original, tmp_path):
    shutil.copytree(original, tmp_path / "copy")
    return tmp_path / "copy"


def tamper(folder, query, *values):
    db = sqlite3.connect(folder / "catalogue.db")
    db.execute(query, values)
    db.commit()
    db.close()


def used(folder, compose):
    """Use a catalogue in every way that reads; return the reported problems."""
    complaints: list[str] = []
    try:
        complaints += _read(folder, compose)
    except CatalogueError as error:
        complaints.append(str(error))
    assert all("\n" not in line for line in complaints)
    return complaints


def _read(folder, compose):
    with closing(Catalogue.open(folder)) as catalogue:
        catalogue.tracks()
        catalogue.contents()
        catalogue.stats()
        catalogue.named("3")
        for seed in (0, 3):
            query = extract(compose(seed, 8.0))
            for found in LandmarkMatcher(catalogue).match(query):
                assert found.score > 0
        catalogue.refresh()
        return catalogue.verify()


@pytest.mark.parametrize(
    "name",
    ["../outside.seg", "../../etc/passwd", "/etc/passwd", "a/../../outside.seg", "..", ".", "",
     "a\0b.seg", "outside.seg/", "é.seg", "a.new", b"x.seg", 7, None, "a" * 5000 + ".seg"],
)  # fmt: skip
def test_a_segment_is_a_file_of_the_folder(folder, name):
    (used_file,) = (folder / "segments").iterdir()
    outside = folder / "outside.seg"
    shutil.copy(used_file, outside)
    tamper(folder, "INSERT INTO segments VALUES (?)", name)
    catalogue = Catalogue.open(folder)
    assert len(catalogue.problems) == 1
    assert "is no name of a segment file" in catalogue.problems[0]
    assert len(catalogue.segments) == 2  # the file and what is in memory
    catalogue.merge()  # forgets the name, and deletes nothing outside
    assert catalogue.problems == []
    assert outside.exists()
    assert [track.key for track in catalogue.tracks()] == list("0123")
    catalogue.close()


@pytest.mark.slow
@examples(30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    where=st.sampled_from(
        [
            ("tracks", "key"), ("tracks", "title"), ("tracks", "duration"), ("tracks", "content"),
            ("tracks", "extra"), ("tracks", "label"), ("recent", "length"), ("recent", "peaks"),
            ("segments", "name"), ("settings", "analysis"),
        ]
    ),
    value=st.sampled_from(ODD)
    | st.integers(-(2**63), 2**63 - 1)
    | st.binary(max_size=40)
    | st.text(max_size=10).filter(lambda text: text.isprintable())
    | st.just("[" * 100_000),
)  # fmt: skip
def test_no_value_of_a_row_is_used_unchecked(original, tmp_path_factory, where, value):
    copy = tmp_path_factory.mktemp("copy") / "c"
    shutil.copytree(original, copy)
    table, column = where
    try:
        tamper(copy, f"UPDATE {table} SET {column} = ?", value)
    except (sqlite3.IntegrityError, OverflowError):
        return
    used(copy, compose)
    shutil.rmtree(copy)


@pytest.mark.parametrize("length", [1, 10, 2**40, -5])
def test_peaks_lie_in_their_track(folder, length):
    tamper(folder, "UPDATE recent SET length = ?", length)
    catalogue = Catalogue.open(folder)
    assert "the peaks of track 4 are damaged" in catalogue.problems[0]
    assert sorted(n for s in catalogue.segments for n in s.tracks) == [1, 2, 3]
    catalogue.add(compose(5, 8.0), Track("5"))  # and others can be added beside it
    assert sorted(n for s in catalogue.segments for n in s.tracks) == [1, 2, 3, 5]
    catalogue.merge()
    assert catalogue.problems == []
    assert ["3: " in line for line in catalogue.verify()] == [True]
    catalogue.close()


def test_a_damaged_track_is_reported_and_the_others_are_there(folder):
    tamper(folder, "UPDATE tracks SET extra = ? WHERE key = '1'", "[" * 50_000)
    catalogue = Catalogue.open(folder)
    assert [track.key for track in catalogue.tracks()] == ["0", "2", "3"]
    assert any("track 2 is damaged" in line for line in catalogue.verify())
    catalogue.close()


@pytest.mark.parametrize(
    "extra", ['{"a": NaN}', '{"a": "\\ud800"}', '{"a": [1]}', '{"a": "%s"}' % ("x" * 10_000)]
)
def test_what_a_match_could_not_publish_is_a_damaged_track(folder, extra):
    tamper(folder, "UPDATE tracks SET extra = ? WHERE key = '1'", extra)
    catalogue = Catalogue.open(folder)
    assert [track.key for track in catalogue.tracks()] == ["0", "2", "3"]
    catalogue.close()


def test_what_would_run_when_a_table_is_read_is_refused(folder):
    tamper(folder, "DROP TABLE segments")
    tamper(
        folder,
        "CREATE VIEW segments AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
        "SELECT 'a' AS name FROM n",
    )
    with pytest.raises(CatalogueError, match="holds a view or a trigger"):
        Catalogue.open(folder)


@pytest.mark.long
def test_a_value_of_a_gigabyte_is_not_read(folder):
    tamper(folder, "UPDATE recent SET peaks = zeroblob(900000000)")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert used(folder, compose)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # kB


def resealed(path, change, values=()):
    """Change a segment's header, and some of its numbers, with sums that are right again."""
    data = bytearray(path.read_bytes())
    header = json.loads(bytes(data[len(MAGIC) + 8 : HEADER]).rstrip(b"\0"))
    for name, index, value in values:
        about = header["arrays"][name]
        dtype = np.dtype(about["dtype"])
        end = about["offset"] + dtype.itemsize * about["count"]
        array = np.frombuffer(bytes(data[about["offset"] : end]), dtype).copy()
        array[index % max(len(array), 1)] = value
        data[about["offset"] : end] = array.tobytes()
        about["crc32"] = zlib.crc32(array.tobytes())
    change(header)
    data[:HEADER] = header_page(header)
    path.write_bytes(data)


@pytest.mark.parametrize("name", list(checks._DTYPES))
@pytest.mark.parametrize(
    ("field", "value"),
    [("count", 2**62), ("count", -1), ("count", 1.5), ("count", None), ("offset", 2**62),
     ("offset", -64), ("offset", "x"), ("dtype", "O"), ("dtype", "V1000000000"), ("dtype", 3),
     ("crc32", None), ("crc32", [])],
)  # fmt: skip
def test_arrays_of_a_header_lie_in_the_file(folder, name, field, value):
    (path,) = (folder / "segments").iterdir()
    resealed(path, lambda header: header["arrays"][name].update({field: value}))
    for use in (open_segment, verify):
        with pytest.raises(CatalogueError, match="damaged"):
            use(path)


@pytest.mark.parametrize("header", [[], None, 3, "x", {"settings": 3}, {"settings": []}])
def test_a_header_is_an_object_with_settings(folder, header):
    (path,) = (folder / "segments").iterdir()
    data = path.read_bytes()
    path.write_bytes(header_page(header) + data[HEADER:])
    with pytest.raises(CatalogueError, match="header is damaged"):
        open_segment(path)


@pytest.mark.slow
@examples(30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(
        st.tuples(
            st.sampled_from(list(checks._DTYPES)), st.integers(0, 10**6), st.integers(0, 2**32 - 1)
        ),
        min_size=1,
        max_size=3,
    )
)
def test_a_sealed_lie_is_refused_or_harmless(original, tmp_path_factory, values):
    copy = tmp_path_factory.mktemp("copy") / "c"
    shutil.copytree(original, copy)
    (path,) = (copy / "segments").iterdir()
    small = [(n, i, v % 256 if n in ("peak_frames", "peak_bins") else v) for n, i, v in values]
    resealed(path, lambda header: None, small)
    used(copy, compose)
    merge.merge_all(Catalogue.open(copy)._index)
    shutil.rmtree(copy)


@pytest.mark.parametrize("key", [hashes.KEYS, 2**32 - 1])
def test_no_key_of_a_file_is_above_those_that_there_are(key):
    arrays = {
        "tracks": np.array([1]), "starts": np.array([0]), "frames": np.array([9]),
        "keys": np.array([5, key], np.uint32), "rows": np.array([0, 1, 2]),
        "postings": np.array([3, 4]), "peak_rows": np.array([0, 0]),
        "peak_frames": np.array([], np.uint8), "peak_bins": np.array([], np.uint8),
    }  # fmt: skip
    with pytest.raises(ValueError, match=f"key {key} is none, they end at 2097151"):
        checks.check_arrays(arrays)
