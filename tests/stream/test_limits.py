"""Cost of a hostile message: within the limits for every codec."""

from __future__ import annotations

import io
import struct
import wave

import av
import numpy as np
import pytest

from airsift.errors import DecodeError
from stream.audio import AudioChunk
from stream.decoding.planes import planes_of
from stream.kafka.codec.decode import FileDecoder
from stream.kafka.codec.frame_stream import FrameStream
from stream.kafka.codec.message import ChunkDecoder, encode
from stream.kafka.settings import WireSettings
from tests.stream.bare import FRAMES
from tests.stream.media import ogg_of

LIMITS = WireSettings.default(max_s=2.0)


def file_of(codec: str, container: str, rate: int, seconds: float, layout: str = "mono") -> bytes:
    """Return silence as a file."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate, layout=layout)
        kind = stream.codec_context.codec.audio_formats[0].name
        frame = av.AudioFrame(format=kind, layout=layout, samples=round(rate * seconds))
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts = rate, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def decode(kind: str, value: bytes, **headers: int) -> AudioChunk:
    texts = {"content-type": kind, **{name: str(number) for name, number in headers.items()}}
    return (
        ChunkDecoder(LIMITS)
        .decode(b"a", value, [(n, t.encode()) for n, t in texts.items()], 0)
        .chunk
    )


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("audio/x-s16le", lambda: bytes(16000 * 2 * 5)),
        ("audio/x-f32le", lambda: bytes(16000 * 4 * 5)),
        ("audio/flac", lambda: file_of("flac", "flac", 16000, 5)),
        ("audio/ogg", lambda: file_of("libopus", "ogg", 48000, 5)),
        ("audio/ogg", lambda: file_of("flac", "ogg", 48000, 5)),
        ("audio/wav", lambda: file_of("pcm_s16le", "wav", 16000, 5)),
        ("audio/mpeg", lambda: file_of("libmp3lame", "mp3", 44100, 5)),
        ("audio/mpeg", lambda: b"".join(FRAMES["audio/mpeg"]) * 5),
        ("audio/aac", lambda: b"".join(FRAMES["audio/aac"]) * 5),
    ],
)
def test_more_seconds_than_allowed_are_refused(kind, make):
    with pytest.raises(DecodeError, match=r"more than kafka.wire.max_s=2 s of audio"):
        decode(kind, make(), **({"rate": 16000} if "x-" in kind else {}))


@pytest.mark.parametrize("kind", FRAMES)
def test_frames_beyond_the_limit_are_not_even_decoded(kind):
    stream = FrameStream("aac" if kind == "audio/aac" else "mp3float", LIMITS)
    frames, decoded = stream._decoded, []
    stream._decoded = lambda value: (decoded.append(1) or frame for frame in frames(value))
    with pytest.raises(DecodeError, match="max_s"):
        stream.push(b"".join(FRAMES[kind]) * 100)
    assert len(decoded) < 200


@pytest.mark.parametrize(
    ("kind", "codec", "container"),
    [("audio/flac", "flac", "flac"), ("audio/wav", "pcm_s16le", "wav")],
)
def test_a_rate_beyond_the_limit_is_refused(kind, codec, container):
    with pytest.raises(DecodeError, match=r"rate=384000 must be 1000 to kafka.wire.max_rate"):
        decode(kind, file_of(codec, container, 384_000, 0.01))


def test_more_channels_than_allowed_are_refused():
    with pytest.raises(DecodeError, match=r"channels=64 is more than kafka.wire.max_channels=8"):
        decode("audio/x-s16le", bytes(1280), rate=16000, channels=64)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(64)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(12800))
    with pytest.raises(DecodeError, match="channels=64 is more than"):
        decode("audio/wav", buffer.getvalue())
    strict = WireSettings.default(max_channels=2)
    for codec, container in (("flac", "flac"), ("flac", "ogg"), ("libopus", "ogg")):
        with pytest.raises(DecodeError, match="channels=6 is more than"):
            FileDecoder(strict).decode(file_of(codec, container, 48000, 0.1, "5.1"), container)


def test_headers_that_claim_hours_cost_nothing():
    flac = bytearray(encode(AudioChunk("a", 0, np.zeros(800, np.float32), 16000), "flac").value)
    at = flac.index(b"fLaC") + 8 + 13  # of STREAMINFO, the last four bytes of the sample count
    flac[at : at + 5] = b"\xff\xff\xff\xff\xff"
    wav = bytearray(file_of("pcm_s16le", "wav", 16000, 0.05))
    at = wav.index(b"data") + 4
    wav[at : at + 4] = struct.pack("<I", 2**32 - 2)
    for kind, value in (("audio/flac", flac), ("audio/wav", wav)):
        try:
            assert len(decode(kind, bytes(value)).samples) <= 800
        except DecodeError:
            continue


def test_what_is_no_audio_codec_is_not_decoded():
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="wav") as out:
        stream = out.add_stream("adpcm_ms", rate=16000, layout="mono")
        frame = av.AudioFrame(format="s16", layout="mono", samples=1024)
        frame.planes[0].update(bytes(frame.planes[0].buffer_size))
        frame.sample_rate = 16000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(DecodeError, match="do not decode as wav"):
        decode("audio/wav", buffer.getvalue())


def by_container(value: bytes, container: str) -> np.ndarray:
    """Return what FFmpeg's own container gives."""
    with av.open(io.BytesIO(value), "r", format=container) as opened:
        planes = planes_of(list(opened.decode(audio=0)))
    return planes[0] if len(planes) == 1 else planes.T


@pytest.mark.parametrize("codec", ["opus", "mp3"])
@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
def test_files_without_a_container_give_the_same_samples(codec, rate):
    rng, decoder = np.random.default_rng(0), ChunkDecoder(WireSettings.default())
    for n in (1, 311, 4000, 9601):
        message = encode(AudioChunk("a", 0, rng.uniform(-1, 1, n).astype(np.float32), rate), codec)
        if dict(message.headers)["content-type"] != b"audio/x-s16le":
            expected = by_container(message.value, {"opus": "ogg"}.get(codec, codec))
            assert np.array_equal(decoder.decode(*message).chunk.samples, expected)


@pytest.mark.parametrize(
    ("codec", "layout"),
    [("libopus", "stereo"), ("libopus", "5.1"), ("vorbis", "stereo"), ("flac", "mono")],
)
@pytest.mark.parametrize("n", [700, 5000, 30_000])
def test_ogg_without_a_container_gives_the_same_samples(codec, layout, n):
    value = ogg_of(codec, layout, n)
    got = FileDecoder(LIMITS).decode(value, "ogg")
    expected = by_container(value, "ogg")
    if codec == "vorbis":  # FFmpeg's container leaves what its encoder filled up with
        assert n <= len(got.samples) < n + 128
        expected = expected[: len(got.samples)]
    assert np.array_equal(got.samples, expected)
