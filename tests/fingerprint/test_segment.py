import json
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import CatalogueError
from fingerprint.analysis import hashes
from fingerprint.analysis.peaks import extract
from fingerprint.index import builder, segment_file
from fingerprint.index.builder import MemSegment
from fingerprint.index.lookup import cheapest, look_up
from fingerprint.index.segment_file import (
    HEADER,
    MAGIC,
    header_page,
    open_segment,
    verify,
    write_merged,
)
from fingerprint.settings import HOP
from tests.examples import examples
from tests.fingerprint.music import compose


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("segments")
    paths = [folder / f"{number}.seg" for number in (1, 2, 3)]
    for number, path in zip((1, 2, 3), paths, strict=True):
        write_merged(path, [in_memory(compose, number)], {number})
    return paths


def in_memory(compose, *numbers):
    recent = MemSegment()
    for number in numbers:
        samples = compose(number, 12.0)
        recent.add(number, 1 + len(samples) // HOP, *hashes.quantised(extract(samples)))
    return recent.segment()


def entries(segment, track):
    """What a segment holds of a track: (key, frame of the track), in order."""
    keys, place = segment.entries(0, 2**32)
    mine = segment.tracks[segment.track_at(place)] == track
    start = segment.starts[list(segment.tracks).index(track)]
    return sorted(zip(keys[mine].tolist(), (place[mine] - start).tolist(), strict=True))


def test_what_is_written_is_read(files):
    frame, bin_ = hashes.quantised(extract(compose(1, 12.0)))
    keys, anchor = hashes.stored_keys(frame, bin_)
    segment = open_segment(files[0])
    assert entries(segment, 1) == sorted(zip(keys.tolist(), anchor.tolist(), strict=True))
    found_frames, found_bins = segment.peaks(0, int(segment.frames[0]))
    assert np.array_equal(found_frames, frame)
    assert np.array_equal(found_bins, bin_)


def test_tracks_in_memory_are_as_those_in_files(files):
    memory = in_memory(compose, 1, 2, 3)
    for number, path in enumerate(files, start=1):
        assert entries(memory, number) == entries(open_segment(path), number)


def test_a_track_added_to_memory_later_is_as_one_added_at_once():
    recent = MemSegment()
    for number in (1, 2):
        samples = compose(number, 12.0)
        recent.add(number, 1 + len(samples) // HOP, *hashes.quantised(extract(samples)))
        assert recent.segment().tracks.tolist() == list(range(1, number + 1))
    at_once = in_memory(compose, 1, 2)
    for a, b in zip(recent.segment().entries(0, 2**32), at_once.entries(0, 2**32), strict=True):
        assert np.array_equal(a, b)


@examples(10)
@given(start=st.integers(-100, 900), length=st.integers(0, 500))
def test_peaks_of_a_stretch_are_those_inside(files, start, length):
    segment = open_segment(files[0])
    every, bins = segment.peaks(0, 10**6)
    inside = (every >= start) & (every < start + length)
    frames, found = segment.peaks(start, start + length)
    assert np.array_equal(frames, every[inside])
    assert np.array_equal(found, bins[inside])


def test_merged_segments_hold_what_the_parts_held(files, tmp_path):
    parts = [open_segment(path) for path in files]
    write_merged(tmp_path / "all.seg", parts, {1, 3})
    verify(tmp_path / "all.seg")
    merged = open_segment(tmp_path / "all.seg")
    assert merged.tracks.tolist() == [1, 3]
    assert entries(merged, 1) == entries(parts[0], 1)
    assert entries(merged, 3) == entries(parts[2], 3)
    start = int(merged.starts[1])
    frames, bins = merged.peaks(start, start + int(merged.frames[1]))
    assert np.array_equal(frames - start, parts[2].peaks(0, 10**6)[0])
    assert np.array_equal(bins, parts[2].peaks(0, 10**6)[1])


def test_a_merge_of_nothing_is_an_empty_segment(files, tmp_path):
    write_merged(tmp_path / "none.seg", [open_segment(files[0])], set())
    segment = open_segment(tmp_path / "none.seg")
    assert (segment.size, segment.line) == (0, 0)
    assert len(read_all(segment, np.array([5], np.uint32))[0]) == 0


def test_looking_up_finds_every_posting_of_a_key(files):
    segment = open_segment(files[1])
    keys, place = segment.entries(0, 2**32)
    queried = np.array([keys[0], keys[len(keys) // 2], 2**21 - 1, 2**32 - 1], np.uint32)
    which, found = read_all(segment, queried)
    for index, key in enumerate(queried):
        assert sorted(found[which == index]) == sorted(place[keys == key])


def read_all(segment, keys):
    """The postings of keys in one segment, and the key of each."""
    found = list(look_up([segment], keys, np.ones(len(keys), np.float32), 10**6))
    assert [each[0] for each in found] == [segment] * len(found)
    if not found:
        return np.empty(0, np.intp), np.empty(0, np.int32)
    _, which, count, place = found[0]
    return np.repeat(which, count), place


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0.5, 1, 2]))), st.integers(0, 100))
def test_lists_that_cost_least_for_their_worth_are_read_up_to_the_budget(lists, most):
    count = np.array([length for length, _ in lists], np.int64)
    worth = np.array([worth for _, worth in lists], np.float32)
    read = cheapest(count, worth, most)
    left = np.setdiff1d(np.arange(len(count)), read)
    assert count[read].sum() <= most
    if len(left):
        price = count / worth
        assert price[read].max(initial=0) <= price[left].min()
        first = left[np.lexsort((left, price[left]))[0]]
        assert count[read].sum() + count[first] > most


@pytest.mark.parametrize("most", [0, 100, 1000, 10**6])
def test_lists_are_read_whole_and_from_all_segments_or_none(most):
    segments = [in_memory(compose, 1), in_memory(compose, 2, 3)]
    keys, count = np.unique(
        np.concatenate([segment.entries(0, 2**32)[0] for segment in segments]), return_counts=True
    )
    read = np.zeros(len(keys), np.int64)
    for _, which, some, place in look_up(segments, keys, np.ones(len(keys), np.float32), most):
        assert len(place) == some.sum()
        np.add.at(read, which, some)
    assert read.sum() <= most
    assert np.all((read == count) | (read == 0))
    assert set(np.flatnonzero(read)) == set(cheapest(count, np.ones(len(keys)), most))


def test_a_segment_of_most_keys_is_as_one_of_few(files, tmp_path, monkeypatch):
    few = open_segment(files[1])
    keys, place = few.entries(0, 2**32)
    monkeypatch.setattr(builder, "TABLE_FROM_KEYS", 1)
    write_merged(tmp_path / "most.seg", [few], {2})
    most = open_segment(tmp_path / "most.seg")
    for a, b in zip(most.entries(0, 2**32), (keys, place), strict=True):
        assert np.array_equal(a, b)
    middle = int(keys[len(keys) // 2])
    for a, b in zip(most.entries(5, middle), few.entries(5, middle), strict=True):
        assert np.array_equal(a, b)
    queried = np.concatenate([keys[:99], np.array([0, 2**21 - 1, 2**21, 2**32 - 1], np.uint32)])
    for a, b in zip(read_all(most, queried), read_all(few, queried), strict=True):
        assert np.array_equal(a, b)


def test_lists_read_from_a_large_file_are_those_of_its_map(files, tmp_path, monkeypatch):
    mapped = open_segment(files[1])
    keys = np.unique(mapped.entries(0, 2**32)[0])[::3]
    monkeypatch.setattr(segment_file, "_MAX_MAPPED", 0)
    path = tmp_path / "large.seg"
    path.write_bytes(files[1].read_bytes())
    large = open_segment(path)
    for a, b in zip(read_all(large, keys), read_all(mapped, keys), strict=True):
        assert np.array_equal(a, b)
    for a, b in zip(large.entries(0, 2**32), mapped.entries(0, 2**32), strict=True):
        assert np.array_equal(a, b)


def rewrite(path, target, change):
    data = path.read_bytes()
    header = json.loads(data[len(MAGIC) + 8 : HEADER].rstrip(b"\0"))
    change(header)
    target.write_bytes(header_page(header) + data[HEADER:])


@pytest.mark.parametrize(("name", "value"), [("format", 99), ("hop", 512), ("n_bins", 100)])
def test_other_settings_are_refused_by_name(files, tmp_path, name, value):
    path = tmp_path / "other.seg"
    rewrite(files[0], path, lambda header: header["settings"].update({name: value}))
    with pytest.raises(CatalogueError, match=f"{name}={value}") as caught:
        open_segment(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 10, 2000, HEADER, -100])
def test_a_file_cut_short_is_refused(files, tmp_path, keep):
    path = tmp_path / "short.seg"
    path.write_bytes(files[0].read_bytes()[:keep])
    with pytest.raises(CatalogueError, match=r"short\.seg"):
        open_segment(path)


def test_a_header_that_names_no_arrays_is_refused(files, tmp_path):
    path = tmp_path / "odd.seg"
    rewrite(files[0], path, lambda header: header["arrays"].pop("rows"))
    with pytest.raises(CatalogueError, match="header is damaged"):
        open_segment(path)


@examples(40)
@given(data=st.data())
def test_a_flipped_bit_is_reported_or_harmless_and_verify_finds_it(files, tmp_path_factory, data):
    content = bytearray(files[0].read_bytes())
    header = json.loads(bytes(content[len(MAGIC) + 8 : HEADER]).rstrip(b"\0"))
    spans = [(0, len(MAGIC) + 8)] + [
        (about["offset"], about["offset"] + np.dtype(about["dtype"]).itemsize * about["count"])
        for about in header["arrays"].values()
    ]
    first, last = data.draw(st.sampled_from(spans))
    content[data.draw(st.integers(first, last - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("bits") / "flipped.seg"
    path.write_bytes(content)
    with pytest.raises(CatalogueError, match=r"flipped\.seg") as caught:
        verify(path)
    assert "\n" not in str(caught.value)
    try:
        segment = open_segment(path)
    except CatalogueError:
        return
    keys = np.unique(open_segment(files[0]).entries(0, 2**32)[0])
    segment.track_at(read_all(segment, keys)[1])
    _, bins = segment.peaks(-50, 10**6)
    assert bins.max() < 208


def test_checksums_are_those_of_the_arrays(files):
    data = files[0].read_bytes()
    header = json.loads(data[len(MAGIC) + 8 : HEADER].rstrip(b"\0"))
    about = header["arrays"]["postings"]
    assert zlib.crc32(data[about["offset"] :][: 4 * about["count"]]) == about["crc32"]
