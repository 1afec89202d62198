from __future__ import annotations

import io
import math
import socket
import struct
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import DecodeError, SourceError
from stream.audio import AudioChunk
from stream.decoding.damage import split_sound
from stream.decoding.reader import AudioReader
from stream.sources.file import FileSource, read_file
from stream.sources.settings import FileSettings
from stream.testing import tone
from tests.examples import examples
from tests.stream.media import encode, noise


def chunks_of(source: FileSource) -> list[AudioChunk]:
    return [chunk for batch in source for chunk in batch]


def refusal(path: Path) -> str:
    with pytest.raises((DecodeError, SourceError)) as error:
        FileSource(path)
    message = str(error.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.wav", "pcm_s16le", {}),
        ("a.aiff", "pcm_s16be", {}),
        ("u8.wav", "pcm_u8", {}),
        ("s24.wav", "pcm_s24le", {}),
        ("s32.wav", "pcm_s32le", {}),
        ("f32.wav", "pcm_f32le", {}),
        ("f64.wav", "pcm_f64le", {}),
        ("a.flac", "flac", {}),
        ("a.mp3", "libmp3lame", {}),
        ("bare.mp3", "libmp3lame", {"write_xing": "0", "id3v2_version": "0"}),
        ("a.m4a", "aac", {}),
        ("a.aac", "aac", {}),
        ("a.opus", "libopus", {}),
        ("a.ogg", "flac", {}),
        ("a.mkv", "ac3", {}),
        ("a.ts", "mp2", {}),
    ],
)
def test_every_format_gives_its_tone_in_place(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    path, rate = tmp_path / name, 48_000
    sound = np.concatenate([np.zeros(rate, np.float32), tone(1, rate), np.zeros(rate, np.float32)])
    encode(path, np.stack([sound, sound]), rate, codec, options=options)
    source = FileSource(path, settings=FileSettings.default(chunk_s=0.7))
    decoded = np.concatenate([chunk.samples for chunk in chunks_of(source)])
    assert source.warnings == []
    assert source.rate == rate
    if name != "a.aac":  # whose length FFmpeg guesses from the bit rate of its beginning
        assert source.duration_s == pytest.approx(3.0, abs=0.1)
    assert len(decoded) == pytest.approx(3 * rate, abs=3_000)  # encoders pad to whole frames
    loud = np.flatnonzero(np.abs(decoded) > 0.1)
    assert loud[0] == pytest.approx(rate, abs=2_500)
    assert loud[-1] == pytest.approx(2 * rate, abs=2_500)
    middle = decoded[loud[0] + 4_000 : loud[-1] - 4_000]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(
        0.5 / math.sqrt(2), rel=0.06
    )  # LAME takes 5 % off
    crossings = np.count_nonzero(np.diff(np.signbit(middle)))
    assert crossings / (2 * len(middle) / rate) == pytest.approx(440, rel=0.01)


@pytest.mark.parametrize("chunk_s", [0.1, 1.0, 3.3])
def test_chunks_of_any_length_follow_each_other(tmp_path: Path, chunk_s: float) -> None:
    sound = noise(2.5, 22_050, channels=2)
    encode(tmp_path / "a.wav", sound, 22_050, "pcm_f32le")
    chunks = chunks_of(
        FileSource(tmp_path / "a.wav", "radio", settings=FileSettings.default(chunk_s=chunk_s))
    )
    assert {chunk.station for chunk in chunks} == {"radio"}
    assert [chunk.start for chunk in chunks] == [0, *(chunk.end for chunk in chunks[:-1])]
    decoded = np.concatenate([chunk.samples for chunk in chunks])
    np.testing.assert_allclose(decoded, sound.mean(0), atol=1e-6)


@pytest.mark.parametrize(
    ("layout", "channels"), [("mono", 1), ("stereo", 2), ("5.1", 6), ("7.1", 8)]
)
@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_f32le"])
def test_channels_are_averaged_and_never_clip(
    tmp_path: Path, layout: str, channels: int, codec: str
) -> None:
    levels = np.linspace(-0.5, 0.999, channels, dtype=np.float32)
    sound = np.repeat(levels[:, None], 4_800, axis=1)
    encode(tmp_path / "a.wav", sound, 48_000, codec, layout=layout)
    samples = read_file(tmp_path / "a.wav", 48_000)
    np.testing.assert_allclose(samples, levels.mean(), atol=1e-4)


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_eight_channels_at_192_khz(tmp_path: Path, name: str) -> None:
    sound = noise(1, 192_000, channels=8)  # noise: packets of 250 kB in FLAC
    encode(tmp_path / name, sound, 192_000, {"a.wav": "pcm_s24le", "a.flac": "flac"}[name])
    np.testing.assert_allclose(read_file(tmp_path / name, 192_000), sound.mean(0), atol=1e-3)


def test_reading_whole_resamples_to_the_rate(tmp_path: Path) -> None:
    encode(tmp_path / "a.wav", tone(3, 44_100), 44_100, "pcm_s16le")
    samples = read_file(tmp_path / "a.wav")
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples[800:-800], tone(3, 16_000)[800:-800], atol=1e-3)


def test_the_first_sound_track_of_a_film(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "film.mkv"), "w") as film:
        video = film.add_stream("mpeg4", rate=25, width=64, height=64)
        tracks = [film.add_stream("flac", rate=16_000, layout="mono") for _ in range(2)]
        for track, hz in zip(tracks, (440, 880), strict=True):
            samples = tone(1, 16_000, hz=hz).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
            frame.sample_rate, frame.pts = 16_000, 0
            film.mux([*track.encode(frame), *track.encode(None)])
        film.mux([*video.encode(av.VideoFrame(64, 64, "yuv420p")), *video.encode(None)])
    decoded = read_file(tmp_path / "film.mkv")
    np.testing.assert_allclose(decoded, tone(1, 16_000), atol=1e-3)


def test_a_file_object_is_read_like_a_file() -> None:
    data = io.BytesIO()
    encode(data, tone(1, 16_000), 16_000, "flac", format="flac")
    data.seek(0)
    reader = AudioReader(data, name="message 7")
    assert sum(len(block.samples) for block in reader) == 16_000


def test_a_change_of_rate_and_channels_goes_on_at_the_first_rate(tmp_path: Path) -> None:
    parts = [(44_100, 2), (48_000, 1)]
    joined = b""
    for rate, channels in parts:
        part = io.BytesIO()
        options = {"write_xing": "0", "id3v2_version": "0"}
        sound = np.tile(tone(2, rate), (channels, 1))
        encode(part, sound, rate, "libmp3lame", format="mp3", options=options)
        joined += part.getvalue()
    (tmp_path / "a.mp3").write_bytes(joined)
    decoded = np.concatenate([chunk.samples for chunk in chunks_of(FileSource(tmp_path / "a.mp3"))])
    assert len(decoded) == pytest.approx(4 * 44_100, abs=5_000)
    late = decoded[3 * 44_100 : 3 * 44_100 + 22_050]
    assert np.count_nonzero(np.diff(np.signbit(late))) == pytest.approx(440, abs=3)


@pytest.mark.parametrize("name", ["a b:c %03d.wav", "ä→.wav", "-.wav", "file:x.wav"])
def test_odd_names_are_just_names(tmp_path: Path, name: str) -> None:
    encode(io_target := tmp_path / "plain.wav", tone(0.1, 16_000), 16_000, "pcm_s16le")
    io_target.rename(tmp_path / name)
    assert len(read_file(tmp_path / name)) == 1_600


def test_what_is_no_audio_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.mp3").touch()
    (tmp_path / "noise.mp3").write_bytes(np.random.default_rng(0).bytes(300_000))
    (tmp_path / "a.txt").write_text("not audio\n" * 1_000)
    (tmp_path / "header.wav").write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt ")
    assert "is empty" in refusal(tmp_path / "empty.mp3")
    assert "audio decodes" in refusal(tmp_path / "noise.mp3")
    assert "is no audio file" in refusal(tmp_path / "a.txt")
    assert "header.wav" in refusal(tmp_path / "header.wav")
    form = struct.pack(">HHIIHH", 0xFFFE, 1, 8_000, 32_000, 4, 32) + bytes(24)
    head = struct.pack(">4sI4s4sI", b"RIFX", 160, b"WAVE", b"fmt ", len(form)) + form
    (tmp_path / "rifx.wav").write_bytes(head + b"data" + bytes([0, 0, 0, 100]) + bytes(100))
    assert "of a kind that FFmpeg cannot read" in refusal(tmp_path / "rifx.wav")
    assert "No such file" in refusal(tmp_path / "missing.wav")
    assert "is a folder" in refusal(tmp_path)


def test_a_film_without_sound_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "silent.mkv"), "w") as film:
        video = film.add_stream("mpeg4", rate=25, width=64, height=64)
        film.mux([*video.encode(av.VideoFrame(64, 64, "yuv420p")), *video.encode(None)])
    assert "holds video but no audio" in refusal(tmp_path / "silent.mkv")


def test_too_many_channels_are_refused(tmp_path: Path) -> None:
    header = bytearray(44)
    header[:] = b"RIFF" + (36 + 60_000).to_bytes(4, "little") + b"WAVEfmt \x10\0\0\0\1\0"
    header += (100).to_bytes(2, "little") + (8_000).to_bytes(4, "little")
    header += (1_600_000).to_bytes(4, "little") + (200).to_bytes(2, "little") + b"\x10\0data"
    (tmp_path / "a.wav").write_bytes(bytes(header) + (60_000).to_bytes(4, "little") + bytes(60_000))
    assert "100 channels, 1 to 64 can be read" in refusal(tmp_path / "a.wav")


def test_a_playlist_in_a_file_makes_no_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:9", "#EXTINF:9,", url, "#EXT-X-ENDLIST", ""]
        (tmp_path / "a.m3u8").write_text("\n".join(lines))
        refusal(tmp_path / "a.m3u8")
        server.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody waits to be accepted
            server.accept()


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp3", "libmp3lame", {}),
        ("bare.mp3", "libmp3lame", {"write_xing": "0"}),
        ("a.flac", "flac", {}),
        ("a.wav", "pcm_s16le", {}),
        ("a.aiff", "pcm_s16be", {}),
        ("a.mkv", "libopus", {}),
    ],
)
def test_a_truncated_file_is_read_to_its_end_and_reported(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    path = tmp_path / name
    encode(path, noise(10, 48_000), 48_000, codec, options=options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10 + 1])
    source = FileSource(path)
    decoded_s = sum(len(chunk.samples) for chunk in chunks_of(source)) / source.rate
    assert decoded_s == pytest.approx(6, abs=0.3)
    assert source.decoded_s == pytest.approx(decoded_s)
    assert len(source.warnings) == 1
    assert source.warnings[0].startswith(f"{path}: ends early at {decoded_s:.2f} s (")


def test_a_sound_file_with_more_around_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    encode(path, noise(5, 44_100), 44_100, "libmp3lame")
    sound = path.read_bytes()
    tag = b"TAG" + b"x" * 125
    for data in (sound + tag, bytes(3_000) + sound, sound + bytes(50_000), sound[40_007:]):
        path.write_bytes(data)
        source = FileSource(path)
        decoded_s = sum(len(chunk.samples) for chunk in chunks_of(source)) / source.rate
        assert decoded_s == pytest.approx(5 * min(len(data) / len(sound), 1), abs=0.1)
        assert source.warnings == []


@pytest.mark.parametrize("length", [0, 0xFFFF_FFFF, 0x7FFF_FFFF])
def test_a_wav_file_of_unstated_length_is_whole(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.wav"
    encode(path, noise(2, 16_000), 16_000, "pcm_s16le")
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[place : place + 4] = length.to_bytes(4, "little")
    path.write_bytes(data)
    source = FileSource(path)
    assert chunks_of(source)[-1].end == 32_000
    assert source.warnings == []


def test_packets_that_do_not_decode_are_jumped_over(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    encode(path, noise(10, 44_100), 44_100, "aac")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 8_000] = np.random.default_rng(1).bytes(8_000)
    path.write_bytes(data)
    source = FileSource(path, settings=FileSettings.default(chunk_s=1.0))
    chunks = chunks_of(source)
    jumps = [(a, b) for a, b in pairwise(chunks) if b.start > a.end]
    assert jumps
    assert all(after.gap_reason.startswith("undecodable") for _, after in jumps)
    assert chunks[-1].end == pytest.approx(441_000, abs=2_100)
    assert len(source.warnings) == len(jumps)
    assert "are left out (undecodable" in source.warnings[0]
    assert len(read_file(path, 44_100)) == chunks[-1].end


def test_samples_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    path, sound = tmp_path / "a.wav", noise(4, 16_000)[0]
    sound[20_000:20_100:7] = np.nan
    sound[40_000] = np.inf
    sound[50_000] = 1e30
    encode(path, sound, 16_000, "pcm_f32le")
    source = FileSource(path, settings=FileSettings.default(chunk_s=10.0))
    chunks = chunks_of(source)
    spans = [(chunk.start, chunk.end) for chunk in chunks]
    assert spans == [(0, 20_000), (20_099, 40_000), (40_001, 50_000), (50_001, 64_000)]
    for chunk in chunks:
        np.testing.assert_array_equal(chunk.samples, sound[chunk.start : chunk.end])
    reasons = [chunk.gap_reason for chunk in chunks[1:]]
    assert reasons[:2] == ["non-finite samples"] * 2
    assert reasons[2] == "samples above 1000000 times full scale"
    assert len(source.warnings) == 3
    assert f"{path}: 0.0062 s of audio at 1.250 s are left out" in source.warnings[0]
    whole = read_file(path)
    assert np.isfinite(whole).all()
    assert not whole[20_000:20_099].any()


def test_nothing_but_nan_is_no_chunk_and_one_warning(tmp_path: Path) -> None:
    encode(tmp_path / "a.wav", np.full(48_000, np.nan, np.float32), 16_000, "pcm_f32le")
    source = FileSource(tmp_path / "a.wav", settings=FileSettings.default(chunk_s=1.0))
    assert chunks_of(source) == []
    assert len(source.warnings) == 1
    assert len(read_file(tmp_path / "a.wav")) == 0


def test_many_damaged_places_are_counted_not_listed(tmp_path: Path) -> None:
    sound = noise(100, 8_000)[0]
    sound[4_000::8_000] = np.nan
    encode(tmp_path / "a.wav", sound, 8_000, "pcm_f32le")
    source = FileSource(tmp_path / "a.wav")
    assert len(chunks_of(source)) > 100
    assert len(source.warnings) == 21
    assert source.warnings[-1].endswith("80 more places are left out")


@examples(50)
@given(bad=st.sets(st.integers(0, 4_999), max_size=20), n=st.integers(1, 5_000))
def test_splitting_keeps_every_sound_sample_apart_from_near_damage(bad: set[int], n: int) -> None:
    samples = np.arange(n, dtype=np.float32)
    places = sorted(place for place in bad if place < n)
    samples[places] = np.nan
    parts = list(split_sound(samples, 1_000))
    np.testing.assert_array_equal(np.concatenate([part for part, _ in parts]), samples)
    for part, fault in parts:
        assert (fault is None) == bool(np.isfinite(part).all())
        if fault:
            assert np.isnan(part[[0, -1]]).all()
            gaps = np.diff(np.flatnonzero(np.isnan(part)))
            assert gaps.max(initial=0) <= 100  # NEAR_S at this rate


@pytest.mark.process
def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    script = (
        "import resource, sys\n"
        "from stream.sources.file import FileSource\n"
        "for batch in FileSource(sys.argv[1]): pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    peaks = []
    for minutes in (1, 20):
        path = tmp_path / f"{minutes}.flac"
        encode(path, np.zeros((2, minutes * 60 * 8_000), np.float32), 8_000, "flac")
        run = [sys.executable, "-c", script, str(path)]
        peaks.append(int(subprocess.run(run, check=True, capture_output=True).stdout))
    assert peaks[1] - peaks[0] < 10_000  # kB; 20 min of samples are 38 MB
