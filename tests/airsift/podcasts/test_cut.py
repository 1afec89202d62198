"""Cuts: what is in the pieces is what the recording has there, and nothing else is touched."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import mutagen
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.api.results import Segment
from airsift.errors import ConfigError
from airsift.podcasts.cutting.cut import cut, is_copied, joined, original_of, parts
from airsift.podcasts.cutting.samples import Treatment
from airsift.podcasts.cutting.spans import Span, kept_spans
from stream.levels.gated_loudness import Loudness
from stream.levels.meter import Meter
from tests.airsift.podcasts.episodes import make
from tests.command import airsift
from tests.stream.media import encode

RATE = 48_000
SPANS: list[Span] = [(1.234_5, 2.5), (3.0, 3.777), (5.1, 7.9)]
LABELS = ("speech", "music", "speech_over_music", "other")
PLAIN = Treatment()
PACKET = {"mp3": 1152, "m4a": 1024, "opus": 960}
# Samples at the begin of a piece that depend on what came before it, see the docs.
SETTLES = {"mp3": 5 * 1152, "m4a": 2048, "opus": 12_000}


def programme(seconds: float = 10.0, channels: int = 2, noise_level: float = 0.6) -> np.ndarray:
    """Return tones under low noise, which never repeat themselves."""
    t = np.arange(round(seconds * RATE)) / RATE
    random = np.random.default_rng(1)
    rows = []
    for channel in range(channels):
        noise = np.convolve(random.standard_normal(len(t)), np.ones(48) / 48, "same")
        tone = np.sin(2 * np.pi * (300 * t + 40 * t**2) + channel)
        rows.append(0.1 * tone + noise_level * noise)
    return np.array(rows, np.float32)


def decoded(path: Path) -> np.ndarray:
    """Return the samples of a file as PyAV gives them, shape [channels, n]."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("fltp")
        frames = [
            part.to_ndarray()
            for frame in container.decode(audio=0)
            for part in resampler.resample(frame)
        ]
    return np.concatenate(frames, axis=1)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    codecs = {"mp3": "libmp3lame", "m4a": "aac", "opus": "libopus", "flac": "flac"}
    for suffix, codec in {**codecs, "wav": "pcm_s24le"}.items():
        path = folder / f"talk.{suffix}"
        # AAC describes noise, and each decoding makes other noise of that.
        encode(path, programme(noise_level=0.0 if suffix == "m4a" else 0.6), RATE, codec)
        if suffix != "wav":
            file = mutagen.File(path, easy=True)
            file["title"] = "The title"
            file.save()
    return folder


def made(
    source: Path, pieces: list, treatment: Treatment = PLAIN, *, exact: bool = False
) -> list[str]:
    original = original_of(source, None)
    copied = is_copied(original, pieces[0].path.suffix, treatment, exact=exact)
    return cut(source, pieces, original, treatment, copied=copied)


@pytest.mark.parametrize("suffix", ["flac", "wav"])
def test_without_loss_a_piece_has_the_very_samples(
    shelf: Path, tmp_path: Path, suffix: str
) -> None:
    source = shelf / f"talk.{suffix}"
    whole = decoded(source)
    made(source, parts(tmp_path, "p", f".{suffix}", SPANS))
    expected = [whole[:, round(a * RATE) : round(b * RATE)] for a, b in SPANS]
    for path, samples in zip(sorted(tmp_path.iterdir()), expected, strict=True):
        np.testing.assert_array_equal(decoded(path), samples)
    made(source, joined(tmp_path / f"all.{suffix}", SPANS))
    np.testing.assert_array_equal(decoded(tmp_path / f"all.{suffix}"), np.concatenate(expected, 1))


def place_of(piece: np.ndarray, whole: np.ndarray, about: int, reach: int = 2000) -> int:
    """Return where in a recording a piece was, found by its middle."""
    middle = piece.shape[1] // 2
    probe = piece[0, middle : middle + 4000]
    area = whole[0, about + middle - reach : about + middle + reach + len(probe)].astype(float)
    power = np.convolve(area**2, np.ones(len(probe)), "valid")
    return about - reach + int((power - 2 * np.correlate(area, probe, "valid")).argmin())


@pytest.mark.parametrize("suffix", PACKET)
def test_copied_pieces_lie_on_packets(shelf: Path, tmp_path: Path, suffix: str) -> None:
    source = shelf / f"talk.{suffix}"
    whole = decoded(source)
    with av.open(str(source)) as container:
        packets = {bytes(packet) for packet in container.demux(audio=0)}
    made(source, parts(tmp_path, "p", f".{suffix}", SPANS))
    half = PACKET[suffix] / 2 + 1
    for path, (start, end) in zip(sorted(tmp_path.iterdir()), SPANS, strict=True):
        piece = decoded(path)
        place = place_of(piece, whole, round(start * RATE))
        assert abs(place - start * RATE) <= half
        assert abs(place + piece.shape[1] - end * RATE) <= half
        settled = SETTLES[suffix]
        there = whole[:, place + settled : place + piece.shape[1]]
        np.testing.assert_allclose(piece[:, settled:], there, atol=2e-3)
        with av.open(str(path)) as container:  # as they were, but for a header of MP3
            own = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
        assert set(own) <= packets
        assert mutagen.File(path, easy=True)["title"] == ["The title"]


@pytest.mark.parametrize("suffix", PACKET)
def test_joined_pieces_follow_each_other(shelf: Path, tmp_path: Path, suffix: str) -> None:
    source = shelf / f"talk.{suffix}"
    whole, path = decoded(source), tmp_path / f"all.{suffix}"
    made(source, joined(path, SPANS))
    piece = decoded(path)
    length = sum(end - start for start, end in SPANS) * RATE
    assert abs(piece.shape[1] - length) <= 3 * PACKET[suffix]
    last = round((SPANS[2][1] - SPANS[2][0]) * RATE)
    place = place_of(piece[:, -last:], whole, round(SPANS[2][0] * RATE))
    assert abs(place - SPANS[2][0] * RATE) <= PACKET[suffix]


@pytest.mark.parametrize("suffix", PACKET)
def test_exact_pieces_are_as_long_as_asked(shelf: Path, tmp_path: Path, suffix: str) -> None:
    source = shelf / f"talk.{suffix}"
    whole = decoded(source)
    made(source, parts(tmp_path, "p", f".{suffix}", SPANS), exact=True)
    for path, (start, end) in zip(sorted(tmp_path.iterdir()), SPANS, strict=True):
        piece = decoded(path)
        assert (
            abs(piece.shape[1] - round((end - start) * RATE)) <= 1024
        )  # AAC fills its last packet
        assert abs(place_of(piece, whole, round(start * RATE)) - round(start * RATE)) <= 2


def test_fades_reach_silence_and_nothing_else(shelf: Path, tmp_path: Path) -> None:
    source, path = shelf / "talk.flac", tmp_path / "faded.flac"
    whole = decoded(source)
    made(source, joined(path, SPANS), Treatment(fade_s=0.2))
    piece, at, fade = decoded(path), 0, round(0.2 * RATE)
    for start, end in SPANS:
        true = whole[:, round(start * RATE) : round(end * RATE)]
        here = piece[:, at : at + true.shape[1]]
        at += true.shape[1]
        assert np.abs(here[:, [0, -1]]).max() < 1e-4
        np.testing.assert_array_equal(here[:, fade:-fade], true[:, fade:-fade])
        ramp = (np.arange(fade) + 0.5) / fade
        np.testing.assert_allclose(here[:, :fade], true[:, :fade] * ramp, atol=1e-4)
    assert at == piece.shape[1]


def loudness_of(path: Path) -> float | None:
    samples, loudness = decoded(path).T, Loudness()
    meter = Meter(samples.shape[1], RATE, 0)
    while len(samples):
        samples = samples[meter.take(samples) :]
        loudness.push(meter.measure(0.0).weighted)
    return loudness.integrated


@pytest.mark.parametrize("wanted", [-30.0, -16.0])
def test_each_piece_has_the_loudness_that_was_asked_for(
    shelf: Path, tmp_path: Path, wanted: float
) -> None:
    assert (
        made(shelf / "talk.flac", parts(tmp_path, "p", ".flac", SPANS), Treatment(0, wanted)) == []
    )
    for path in tmp_path.iterdir():
        assert loudness_of(path) == pytest.approx(wanted, abs=0.1)


def test_peaks_limit_the_loudness_and_this_is_told(shelf: Path, tmp_path: Path) -> None:
    path = tmp_path / "loud.flac"
    [note] = made(shelf / "talk.flac", joined(path, SPANS), Treatment(0, -3.0))
    assert note.startswith("loud.flac: has -")
    assert 0.8 < np.abs(decoded(path)).max() <= 10 ** (-1 / 20) + 0.001


def test_silence_has_no_loudness(tmp_path: Path) -> None:
    encode(tmp_path / "silent.wav", np.zeros((1, RATE), np.float32), RATE, "pcm_s16le")
    [note] = made(
        tmp_path / "silent.wav", joined(tmp_path / "out.wav", [(0, 1)]), Treatment(0, -16)
    )
    assert "has no loudness" in note


def test_what_would_lose_quality_is_asked_for(shelf: Path) -> None:
    mp3, flac = original_of(shelf / "talk.mp3", None), original_of(shelf / "talk.flac", None)
    assert is_copied(mp3, ".mp3", Treatment(), exact=False)
    assert not is_copied(mp3, ".MP3", Treatment(0.1), exact=False)
    assert not is_copied(flac, ".wav", Treatment(), exact=False)
    with pytest.raises(ConfigError, match=r"mp3 in \.opus: has to be encoded again.*--exact"):
        is_copied(mp3, ".opus", Treatment(), exact=False)
    with pytest.raises(ConfigError, match=r"end the name in \.mp3, "):
        is_copied(mp3, ".xyz", Treatment(), exact=True)


@pytest.mark.parametrize("suffix", ["mp3", "flac"])
def test_nothing_is_overwritten_and_nothing_is_left_half(
    shelf: Path, tmp_path: Path, suffix: str
) -> None:
    source = shelf / f"talk.{suffix}"
    there = tmp_path / f"p-002.{suffix}"
    there.write_bytes(b"mine")
    with pytest.raises(ConfigError, match="is there already"):
        made(source, parts(tmp_path, "p", f".{suffix}", SPANS))
    assert [each.name for each in tmp_path.iterdir()] == [there.name]
    there.unlink()

    def stop(seconds: float) -> None:
        if seconds > 4:
            raise KeyboardInterrupt

    original = original_of(source, None)
    with pytest.raises(KeyboardInterrupt):
        cut(source, parts(tmp_path, "p", f".{suffix}", SPANS), original, Treatment(),
            copied=suffix == "mp3", on_time=stop)  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_nothing_is_no_fault_of_the_recording(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise av.error.PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("airsift.podcasts.cutting.cut.copy_packets", refuse)
    with pytest.raises(ConfigError, match=r"out\.mp3 cannot be written \(Permission denied\)"):
        made(shelf / "talk.mp3", joined(tmp_path / "out.mp3", SPANS))


segments = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 9), st.sampled_from(LABELS)), max_size=12
)


@given(segments, st.sets(st.sampled_from(LABELS), min_size=1), st.integers(0, 5))
def test_what_is_kept_has_the_labels_and_nothing_else(
    rows: list[tuple[int, int, str]], labels: set[str], min_s: int
) -> None:
    at, found, kept = 0, [], set()
    for pause, length, label in rows:
        at += pause % 3
        found.append(Segment(at, at + length, label, 1.0))
        if label in labels:
            kept |= set(range(at, at + length))
        at += length
    spans = kept_spans(found, labels, 0)
    assert {second for a, b in spans for second in range(int(a), int(b))} == kept
    for one, following in itertools.pairwise(spans):
        assert one[1] < following[0]
    assert kept_spans(found, labels, min_s) == [
        span for span in spans if span[1] - span[0] >= min_s
    ]


@pytest.mark.slow
def test_the_music_of_an_episode(tmp_path: Path) -> None:
    [(path, spans)] = make(tmp_path, only=("2 two",)).items()
    out = tmp_path / "music.mp3"
    done = airsift("cut", path, "--keep", "music", "--min", "20", "--output", out)
    assert (done.returncode, done.stderr) == (0, "")
    [song] = [each for each in spans if each.what == "elevator"]
    assert f"{out}  1 stretch, 00:4" in done.stdout
    with av.open(str(out)) as container:
        assert container.duration is not None
        assert abs(container.duration / 1e6 - (song.end_s - song.start_s)) < 1
    again = airsift("cut", path, "--keep", "music", "--output", out)
    assert again.returncode == 1
    assert "is there already" in again.stderr
    folder = tmp_path / "parts"
    done = airsift("cut", path, "--keep", "speech, speech_over_music", "--parts", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert [each.name for each in sorted(folder.iterdir())] == ["2 two-001.mp3", "2 two-002.mp3"]
    assert len(done.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--keep", "noise", "-o", "x.mp3"], "--keep noise: must be speech"),
        (["--keep", "music"], "one of both"),
        (["--keep", "music", "-o", "x.mp3", "--parts", "y"], "one of both"),
        (["--keep", "music", "-o", "x.xyz"], "end the name in"),
        (["--keep", "music", "-o", "x"], "end the name in"),
        (["--keep", "music", "-o", "x.wav"], "give --exact"),
    ],
)
def test_a_wrong_call_is_one_line(shelf: Path, arguments: list[str], says: str) -> None:
    done = airsift("cut", shelf / "talk.mp3", *arguments)
    assert done.returncode == 1
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_address_is_told_how_to_be_cut() -> None:
    for command in (("cut", "--keep", "music", "-o", "x.mp3"), ("repeats",)):
        done = airsift(*command, "https://localhost/a.mp3")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "https://localhost/a.mp3: only `segment`" in done.stderr


def test_rubbish_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.mp3").write_bytes(b"no audio" * 99)
    for name in ("bad.mp3", "absent.mp3"):
        done = airsift("cut", tmp_path / name, "--keep", "music", "-o", tmp_path / "x.mp3")
        assert done.returncode == 1
        assert name in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.process
@pytest.mark.slow
def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    encode(tmp_path / "long.flac", np.tile(programme(10, 1), 30), RATE, "flac")
    command = [sys.executable, "-m", "airsift", "cut", "long.flac", "--keep",
               ",".join(LABELS), "-o", "out.flac"]  # fmt: skip
    root = str(Path(__file__).parents[3])
    process = subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": root}, stderr=subprocess.PIPE
    )
    partial = tmp_path / "out.flac.partial"
    end = time.monotonic() + 100
    while not partial.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["long.flac"]
