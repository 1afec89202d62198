"""Writing under bad conditions: killed, without room on the disk, and beside a consumer.

The other processes are real ones, and spawned: what is forked off a process with threads, as one
is that has run other tests, may stand still for ever.
"""

import multiprocessing
import os
import random
import resource
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from airsift.errors import CatalogueError
from fingerprint.analysis.track_landmarks import analyse
from fingerprint.catalogue import Catalogue
from fingerprint.index import merge
from fingerprint.matching.matcher import LandmarkMatcher
from fingerprint.track import Track
from tests.fingerprint.music import compose

RATE = 16_000
# Repetitions of each kind of kill, at different moments; `make kills` sets more.
KILLS = int(os.environ.get("KILLS", "2"))
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(scope="module")
def noise():
    samples = 0.1 * np.random.default_rng(0).standard_normal(4 * RATE)
    return analyse([samples.astype(np.float32)], "noise")


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    monkeypatch.setattr(merge, "FLUSH_TRACKS", 3)
    monkeypatch.setattr(merge, "FAN_IN", 3)


def start(target, *arguments):
    """Run a function in another process; return it and our end of a pipe to it."""
    ours, theirs = SPAWN.Pipe()
    steps = (merge.FLUSH_TRACKS, merge.FAN_IN)
    process = SPAWN.Process(target=begin, args=(steps, target, theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def begin(steps, target, *arguments):
    merge.FLUSH_TRACKS, merge.FAN_IN = steps
    target(*arguments)


def messages(pipe):
    """Everything that a process that has ended had sent."""
    try:
        while True:
            yield pipe.recv()
    except EOFError:
        pipe.close()


def add_forever(pipe, folder, landmarks):
    catalogue = Catalogue.create(folder)
    with catalogue.writing():
        for number in range(10_000):
            catalogue.add_landmarks(landmarks, Track(f"track-{number}"))
            pipe.send(f"track-{number}")


def in_order(folder, reported, landmarks):
    """Every reported track is stored, at most one more, and adding still works."""
    opened = Catalogue.open(folder)
    assert opened.verify() == []
    keys = [track.key for track in opened.tracks()]
    assert keys[: len(reported)] == reported
    assert len(keys) <= len(reported) + 1
    found = {track for segment in opened.segments for track in segment.tracks.tolist()}
    assert len(found) == len(keys)
    opened.add_landmarks(landmarks, Track("new"))
    opened.merge()
    assert opened.verify() == []
    assert len(list((folder / "segments").iterdir())) == 1
    opened.close()


def killed(folder, landmarks, rng, wait):
    """Kill a process that adds, `wait` after some tracks; return the tracks it reported."""
    adder, pipe = start(add_forever, folder, landmarks)
    reported = [pipe.recv() for _ in range(rng.randrange(1, 16))]
    wait(pipe, reported)
    os.kill(adder.pid, signal.SIGKILL)
    adder.join()
    assert adder.exitcode == -signal.SIGKILL  # it was still at it
    return reported + list(messages(pipe))


def keys_in(folder):
    opened = Catalogue.open(folder)
    keys = [track.key for track in opened.tracks()]
    opened.close()
    return keys


@pytest.mark.process
@pytest.mark.parametrize("seed", range(KILLS))
def test_kill_9_during_add_loses_at_most_the_track_being_added(tmp_path, noise, seed):
    rng = random.Random(seed)
    reported = killed(tmp_path, noise, rng, lambda *_: time.sleep(rng.uniform(0, 0.03)))
    keys = keys_in(tmp_path)
    assert keys[: len(reported)] == reported
    assert len(keys) - len(reported) in (0, 1)
    in_order(tmp_path, reported, noise)


@pytest.mark.process
@pytest.mark.parametrize("seed", range(KILLS))
def test_kill_9_during_a_merge_loses_nothing(tmp_path, noise, seed):
    rng = random.Random(seed)
    begun = []

    def while_merging(pipe, reported):
        while not begun:
            if pipe.poll():
                reported.append(pipe.recv())
            begun.extend((tmp_path / "segments").glob("*.partial"))
        time.sleep(rng.choice([0, 0, 0.001, 0.003, 0.01]))

    reported = killed(tmp_path, noise, rng, while_merging)
    assert begun  # a merge was writing
    keys = keys_in(tmp_path)
    assert keys[: len(reported)] == reported
    assert len(keys) - len(reported) in (0, 1)
    in_order(tmp_path, reported, noise)


def consume(pipe, folder, samples):
    """Answer questions (a number each, of what to match) with the keys found."""
    catalogue = Catalogue.open(folder)
    matcher = LandmarkMatcher(catalogue)
    matcher.warp_search = False
    queries = [matcher.extract(one) for one in samples]
    while (number := pipe.recv()) is not None:
        pipe.send([match.track for match in matcher.match(queries[number])])
    pipe.send(len(catalogue.segments))


@pytest.mark.process
def test_a_consumer_matches_on_while_tracks_come_and_go_and_segments_merge(tmp_path):
    seeds = (1, 2, 3, 6, 8, 11, 12)  # of which 12 s are enough
    samples = [compose(seed, 12.0) for seed in seeds]
    catalogue = Catalogue.create(tmp_path)
    catalogue.add(samples[0], Track("0"))
    consumer, pipe = start(consume, tmp_path, samples)

    def found(number):
        pipe.send(number)
        return pipe.recv()

    assert found(1) == []
    with catalogue.writing():
        for number in range(1, len(samples)):
            pipe.send(0)  # answered while the next track is added, and maybe merged
            catalogue.add(samples[number], Track(str(number)))
            assert pipe.recv() == ["0"]
            assert found(number) == [str(number)]
    catalogue.remove("5")
    assert found(5) == []
    assert found(6) == ["6"]
    catalogue.merge()
    assert found(5) == []
    assert [found(number) for number in (0, 4, 6)] == [["0"], ["4"], ["6"]]
    assert found(None) == 1
    consumer.join()


def fill_the_disk(pipe, folder, landmarks):
    """Add under a limit to file sizes; the system reports it much like a full disk."""
    catalogue = Catalogue.create(folder)
    resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, resource.RLIM_INFINITY))
    try:
        with catalogue.writing():
            for number in range(1000):
                catalogue.add_landmarks(landmarks, Track(f"track-{number}"))
                pipe.send(f"track-{number}")
    except CatalogueError as error:
        pipe.send(str(error))
    pipe.send(len(LandmarkMatcher(catalogue).match(landmarks)))  # it serves all the same


@pytest.mark.process
@pytest.mark.parametrize("recent", [1000, 3])
def test_a_full_disk_during_add_is_one_line_and_loses_nothing(tmp_path, noise, monkeypatch, recent):
    monkeypatch.setattr(merge, "FLUSH_TRACKS", recent)
    process, pipe = start(fill_the_disk, tmp_path, noise)
    *reported, error, found = messages(pipe)
    process.join()
    assert "writing failed" in error or "merging failed" in error
    assert "make room" in error
    assert "\n" not in error
    assert found == 1
    assert 3 < len(reported) < 1000
    in_order(tmp_path, reported, noise)


def merge_on_a_full_disk(pipe, folder, landmarks):
    write = merge.write_merged

    def without_room(*arguments):
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
        try:
            write(*arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)

    merge.write_merged = without_room
    catalogue = Catalogue.create(folder)
    for attempt in (lambda: add_some(catalogue, landmarks), catalogue.merge):
        try:
            attempt()
        except CatalogueError as error:
            pipe.send(str(error))
    pipe.send(list((folder / "segments").iterdir()))


def add_some(catalogue, landmarks):
    with catalogue.writing():
        for number in range(3):
            catalogue.add_landmarks(landmarks, Track(f"track-{number}"))


@pytest.mark.process
def test_a_full_disk_during_a_merge_is_one_line_and_loses_nothing(tmp_path, noise):
    process, pipe = start(merge_on_a_full_disk, tmp_path, noise)
    beside, alone, left = messages(pipe)
    process.join()
    assert "merging failed" in beside
    assert "File too large" in beside
    assert "every track is safe" in beside
    assert "writing failed" in alone
    assert "\n" not in beside + alone
    assert left == []
    in_order(tmp_path, [f"track-{number}" for number in range(3)], noise)


def drop_privileges():
    import fingerprint.matching.matcher  # noqa: F401 nobody may not read where packages are

    if os.getuid() == 0:  # whom no permission stops
        os.setgid(65534)
        os.setuid(65534)


def read_only(pipe, folder, landmarks):
    drop_privileges()
    catalogue = Catalogue.open(folder)
    pipe.send([match.track for match in LandmarkMatcher(catalogue).match(landmarks)])
    try:
        catalogue.remove("track-0")
    except CatalogueError as error:
        pipe.send(str(error))


@pytest.mark.process
def test_a_catalogue_in_a_folder_for_reading_only_serves(noise):
    with tempfile.TemporaryDirectory() as place:  # where others may go, unlike tmp_path
        folder = Path(place) / "shelf"
        catalogue = Catalogue.create(folder)
        catalogue.add_landmarks(noise, Track("track-0"))
        assert len(LandmarkMatcher(catalogue).match(noise)) == 1
        catalogue.close()
        Path(place).chmod(0o755)
        for path in (*folder.rglob("*"), folder):
            path.chmod(0o555)
        process, pipe = start(read_only, folder, noise)
        found, error = messages(pipe)
        process.join()
        folder.chmod(0o755)
        (folder / "segments").chmod(0o755)
    assert found == ["track-0"]
    assert "check the permissions" in error


def follow_read_only(pipe, folder, landmarks):
    """Return the tracks that are found, once for each request."""
    drop_privileges()
    catalogue = Catalogue.open(folder)
    matcher = LandmarkMatcher(catalogue)
    while pipe.recv():
        catalogue.refresh()
        found = sorted(match.track for match in matcher.match(landmarks))
        pipe.send((found, sorted(track.key for track in catalogue.tracks()), catalogue.problems))


@pytest.mark.process
def test_a_reader_that_may_not_write_sees_what_others_add_merge_and_remove(noise):
    """As a worker in a container sees the catalogue of its volume."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        folder = Path(place) / "shelf"
        catalogue = Catalogue.create(folder)
        process, ours = start(follow_read_only, folder, noise)

        def seen():
            ours.send(True)
            assert ours.poll(60)
            return ours.recv()

        assert seen() == ([], [], [])
        for number in range(5):
            catalogue.add_landmarks(noise, Track(f"track-{number}"))
            keys = [f"track-{n}" for n in range(number + 1)]
            assert seen()[1:] == (keys, [])
        assert seen()[0]
        catalogue.merge()
        assert seen()[1:] == (keys, [])
        catalogue.remove("track-3")
        assert seen()[1:] == ([key for key in keys if key != "track-3"], [])
        catalogue.close()  # its log is gone with it
        assert "track-3" not in seen()[1]
        with Catalogue.open(folder).writing():
            pass
        Catalogue.open(folder).add_landmarks(noise, Track("track-9"))
        assert "track-9" in seen()[1]
        ours.send(False)
        process.join(30)


@pytest.mark.slow
def test_adding_waits_for_merges_that_cannot_keep_up(tmp_path, noise, monkeypatch):
    write = merge.write_merged
    monkeypatch.setattr(merge, "MAX_MEMORY_TRACKS", 5)
    monkeypatch.setattr(merge, "write_merged", lambda *a: (time.sleep(0.2), write(*a)))
    catalogue = Catalogue.create(tmp_path)
    recent = []
    with catalogue.writing():
        for number in range(12):
            catalogue.add_landmarks(noise, Track(f"track-{number}"))
            in_memory = [s for s in catalogue.segments if not s.path.exists()]
            recent += [len(segment.tracks) for segment in in_memory]
    assert max(recent) <= 5
    in_order(tmp_path, [f"track-{number}" for number in range(12)], noise)
