"""The files that `airsift catalogue add` accepts, and its messages about the others."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from airsift.cli.folders import SUFFIXES, find_files
from airsift.cli.table import Table
from fingerprint.catalogue import Catalogue
from stream.testing import write_wav
from tests.fingerprint.command import airsift
from tests.fingerprint.music import compose
from tests.stream.media import encode, noise

RATE = 16_000
BAD = os.fsdecode(b"caf\xe9")  # Latin-1: no UTF-8


@pytest.fixture
def songs(tmp_path):
    """A folder with three songs, one of them with a name that is no UTF-8."""
    folder = tmp_path / f"{BAD}s"
    folder.mkdir()
    for seed, name in enumerate(("a.wav", f"{BAD}.wav", "z.wav"), 1):
        write_wav(folder / name, compose(seed, 12.0))
    return folder


def titles(shelf):
    return sorted(track.title for track in Catalogue.open(shelf).tracks())


@pytest.mark.slow
def test_names_that_are_not_utf_8_are_added_with_the_files_after_them(songs, tmp_path):
    shelf = songs / f"{BAD} shelf"
    done = airsift("add", songs, "--catalogue", shelf)
    assert (done.returncode, done.stderr) == (0, "")
    assert titles(shelf) == ["a", "caf?", "z"]
    again = airsift("add", songs, "--catalogue", shelf)
    assert again.stdout.startswith("0 added, 3 already there")
    for as_json in ([], ["--json"]):
        listed = airsift("list", *as_json, "--catalogue", shelf)
        assert listed.returncode == 0
        listed.stdout.encode()
    found = airsift("match", songs / f"{BAD}.wav", "--catalogue", shelf)
    assert found.returncode == 0
    assert "caf?" in found.stdout


def test_a_key_that_is_not_utf_8_is_no_tracks(songs, tmp_path):
    shelf = tmp_path / "shelf"
    airsift("add", songs / "a.wav", "--catalogue", shelf)
    done = airsift("remove", BAD, "--catalogue", shelf)
    assert done.returncode == 1
    assert "the catalogue has no track of this key" in done.stderr


@pytest.mark.parametrize("suffix", sorted(SUFFIXES - {".ts"}))
def test_a_folder_gives_all_that_sounds(tmp_path, suffix):
    for name in (f"a{suffix}", f"b{suffix.upper()}"):
        (tmp_path / name).write_bytes(b"x")
    assert len(find_files([tmp_path]).files) == 2


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.m4b", "aac"), ("a.caf", "alac"), ("a.w64", "pcm_s16le"), ("a.ts", "mp2"),
        ("a.3gp", "aac"), ("a.mka", "libopus"), ("a.webm", "libopus"), ("a.aif", "pcm_s16be"),
        ("a.m2ts", "ac3"),
    ],
)  # fmt: skip
def test_formats_in_a_folder_are_added(tmp_path, name, codec):
    folder = tmp_path / "music"
    folder.mkdir()
    forms = {".m4b": "ipod", ".aif": "aiff", ".m2ts": "mpegts"}
    encode(
        folder / name, np.repeat(compose(1, 12.0), 3), 48_000, codec,
        format=forms.get(Path(name).suffix),
    )  # fmt: skip
    (folder / "notes.txt").write_text("no music")
    done = airsift("add", folder, "--catalogue", tmp_path / "shelf")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 added")


def test_typescript_and_notes_of_macos_are_no_audio(tmp_path):
    (tmp_path / "main.ts").write_text("export const a = 1;\n" * 100)
    (tmp_path / "qt.ts").write_text("G")
    (tmp_path / "._song.mp3").write_bytes(b"\0\5\x16\7")
    found = find_files([tmp_path])
    assert [path.name for path in found.files] == ["qt.ts"]  # too short to classify
    assert found.failed == 0


def test_linked_folders_are_followed_and_loops_end(tmp_path):
    top, other = tmp_path / "top", tmp_path / "elsewhere"
    (top / "sub").mkdir(parents=True)
    other.mkdir()
    for path in (top / "a.wav", top / "sub" / "b.wav", other / "c.wav"):
        path.write_bytes(b"")
    (top / "linked").symlink_to(other)
    (top / "sub" / "up").symlink_to(top)
    (other / "self").symlink_to(other)
    (top / "d.wav").symlink_to(other / "c.wav")
    (top / "around.wav").symlink_to(top / "around.wav")
    (top / "gone.wav").symlink_to(tmp_path / "nothing")
    (top / "gone too").symlink_to(tmp_path / "nothing")
    found = find_files([top, other])
    names = sorted(str(path.relative_to(tmp_path)) for path in found.files)
    assert names == ["top/a.wav", "top/d.wav", "top/linked/c.wav", "top/sub/b.wav"]
    assert found.failed == 2
    assert [str(top / name) in line for name, line in zip(
        ("around.wav", "gone.wav"), sorted(found.problems), strict=True
    )] == [True, True]  # fmt: skip


def test_an_unreadable_folder_is_reported_and_the_rest_is_added(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.wav").write_bytes(b"")
    scan = os.scandir

    def locked(path):  # who runs the tests may be root, who may read everything
        if Path(path).name == "a":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", locked)
    found = find_files([tmp_path])
    assert found.files == [tmp_path / "b" / "x.wav"]
    assert found.problems == [
        f"{tmp_path / 'a'}: cannot be read (Permission denied); check its permissions"
    ]
    assert found.failed == 1
    done = airsift("add", tmp_path, "--catalogue", tmp_path / "shelf")
    assert done.returncode == 1
    assert "2 failed" in done.stdout  # the folder, and a file that is empty


@pytest.mark.parametrize("others", [[], ["a.txt", "b.jpg"]])
def test_nothing_to_add_is_one_line_and_a_failure(tmp_path, others):
    folder = tmp_path / "empty"
    folder.mkdir()
    for name in others:
        (folder / name).write_text("x")
    done = airsift("add", folder, "--catalogue", tmp_path / "shelf")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"{folder}: holds no audio files by their names ({len(others)} others)" in line


def table(tmp_path, *rows, head="file,title"):
    path = tmp_path / "names.csv"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def test_rows_without_a_file_and_files_without_a_row_are_reported(songs, tmp_path):
    rows = table(tmp_path, "a.wav,Erstes", "b.wav,Zweites", "caf?.wav,Kaffee")
    done = airsift("add", songs, "--csv", rows, "--catalogue", tmp_path / "shelf")
    assert done.returncode == 0
    unused, without = done.stderr.splitlines()
    assert unused.startswith(f"airsift: {rows}: line 3: no file 'b.wav' is among those given")
    assert f"z.wav: has no row in {rows}" in without
    assert titles(tmp_path / "shelf") == ["Erstes", "Kaffee", "z"]


def test_a_row_finds_its_file_by_path_and_in_either_form_of_accents(tmp_path, monkeypatch):
    music = tmp_path / "music" / "Zoë"
    names = [unicodedata.normalize(form, "Zoë/é.wav") for form in ("NFC", "NFD")]
    for name in (*names, str(music / "é.wav"), f"music/{names[0]}", "é.wav", "./music/Zoë/é.wav"):
        folder = tmp_path if name.startswith(("music", "./")) else tmp_path / "music"
        folder.mkdir(exist_ok=True)
        rows = Table(table(folder, f"{name},X"))
        for form in ("NFC", "NFD"):
            path = tmp_path / "music" / unicodedata.normalize(form, "Zoë/é.wav")
            assert rows.row(path) == {"file": name, "title": "X"}, name
        assert rows.row(tmp_path / "music" / "other.wav") == {}


def test_repeated_and_nameless_rows_are_reported(tmp_path):
    path = table(tmp_path, "a.wav,One", ",Two", "a.wav,Three", "", "a.wav,Four,extra,columns")
    rows = Table(path)
    lines = rows.problems([tmp_path / "a.wav"])
    assert [line.split(": ")[1] for line in lines] == ["line 3", "line 4", "line 6"]
    assert rows.row(tmp_path / "a.wav")["title"] == "Four"


def test_many_lines_of_one_kind_are_few(tmp_path):
    rows = Table(table(tmp_path, *(f"{n}.wav,x" for n in range(500))))
    assert len(rows.problems([])) == 11
    files = [tmp_path / f"other {n}.wav" for n in range(500)]
    assert len(rows.problems(files)) == 22


@pytest.mark.slow
def test_another_track_of_a_file_is_another_recording(tmp_path, caplog):
    import av

    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as file:
        streams = [file.add_stream("flac", rate=RATE, layout="mono") for _ in range(2)]
        for seed, stream in enumerate(streams, 1):
            data = compose(seed, 12.0)[None].copy()
            frame = av.AudioFrame.from_ndarray(data, format="flt", layout="mono")
            frame.sample_rate, frame.pts = RATE, 0
            file.mux([*stream.encode(frame), *stream.encode(None)])
    write_wav(tmp_path / "second.wav", compose(2, 12.0))
    shelf = tmp_path / "shelf"
    assert airsift("add", path, "--catalogue", shelf).returncode == 0
    assert "audio track 1 of 2 is read" in caplog.text
    assert airsift("match", tmp_path / "second.wav", "--catalogue", shelf).stdout.endswith(
        "nothing of the catalogue\n"
    )
    assert airsift("add", path, "--track", "2", "--catalogue", shelf).returncode == 0
    assert "film" in airsift("match", tmp_path / "second.wav", "--catalogue", shelf).stdout
    wrong = airsift("add", path, "--track", "3", "--catalogue", shelf)
    assert wrong.returncode == 1
    assert "1 (flac 1 channel" in wrong.stderr
    assert "2 (flac 1 channel" in airsift(
        "match", path, "--track", "3", "--catalogue", shelf
    ).stderr  # fmt: skip


def test_music_in_opposite_phase_is_added_and_found(tmp_path, caplog):
    samples = np.repeat(compose(1, 20.0), 3)
    over = 0.05 * noise(20.0, 48_000)[0]
    encode(tmp_path / "a.wav", np.stack([samples, -samples]), 48_000, "pcm_s16le")
    encode(tmp_path / "b.wav", np.stack([over + samples, over - samples]), 48_000, "pcm_s16le")
    shelf = tmp_path / "shelf"
    done = airsift("add", tmp_path / "a.wav", "--catalogue", shelf)
    assert done.returncode == 0
    assert "channel 2 of 2 has the opposite sign of the others" in caplog.text
    assert "[" in airsift("match", tmp_path / "b.wav", "--catalogue", shelf).stdout
