"""`airsift catalogue`, run as a user would."""

import io
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import pytest

from airsift.cli import progress
from airsift.cli.catalogue_read import Read, read_all
from fingerprint.catalogue import Catalogue
from stream.testing import write_wav
from tests.fingerprint.command import airsift
from tests.fingerprint.music import compose
from tests.stream.media import encode

RATE = 16_000


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A folder of files, good and bad, and the catalogue made of it."""
    folder = tmp_path_factory.mktemp("my music")
    for seed in (1, 2):
        write_wav(folder / f"song {seed}.wav", compose(seed, 40.0))
    write_wav(folder / "short.wav", compose(3, 40.0)[: 2 * RATE])
    write_wav(folder / "silent.wav", np.zeros(6 * RATE))
    (folder / "text.mp3").write_text("this is no music\n" * 100)
    (folder / "notes.txt").write_text("not looked at")
    (folder / "names.csv").write_text(
        "file,title,artist,isrc,label,work id\nsong 1.wav,Erstes Lied,Zoë,XX1234567890,Own,W7\n"
    )
    catalogue = folder / "shelf"
    done = airsift("add", folder, "--csv", folder / "names.csv", "--catalogue", catalogue)
    return folder, catalogue, done


def test_each_bad_file_gets_a_line_and_the_rest_is_added(shop):
    folder, _, done = shop
    assert done.returncode == 1
    assert done.stdout.startswith("2 added, 0 already there, 3 failed; 2 tracks")
    lines = done.stderr.strip().splitlines()
    assert sum("has no row in" in line for line in lines) == 4
    lines = [line for line in lines if "has no row in" not in line]
    assert len(lines) == 3
    for name, rule in (("short", "lasts 2.0 s"), ("silent", "silent"), ("text.mp3", "")):
        (line,) = [line for line in lines if name in line]
        assert line.startswith(f"airsift: {folder}")
        assert rule in line


def test_adding_again_skips_what_is_there(shop):
    folder, catalogue, _ = shop
    again = airsift("add", folder / "song 1.wav", folder / "song 2.wav", "--catalogue", catalogue)
    assert again.returncode == 0
    assert again.stdout.startswith("0 added, 2 already there")


def test_list_shows_the_table_before_the_file_name(shop):
    _, catalogue, _ = shop
    rows = [
        json.loads(line)
        for line in airsift("list", "--json", "--catalogue", catalogue).stdout.splitlines()
    ]
    assert [(row["title"], row["artist"], row["isrc"]) for row in rows] == [
        ("Erstes Lied", "Zoë", "XX1234567890"),
        ("song 2", "", ""),
    ]
    assert rows[0]["label"] == "Own"
    assert rows[0]["extra"] == {"file": "song 1.wav", "work id": "W7"}
    assert rows[0]["duration_s"] == 40.0
    assert "0:40  Zoë - Erstes Lied" in airsift("list", "--catalogue", catalogue).stdout


def test_match_prints_track_and_position_as_json_and_as_text(shop, tmp_path):
    _, catalogue, _ = shop
    programme = np.concatenate([np.zeros(5 * RATE), compose(1, 40.0)[10 * RATE : 30 * RATE]])
    write_wav(tmp_path / "programme.wav", programme)
    (line,) = airsift(
        "match", tmp_path / "programme.wav", "--json", "--catalogue", catalogue
    ).stdout.splitlines()
    found = json.loads(line)
    assert found["title"] == "Erstes Lied"
    assert found["track_start_s"] - found["query_start_s"] == pytest.approx(5, abs=0.1)
    assert found["speed"] == 1.0
    names = ("isrc", "label", "album", "track_duration_s", "extra")
    assert [found[name] for name in names] == [
        "XX1234567890", "Own", "", 40.0, {"file": "song 1.wav", "work id": "W7"},
    ]  # fmt: skip
    words = airsift("match", tmp_path / "programme.wav", "--catalogue", catalogue).stdout
    assert "Zoë - Erstes Lied" in words


@pytest.mark.slow
def test_match_reports_no_match(shop, tmp_path):
    _, catalogue, _ = shop
    write_wav(tmp_path / "unknown.wav", compose(77, 15.0))
    done = airsift("match", tmp_path / "unknown.wav", "--catalogue", catalogue)
    assert done.returncode == 0
    assert "nothing of the catalogue" in done.stdout
    assert (
        airsift("match", tmp_path / "unknown.wav", "--json", "--catalogue", catalogue).stdout == ""
    )


def test_stats_verify_and_merge(shop):
    _, catalogue, _ = shop
    assert airsift("merge", "--catalogue", catalogue).returncode == 0
    stats = json.loads(airsift("stats", "--catalogue", catalogue).stdout)
    assert (stats["tracks"], stats["segments"]) == (2, 1)
    assert "2 tracks, all in order" in airsift("verify", "--catalogue", catalogue).stdout


def test_remove_and_an_unknown_key(tmp_path):
    write_wav(tmp_path / "a.wav", compose(1, 8.0))
    airsift("add", tmp_path / "a.wav", "--catalogue", tmp_path / "shelf")
    key = json.loads(airsift("list", "--json", "--catalogue", tmp_path / "shelf").stdout)["key"]
    assert airsift("remove", key, "--catalogue", tmp_path / "shelf").returncode == 0
    assert airsift("list", "--catalogue", tmp_path / "shelf").stdout == ""
    missing = airsift("remove", key, "--catalogue", tmp_path / "shelf")
    assert missing.returncode == 1
    assert "has no track of this key" in missing.stderr
    assert "Traceback" not in missing.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list"], "no catalogue is named"),
        (["list", "--catalogue", "nowhere at all"], "there is no catalogue here"),
        (["add", "missing.mp3", "--catalogue", "TMP/new"], "missing.mp3"),
    ],
)
def test_what_is_missing_is_named_in_one_line(tmp_path, arguments, message):
    done = airsift(*[a.replace("TMP", str(tmp_path)) for a in arguments])
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.process
def test_it_is_a_command_of_the_module(shop):
    _, catalogue, _ = shop
    done = subprocess.run(
        [sys.executable, "-m", "airsift", "catalogue", "list", "--catalogue", str(catalogue)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "Erstes Lied" in done.stdout


@pytest.fixture(scope="module")
def alike(tmp_path_factory):
    """The same music as FLAC, as poor MP3 half a second later, and cut down for the radio."""
    folder = tmp_path_factory.mktemp("alike")
    music = compose(12, 90.0)
    encode(folder / "1 album.flac", music, RATE, "flac")
    later = np.concatenate([np.zeros(RATE // 2, np.float32), music])
    encode(folder / "2 later.mp3", 0.5 * later, RATE, "libmp3lame")  # 64 kb/s
    edit = np.concatenate([music[10 * RATE : 30 * RATE], music[50 * RATE : 75 * RATE]])
    encode(folder / "3 edit.flac", edit, RATE, "flac")
    medley = np.concatenate([compose(21, 35.0), music[20 * RATE : 50 * RATE], compose(22, 25.0)])
    encode(folder / "4 medley.flac", medley, RATE, "flac")
    encode(folder / "5 other.flac", compose(11, 60.0), RATE, "flac")
    return folder


def shares(line):
    return [int(number) for number in re.findall(r"(\d+)%", line)]


@pytest.mark.slow
def test_near_duplicates_are_added_and_reported_with_their_overlap(alike, tmp_path):
    done = airsift("add", alike, "--catalogue", tmp_path / "shelf")
    assert done.returncode == 0
    assert done.stdout.startswith("5 added, 0 already there, 0 failed")
    later, edit, medley = done.stderr.splitlines()
    assert "2 later.mp3: was added, and it is the same recording as" in later
    assert "(1 album)" in later
    assert shares(later)[0] >= 90
    assert "3 edit.flac: was added, and it is a part of" in edit
    share, there = shares(edit)
    assert share >= 85
    assert 40 <= there <= 60
    assert "4 medley.flac: was added, and it shares" in medley
    share, there = shares(medley)
    assert 25 <= share <= 60
    assert 25 <= there <= 60


@pytest.mark.slow
def test_duplicates_are_left_out_on_request(alike, tmp_path):
    done = airsift("add", alike, "--skip-duplicates", "--catalogue", tmp_path / "shelf")
    assert done.returncode == 0
    assert done.stdout.startswith("3 added, 0 already there, 2 duplicates left out, 0 failed")
    assert "2 later.mp3: left out: it is the same recording as" in done.stderr
    listed = airsift("list", "--catalogue", tmp_path / "shelf").stdout
    assert [line.split("  ")[-1] for line in listed.splitlines()] == [
        "1 album",
        "4 medley",
        "5 other",
    ]


@pytest.mark.slow
def test_a_further_copy_is_left_out_however_many_the_catalogue_has(tmp_path):
    music, shelf = compose(12, 65.0), tmp_path / "shelf"
    for copy in range(6):  # more than a query has candidates
        later = np.concatenate([np.zeros(copy * 3000, np.float32), music])
        write_wav(tmp_path / f"copy {copy}.wav", (0.9 - 0.1 * copy) * later)
        added = airsift("add", tmp_path / f"copy {copy}.wav", "--catalogue", shelf)
        assert added.stdout.startswith("1 added")
        assert added.stderr.count("it is the same recording as") == (copy > 0)
    write_wav(tmp_path / "edit.wav", music[20 * RATE : 50 * RATE])
    half = np.concatenate([compose(13, 35.0), music[: 30 * RATE]])
    write_wav(tmp_path / "medley.wav", half)
    done = airsift(
        "add", tmp_path / "edit.wav", tmp_path / "medley.wav", "--skip-duplicates",
        "--catalogue", shelf,
    )  # fmt: skip
    assert done.stdout.startswith("1 added, 0 already there, 1 duplicates left out, 0 failed")
    left_out, added = done.stderr.splitlines()
    assert "edit.wav: left out: it is a part of" in left_out
    assert "medley.wav: was added, and it shares" in added
    assert 35 <= shares(added)[0] <= 50


def test_a_damaged_file_is_added_up_to_the_damage_and_reported(tmp_path):
    write_wav(tmp_path / "cut.wav", compose(1, 8.0))
    data = (tmp_path / "cut.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(data[: len(data) * 3 // 4])
    done = airsift("add", tmp_path / "cut.wav", "--catalogue", tmp_path / "shelf")
    assert done.returncode == 1
    assert done.stdout.startswith("1 added, 0 already there, 1 damaged, 0 failed")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"airsift: {tmp_path / 'cut.wav'}: ends early at 6.00 s")


def test_remove_of_a_known_and_an_unknown_key_removes_none(shop):
    _, catalogue, _ = shop
    listed = airsift("list", "--json", "--catalogue", catalogue).stdout
    key = json.loads(listed.splitlines()[0])["key"]
    done = airsift("remove", key, "unknown", "--catalogue", catalogue)
    assert done.returncode == 1
    assert "unknown: the catalogue has no track of this key, so nothing was removed" in done.stderr
    assert airsift("list", "--json", "--catalogue", catalogue).stdout == listed


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    for seed in range(8):
        write_wav(folder / f"{seed}.wav", compose(seed, 8.0))
    return folder


@pytest.mark.process
def test_adding_that_was_killed_is_run_again_and_goes_on(many, tmp_path):
    shelf = tmp_path / "shelf"
    command = [sys.executable, "-m", "airsift", "catalogue", "add", many, "--jobs", "2"]
    adder = subprocess.Popen([*command, "--catalogue", shelf], start_new_session=True)
    while not (shelf / "catalogue.db").exists() or not Catalogue.open(shelf).tracks():
        assert adder.poll() is None
        time.sleep(0.005)
    adder.kill()
    adder.wait()
    while any_left(adder.pid):  # those that read files follow at once
        time.sleep(0.02)
    there = len(Catalogue.open(shelf).tracks())
    done = airsift("add", many, "--jobs", "1", "--catalogue", shelf)
    assert done.stdout.startswith(f"{8 - there} added, {there} already there, 0 failed")
    assert Catalogue.open(shelf).verify() == []


def any_left(session):
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return False
    return True


class Deadly(type(Path())):
    """A file that ends the process that reads it."""

    def __reduce__(self):
        return os._exit, (3,)


@pytest.mark.process
def test_a_file_that_kills_its_reader_is_left_out_and_the_others_are_read(many, tmp_path):
    deadly = Deadly(tmp_path / "deadly.mp3")
    deadly.write_bytes(b"")
    files = sorted(many.iterdir())
    files.insert(2, deadly)
    found = list(read_all(files, frozenset(), jobs=2))
    assert [path for path, _ in found] == files
    failed = {path.name: str(read) for path, read in found if not isinstance(read, Read)}
    assert list(failed) == ["deadly.mp3"]
    assert "the process that read it died" in failed["deadly.mp3"]
    assert all(read.landmarks is not None for _, read in found if isinstance(read, Read))


@pytest.mark.process
def test_a_process_that_died_between_two_files_costs_none(many, monkeypatch):
    submit, tried = ProcessPoolExecutor.submit, []

    def dies_at_the_third(pool, *arguments):
        tried.append(arguments)
        if len(tried) == 3:
            raise BrokenProcessPool
        return submit(pool, *arguments)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", dies_at_the_third)
    files = sorted(many.iterdir())
    found = list(read_all(files, frozenset(), jobs=2))
    assert [path for path, _ in found] == files
    assert all(isinstance(read, Read) for _, read in found)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_shown_on_a_terminal_only(monkeypatch):
    monkeypatch.setattr(progress, "REDRAW_S", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        with redirect_stderr(stream), progress.files_bar(2) as advance:
            advance("first.wav")
            advance("second.wav")
        assert ("1/2" in stream.getvalue()) == shown
        assert ("second.wav" in stream.getvalue()) == shown
