from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import DecodeError, SourceError
from stream.decoding.joined_files import find_audio, find_parts
from stream.decoding.pipe_parts import PipePart, PipeWindow
from stream.decoding.reader import AudioReader
from stream.sources import file as file_module
from stream.sources.file import FileSource
from tests.examples import examples
from tests.stream.joined import HZ, KINDS, TAG_NAMES, TAGS, part
from tests.stream.media import mux, noise, runs
from tests.stream.wave_files import INFO, PCM, WHOLE, form, wav

RATE = 48_000


@contextmanager
def piped(path: Path, data: bytes) -> Iterator[Path]:
    """Give the path of a pipe through which `data` comes, in pieces."""
    fifo = path.with_name(path.name + ".fifo")
    os.mkfifo(fifo)

    def write() -> None:
        with fifo.open("wb", buffering=0) as end:
            for at in range(0, len(data), 40_000):
                try:
                    end.write(data[at : at + 40_000])
                except BrokenPipeError:
                    return

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield fifo
    finally:
        end = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)  # should nobody have opened it
        os.close(end)
        thread.join()


def check(tmp_path: Path, data: bytes, *, longer: int = 0) -> AudioReader:
    """Check that a pipe gives what a file of the same bytes gives, or up to `longer` samples more.

    FFmpeg does not cut an MP3's padding off where it cannot know the length of the file.
    """
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    expected = AudioReader(path)
    whole = runs(expected)
    with piped(path, data) as fifo:
        reader = AudioReader(fifo)
        found = runs(reader)
        reader.close()
    assert [start for start, _ in found] == [start for start, _ in whole]
    for (_, samples), (_, other) in zip(found, whole, strict=True):
        if longer:
            assert len(other) <= len(samples) <= len(other) + longer
        else:
            np.testing.assert_array_equal(samples, other)
    assert len(reader.problems) == len(expected.problems)
    return reader


@pytest.mark.parametrize(("container", "codec", "error"), KINDS[:-1])
def test_joined_files_come_through_a_pipe(
    tmp_path: Path, container: str, codec: str, error: int
) -> None:
    kinds = [(48_000, 2), (48_000, 2 if codec == "vorbis" else 1), (24_000, 2)]
    check(
        tmp_path,
        b"".join(part(container, codec, *kind, hz) for kind, hz in zip(kinds, HZ, strict=False)),
        longer=3 * 2_304 if container == "mp3" else 0,
    )


@pytest.mark.parametrize("tag", TAG_NAMES)
@pytest.mark.parametrize(("container", "codec"), [("mp3", "libmp3lame"), ("flac", "flac")])
def test_tags_come_through_a_pipe(tmp_path: Path, tag: str, container: str, codec: str) -> None:
    sounds = [part(container, codec, 44_100, 2, hz) for hz in HZ[:3]]
    check(tmp_path, TAGS[tag]().join(sounds), longer=3 * 2_304 if container == "mp3" else 0)


@pytest.mark.parametrize("kind", WHOLE)
def test_wav_files_come_through_a_pipe(tmp_path: Path, kind: str) -> None:
    with piped(tmp_path / "a.wav", WHOLE[kind]) as fifo:
        reader = AudioReader(fifo)
        ((start, samples),) = runs(reader)
        reader.close()
    expected = np.frombuffer(PCM, "<i2").reshape(-1, 2).mean(1) / 32_768
    assert start == 0
    assert reader.problems == []
    assert len(samples) - len(expected) == pytest.approx(0, abs=35)  # a tag of 128 bytes
    np.testing.assert_allclose(samples[: len(expected)], expected, atol=1e-4)


@pytest.mark.parametrize("after", [b"", INFO])
def test_a_wav_file_that_is_cut_in_a_pipe_is_reported(tmp_path: Path, after: bytes) -> None:
    data = wav(form(), PCM, after=after)
    for n in (len(PCM) // 2, len(data)):
        with piped(tmp_path / f"{n}.wav", data[:n]) as fifo:
            reader = AudioReader(fifo)
            runs(reader)
            reader.close()
        assert bool(reader.problems) == (n < len(data))


@pytest.mark.parametrize(("kind", "codec"), [("mkv", "libopus"), ("ts", "mp2"), ("nut", "flac")])
def test_times_come_through_a_pipe(tmp_path: Path, kind: str, codec: str) -> None:
    path = tmp_path / f"a.{kind}"
    signal = noise(8, RATE)[0]
    cuts = [(3 * RATE, 5 * RATE)]
    mux(path, signal, RATE, codec, start=5 * RATE, cuts=cuts, video_s=10)
    reader = check(tmp_path, path.read_bytes())
    assert reader.problems == []


def test_standard_input_is_dated_like_a_file(tmp_path: Path) -> None:
    mux(tmp_path / "a.mkv", noise(8, RATE)[0], RATE, "flac", start=20 * RATE, video_s=5)
    with piped(tmp_path / "a.mkv", (tmp_path / "a.mkv").read_bytes()) as fifo:
        source = FileSource(fifo, "radio")
        chunks = [chunk for batch in source for chunk in batch]
        source.close()
    assert chunks[0].start == 20 * RATE
    assert source.warnings == []


def test_a_pipe_without_a_byte_is_empty(tmp_path: Path) -> None:
    with piped(tmp_path / "a", b"") as fifo, pytest.raises(DecodeError, match="is empty"):
        AudioReader(fifo)
    with pytest.raises(DecodeError, match="/dev/null: is empty"):
        AudioReader("/dev/null")


def test_closed_standard_input_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_module, "_STDIN", Path("/nowhere/stdin"))
    with pytest.raises(SourceError, match="standard input is closed; name a file"):
        FileSource("-")


@pytest.mark.parametrize("codec", ["libopus", "flac", "vorbis"])
@pytest.mark.parametrize("damaged", [0, 1])
def test_damaged_links_come_through_a_pipe(tmp_path: Path, codec: str, damaged: int) -> None:
    sounds = [part("ogg", codec, 48_000, 2, hz) for hz in HZ[:3]]
    sounds[damaged] = sounds[damaged][: len(sounds[damaged]) // 2]
    check(tmp_path, b"".join(sounds))


@pytest.mark.parametrize("codec", ["libopus", "flac", "vorbis"])
def test_links_behind_a_broken_one_come_through_a_pipe(tmp_path: Path, codec: str) -> None:
    first, second, third = (part("ogg", codec, 48_000, 2, hz) for hz in HZ[:3])
    check(tmp_path, first[:60] + bytes(5_000) + second + third)


def all_of(data: bytes, name: str, sizes: Callable[[], int]) -> list[bytes]:
    """Return the parts of what comes through a pipe."""
    window = PipeWindow(io.BytesIO(data))  # type: ignore[arg-type]
    found = find_audio(window, 1 << 62, name, 1 << 14)  # type: ignore[arg-type]
    first = next(found, None)
    parts = []
    while first is not None:
        one = PipePart(window, found, first)
        pieces = []
        while piece := one.read(sizes()):
            pieces.append(piece)
        parts.append(b"".join(pieces))
        first = one.next
    return parts


@examples(80)
@given(
    pieces=st.lists(
        st.sampled_from(
            [
                b"ID3\4\0\0\0\0\0\5TIT2\0",
                b"ID3\4\0\0\0\1\0\5TIT2\0" + bytes(range(256)) * 64,
                b"TAG" + bytes(125),
                b"APETAGEX" + bytes(4) + b"\0\1\0\0" + bytes(16) + bytes(300),
                b"\xff\xfb\x90\x44" + bytes(32) + b"Xing" + bytes(380),
                b"fLaC\0\0\0\x22" + bytes(34) + b"\x81\0\0\3abc",
                b"OggS\0\2" + bytes(20) + b"\2\xff\xff" + b"x" * 510,
                b"OggS\0\0" + bytes(20) + b"\1\x10" + b"OggS\0\2" * 3,
                b"\xff\xfb\x90\x44" + b"\x55" * 20_000,
                bytes(5_000),
            ]
        ),
        max_size=25,
    ),
    name=st.sampled_from(["ogg", "mp3", "flac", "aac"]),
    size=st.integers(1, 50_000),
)
def test_a_pipe_has_the_parts_of_a_file(pieces: list[bytes], name: str, size: int) -> None:
    data = b"".join(pieces)
    file = io.BytesIO(data)
    expected = [
        b"".join(data[start:end] for start, end in part)
        for part in find_parts(file, len(data), name)
    ]
    found = all_of(data, name, lambda: size)
    assert found == [part for part in expected if part] or not found
    if not found:
        assert not b"".join(expected).strip(b"\0") or expected == [data]


def test_little_of_a_pipe_is_in_memory() -> None:
    class Endless(io.RawIOBase):
        count = 0

        def read(self, size: int = -1, /) -> bytes:
            self.count += size
            return (b"\xff\xfb\x90\x44" + bytes(60)) * (size // 64 + 1) if size else b""

    pipe = Endless()
    window = PipeWindow(pipe)
    found = find_audio(window, 1 << 62, "mp3", 1 << 14)  # type: ignore[arg-type]
    one = PipePart(window, found, next(found))
    for _ in range(2_000):
        assert one.read(4_000)
        assert len(window._bytes) < 300_000
