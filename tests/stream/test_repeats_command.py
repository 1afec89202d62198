"""`airsift repeats` and `airsift catalogue name`, run as a user would."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import pytest

from fingerprint.repeats.alignment import Run
from fingerprint.repeats.store import Store, StoredRun, folder_of
from stream.testing import write_wav
from tests.command import airsift
from tests.stream.media import encode
from tests.stream.notes import notes

RATE = 16_000


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three recordings, two of which have a spot, and what is no recording."""
    folder = tmp_path_factory.mktemp("my recordings")
    spot = notes(8, 9)
    for number, name in enumerate(("morning.mp3", "noon é.wav", "evening.mp3")):
        made = notes(30, number)
        if number != 2:
            made[10 * RATE : 10 * RATE + len(spot)] = spot
        if name.endswith(".wav"):
            write_wav(folder / name, made)
        else:
            encode(folder / name, made, RATE, "libmp3lame")
    (folder / "rubbish.mp3").write_bytes(b"no audio" * 100)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "tiny.wav").write_bytes((folder / "noon é.wav").read_bytes()[:4000])
    return folder


@pytest.fixture(scope="module")
def found(shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    store = tmp_path_factory.mktemp("store")
    done = airsift("repeats", shelf, "--store", store, "--json")
    assert done.returncode == 1
    return store, done.stdout, done.stderr


@pytest.mark.slow
def test_a_folder_is_searched_and_each_bad_file_gets_a_line(
    shelf: Path, found: tuple[Path, str, str]
) -> None:
    _, out, err = found
    (cluster,) = [json.loads(line) for line in out.splitlines()]
    assert cluster["count"] == 2
    assert abs(cluster["length_s"] - 8) < 0.5
    for each, name in zip(cluster["occurrences"], ("morning.mp3", "noon é.wav"), strict=True):
        assert Path(each["file"]) == shelf / name
        assert abs(each["start_s"] - 10) < 0.5
        assert abs(each["end_s"] - 18) < 0.5
    with wave.open(cluster["clip"]) as clip:
        assert abs(clip.getnframes() / RATE - 8) < 0.5
    assert [name for name in ("rubbish.mp3", "empty.wav") if name not in err] == []


def test_people_read_it_in_80_columns(shelf: Path, found: tuple[Path, str, str]) -> None:
    store, _, _ = found
    done = airsift("repeats", "--station", str(shelf), "--store", store)
    head, *places = done.stdout.splitlines()
    assert done.returncode == 0
    assert "2 times, 00:0" in head
    assert len(head) < 80
    assert [line[:21] for line in places] == ["  00:10.0 - 00:18.0  ", "  00:10.0 - 00:18.0  "]


@pytest.mark.slow
def test_a_cluster_is_named_and_matched(
    shelf: Path, found: tuple[Path, str, str], tmp_path: Path
) -> None:
    store, out, _ = found
    id_ = json.loads(out)["cluster"]
    options = ("--store", store, "--catalogue", tmp_path / "shelf")
    done = airsift("catalogue", "name", id_, "Soap", "--kind", "advert", *options)
    assert (done.returncode, done.stderr) == (0, "")
    again = airsift("catalogue", "name", id_, "Soap", *options)
    assert again.returncode == 1
    assert "remove it first" in again.stderr
    match = airsift("catalogue", "match", shelf / "morning.mp3", "--json", *options[2:])
    (answer,) = [json.loads(line) for line in match.stdout.splitlines()]
    assert (answer["title"], answer["extra"]["kind"]) == ("Soap", "advert")
    listed = airsift(
        "repeats", "--station", str(shelf), "--store", store, "--json",
        "--set", f"identify.catalogue={tmp_path / 'shelf'}",
    )  # fmt: skip
    assert json.loads(listed.stdout)["title"] == "Soap"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "one of them"),
        (["--station", "x"], "repeats.folder is empty"),
        (["--station", "x", "--store", "STORE"], "no such station"),
        (["--station", "x", "--store", "STORE", "--day", "soon"], "must be a date"),
        (["x", "--day", "2026-09-21"], "leave it out"),
    ],
)
def test_a_wrong_call_is_one_line_that_says_what_to_do(
    found: tuple[Path, str, str], arguments: list[str], says: str
) -> None:
    done = airsift("repeats", *(str(found[0]) if a == "STORE" else a for a in arguments))
    assert done.returncode == 1
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_empty_folder_has_nothing_to_search(tmp_path: Path) -> None:
    done = airsift("repeats", tmp_path, "--store", tmp_path / "store")
    assert done.returncode == 1
    assert "no recordings to search" in done.stderr


@pytest.mark.slow
def test_recordings_without_a_repeat_say_so(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", notes(12, 5))
    write_wav(tmp_path / "silent.wav", np.zeros(12 * RATE, np.float32))
    done = airsift("repeats", tmp_path)
    assert (done.returncode, done.stdout) == (0, "nothing is played several times\n")
    assert "--store FOLDER stores them" in done.stderr


def test_an_unknown_cluster_is_refused(found: tuple[Path, str, str], tmp_path: Path) -> None:
    done = airsift(
        "catalogue", "name", "nope", "Soap", "--store", found[0], "--catalogue", tmp_path / "c"
    )
    assert done.returncode == 1
    assert "has this id; `airsift repeats`" in done.stderr


@pytest.mark.slow
def test_a_day_of_a_station_is_what_it_played_on_it(tmp_path: Path) -> None:
    hour, start = 225_000, 1_795_338_000 * 125 // 2  # frames; 2026-11-22 09:00 UTC
    for name, first in (("Radio Ö", start), ("recording", 1_000)):
        store = Store(folder_of(tmp_path, name))
        runs = [Run(23 * hour, first + 23 * hour, first + 23 * hour + 1875, 3000, 800, 900)]
        runs += [Run(2 * hour, first + 2 * hour, first + 2 * hour + 1875, 3000, 800, 900)]
        store.add_runs([StoredRun(run, run.start // 1280, "c", "music") for run in runs])

    def lines(name: str, *more: str) -> list[str]:
        return airsift("repeats", "--station", name, "--store", tmp_path, *more).stdout.splitlines()

    assert len(lines("Radio Ö")) == 4
    head, *today = lines("Radio Ö", "--day", "2026-11-22")
    assert "3 times" in head
    assert [line[2:18] for line in today] == ["2026-11-22 09:00", "2026-11-22 11:00"]
    assert [line[2:18] for line in lines("Radio Ö", "--day", "2026-11-23")[1:]] == [
        "2026-11-23 08:00"
    ]
    (none,) = lines("Radio Ö", "--day", "2026-11-24")
    assert "2026-11-24" in none
    refused = airsift(
        "repeats", "--station", "recording", "--store", tmp_path, "--day", "1970-01-01"
    )
    assert refused.returncode == 1
    assert "do not count from 1970" in refused.stderr
    assert len(lines("recording")) == 4
