from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from airsift.errors import ConfigError, DecodeError
from model.corpus import (
    augment,
    concatenate,
    feature_store,
    game_archives,
    recordings,
    soundfont,
    synthetic_events,
    synthetic_noise,
    takes,
)
from model.corpus import sources as recipe
from model.evaluation import conditions
from stream.testing import write_wav

RATE = 16_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a corpus from a manifest of four small voices and tracks, one of them broken."""
    place = tmp_path_factory.mktemp("own audio")
    random = np.random.default_rng(0)
    rows = ["path,class,group"]
    for kind in ("speech", "music", "singing", "noise"):
        for number in range(3):
            t = np.arange(RATE * 12) / RATE
            tone = 0.3 * np.sin(2 * np.pi * 220 * (number + 1) * t)
            name = f"{kind} {number}.wav"
            write_wav(place / name, tone + 0.01 * random.standard_normal(len(t)), RATE)
            rows.append(f"{name},{kind},{kind}:{number}")
    (place / "broken.ogg").write_bytes(b"OggS and then nothing")
    rows += ["broken.ogg,speech,speech:9", "missing.ogg,music,music:9"]
    (place / "mine.csv").write_text("\n".join(rows))
    target = place / "corpus"
    built = recordings.build_source(job_of(place / "mine.csv"), target)
    assert built.seconds == 12 * 12
    assert [line.split(":")[0] for line in built.broken] == ["broken.ogg", "missing.ogg"]
    return target


def job_of(manifest: Path) -> recordings.Job:
    return recordings.manifest_job(manifest, recipe.manifest_items(manifest))


def all_in(split: recipe.Split) -> Callable[..., dict[str, recipe.Split]]:
    return lambda listed, table: {each.group: split for each in listed}


def test_a_second_build_decodes_nothing_and_prints_the_same(folder: Path) -> None:
    [array] = (folder / "audio").glob("*.npy")
    before = array.stat().st_mtime_ns
    built = recordings.build_source(job_of(folder.parent / "mine.csv"), folder)
    assert (built.seconds, len(built.broken)) == (144, 2)
    assert (built.reused, built.decoded) == (13, 1)  # a file that is missing is looked for again
    assert str(built) == "2.4 min; 13 files reused, 1 decoded"
    assert array.stat().st_mtime_ns == before
    assert not list(folder.rglob("*.partial"))


@pytest.mark.long
def test_takes_and_store_hold_every_group_of_the_split(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for made in (
        "NOISE_TAKES",
        "EVENT_TAKES",
        "BEAT_TAKES",
        "CONVERSATION_TAKES",
        "CROWD_TAKES",
        "SCENE_TAKES",
    ):
        monkeypatch.setattr(takes, made, 1)
    monkeypatch.setattr(takes, "assign_splits", all_in("train"))
    count, columns, reused = feature_store.build_store(folder, "train")
    assert not reused
    opened = feature_store.open_training_store(folder)
    assert len(opened.takes) == count
    assert opened.columns.shape == (columns, 144)
    groups = {group for group, *_ in opened.takes}
    assert groups >= {f"{kind}:{n}" for kind in recipe.KINDS for n in range(3)}
    for take in opened.takes:
        active = opened.targets[take.start : take.end].max(axis=1)
        if take.kind != "scene":
            assert active.mean() == pytest.approx(take.kind != "noise", abs=0.2)
    assert feature_store.build_store(folder, "train") == (count, columns, True)


@pytest.mark.long
def test_conditions_are_known_mixtures_of_one_split(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takes, "assign_splits", all_in("test"))
    made = {each.name: each for each in conditions.conditions(folder, "test", max_windows=3)}
    assert made["speech"].truth == (1, 0)
    assert made["music at -10 dB and speech"].truth == (1, 1)
    assert made["noise"].truth == (0, 0)
    assert all(each.samples.shape[1] == 80_000 for each in made.values())
    assert len(made["speech"].groups) == 3


def test_an_empty_folder_is_an_error_with_the_command_to_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="airsift corpus build"):
        recordings.read_index(tmp_path)
    with pytest.raises(ConfigError, match="airsift corpus build"):
        feature_store.open_training_store(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,class\na.wav,speech", "no column path, group"),
        ("path,class,group\na.wav,talk,x", "class='talk' is unknown"),
    ],
)
def test_a_wrong_manifest_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        recipe.manifest_items(tmp_path / "m.csv")


def test_a_conversation_is_speech_throughout_and_a_crowd_lasts() -> None:
    random = np.random.default_rng(0)
    clips = [random.standard_normal(RATE * 2).astype(np.float32) * 0.1 for _ in range(30)]
    samples, active = concatenate.conversation(clips, random)
    assert active.all()
    assert len(active) * concatenate.HOP == len(samples)
    power = np.square(samples).reshape(len(active), concatenate.HOP).mean(axis=1)
    loud = np.flatnonzero(power > power.max() * 1e-3)
    # Nobody is silent for longer than a pause within speech.
    assert np.diff(loud).max() <= concatenate.PAUSE_SECONDS * RATE / concatenate.HOP
    assert len(concatenate.crowd(clips, random)) == concatenate.TAKE_SECONDS * RATE


def test_pauses_within_speech_count_as_speech_and_longer_ones_do_not() -> None:
    word = 0.3 * np.sin(np.arange(RATE // 2) / 5).astype(np.float32)

    def active_after(pause: float) -> bool:
        clip = np.concatenate([word, np.zeros(int(pause * RATE), np.float32), word])
        _, active = concatenate.normalise(clip, "speech")
        return bool(active.all())

    assert active_after(1.8)
    assert not active_after(2.2)


def test_the_game_archives_are_read() -> None:
    entries = b"".join(
        struct.pack("<H", number) + offset.to_bytes(3, "little") + size.to_bytes(3, "little")
        for number, offset, size in ((7, 0, 9), (50_001, 0x800001, 22 + 4))
    )
    data = bytes(16) + bytes(22) + bytes([128, 255, 0, 128])
    (line,) = game_archives.sky_speech(struct.pack("<I", 2) + entries, data)
    np.testing.assert_allclose(line, [0, 127 / 128, -1, 0])
    with pytest.raises(DecodeError, match="lists 9 files"):
        list(game_archives.sky_speech(struct.pack("<I", 9), data))

    header = game_archives.QUEEN_HEADER.pack(b"QTBL", b"PM1.0 ", 0, 0, 1, 2)
    table = game_archives.QUEEN_ENTRY.pack(b"A.SB", 0, 60, 3) + game_archives.QUEEN_ENTRY.pack(
        b"B.LUM", 0, 0, 1
    )
    packed = (header + table).ljust(60, b"\0") + b"mp3"
    assert list(game_archives.queen_speech(packed)) == [b"mp3"]
    with pytest.raises(DecodeError, match="queen"):
        list(game_archives.queen_speech(b"QTBL".ljust(20, b"\2")))


@pytest.mark.parametrize("augmentation", augment.PROBABILITIES, ids=lambda each: each.__name__)
def test_an_augmentation_keeps_length_and_about_the_level(
    augmentation: augment.Augmentation,
) -> None:
    random = np.random.default_rng(0)
    samples = (0.1 * np.sin(np.arange(RATE * 2) / 7)).astype(np.float32)
    changed = augmentation(samples, random)
    assert changed.shape == samples.shape
    assert changed.dtype == np.float32
    assert 0.4 < changed.std() / samples.std() < 2.0


@pytest.mark.parametrize(
    "kinds", [synthetic_noise.NOISES, synthetic_events.EVENTS], ids=["steady", "passing"]
)
def test_made_noises_are_repeatable_and_of_one_level(
    kinds: tuple[synthetic_noise.Noise, ...],
) -> None:
    for seed in range(len(kinds)):
        name, samples = synthetic_noise.make_noise(RATE * 6, seed, kinds)
        again = synthetic_noise.make_noise(RATE * 6, seed, kinds)[1]
        assert name == kinds[seed].__name__
        np.testing.assert_array_equal(samples, again)
        assert samples.std() == pytest.approx(0.1, rel=0.02)


def sound_font(instruments_of: dict[bytes, list[tuple[int, int, int]]]) -> bytes:
    """Make a sound font of a 220 Hz tone; zones are (lowest key, highest key, root key)."""
    wave_form = (8000 * np.sin(2 * np.pi * 220 * np.arange(4000) / 22_050)).astype("<i2").tobytes()
    inst, bags, generators = b"", b"", b""
    zone = generator = 0
    for name, zones in [*instruments_of.items(), (b"EOI", [])]:
        inst += soundfont.INSTRUMENT.pack(name, zone)
        for low, high, root in zones:
            bags += soundfont.ZONE.pack(generator, 0)
            for number, value in (
                (soundfont.KEY_RANGE, low + 256 * high), (soundfont.ROOT_KEY, root),
                (soundfont.LOOPING, 1), (soundfont.SAMPLE, 0),
            ):  # fmt: skip
                generators += soundfont.GENERATOR.pack(number, value)
            zone, generator = zone + 1, generator + 4
    bags += soundfont.ZONE.pack(generator, 0)
    header = soundfont.SAMPLE_HEADER.pack(b"Tone", 0, 4000, 1000, 3000, 22_050, 60, 0, 0, 1)
    chunks = b"".join(
        name + struct.pack("<I", len(data)) + data
        for name, data in (
            (b"smpl", wave_form), (b"inst", inst), (b"ibag", bags), (b"igen", generators),
            (b"shdr", header),
        )
    )  # fmt: skip
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"sfbk" + chunks


def test_a_sound_font_plays_its_tones_and_leaves_its_drums() -> None:
    font = sound_font({
        b"Oboe": [(0, 60, 57), (61, 127, 57)],
        b"Oboe GS": [(0, 127, 57)],
        b"Snare": [(0, 127, 57)],
        b"Kit": [(35, 35, 35), (36, 36, 36), (37, 37, 37)],
    })  # fmt: skip
    played = dict(soundfont.solos(font, RATE))
    assert list(played) == ["program-oboe"]
    oboe = played["program-oboe"]
    assert oboe.dtype == np.int16
    assert len(oboe) == soundfont.PHRASE_SECONDS * RATE
    assert np.abs(oboe).max() > 20_000
    with pytest.raises(DecodeError, match="SoundFont 2"):
        list(soundfont.solos(b"RIFFxxxxsfbk", RATE))


def test_speakers_and_artists_are_the_groups(tmp_path: Path) -> None:
    for speaker in ("103", recipe.DEMO_SPEAKERS[0]):
        (tmp_path / f"{speaker}-1240-0000.flac").write_bytes(b"")
    (item,) = recipe.librispeech_items(tmp_path)
    assert (item.group, item.kind) == ("librispeech:103", "speech")
    with pytest.raises(ConfigError, match="has the columns file,artist"):
        recipe.song_items(tmp_path)
    (tmp_path / "index.tsv").write_text(
        "file\tartist\tpublic_source\nx.mp3\tThe 1st  Band!\ty/songs\nz.mp3\tZ\t\n"
    )
    songs = recipe.song_items(tmp_path)
    assert [(each.source, each.group) for each in songs] == [
        ("y_songs", "songs:the-1st-band"),
        ("songs", "songs:z"),
    ]


@pytest.mark.process
def test_a_package_is_fetched_once_and_again_when_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"a package"
    tools, target = tmp_path / "bin", tmp_path / "packages of mine"
    tools.mkdir()
    for name, script in {
        "apt-cache": f"echo Package: voices; echo SHA256: {hashlib.sha256(content).hexdigest()}",
        "apt-get": f"echo fetched >> {tmp_path}/log; printf 'a package' > voices_1.0_all.deb",
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    for _ in range(2):
        assert recipe.fetch("voices", target).read_bytes() == content
    assert (tmp_path / "log").read_text() == "fetched\n"
    (target / "voices_1.0_all.deb").write_bytes(b"damaged")
    assert recipe.fetch("voices", target).read_bytes() == content
    # An older version beside it is not taken for it, though its name comes first.
    (target / "voices_0.9_all.deb").write_bytes(b"an older one")
    assert recipe.fetch("voices", target).read_bytes() == content
    assert recipe.package_file("voices", target) == target / "voices_1.0_all.deb"
    (tools / "apt-get").write_text("#!/bin/sh\necho 'E: no network' >&2; exit 100\n")
    (target / "voices_1.0_all.deb").unlink()
    with pytest.raises(DecodeError, match="apt-get --quiet download voices failed: E: no network"):
        recipe.fetch("voices", target)
