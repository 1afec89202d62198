from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import AirsiftError
from stream.decoding import container
from stream.decoding.joined_files import find_parts
from stream.decoding.reader import AudioReader
from stream.testing import tone
from tests.examples import examples
from tests.stream.joined import HZ, KINDS, TAG_NAMES, TAGS, ape, id3, part
from tests.stream.media import encode, noise, runs

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet


def check(path: Path, hz: list[float], *, error: int = 0, seconds: float = 2.0) -> None:
    """Check that a file is one stretch of audio, and that each part of it has its tone."""
    reader = AudioReader(path)
    ((start, samples),) = runs(reader)
    assert (start, reader.problems, reader.error) == (0, [], None)
    n = round(seconds * reader.rate)
    assert len(samples) == pytest.approx(len(hz) * n, abs=error + len(hz))
    for i, tone_hz in enumerate(hz):
        piece = samples[i * n + n // 4 : (i + 1) * n - n // 4]
        crossings = np.count_nonzero(np.diff(np.signbit(piece)))
        assert crossings / (2 * len(piece) / reader.rate) == pytest.approx(tone_hz, rel=0.01)


@pytest.mark.parametrize(("container", "codec", "error"), KINDS)
@pytest.mark.parametrize(
    "parts",
    [
        [(48_000, 2), (48_000, 2)],
        [(48_000, 2), (48_000, 1), (48_000, 2)],
        [(48_000, 1), (24_000, 2), (16_000, 1), (48_000, 2)],
    ],
)
def test_parts_of_other_rates_and_channels_lose_nothing(
    tmp_path: Path, container: str, codec: str, error: int, parts: list[tuple[int, int]]
) -> None:
    if codec == "vorbis":  # FFmpeg's encoder has two channels
        parts = [(rate, 2) for rate, _ in parts]
    path = tmp_path / "a.bin"
    hz = HZ[: len(parts)]
    path.write_bytes(
        b"".join(part(container, codec, *kind, tone) for kind, tone in zip(parts, hz, strict=True))
    )
    check(path, list(hz), error=3 * error * len(parts))


def test_links_of_several_codecs(tmp_path: Path) -> None:
    codecs = ["flac", "libopus", "vorbis", "flac"]
    path = tmp_path / "a.ogg"
    path.write_bytes(
        b"".join(part("ogg", c, 48_000, 2, hz) for c, hz in zip(codecs, HZ, strict=True))
    )
    check(path, list(HZ), error=2_048)


@pytest.mark.parametrize("tag", TAG_NAMES)
@pytest.mark.parametrize(
    ("container", "codec", "error"),
    [("mp3", "libmp3lame", 0), ("adts", "aac", 8_000), ("flac", "flac", 0)],
)
def test_tags_between_parts_are_no_audio_and_no_gap(
    tmp_path: Path, tag: str, container: str, codec: str, error: int
) -> None:
    path = tmp_path / "a.bin"
    sounds = [part(container, codec, 44_100, 2, hz) for hz in HZ[:3]]
    between = TAGS[tag]()
    path.write_bytes(between.join(sounds) + (between if container != "flac" else b""))
    check(path, list(HZ[:3]), error=error)


@pytest.mark.parametrize("tag", [tag for tag in TAGS if "lyrics" in tag])
def test_lyrics_behind_a_file_are_no_audio_that_is_cut(tmp_path: Path, tag: str) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(part("mp3", "libmp3lame", 44_100, 2) + TAGS[tag]())
    check(path, [440.0])


def test_frames_of_one_stream_with_tags_between_are_decoded_as_one(tmp_path: Path) -> None:
    """A recording of a radio: bare frames, and a tag with each title."""
    options = {"write_xing": "0", "id3v2_version": "0"}
    encode(tmp_path / "a.mp3", tone(6, 44_100), 44_100, "libmp3lame", options=options)
    sound = (tmp_path / "a.mp3").read_bytes()
    whole = np.concatenate([b.samples for b in AudioReader(tmp_path / "a.mp3")])
    third = sound.index(sound[:4], len(sound) // 3)
    for tag in (id3(100), id3(40_000), b"TAG" + bytes(125), ape(100)):
        (tmp_path / "b.mp3").write_bytes(sound[:third] + tag + sound[third:])
        reader = AudioReader(tmp_path / "b.mp3")
        ((_, samples),) = runs(reader)
        assert reader.problems == []
        np.testing.assert_array_equal(samples, whole)


def test_a_part_that_is_cut_is_reported_and_the_others_are_whole(tmp_path: Path) -> None:
    first, second = (part("flac", "flac", 48_000, 1, hz) for hz in HZ[:2])
    (tmp_path / "a.flac").write_bytes(first[: len(first) // 2] + second)
    reader = AudioReader(tmp_path / "a.flac")
    ((_, samples),) = runs(reader)
    assert len(samples) == pytest.approx(3 * 48_000, abs=24_000)
    assert reader.error is None
    assert "a part of it ends early" in reader.problems[0]


def test_a_part_without_audio_is_reported_and_passed_over(tmp_path: Path) -> None:
    sound = part("flac", "flac", 48_000, 1)
    empty = sound[:8] + sound[8:42] + b"\x81\0\0\1\0"
    for data in (empty + sound, sound + empty, sound + empty + sound):
        (tmp_path / "a.flac").write_bytes(data)
        reader = AudioReader(tmp_path / "a.flac")
        ((_, samples),) = runs(reader)
        assert len(samples) == 96_000 * data.count(sound)
        assert any("a part of it at" in problem for problem in reader.problems)


OGG_CODECS = ["libopus", "flac", "vorbis"]


def links(codec: str) -> list[bytes]:
    return [part("ogg", codec, 48_000, 2, hz) for hz in HZ[:3]]


def seconds_of(path: Path) -> tuple[float, list[str]]:
    """Return the seconds of audio in a file, and what is wrong with it."""
    reader = AudioReader(path)
    return sum(len(s) for _, s in runs(reader)) / reader.rate, reader.problems


@pytest.mark.parametrize("codec", OGG_CODECS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.97])
def test_a_link_that_is_cut_takes_no_other_link_with_it(
    tmp_path: Path, codec: str, share: float
) -> None:
    first, second, third = links(codec)
    (tmp_path / "a.ogg").write_bytes(first + second[: round(share * len(second))] + third)
    reader = AudioReader(tmp_path / "a.ogg")
    ((_, samples),) = runs(reader)
    assert 4 * 48_000 <= len(samples) + 2_100 <= 6 * 48_000 + 4_200
    last = samples[-48_000 - 24_000 : -24_000]
    crossings = np.count_nonzero(np.diff(np.signbit(last)))
    assert crossings / 2 == pytest.approx(HZ[2], rel=0.01)


@pytest.mark.parametrize("codec", OGG_CODECS)
@pytest.mark.parametrize("kind", ["begins in the middle", "noise behind its header"])
def test_links_behind_one_that_cannot_be_read_are_read(
    tmp_path: Path, codec: str, kind: str
) -> None:
    first, second, third = links(codec)
    broken = first[1_000:]
    if kind == "noise behind its header":
        broken = first[:60] + np.random.default_rng(0).bytes(len(first) - 60)
    (tmp_path / "a.ogg").write_bytes(broken + second + third)
    seconds, problems = seconds_of(tmp_path / "a.ogg")
    assert seconds == pytest.approx(4, abs=0.05)
    assert len(problems) == 1
    assert "a part of it at 0.00 s cannot be read" in problems[0]
    assert problems[0].count("a.ogg") == 1


@pytest.mark.parametrize("codec", OGG_CODECS)
@pytest.mark.parametrize("n_links", [1, 2])
def test_an_ogg_file_that_ends_within_a_page_is_reported(
    tmp_path: Path, codec: str, n_links: int
) -> None:
    if codec == "flac":  # of a tone, a page holds it all
        options = {"page_duration": "200000"}
        encode(tmp_path / "b.ogg", noise(3, 48_000), 48_000, codec, options=options)
        data = (tmp_path / "b.ogg").read_bytes() * n_links
    else:
        data = b"".join(links(codec)[:n_links])
    page = data.rindex(b"OggS")
    for end, is_cut in ((page - 10, True), (page + 40, True), (page, False), (len(data), False)):
        (tmp_path / "a.ogg").write_bytes(data[:end])
        problems = seconds_of(tmp_path / "a.ogg")[1]
        assert [True] * is_cut == ["its last page is cut short" in line for line in problems]


def test_text_with_the_mark_of_ogg_is_no_audio(tmp_path: Path) -> None:
    for data in (b"OggS\0\2 is a mark\n" * 1_000, b"see OggS\0", b"x" * 500 + b"OggS\0\2" * 9):
        (tmp_path / "a.ogg").write_bytes(data)
        with pytest.raises(AirsiftError, match=r"no audio file|cannot be opened|decodes"):
            AudioReader(tmp_path / "a.ogg")


def test_errors_of_a_demuxer_do_not_end_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    options = {"cluster_time_limit": "500"}  # FFmpeg goes on with the next cluster
    encode(path, noise(10, 48_000), 48_000, "libopus", options=options)
    data = bytearray(path.read_bytes())
    for place in (len(data) // 3, len(data) // 2):
        data[place : place + 3_000] = np.random.default_rng(place).bytes(3_000)
    path.write_bytes(data)
    reader = AudioReader(path)
    found = runs(reader)
    last, samples = found[-1]
    assert last + len(samples) == pytest.approx(480_000, abs=1_000)
    assert sum(len(samples) for _, samples in found) > 300_000


class Faulty:
    """A container whose demuxer reports errors here and there."""

    def __init__(self, container: InputContainer, every: int) -> None:
        self._container = container
        self._every = every
        self._left = every

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def demux(self, stream: AudioStream) -> Iterator[Packet[AudioStream]]:
        for packet in self._container.demux(stream):
            if self._left == 0:
                self._left = self._every
                raise av.error.InvalidDataError(1, "damaged")
            self._left -= 1
            yield packet


@pytest.mark.parametrize("name", ["a.mp4", "a.wav", "a.ts"])
def test_after_a_demuxer_error_the_next_packet_is_read(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = {"a.mp4": "flac", "a.wav": "pcm_s16le", "a.ts": "mp2"}[name]
    encode(tmp_path / name, noise(20, 48_000), 48_000, codec)
    opened = container.open_container
    monkeypatch.setattr(container, "open_container", lambda *a: Faulty(opened(*a), 10))
    reader = AudioReader(tmp_path / name)
    received = sum(len(samples) for _, samples in runs(reader))
    assert 0.85 * 20 * 48_000 < received < 20 * 48_000
    assert len(reader.problems) >= 2
    assert all("damaged)" in problem for problem in reader.problems[:20])


def test_a_demuxer_that_only_reports_errors_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode(tmp_path / "a.wav", noise(20, 48_000), 48_000, "pcm_s16le")
    opened = container.open_container
    monkeypatch.setattr(container, "open_container", lambda *a: Faulty(opened(*a), 5))
    reader = AudioReader(tmp_path / "a.wav")
    reader._decoder.container._every = 0  # type: ignore[attr-defined]
    runs(reader)
    assert reader.error == "damaged"
    assert "ends early" in reader.problems[-1]


def spans(data: bytes, name: str) -> list[list[tuple[int, int]]]:
    return find_parts(io.BytesIO(data), len(data), name)


@examples(200)
@given(
    data=st.lists(
        st.sampled_from(
            [b"ID3\4\0\0\0\0\0\5TIT2\0", b"TAG", b"APETAGEX", b"OggS\0\2", b"fLaC\0\0\0\x22"]
        )
        | st.sampled_from([b"\xff\xfb\x90\x44" + bytes(32) + b"Xing", b"VBRI", bytes(128)])
        | st.sampled_from([b"LYRICSBEGIN", b"LYR00020", b"000100LYRICS200", b"LYRICSEND"])
        | st.binary(max_size=40),
        max_size=60,
    ).map(b"".join),
    name=st.sampled_from(["ogg", "mp3", "flac", "aac"]),
)
def test_parts_of_any_bytes_are_in_order_and_within_the_file(data: bytes, name: str) -> None:
    edges = [edge for part in spans(data, name) for span in part for edge in span]
    assert edges == sorted(edges)
    assert all(0 <= edge <= len(data) for edge in edges)


class Counted(io.BytesIO):
    """Counts the bytes that are read."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


@pytest.mark.parametrize("name", ["ogg", "mp3", "flac", "aac"])
@pytest.mark.parametrize(
    "piece", [b"TAG", b"ID3\4\0\0\0\0\0\0", b"APETAGEX", b"OggS\0\2", b"Xing", b"LYRICSBEGIN"]
)
def test_looking_for_parts_reads_each_byte_a_few_times(name: str, piece: bytes) -> None:
    data = piece * (150_000 // len(piece))
    file = Counted(data)
    find_parts(file, len(data), name)
    assert file.count < 400 * len(data) / len(piece) + 3 * len(data)
