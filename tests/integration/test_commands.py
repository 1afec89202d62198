"""Each command as a user runs it: a process of its own, files with odd names, rubbish, signals."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from airsift import __version__
from stream.testing import write_wav
from tests.integration.road import tune

AIRSIFT = [sys.executable, "-m", "airsift"]
# A tune of a few sines is hardly music to a network that learnt from records.
ANY_MUSIC = ["--set", "smoothing.change_cost=0.1", "--set", "smoothing.music_level=0.01"]
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("AIRSIFT_", "PYTHON"))}


def airsift(*arguments, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*AIRSIFT, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=ENVIRONMENT,
        **options,
    )


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Return a file of 40 s whose name has spaces and more."""
    folder = tmp_path_factory.mktemp("with spaces")
    samples = np.concatenate([tune(30), np.zeros(160000, np.float32)])
    return write_wav(folder / "a tune, then nothing 'é'.wav", samples)


def one_line(result, *words):
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0]


def test_segment_writes_final_events_as_json_lines(recording):
    result = airsift("segment", recording)
    assert result.returncode == 0, result.stderr
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events[0]["start_s"] == 0
    assert events[-1]["end_s"] == pytest.approx(40, abs=0.01)
    for before, after in itertools.pairwise(events):
        assert before["end_s"] == after["start_s"]
    assert {event["schema"] for event in events} == {"airsift.segment/1"}
    assert all(event["final"] for event in events)
    assert events[-1]["label"] == "other"


def test_several_processes_write_the_same_lines_in_the_same_order(tmp_path):
    for number, seconds in enumerate((12, 3, 6)):
        write_wav(tmp_path / f"{number}.wav", tune(seconds))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "noise.mp3").write_bytes(b"no audio " * 1000)
    one = airsift("segment", tmp_path)
    two = airsift("segment", "--jobs", "2", tmp_path)
    assert (two.returncode, two.stdout) == (one.returncode, one.stdout)
    assert one.returncode == 1
    one_line(one, "noise.mp3")
    one_line(two, "noise.mp3")
    stations = [json.loads(line)["station"] for line in two.stdout.splitlines()]
    assert stations == sorted(stations)
    assert len(set(stations)) == 3


def test_segment_as_csv_of_two_files(recording):
    result = airsift("segment", "--format", "csv", recording, recording)
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert {row["schema"] for row in rows} == {"segment"}
    assert {row["station"] for row in rows} == {str(recording)}
    half = len(rows) // 2
    assert rows[:half] == rows[half:]


def test_segment_names_what_is_in_the_catalogue(recording, tmp_path):
    shelf = tmp_path / "my catalogue"
    track = write_wav(tmp_path / "The Tune.wav", tune(30))
    assert airsift("catalogue", "add", "--catalogue", shelf, track).returncode == 0
    music = write_wav(tmp_path / "air.wav", tune(30)[3 * 16000 :])
    result = airsift("segment", "--catalogue", shelf, music, *ANY_MUSIC)
    labels = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 0, result.stderr
    if any(event.get("label") in ("music", "speech_over_music") for event in labels):
        matches = [event for event in labels if event["schema"] == "airsift.match/1"]
        assert [match["title"] for match in matches] == ["The Tune"]
        assert matches[0]["track_start_s"] == pytest.approx(matches[0]["start_s"] + 3, abs=0.2)
    else:
        pytest.fail(f"a tune was classified as {labels}")


def test_classify_predicts_whole_windows(recording):
    result = airsift("classify", recording)
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert result.returncode == 0, result.stderr
    assert [float(row["start_s"]) for row in rows] == [5.0 * k for k in range(8)]
    assert all(float(row["end_s"]) - float(row["start_s"]) == 5 for row in rows)
    assert all(0 <= float(row[p]) <= 1 for row in rows for p in ("p_speech", "p_music"))
    lines = airsift("classify", "--format", "jsonl", recording).stdout.splitlines()
    assert [json.loads(line)["p_music"] for line in lines] == [float(r["p_music"]) for r in rows]


@pytest.mark.parametrize("command", ["segment", "classify"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"this is not audio at all" * 50, ["no audio file"]),
        (b"", ["empty"]),
        (None, ["No such file"]),
    ],
)
def test_rubbish_is_one_line_and_an_exit_code(tmp_path, command, content, words):
    path = tmp_path / "rub bish.mp3"
    if content is not None:
        path.write_bytes(content)
    result = airsift(command, path)
    assert result.returncode == 1
    one_line(result, "rub bish.mp3", *words)


@pytest.mark.parametrize("command", ["segment", "classify"])
def test_less_than_half_a_second_is_too_short(tmp_path, command):
    result = airsift(command, write_wav(tmp_path / "short.wav", tune(1)[:4000]))
    assert result.returncode == 1
    one_line(result, "short.wav", "0.25 s", "0.5 s")


def test_a_jingle_of_a_second_has_one_segment_and_one_window(tmp_path):
    path = write_wav(tmp_path / "jingle.wav", tune(2)[:19_200])
    (row,) = map(json.loads, airsift("segment", path).stdout.splitlines())
    assert (row["start_s"], row["end_s"], row["final"]) == (0, 1.2, True)
    result = airsift("classify", "--format", "jsonl", path)
    (window,) = map(json.loads, result.stdout.splitlines())
    assert (window["start_s"], window["end_s"]) == (0, 1.2)


def test_a_bad_file_does_not_stop_the_others(tmp_path, recording):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"nothing")
    result = airsift("segment", bad, recording)
    assert result.returncode == 1
    one_line(result, "bad.wav")
    assert str(recording) in json.loads(result.stdout.splitlines()[0])["station"]


def test_samples_that_are_not_numbers_are_a_gap(tmp_path):
    samples = tune(20, 16000).astype("<f4")
    samples[8 * 16000 : 8 * 16000 + 5] = np.nan
    samples[9 * 16000] = np.inf
    path = tmp_path / "nan.wav"
    data = samples.tobytes()
    header = b"RIFF" + (36 + len(data)).to_bytes(4, "little") + b"WAVEfmt "
    header += (16).to_bytes(4, "little") + (3).to_bytes(2, "little") + (1).to_bytes(2, "little")
    header += (16000).to_bytes(4, "little") + (64000).to_bytes(4, "little")
    header += (4).to_bytes(2, "little") + (32).to_bytes(2, "little") + b"data"
    path.write_bytes(header + len(data).to_bytes(4, "little") + data)
    result = airsift("segment", path)
    assert result.returncode == 1
    assert "nan.wav" in result.stderr
    assert "Traceback" not in result.stderr
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert any(event["schema"] == "airsift.gap/1" for event in events)


def test_many_channels_at_a_high_rate(tmp_path):
    path = write_wav(tmp_path / "big.wav", np.tile(tune(8, 192000)[:, None], 8), 192000)
    result = airsift("segment", path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["end_s"] == pytest.approx(8, abs=0.01)


def test_an_unknown_key_is_named(recording):
    result = airsift("segment", recording, "--set", "smoothing.change_cots=0.7")
    assert result.returncode == 1
    one_line(result, "smoothing.change_cots", "smoothing.change_cost")


def test_a_traceback_is_shown_on_request(tmp_path):
    assert "Traceback" not in airsift("segment", tmp_path / "none.wav").stderr
    assert "Traceback" in airsift("segment", "--debug", tmp_path / "none.wav").stderr


def test_the_version_is_printed():
    result = airsift("--version")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"airsift {__version__}\n")


def test_config_shows_the_origin_of_each_value(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("[smoothing]\nchange_cost = 0.7\n")
    out = airsift("config", "--config", path, "--set", "file.chunk_s=3").stdout
    lines = {line.split(" = ")[0].strip(): line for line in out.splitlines()}
    assert "0.7" in lines["smoothing.change_cost"]
    assert str(path) in lines["smoothing.change_cost"]
    assert lines["file.chunk_s"].endswith("# --set")
    assert lines["smoothing.speech_level"].endswith("# default.toml")


def test_a_secret_is_not_printed():
    result = airsift("config", "--set", "kafka.security.password=swordfish")
    assert result.returncode == 0, result.stderr
    assert "swordfish" not in result.stdout + result.stderr


def test_a_reader_that_has_enough_ends_it_quietly(recording):
    with subprocess.Popen(
        [*AIRSIFT, "classify", *[str(recording)] * 200],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) in (1, -signal.SIGPIPE)
        assert process.stderr.read() == b""


def test_run_on_a_file_to_json_lines(recording, tmp_path):
    out = tmp_path / "out.jsonl"
    result = airsift("run", "--source", recording, "--sink", f"jsonl:{out}", "--station", "one")
    assert result.returncode == 0, result.stderr
    events = [json.loads(line) for line in out.read_text().splitlines()]
    kinds = {event["schema"].split("/")[0] for event in events}
    assert {"airsift.decision", "airsift.segment"} <= kinds
    assert {event["station"] for event in events} == {"one"}
    decisions = [e for e in events if e["schema"] == "airsift.decision/1"]
    assert [e["start_s"] for e in decisions if e["final"]] == [float(k) for k in range(36)]
    assert [e["start_s"] for e in decisions if not e["final"]] == [0.0]


def test_run_refuses_a_sink_it_does_not_know(recording):
    result = airsift("run", "--source", recording, "--sink", "somewhere")
    assert result.returncode == 1
    one_line(result, "--sink somewhere", "jsonl:FILE")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_its_segments_closed(tmp_path, number):
    path, out = write_wav(tmp_path / "long.wav", np.tile(tune(60), 60)), tmp_path / "out.jsonl"
    with subprocess.Popen(
        [*AIRSIFT, "run", "--source", str(path), "--sink", f"jsonl:{out}"],
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    ) as process:
        for _ in range(600):
            if out.exists() and out.stat().st_size > 2000:
                break
            time.sleep(0.1)
        process.send_signal(number)
        process.wait(20)
        assert b"Traceback" not in process.stderr.read()
    events = [json.loads(line) for line in out.read_text().splitlines()]
    assert [e for e in events if e["schema"] == "airsift.segment/1"][-1]["final"]


def test_a_broker_that_is_not_there_is_named(recording):
    for command in (
        ["run", "--source", "kafka", "--sink", "kafka"],
        ["tail"],
        ["publish", str(recording), "--station", "x"],
    ):
        result = airsift(
            *command,
            "--set",
            "kafka.bootstrap_servers=127.0.0.1:1",
            "--set",
            "kafka.connect_timeout_s=2",
        )
        assert result.returncode == 1
        one_line(result, "127.0.0.1:1")


@pytest.mark.process
def test_segment_reports_faulty_channels_and_the_track_it_reads(tmp_path):
    import av

    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as file:
        streams = [file.add_stream("flac", rate=16000, layout="stereo") for _ in range(2)]
        streams[1].metadata["language"] = "ger"
        for seed, stream in enumerate(streams):
            left = tune(20, seed=seed)
            data = np.stack([left, -left], axis=1).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(data, format="flt", layout="stereo")
            frame.sample_rate, frame.pts = 16000, 0
            file.mux([*stream.encode(frame), *stream.encode(None)])
    done = airsift("segment", path, "--track", "de", *ANY_MUSIC)
    assert done.returncode == 0
    track, channels = done.stderr.splitlines()
    assert track.startswith(f"airsift: {path}: audio track 2 of 2 is read (ger flac 2 channels")
    assert channels.startswith(f"airsift: {path}: channel 2 of 2 has the opposite sign")
    assert '"label": "music"' in done.stdout
    wrong = airsift("segment", path, "--track", "3")
    assert wrong.returncode == 1
    one_line(wrong, "has no audio track '3'", "1 (flac 2 channels", "2 (ger flac 2 channels")


@pytest.mark.process
def test_segment_reads_an_mp4_from_a_pipe_whose_index_is_at_its_end(tmp_path):
    from tests.stream.media import encode

    encode(tmp_path / "a.mp4", np.repeat(tune(20), 3), 48_000, "aac")
    whole = airsift("segment", tmp_path / "a.mp4", *ANY_MUSIC)
    data = (tmp_path / "a.mp4").read_bytes()

    def piped(*arguments):
        return subprocess.run(
            [*AIRSIFT, "segment", "-", *arguments],
            input=data,
            capture_output=True,
            timeout=120,
            check=False,
            env=ENVIRONMENT,
        )

    done = piped(*ANY_MUSIC)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == whole.stdout.replace(str(tmp_path / "a.mp4"), "-")
    refused = piped("--set", "file.max_spool_bytes=1000")
    assert refused.returncode == 1
    (line,) = refused.stderr.decode().splitlines()
    assert "file.max_spool_bytes=1000" in line
