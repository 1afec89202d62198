"""`airsift segment` of many recordings: formats, folders, resumption, broken files, exit codes."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

import airsift as library
from airsift.api.results import Segments
from airsift.batch import work
from airsift.batch.ledger import NAME
from airsift.cli import segment_batch
from airsift.cli.app import main
from airsift.cli.batch_progress import BatchBar, Found
from airsift.cli.common import load_config
from airsift.cli.processes import each_in_processes
from airsift.formats import FORMATS
from stream.sinks.format import width_of
from stream.testing import tone
from tests.airsift.formats import readers
from tests.command import airsift
from tests.stream.wave_files import form, wav


def write(path: Path, seconds: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = (tone(seconds, 16_000) * 9_000).astype("<i2")
    path.write_bytes(wav(form(1), samples.tobytes()))
    return path


@pytest.fixture
def shows(tmp_path: Path) -> Path:
    """Make a folder with three recordings of two names, and one that is none."""
    folder = tmp_path / "shows"
    write(folder / "a.wav", 2.0)
    write(folder / "2026" / "a.wav")
    write(folder / "2026" / "b b.wav")
    (folder / "broken.mp3").write_bytes(b"no audio " * 1000)
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the engine by one that knows the result; note what it is given."""
    given: list[str] = []

    def make(name: str, *rest: object, **_: object) -> work.Result:
        given.append(Path(name).name)
        segments = Segments([library.Segment(0.0, 1.0, "speech", 0.9)], name=str(rest[3]))
        return work.Result(FORMATS[str(rest[2])].to_bytes(segments), 1.0)

    monkeypatch.setattr(segment_batch, "make_result", make)
    return given


@pytest.mark.slow
def test_a_folder_gives_a_folder_of_results_and_a_broken_file_is_passed_over(shows: Path) -> None:
    out = shows.parent / "out"
    done = airsift("segment", shows, "--format", "textgrid", "--output", out)
    assert done.returncode == 1
    assert done.stdout == f"{out}: 3 written, 1 failed or damaged\n"
    (problem,) = done.stderr.splitlines()
    assert problem.startswith(f"airsift: {shows}/broken.mp3: ")
    results = sorted(path.relative_to(out) for path in out.rglob("*.TextGrid"))
    assert results == [Path("2026/a.TextGrid"), Path("2026/b b.TextGrid"), Path("a.TextGrid")]
    tiers = readers.read_textgrid((out / "a.TextGrid").read_bytes(), shows.parent)
    assert [row[:2] for row in tiers["label"]] == [(0.0, 2.0)]
    again = airsift("segment", shows, "--format", "textgrid", "--output", out)
    assert again.stdout == f"{out}: 0 written, 3 done before, 1 failed or damaged\n"
    assert again.returncode == 1


@pytest.mark.slow
@pytest.mark.process
def test_two_processes_write_the_same_files(shows: Path) -> None:
    for jobs in ("1", "2"):
        out = shows.parent / jobs
        airsift("segment", shows, "--format", "json", "--output", out, "--jobs", jobs)
    for path in (shows.parent / "1").rglob("*.json"):
        other = shows.parent / "2" / path.relative_to(shows.parent / "1")
        assert other.read_bytes() == path.read_bytes()
    document = json.loads((shows.parent / "2" / "a.json").read_bytes())
    assert document["recording"] == {"name": f"{shows}/a.wav", "duration_s": 2.0, "warnings": []}
    assert set(document["versions"]) == {"airsift", "model", "voice"}


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_of_one_recording(shows: Path, name: str) -> None:
    file = shows.parent / f"result{FORMATS[name].suffix}"
    done = airsift("segment", shows / "a.wav", "--format", name, "--output", file)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    printed = airsift("segment", shows / "a.wav", "--format", name)
    assert printed.returncode == 0
    if not (FORMATS[name].names_audio):
        assert printed.stdout == file.read_bytes().decode()


@pytest.mark.slow
def test_the_format_is_that_of_the_files_name_or_jsonl(shows: Path) -> None:
    for name, begins in (("a.srt", "1\n"), ("a.eaf", "<?xml"), ("a.out", '{"schema": '),
                         ("A.VTT", "WEBVTT"), ("a.m3u", "#EXTM3U")):  # fmt: skip
        file = shows.parent / name
        assert airsift("segment", shows / "a.wav", "--output", file).returncode == 0
        assert file.read_text().startswith(begins)
    assert airsift("segment", shows / "a.wav").stdout.startswith('{"schema": ')


def test_a_table_is_the_default_on_a_terminal(quick: list[str], shows: Path) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    with (
        mock.patch.object(sys, "argv", ["airsift", "segment", str(shows)]),
        contextlib.redirect_stdout(out),
        pytest.raises(SystemExit),
    ):
        main()
    assert out.getvalue().count("speech 100 %") == 4


def test_a_new_output_without_an_ending_is_a_folder(quick: list[str], shows: Path) -> None:
    """As for several recordings, so that a loop over files gives what one command does."""
    folder = shows.parent / "out"
    for name in ("a.wav", "2026/b b.wav"):
        done = airsift("segment", shows / name, "--output", folder, "--format", "csv")
        assert done.returncode == 0, done.stderr
    assert sorted(each.name for each in folder.glob("*.csv")) == ["a.csv", "b b.csv"]


def test_a_warning_is_seen_once_on_a_terminal(shows: Path) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    audio = (shows / "a.wav").read_bytes()
    (shows / "a.wav").write_bytes(audio[: len(audio) // 2])
    for out, lines in ((Terminal(), 0), (io.StringIO(), 1)):
        with (
            mock.patch.object(
                sys, "argv", ["airsift", "segment", str(shows / "a.wav"), "--format", "table"]
            ),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(io.StringIO()) as err,
            pytest.raises(SystemExit),
        ):
            main()
        assert out.getvalue().count("ends early at") == 1
        assert err.getvalue().count("ends early at") == lines


def test_results_that_cannot_stand_in_one_file_need_a_folder(shows: Path) -> None:
    done = airsift("segment", shows, "--format", "elan")
    assert done.returncode == 2
    assert "--output" in done.stderr
    file = shows.parent / "there"
    file.write_bytes(b"mine")
    done = airsift("segment", shows, "--output", file)
    assert (done.returncode, file.read_bytes()) == (2, b"mine")
    for name in ("all.csv", ""):
        done = airsift("segment", shows, "--output", name)
        assert (done.returncode, Path(name or "none").exists()) == (2, False)
        assert "name a folder" in " ".join(done.stderr.split())


def test_an_output_that_ends_ends_the_batch(shows: Path) -> None:
    """A reader that has gone is no fault of a recording, which the next one would not have."""

    def gone(event: object) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        work.make_result(
            str(shows / "a.wav"), load_config(None, None), None, "jsonl", "a.wav", on_event=gone
        )


def test_a_file_is_replaced_on_request_alone(quick: list[str], shows: Path) -> None:
    file = shows.parent / "a.srt"
    file.write_bytes(b"mine")
    done = airsift("segment", shows / "a.wav", "--output", file)
    assert done.returncode == 1
    assert "a.srt: exists already; replace it with --overwrite" in done.stderr
    assert file.read_bytes() == b"mine"
    done = airsift("segment", shows / "a.wav", "--output", file, "--overwrite")
    assert (done.returncode, file.read_bytes() == b"mine") == (0, False)
    audio = (shows / "a.wav").read_bytes()
    done = airsift("segment", shows / "a.wav", "--output", shows / "a.wav", "--overwrite")
    assert (done.returncode, (shows / "a.wav").read_bytes()) == (1, audio)
    assert "is the recording itself" in done.stderr


@pytest.mark.slow
def test_only_what_is_new_is_done(quick: list[str], shows: Path) -> None:
    out = shows.parent / "out"
    command = ("segment", shows, "--format", "srt", "--output", out)
    assert airsift(*command).returncode == 0
    assert sorted(quick) == ["a.wav", "a.wav", "b b.wav", "broken.mp3"]
    for change, wanted in (
        (lambda: None, []),
        (lambda: write(shows / "c.wav"), ["c.wav"]),
        (lambda: write(shows / "a.wav", 3.0), ["a.wav"]),
        (lambda: (out / "2026" / "b b.srt").unlink(), ["b b.wav"]),
    ):
        quick.clear()
        change()
        airsift(*command)
        assert quick == wanted
    quick.clear()
    airsift(*command, "--set", "smoothing.min_segment_s=3")
    assert len(quick) == 5
    quick.clear()
    airsift(*command, "--set", "smoothing.min_segment_s=3", "--overwrite")
    assert len(quick) == 5


@pytest.mark.slow
def test_hundreds_of_recordings(quick: list[str], tmp_path: Path) -> None:
    for number in range(400):
        folder = tmp_path / "many" / f"{number % 7}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.mp3").write_bytes(b"x")
    done = airsift("segment", tmp_path / "many", "--format", "vtt", "--output", tmp_path / "out")
    assert done.stdout == f"{tmp_path / 'out'}: 400 written\n"
    assert len([*(tmp_path / "out").rglob("*.vtt")]) == 400
    assert len((tmp_path / "out" / NAME).read_bytes().splitlines()) == 400
    quick.clear()
    done = airsift("segment", tmp_path / "many", "--format", "vtt", "--output", tmp_path / "out")
    assert (done.stdout, quick) == (f"{tmp_path / 'out'}: 0 written, 400 done before\n", [])


@pytest.mark.slow
def test_tables_and_rows_of_several_recordings_are_one(shows: Path) -> None:
    rows = airsift("segment", shows, "--format", "csv").stdout.splitlines()
    assert rows[0].startswith("station,")
    assert len(rows) == 4
    tables = airsift("segment", shows, "--format", "table").stdout
    assert tables.count("\n\n") == 2
    assert len(airsift("segment", shows, "--format", "rttm").stdout.splitlines()) == 3


def test_a_catalogue_that_is_none_is_told_once(shows: Path) -> None:
    done = airsift("segment", shows, "--catalogue", shows.parent / "none")
    assert (done.returncode, done.stdout) == (1, "")
    (problem,) = done.stderr.splitlines()
    assert "there is no catalogue here" in problem


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupted_batch_leaves_whole_files_and_is_continued(
    tmp_path: Path, jobs: int
) -> None:
    n_files = 80
    for number in range(n_files):
        write(tmp_path / "shows" / f"{number}.wav", 4.0)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "airsift", "segment", str(tmp_path / "shows"),
               "--output", str(out), "--format", "json", "--jobs", str(jobs)]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while len([*out.glob("*.json")]) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, errors) == (130, "")
    assert printed.endswith("written, interrupted; the same command goes on\n")
    before = {path: path.read_bytes() for path in out.glob("*.json")}
    assert 5 <= len(before) < n_files
    for data in before.values():
        assert json.loads(data)["schema"] == "airsift.recording/1"
    assert {path.suffix for path in out.iterdir()} == {".json", ".jsonl"}
    done = airsift("segment", tmp_path / "shows", "--output", out, "--format", "json")
    assert done.returncode == 0
    n_before = len(before)
    assert done.stdout == f"{out}: {n_files - n_before} written, {n_before} done before\n"
    assert all(path.read_bytes() == data for path, data in before.items())


def test_the_help_tells_the_exit_codes() -> None:
    printed = " ".join(airsift("segment", "--help").stdout.split())
    for code in ("0 all", "1 some", "2 the command line", "130 interrupted"):
        assert code in printed


def bars() -> Iterator[tuple[BatchBar, float]]:
    for files, done, passed_s in itertools.product((0, 50, 20_000), (0, 12, 49), (0.5, 100.0)):
        found = Found(max(files, done), max(files, done) * 1000, is_all=files != 20_000)
        bar = BatchBar(io.StringIO(), found)
        for number in range(done):
            bar.processed(f"ファイル {number} " + "x" * 99, 1000, 3600.0)
        yield bar, passed_s


@pytest.mark.parametrize("columns", [1, 10, 40, 80, 200])
def test_a_bar_fits_any_terminal(columns: int) -> None:
    for bar, passed_s in bars():
        assert width_of(bar.line(columns, passed_s)) <= max(columns - 1, 0)


def test_a_bar_tells_files_rates_and_the_time_left() -> None:
    found = Found(50, 50_000, is_all=True)
    bar = BatchBar(io.StringIO(), found)
    bar.passed_over(2_000)
    for _ in range(11):
        bar.processed("a.mp3", 1_000, 600.0)
    line = bar.line(80, 60.0)
    assert "12 of 50  03:22 left  110 x real time  11 files/min  a.mp3" in line
    found.is_all = False
    assert "12 of 50+  110 x real time" in bar.line(80, 60.0)


@pytest.mark.process
def test_the_parent_takes_no_more_than_it_needs(tmp_path: Path) -> None:
    """Names are taken as processes ask for them, and results are not kept."""
    taken = itertools.count()
    n_taken = 0

    def names() -> Iterator[int]:
        nonlocal n_taken
        for number in range(10_000):
            n_taken = next(taken)
            yield number

    results = each_in_processes(lambda item, _: item, names(), 2, in_order=False)
    for done, _ in enumerate(itertools.islice(results, 500)):
        assert n_taken <= done + 8 * 2 + 8 * 2
    results.close()  # type: ignore[attr-defined]
