"""Titles of web radios, and channels that are kept up to the pipeline."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.audio import AudioChunk
from stream.decoding.reader import AudioReader
from stream.events import Level
from stream.pipeline import Pipeline
from stream.sources.file import FileSource
from stream.sources.http import HttpSource
from stream.sources.icy import MAX_INTERVAL, MAX_TITLE, IcyTitles, interval_of
from stream.sources.live_clock import LiveClock
from stream.sources.settings import HttpSettings
from stream.stages.levels import Levels
from stream.stages.mono import ToMono
from stream.testing import noise, tone
from tests.stream.doubles import SMOOTH, LoudnessClassifier
from tests.stream.media import encode
from tests.stream.networks import FRONT_END
from tests.stream.web_server import Request, radio, received_audio


def block(text: bytes) -> bytes:
    padded = text + bytes(-len(text) % 16)
    return bytes([len(padded) // 16]) + padded


def interleaved(audio: bytes, interval: int, titles: dict[int, bytes]) -> bytes:
    """Return a body: after each full interval a block, which says what `titles` has for it."""
    out = bytearray()
    for number, at in enumerate(range(0, len(audio), interval)):
        out += audio[at : at + interval]
        if at + interval <= len(audio):
            text = titles.get(number)
            out += bytes(1) if text is None else block(b"StreamTitle='" + text + b"';")
    return bytes(out)


@given(
    st.binary(max_size=300),
    st.integers(1, 50),
    st.dictionaries(st.integers(0, 9), st.binary(max_size=40), max_size=4),
    st.lists(st.integers(0, 600), max_size=20),
)
def test_the_audio_passes_however_the_bytes_come(
    audio: bytes, interval: int, titles: dict[int, bytes], cuts: list[int]
) -> None:
    body, icy = interleaved(audio, interval, titles), IcyTitles(interval)
    edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    parts = [icy.push(body[a:b]) for a, b in pairwise(edges)]
    assert b"".join(parts) == audio


@pytest.mark.parametrize(
    ("sent", "title"),
    [
        (b"StreamTitle='Artist - Title';StreamUrl='http://a';", "Artist - Title"),
        (b"StreamTitle='It's - O'Clock';", "It's - O'Clock"),
        (b"StreamTitle='M\xc3\xbcller';", "Müller"),
        (b"StreamTitle='M\xfcller';", "Müller"),
        (b"StreamTitle='no end'", "no end"),
        (b"StreamTitle='a\x1b[31m\nb';", "a [31m b"),
        (b"StreamTitle='';", None),
        (b"StreamTitle='" + b"x" * 2000 + b"';", "x" * MAX_TITLE),
        (b"nothing", None),
        (b"", None),
    ],
)
def test_titles_are_read(sent: bytes, title: str | None) -> None:
    icy = IcyTitles(1)
    assert icy.push(b"a" + block(sent) + b"b") == b"ab"
    assert icy.title == title


@pytest.mark.parametrize(
    ("text", "interval"),
    [("8192", 8192), (" 16000 ", 16000), (None, 0), ("", 0), ("-5", 0), ("0", 0), ("x", 0),
     (str(MAX_INTERVAL + 1), 0), ("9" * 30, 0)],
)  # fmt: skip
def test_only_a_possible_interval_counts(text: str | None, interval: int) -> None:
    assert interval_of(text) == interval


@pytest.mark.slow
def test_a_radio_is_asked_for_titles_and_its_levels_have_them(tmp_path: Path) -> None:
    file = tmp_path / "a.mp3"
    rate = 44_100
    stereo = np.stack([tone(20, rate), np.zeros(20 * rate, np.float32)], axis=1)
    encode(file, stereo.T, rate, "libmp3lame", format="mp3", options={"write_xing": "0"})
    asked = []

    def answer(request: Request) -> None:
        asked.append(request.headers.get("Icy-MetaData"))
        request.head(Content_Type="audio/mpeg", icy_name="Radio", icy_metaint="4000")
        request.wfile.write(interleaved(file.read_bytes(), 4000, {0: b"One - Two"}))
        time.sleep(3)

    with radio({"/live": answer}) as (url, _):
        settings = HttpSettings.default(timeout_s=10.0, max_backoff_s=0.5)
        source = HttpSource(
            f"{url}/live", "radio", settings, settle_s=0.5, keep_channels=True, titles=True
        )
        try:
            chunks = received_audio(source, until_s=14.0, timeout_s=60.0)
        finally:
            source.close()
    assert asked[0] == "1"
    assert {chunk.samples.shape[1] for chunk in chunks} == {2}
    pipeline = Pipeline(FRONT_END, LoudnessClassifier(), SMOOTH, levels=Levels(16_000))
    events = [event for event in pipeline.push(chunks) if isinstance(event, Level)]
    assert len(events) >= 2
    assert events[1].title == "One - Two"
    assert events[1].dead_channels == (2,)
    assert events[1].time is not None


def test_a_radio_is_not_asked_unless_titles_are_wanted() -> None:
    asked = []

    def answer(request: Request) -> None:
        asked.append(request.headers.get("Icy-MetaData"))
        request.head(404)

    with radio({"/live": answer}) as (url, _), pytest.raises(Exception, match="404"):
        HttpSource(f"{url}/live", "radio")
    assert asked == [None]


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("codec", ["flac", "pcm_s16le"])
def test_a_file_with_its_channels_is_mixed_to_the_same_samples(
    tmp_path: Path, codec: str, channels: int
) -> None:
    path = tmp_path / ("a.flac" if codec == "flac" else "a.wav")
    rate = 48_000
    one = noise(7.3, rate)
    parts = [one, -one, *(noise(7.3, rate, seed=seed) for seed in range(4))][:channels]
    encode(path, np.stack(parts), rate, codec)
    mono = np.concatenate([c.samples for [c] in FileSource(path)])
    kept = [chunk for [chunk] in FileSource(path, keep_channels=True)]
    shape = kept[0].samples.shape
    assert shape[1:] == (() if channels == 1 else (channels,))
    mixer = ToMono(16_000)
    out = mixer.push(kept) + mixer.push([])
    mixed = np.concatenate([item.samples for item in out if isinstance(item, AudioChunk)])
    assert len(mono) - len(mixed) < rate / 10  # what waits for its block
    assert np.array_equal(mixed, mono[: len(mixed)])


def test_damage_in_one_channel_is_left_out_in_all(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    samples = np.stack([noise(3, 8000), noise(3, 8000, seed=1)], axis=1)
    samples[9000, 1] = np.nan
    encode(path, samples.T, 8000, "pcm_f32le")
    reader = AudioReader(path, keep_channels=True)
    blocks = list(reader)
    assert all(np.isfinite(block.samples).all() for block in blocks)
    assert sum(len(block.samples) for block in blocks) == len(samples) - 1
    assert len(reader.problems) == 1


def test_a_live_clock_finds_repetitions_in_stereo() -> None:
    rate = 8000
    samples = np.stack([noise(30, rate), noise(30, rate, seed=1)], axis=1)
    clock, taken, now = LiveClock(settle_s=0.5), [], 1000.0

    def play(begin: int, end: int, pace: float) -> None:
        nonlocal now
        for at in range(begin, end, rate // 2):
            now += 0.5 * pace
            clock.push(samples[at : at + rate // 2], rate, now)
            taken.extend(clock.take(now))

    clock.connect()
    play(0, 10 * rate, 1.0)
    clock.finish()
    clock.connect()
    play(6 * rate, 10 * rate, 0.0)  # a burst of what came before
    play(10 * rate, 20 * rate, 1.0)
    clock.finish()
    taken.extend(clock.take(now + 10))
    out = np.concatenate([placed.samples for placed in taken])
    assert np.array_equal(out, samples[: len(out)])
    assert len(out) == 20 * rate
