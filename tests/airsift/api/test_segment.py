"""Recordings through the Python interface: the same as those of the command line."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import airsift
from airsift import config
from airsift.api.engine import Analyser, analyser_of, models_of
from airsift.inputs import open_input
from stream.events import Event
from stream.runner import Stop
from stream.testing import noise, programme, write_wav
from tests import command

AUDIO = programme(40)
DEFAULTS = config.load(environ={}).config


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wav(tmp_path_factory.mktemp("audio") / "news <1>.wav", AUDIO)


@pytest.fixture(scope="module")
def found(recording: Path) -> airsift.Segments:
    return airsift.segment(recording)


def test_the_command_line_prints_the_same_events(recording: Path, found: airsift.Segments) -> None:
    printed = command.airsift("segment", "--format", "jsonl", recording)
    events = [json.loads(line) for line in printed.stdout.splitlines()]
    assert events == found.events
    assert [(e["start_s"], e["end_s"], e["label"], e["score"]) for e in events] == [
        (s.start_s, s.end_s, s.label, s.score) for s in found
    ]
    assert {"speech", "music"} <= {segment.label for segment in found}
    assert found.name == str(recording)
    assert found.duration_s == 40.0
    assert found.warnings == []
    assert {*found.versions} == {"model", "voice"}


def test_the_command_line_prints_the_same_windows(recording: Path) -> None:
    rows = [*csv.DictReader(io.StringIO(command.airsift("classify", recording).stdout))]
    windows = airsift.classify(recording)
    assert windows.labels == ["speech", "music"]
    assert windows.name == str(recording)
    assert len(rows) == 8
    assert [{name: float(row[name]) for name in row if name != "file"} for row in rows] == [
        {"start_s": w.start_s, "end_s": w.end_s}
        | {f"p_{label}": p for label, p in w.probabilities.items()}
        for w in windows
    ]


@pytest.mark.slow
def test_windows_as_a_table_of_pandas(recording: Path) -> None:
    pytest.importorskip("pandas")
    frame = airsift.classify(recording).to_frame()
    assert [*frame.columns] == ["start_s", "end_s", "p_speech", "p_music"]
    assert len(frame) == 8


def sixteen_bit(samples: np.ndarray) -> np.ndarray:
    """Return what `write_wav` stores."""
    return np.round(np.clip(samples, -1, 1) * 32_767).astype("<i2")


STORED = sixteen_bit(AUDIO)


@pytest.mark.parametrize(
    "audio",
    [
        STORED,
        STORED[:, None],
        STORED[None],
        STORED / 32_768,
        (STORED / 32_768).astype(np.float32),
        STORED.astype(np.int32) << 16,
        np.repeat(STORED, 2)[::2],
        np.frombuffer(STORED.tobytes(), "<i2"),
    ],
    ids=["int16", "rows", "channel", "float64", "float32", "int32", "strided", "read-only"],
)
def test_an_array_has_the_segments_of_its_file(audio: np.ndarray, found: airsift.Segments) -> None:
    again = airsift.segment(audio, 16_000)
    assert [*again] == [*found]
    assert (again.name, again.duration_s) == ("array", 40.0)
    assert airsift.segment(audio, 16_000.0, name="x").name == "x"


@pytest.mark.parametrize("rate", [8_000, 44_100, 192_000])
def test_rates_and_channels_as_in_a_file(rate: int, tmp_path: Path) -> None:
    stereo = np.stack([programme(20, rate), 0.5 * programme(20, rate)], axis=1)
    path = write_wav(tmp_path / "stereo.wav", stereo, rate)
    from_file = airsift.segment(path)
    stored = sixteen_bit(stereo)
    assert [*airsift.segment(stored, rate)] == [*from_file]
    assert [*airsift.segment(stored.T, rate)] == [*from_file]
    assert [*airsift.segment(np.asfortranarray(stored), rate)] == [*from_file]


@pytest.mark.parametrize(
    "chosen",
    [{}, {"model.threads": 2}, pytest.param({"model.backend": "torch"}, marks=pytest.mark.slow)],
)
def test_threads_at_the_same_time_find_the_same(
    chosen: dict[str, object], found: airsift.Segments
) -> None:
    if "model.backend" in chosen:
        pytest.importorskip("torch")
    audio = [STORED, sixteen_bit(programme(30, seed=5)), noise(20), STORED]
    together: list[list[airsift.Segments]] = [[] for _ in audio]
    start = threading.Barrier(len(audio))

    def work(number: int) -> None:
        start.wait()
        for _ in range(3):
            together[number].append(airsift.segment(audio[number], 16_000, config=chosen))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(audio))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = [airsift.segment(each, 16_000, config=chosen) for each in audio]
    assert together == [[each] * 3 for each in alone]
    if "model.backend" not in chosen:
        assert [*alone[0]] == [*found]


def test_networks_are_loaded_once() -> None:
    chosen = config.load(environ={}, values={"smoothing": {"min_segment_s": 2.5}}).config
    assert models_of(chosen) is models_of(DEFAULTS)
    assert analyser_of(chosen) is not analyser_of(DEFAULTS)
    assert analyser_of(config.load(environ={}).config) is analyser_of(DEFAULTS)


def in_child(found: airsift.Segments) -> bool:
    return [*airsift.segment(STORED, 16_000)] == [*found]


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_other_processes_find_the_same(how: str, found: airsift.Segments) -> None:
    with multiprocessing.get_context(how).Pool(1) as pool:
        assert pool.apply(in_child, (found,))


def test_events_come_as_soon_as_they_are_known(recording: Path, found: airsift.Segments) -> None:
    analyser = Analyser(DEFAULTS)
    heard: list[tuple[float, Event]] = []
    ends = [0.0]
    with closing(open_input(str(recording), DEFAULTS, Stop())) as opened:
        for event in analyser.events(opened, progress=lambda e: ends.append(max(e.values()))):
            heard.append((ends[-1], event))
    assert [event.to_dict() for _, event in heard] == found.events
    assert heard[0][0] < 40
    # Whoever stops to listen leaves nothing behind.
    with closing(open_input(str(recording), DEFAULTS, Stop())) as opened:
        next(analyser.events(opened))
    with closing(open_input(str(recording), DEFAULTS, Stop())) as opened:
        assert [*analyser.segments(opened)] == [*found]


def test_a_recording_that_breaks_off_has_the_events_before(
    tmp_path: Path, found: airsift.Segments
) -> None:
    class Breaks:
        def __init__(self, opened: object) -> None:
            self.opened = opened

        def __getattr__(self, name: str) -> object:
            return getattr(self.opened, name)

        def __iter__(self):
            yield next(iter(self.opened))
            raise airsift.AirsiftError("the disk is gone")

    analyser, heard = Analyser(DEFAULTS), list[Event]()
    path = write_wav(tmp_path / "a.wav", AUDIO)
    with (
        closing(open_input(str(path), DEFAULTS, Stop())) as opened,
        pytest.raises(airsift.AirsiftError, match="disk"),
    ):
        heard.extend(analyser.events(Breaks(opened)))
    assert heard
    assert heard[-1].end < 40 * analyser.rate
    with closing(open_input(str(path), DEFAULTS, Stop())) as opened:
        assert [*analyser.segments(opened)] == [*found]


def test_progress_is_told_in_seconds() -> None:
    told: list[float] = []
    airsift.segment(STORED, 16_000, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 40.0


@pytest.mark.parametrize("call", [airsift.segment, airsift.classify])
@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("/no/such/file.mp3",), {}, "No such file"),
        (("",), {}, "is a folder"),
        (("file.mp3", 16_000), {}, "rate=16000 is given for file.mp3"),
        ((np.zeros(16_000),), {}, "rate is missing"),
        ((b"file.mp3",), {}, "bytes is no audio"),
        ((np.zeros(16_000), 16_000), {"name": 3}, "name=3 must be a text"),
        ((np.zeros((60, 60)), 16_000), {}, "0.00 s of audio"),
        ((np.zeros(0), 16_000), {}, r"0.00 s of audio.*0\.5 s"),
        ((np.zeros(1), 16_000), {}, r"0.00 s of audio"),
        ((np.zeros(7_000), 16_000), {}, r"0.44 s of audio"),
        ((np.zeros(16_000), 16_000), {"track": "1"}, "track='1' is given for an array"),
        ((np.zeros(16_000), 16_000), {"config": 3}, "config=3 must be"),
        ((np.zeros(16_000), 16_000), {"config": {"smoothing.mx": 3}}, "no such key"),
        ((np.zeros(16_000), 16_000), {"config": {3: 3}}, "the key 3"),
        ((np.zeros(16_000), 16_000), {"config": {"model.threads": "many"}}, "model.threads"),
        ((np.zeros(16_000), 16_000), {"config": "/no/such.toml"}, "No such file"),
        ((np.zeros(16_000), 16_000), {"config": {"model.path": "/no.pt"}}, "/no"),
        ((np.full(16_000, np.nan), 16_000), {}, "sample 0 is nan"),
    ],
)
def test_wrong_calls_are_one_line(call, arguments, options, words) -> None:
    with pytest.raises(airsift.AirsiftError, match=words) as error:
        call(*arguments, **options)
    assert "\n" not in str(error.value)


def test_a_folder_and_rubbish_are_no_recordings(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(b"no audio " * 1000)
    for path in (tmp_path, tmp_path / "a.mp3"):
        with pytest.raises(airsift.AirsiftError):
            airsift.segment(path)


def test_settings_come_from_a_file_a_mapping_and_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: airsift.Segments
) -> None:
    (tmp_path / "my.toml").write_text("[smoothing]\nmin_segment_s = 5.9\n")
    merged = airsift.segment(STORED, 16_000, config=tmp_path / "my.toml")
    assert len(merged) < len(found)
    for mapping in ({"smoothing.min_segment_s": 5.9}, {"smoothing": {"min_segment_s": 5.9}}):
        assert airsift.segment(STORED, 16_000, config=mapping) == merged
    monkeypatch.setenv("AIRSIFT_SMOOTHING__MIN_SEGMENT_S", "5.9")
    assert airsift.segment(STORED, 16_000) == merged
    assert len(airsift.segment(STORED, 16_000, config={"smoothing.min_segment_s": 1})) > len(merged)


def test_a_damaged_file_has_warnings_and_what_is_left(tmp_path: Path) -> None:
    samples = AUDIO.copy()
    path = tmp_path / "holes.wav"
    samples[100_000:110_000] = np.nan
    import wave

    with wave.open(str(path), "wb") as out:
        out.setparams((1, 4, 16_000, 0, "NONE", ""))
        out.writeframes(samples.astype("<f4").tobytes())
    data = bytearray(path.read_bytes())
    data[20:22] = (3).to_bytes(2, "little")  # IEEE float
    path.write_bytes(bytes(data))
    found = airsift.segment(path)
    assert found.warnings
    assert found
    assert [event for event in found.events if event["schema"] == "airsift.gap/1"]
