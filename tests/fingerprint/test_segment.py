import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airsift.errors import CatalogueError
from fingerprint import pairs
from fingerprint.peaks import extract
from fingerprint.segment import HEADER, MAGIC, Segment
from fingerprint.writing import write_merged, write_track


@pytest.fixture(scope="module")
def files(tmp_path_factory, compose):
    folder = tmp_path_factory.mktemp("segments")
    paths = [folder / f"{number}.seg" for number in (1, 2, 3)]
    for number, path in zip((1, 2, 3), paths, strict=True):
        write_track(path, number, extract(compose(number, 12.0)))
    return paths


def entries(segment, track):
    """What a segment holds of a track: (key, frame of the track), in order."""
    keys, place = segment.entries(0, 2**32)
    mine = segment.tracks[segment.track_at(place)] == track
    start = segment.starts[list(segment.tracks).index(track)]
    return sorted(zip(keys[mine].tolist(), (place[mine] - start).tolist(), strict=True))


def test_what_is_written_is_read(files, compose):
    keys, frames = pairs.to_store(extract(compose(1, 12.0)))
    segment = Segment(files[0])
    assert entries(segment, 1) == sorted(zip(keys.tolist(), frames.tolist(), strict=True))
    peak_frames, peak_bins = pairs.on_grid(extract(compose(1, 12.0)))
    found_frames, found_bins = segment.peaks(0, int(segment.frames[0]))
    assert np.array_equal(found_frames, peak_frames)
    assert np.array_equal(found_bins, peak_bins)


@settings(max_examples=10, deadline=None)
@given(start=st.integers(-100, 900), length=st.integers(0, 500))
def test_peaks_of_a_stretch_are_those_inside(files, start, length):
    segment = Segment(files[0])
    every, bins = segment.peaks(0, 10**6)
    inside = (every >= start) & (every < start + length)
    frames, found = segment.peaks(start, start + length)
    assert np.array_equal(frames, every[inside])
    assert np.array_equal(found, bins[inside])


def test_merged_segments_hold_what_the_parts_held(files, tmp_path):
    parts = [Segment(path) for path in files]
    write_merged(tmp_path / "all.seg", parts, {1, 3})
    merged = Segment(tmp_path / "all.seg")
    merged.verify()
    assert merged.tracks.tolist() == [1, 3]
    assert entries(merged, 1) == entries(parts[0], 1)
    assert entries(merged, 3) == entries(parts[2], 3)
    start = int(merged.starts[1])
    frames, bins = merged.peaks(start, start + int(merged.frames[1]))
    assert np.array_equal(frames - start, parts[2].peaks(0, 10**6)[0])
    assert np.array_equal(bins, parts[2].peaks(0, 10**6)[1])


def test_looking_up_finds_every_posting_of_a_key(files):
    segment = Segment(files[1])
    keys, place = segment.entries(0, 2**32)
    asked = np.array([keys[0], keys[len(keys) // 2], 2**21 - 1], np.uint32)
    which, found = segment.look_up(asked)
    for index, key in enumerate(asked):
        assert sorted(found[which == index]) == sorted(place[keys == key])


def rewrite(path, target, change):
    data = bytearray(path.read_bytes())
    header = json.loads(data[len(MAGIC) : HEADER].rstrip(b"\0"))
    change(header)
    page = (MAGIC + json.dumps(header).encode()).ljust(HEADER, b"\0")
    target.write_bytes(page + data[HEADER:])


@pytest.mark.parametrize(("name", "value"), [("format", 99), ("hop", 512), ("n_bins", 100)])
def test_other_settings_are_refused_by_name(files, tmp_path, name, value):
    path = tmp_path / "other.seg"
    rewrite(files[0], path, lambda header: header["settings"].update({name: value}))
    with pytest.raises(CatalogueError, match=f"{name}={value}") as caught:
        Segment(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 10, 2000, HEADER, -100])
def test_a_file_cut_short_is_refused(files, tmp_path, keep):
    path = tmp_path / "short.seg"
    path.write_bytes(files[0].read_bytes()[:keep])
    with pytest.raises(CatalogueError, match=r"short\.seg"):
        Segment(path)


def test_a_flipped_bit_is_found_by_verify(files, tmp_path):
    path = tmp_path / "flipped.seg"
    data = bytearray(files[0].read_bytes())
    data[HEADER + 100] ^= 1
    path.write_bytes(data)
    with pytest.raises(CatalogueError, match="postings"):
        Segment(path).verify()
