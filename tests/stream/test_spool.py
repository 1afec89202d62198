"""Piped input is read like the file, or one line explains why not."""

from __future__ import annotations

import os
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from airsift.errors import AirsiftError, SourceError
from stream.decoding import spool
from stream.sources.file import FileSource, read_file
from stream.sources.settings import FileSettings
from tests.stream.media import encode, noise

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE = 48_000
FAST = {"movflags": "+faststart"}
PIECES = {"movflags": "+frag_keyframe+empty_moov"}
# name, codec, options, whether it must be spooled
FILES = [
    ("index-at-its-end.mp4", "aac", {}, True),
    ("index-at-its-end.m4a", "aac", {}, True),
    ("index-at-its-end.mov", "pcm_s16le", {}, True),
    ("index-at-its-end.3gp", "aac", {}, True),
    ("index-in-front.mp4", "aac", FAST, False),
    ("in-pieces.mp4", "aac", PIECES, False),
    ("table-at-its-end.caf", "alac", {}, True),
    ("raw.caf", "pcm_s16le", {}, False),
    ("a.wav", "pcm_s16le", {}, False),
    ("a.flac", "flac", {}, False),
    ("a.mkv", "aac", {}, False),
    ("a.ogg", "libopus", {}, False),
    ("a.mp3", "libmp3lame", {}, False),
    ("a.ts", "aac", {}, False),
    ("a.aiff", "pcm_s16be", {}, False),
]


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[tuple[Path, list[threading.Thread]]]:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    threads: list[threading.Thread] = []
    yield path, threads
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def send(fifo: tuple[Path, list[threading.Thread]], data: bytes, size: int = 100_000) -> Path:
    path, threads = fifo

    def write() -> None:
        with suppress(BrokenPipeError), path.open("wb", 0) as file:
            for at in range(0, len(data), size):
                file.write(data[at : at + size])

    threads.append(threading.Thread(target=write))
    threads[-1].start()
    return path


def samples_of(path: Path) -> np.ndarray:
    with closing(FileSource(path)) as source:
        samples = [chunk.samples for batch in source for chunk in batch]
        assert source.warnings == []
    return np.concatenate(samples)


@pytest.mark.parametrize("size", [7, 100_000])
@pytest.mark.parametrize(("name", "codec", "options", "is_spooled"), FILES)
def test_a_pipe_gives_what_the_file_gives(
    tmp_path, fifo, monkeypatch, name, codec, options, is_spooled, size
) -> None:
    path = tmp_path / name
    encode(path, noise(0.5, RATE), RATE, codec, options=options)
    spooled, really = [], spool._spool

    def noted(*arguments):
        spooled.append(arguments)
        return really(*arguments)

    monkeypatch.setattr(spool, "_spool", noted)
    piped, samples = samples_of(send(fifo, path.read_bytes(), size)), samples_of(path)
    if name == "a.mp3":  # FFmpeg cuts the encoder's padding off where it can search the file
        assert len(samples) <= len(piped) < len(samples) + 1152
        piped = piped[: len(samples)]
    assert np.array_equal(piped, samples)
    assert bool(spooled) == is_spooled


def test_a_whole_file_is_read_from_a_pipe_too(tmp_path, fifo) -> None:
    encode(tmp_path / "a.mp4", noise(1, RATE), RATE, "aac")
    piped = read_file(send(fifo, (tmp_path / "a.mp4").read_bytes()))
    assert np.array_equal(piped, read_file(tmp_path / "a.mp4"))


def test_a_file_that_is_too_long_to_be_held_is_one_line(tmp_path, fifo) -> None:
    encode(tmp_path / "a.mp4", noise(20, RATE), RATE, "aac")
    data = (tmp_path / "a.mp4").read_bytes()
    with pytest.raises(SourceError) as error:
        FileSource(send(fifo, data), settings=FileSettings.default(max_spool_bytes=len(data) - 1))
    message = str(error.value)
    assert "\n" not in message
    assert "index at its end, a pipe cannot be searched" in message
    assert f"file.max_spool_bytes={len(data) - 1}" in message
    assert "faststart" in message


@pytest.mark.parametrize("cut", [0, 3, 8, 20, 5000, 60_000])
def test_what_is_cut_short_or_empty_is_one_line(tmp_path, fifo, cut) -> None:
    encode(tmp_path / "a.mp4", noise(10, RATE), RATE, "aac")
    with pytest.raises(AirsiftError) as error:
        samples_of(send(fifo, (tmp_path / "a.mp4").read_bytes()[:cut]))
    assert "\n" not in str(error.value)


def test_nothing_stays_open(tmp_path, fifo) -> None:
    encode(tmp_path / "a.mp4", noise(1, RATE), RATE, "aac")
    before = set(Path("/proc/self/fd").iterdir())
    samples_of(send(fifo, (tmp_path / "a.mp4").read_bytes()))
    assert len(set(Path("/proc/self/fd").iterdir()) - before) == 0
