"""A message may be a whole MP3 file, or several that were joined: nothing in it is lost."""

from __future__ import annotations

import io

import pytest

from airsift.errors import DecodeError
from stream.audio import AudioChunk
from stream.kafka.codec.message import ChunkDecoder
from stream.kafka.settings import WireSettings
from stream.testing import tone
from tests.stream.media import encode

SECONDS = 3
TAGS = {
    "nothing": b"",
    "ID3v1": b"TAG" + bytes(125),
    "APE": b"APETAGEX" + bytes(4) + (40_000).to_bytes(4, "little") + bytes(40_016),
    "a cover": b"ID3\x04\x00\x00\x00\x1f\x7f\x7f" + b"\xff\xfb\x90\x64" * 131_071 + bytes(3),
}
HUGE = b"ID3\x04\x00\x00\x00\x7f\x7f\x7f" + b"\xff\xfb\x90\x64" * 524_287 + bytes(3)


def mp3(rate: int) -> bytes:
    buffer = io.BytesIO()
    encode(buffer, tone(SECONDS, rate), rate, "libmp3lame", format="mp3")
    return buffer.getvalue()


def decode(value: bytes) -> AudioChunk:
    headers = [("content-type", b"audio/mpeg")]
    return ChunkDecoder(WireSettings.default()).decode(b"a", value, headers, 0).chunk


@pytest.mark.parametrize("tag", TAGS)
def test_tags_behind_a_file_change_nothing(tag: str) -> None:
    assert len(decode(mp3(44_100) + TAGS[tag]).samples) == SECONDS * 44_100


@pytest.mark.parametrize("tag", TAGS)
def test_joined_files_are_decoded_to_the_end(tag: str) -> None:
    samples = decode(mp3(44_100) + TAGS[tag] + mp3(44_100)).samples
    # Each has its encoder's delay and fill, and the frame that names its length.
    assert 2 * SECONDS <= len(samples) / 44_100 < 2 * SECONDS + 0.2
    assert abs(samples[-44_100:]).max() > 0.4


def test_a_huge_cover_between_files_is_refused_not_the_end() -> None:
    assert len(decode(mp3(44_100) + HUGE).samples) == SECONDS * 44_100
    with pytest.raises(DecodeError, match="not a stream of mp3 frames"):
        decode(mp3(44_100) + HUGE + mp3(44_100))


def test_joined_files_of_two_rates_are_refused_by_name() -> None:
    with pytest.raises(DecodeError, match="the rate changes from 44100 to 48000"):
        decode(mp3(44_100) + mp3(48_000))
