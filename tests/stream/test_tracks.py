"""The right one of several audio tracks is read, and reported."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from av.stream import Disposition

from airsift.errors import DecodeError, SourceError
from stream.sources.file import FileSource, read_file
from stream.testing import tone
from tests.stream.media import encode

if TYPE_CHECKING:
    from pathlib import Path

RATE = 48_000


class Made:
    """A track: its pitch and its metadata."""

    def __init__(self, hz: float, flags: int = 0, seconds: float = 2.0, **metadata: str) -> None:
        self.hz, self.flags, self.seconds, self.metadata = hz, flags, seconds, metadata


def film(path: Path, *tracks: Made, codec: str = "aac", picture: bool = True) -> Path:
    with av.open(str(path), "w") as file:
        video = file.add_stream("mpeg4", rate=25, width=64, height=64) if picture else None
        streams = []
        for made in tracks:
            stream = file.add_stream(codec, rate=RATE, layout="mono")
            stream.disposition = Disposition(made.flags)
            stream.metadata.update(made.metadata)
            streams.append(stream)
        if video:
            for number in range(50):
                frame = av.VideoFrame(64, 64, "yuv420p")
                frame.pts = number
                file.mux(video.encode(frame))
            file.mux(video.encode(None))
        for made, stream in zip(tracks, streams, strict=True):
            samples = tone(made.seconds, RATE, hz=made.hz)
            for k in range(0, len(samples), 1024):
                frame = av.AudioFrame.from_ndarray(
                    samples[None, k : k + 1024].copy(), format="fltp", layout="mono"
                )
                frame.sample_rate, frame.pts = RATE, k
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
    return path


def pitch(path: Path, track: str | None = None) -> float:
    source = FileSource(path, track=track)
    samples = np.concatenate([chunk.samples for batch in source for chunk in batch])
    spectrum = np.abs(np.fft.rfft(samples[4800:52_800]))
    return float(spectrum.argmax())


DEFAULT, COMMENT = Disposition.default, Disposition.comment
DESCRIBED = Disposition.visual_impaired


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mov"])
@pytest.mark.parametrize("default", [0, 1, 2])
def test_the_default_track_is_read_wherever_it_is(tmp_path, name, default) -> None:
    tracks = [Made(hz, DEFAULT if i == default else 0) for i, hz in enumerate((400, 600, 800))]
    assert pitch(film(tmp_path / name, *tracks)) == (400, 600, 800)[default]


def test_without_a_default_the_first_is_read_that_is_no_commentary(tmp_path) -> None:
    tracks = [Made(400, COMMENT), Made(500, DESCRIBED), Made(600), Made(700)]
    assert pitch(film(tmp_path / "a.mkv", *tracks)) == 600


@pytest.fixture(scope="module")
def languages(tmp_path_factory) -> Path:
    return film(
        tmp_path_factory.mktemp("languages") / "a.mkv",
        Made(400, language="eng"),
        Made(500, language="eng", title="Director's Commentary"),
        Made(600, DEFAULT, language="ger", title="Deutsch"),
        Made(700, language="spa"),
    )


@pytest.mark.parametrize(
    ("wanted", "hz"),
    [
        ("1", 400), ("2", 500), ("4", 700), ("eng", 400), ("en", 400), ("ENG", 400),
        ("ger", 600), ("de", 600), ("deu", 600), ("es", 700), ("Deutsch", 600),
        ("director's commentary", 500), ("commentary", 500), (None, 600),
    ],
)  # fmt: skip
def test_a_track_is_chosen_by_number_language_or_title(languages, wanted, hz) -> None:
    assert pitch(languages, wanted) == hz


@pytest.mark.parametrize("wanted", ["0", "5", "99999999999999999999", "-1", "fr", "", " ", "²"])
def test_a_track_that_is_not_there_is_one_line_with_those_that_are(languages, wanted) -> None:
    with pytest.raises(SourceError) as error:
        FileSource(languages, track=wanted)
    message = str(error.value)
    assert message.startswith(f"{languages}: has no audio track ")
    assert "\n" not in message
    assert "1 (eng aac 1 channel)" in message
    assert '3 (ger "Deutsch" aac 1 channel default)' in message


def test_the_selected_one_of_several_tracks_is_reported(languages, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        FileSource(languages)
        FileSource(film(tmp_path / "one.mkv", Made(400)))
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith(f"{languages}: audio track 3 of 4 is read (ger")
    assert "--track chooses from 1 (eng" in line


def test_a_file_with_one_track_takes_its_number_and_no_other(tmp_path) -> None:
    encode(tmp_path / "a.wav", tone(2, RATE, hz=400), RATE, "pcm_s16le")
    assert pitch(tmp_path / "a.wav", "1") == 400
    with pytest.raises(SourceError, match=r"1 \(pcm_s16le 1 channel"):
        FileSource(tmp_path / "a.wav", track="2")


def test_a_picture_is_no_track(tmp_path) -> None:
    path = tmp_path / "a.mkv"
    film(path)
    for wanted in (None, "1"):
        with pytest.raises(DecodeError, match="holds video but no audio"):
            FileSource(path, track=wanted)


def test_a_default_track_without_audio_is_one_line_with_the_others(tmp_path) -> None:
    path = film(tmp_path / "a.mkv", Made(400), Made(600, DEFAULT, seconds=0.0))
    with pytest.raises(DecodeError) as error:
        FileSource(path)
    assert "--track chooses from 1 (aac" in str(error.value)
    assert pitch(path, "1") == 400


def test_titles_from_a_file_cannot_command_a_terminal(tmp_path) -> None:
    path = film(tmp_path / "a.mkv", Made(400, title="a\x1b[2Jb\nc" + "x" * 500), Made(500))
    with pytest.raises(SourceError) as error:
        FileSource(path, track="nothing")
    message = str(error.value)
    assert all(c.isprintable() for c in message.removeprefix(str(path)))
    assert len(message) < len(str(path)) + 300


def test_all_of_a_file_is_read_from_the_requested_track(languages) -> None:
    assert np.array_equal(
        read_file(languages, RATE, track="2"),
        np.concatenate([c.samples for b in FileSource(languages, track="2") for c in b]),
    )
