"""Chapters in every format, read back by other libraries; audio and tags stay as they were."""

from __future__ import annotations

import io
import json
from pathlib import Path

import av
import feedparser
import mutagen
import mutagen.id3
import mutagen.mp4
import numpy as np
import pytest
import webvtt

from airsift.errors import ConfigError, DecodeError
from airsift.podcasts import chapter_files
from airsift.podcasts.chapter_tags import write_chapters
from airsift.podcasts.chapters import Chapter
from tests.stream.media import encode, noise

TITLES = ["Opening", "Å song & <its> name", "Advert", "Пролог — 日本"]
CHAPTERS = [
    Chapter(0.0, 1.0, TITLES[0], "talk"),
    Chapter(1.0, 1.75, TITLES[1], "music", True, "abel"),
    Chapter(1.75, 2.0, TITLES[2], "advert", False),
    Chapter(2.0, 3.0, TITLES[3], "talk"),
]
STARTS = [each.start_s for each in CHAPTERS]
CODECS = {"mp3": "libmp3lame", "m4a": "aac", "opus": "libopus", "flac": "flac"}


def decoded(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.concatenate(frames, axis=1)


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def chapters_read(path: Path) -> list[tuple[float, str]]:
    with av.open(str(path)) as container:
        found = container.chapters()
    return [(float(c["start"] * c["time_base"]), c["metadata"]["title"]) for c in found]


@pytest.fixture
def episode(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An episode of three seconds with tags and a picture."""
    suffix = request.param
    path = tmp_path / f"épisode 1.{suffix}"
    rate = 48_000 if suffix == "opus" else 44_100
    encode(path, noise(3, rate, channels=2), rate, CODECS[suffix])
    if suffix == "mp3":
        tags = mutagen.id3.ID3()
        tags.add(mutagen.id3.TIT2(text=["The title"]))
        tags.add(mutagen.id3.TXXX(desc="own", text=["kept"]))
        tags.add(mutagen.id3.APIC(mime="image/png", type=3, data=b"\x89PNG picture"))
        tags.add(mutagen.id3.CHAP(element_id="old", start_time=0, end_time=9, sub_frames=[]))
        tags.save(path, v2_version=3)
    elif suffix == "m4a":
        file = mutagen.mp4.MP4(path)
        file["\xa9nam"] = ["The title"]
        file["----:com.example:own"] = [b"kept"]
        file["covr"] = [mutagen.mp4.MP4Cover(b"\x89PNG\r\n\x1a\n picture")]
        file.save()
    else:
        file = mutagen.File(path)
        file["title"], file["own"], file["chapter001name"] = ["The title"], ["kept"], ["old"]
        file.save()
    return path


def other_tags(path: Path) -> dict[str, str]:
    file = mutagen.File(path)
    return {
        key: str(file.tags[key])
        for key in file.tags.keys()  # noqa: SIM118 - comments iterate over pairs
        if not key.lower().startswith(("chap", "ctoc", "©too", "encoder"))
    }


@pytest.mark.parametrize("episode", CODECS, indirect=True)
def test_audio_and_tags_stay_and_ffmpeg_reads_the_chapters(episode: Path) -> None:
    before = decoded(episode), packets(episode), other_tags(episode)
    copy = episode.with_stem("copy")
    write_chapters(episode, copy, CHAPTERS)
    assert chapters_read(copy) == list(zip(STARTS, TITLES, strict=True))
    assert packets(copy) == before[1]
    np.testing.assert_array_equal(decoded(copy), before[0])
    assert other_tags(copy) == before[2]
    write_chapters(copy, copy, CHAPTERS[:2])  # again, in place
    assert chapters_read(copy) == list(zip(STARTS, TITLES, strict=True))[:2]
    assert packets(copy) == before[1]
    assert other_tags(copy) == before[2]
    assert sorted(each.name for each in copy.parent.iterdir()) == sorted([episode.name, copy.name])


@pytest.mark.parametrize("episode", ["mp3"], indirect=True)
def test_adverts_are_in_no_table_of_contents_of_id3(episode: Path) -> None:
    write_chapters(episode, episode, CHAPTERS)
    tags = mutagen.id3.ID3(episode)
    assert tags.version == (2, 3, 0)
    [toc] = tags.getall("CTOC")
    shown = [str(tags[f"CHAP:{name}"].sub_frames["TIT2"]) for name in toc.child_element_ids]
    assert shown == [TITLES[0], TITLES[1], TITLES[3]]
    assert len(tags.getall("CHAP")) == 4
    assert toc.flags == mutagen.id3.CTOCFlags.TOP_LEVEL | mutagen.id3.CTOCFlags.ORDERED


@pytest.mark.parametrize("episode", ["m4a"], indirect=True)
def test_mutagen_reads_the_list_of_nero(episode: Path) -> None:
    write_chapters(episode, episode, CHAPTERS)
    found = mutagen.mp4.MP4(episode).chapters
    assert [(each.start, each.title) for each in found] == list(zip(STARTS, TITLES, strict=True))


def test_json_chapters_follow_their_specification() -> None:
    """The rules of JSON chapters 1.2.0, written down here once more."""
    document = json.loads(chapter_files.as_json(CHAPTERS))
    assert document["version"] == "1.2.0"
    listed = document["chapters"]
    assert [each["startTime"] for each in listed] == sorted(STARTS)
    for each in listed:
        assert set(each) <= {"startTime", "title", "img", "url", "toc", "endTime", "location"}
        assert isinstance(each["startTime"], int | float)
        assert each["endTime"] > each["startTime"]
        assert isinstance(each.get("toc", True), bool)
    assert [each.get("toc", True) for each in listed] == [True, True, False, True]
    assert [each["title"] for each in listed] == TITLES


def test_another_library_reads_webvtt() -> None:
    found = webvtt.from_string(chapter_files.as_webvtt(CHAPTERS))
    assert [each.start_in_seconds for each in found] == [0, 1, 1, 2]
    assert [each.start for each in found][2] == "00:00:01.750"
    assert [each.text for each in found] == [
        each.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for each in TITLES
    ]


def test_feedparser_reads_podlove() -> None:
    psc = chapter_files.as_podlove(CHAPTERS)
    feed = f"<rss version='2.0'><channel><item><title>x</title>{psc}</item></channel></rss>"
    [entry] = feedparser.parse(io.BytesIO(feed.encode())).entries
    found = entry.psc_chapters.chapters
    assert [each["title"] for each in found] == TITLES
    assert [each["start_parsed"].total_seconds() for each in found] == STARTS


def test_text_is_one_line_a_chapter() -> None:
    lines = chapter_files.as_text([*CHAPTERS, Chapter(3, 4, "two\nlines", "talk")]).splitlines()
    assert len(lines) == 5
    assert lines[2].split() == ["00:01.8", "Advert", "(not", "listed)"]


def test_what_has_no_chapters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"talk\.wav: only mp3, m4a"):
        write_chapters(tmp_path / "talk.wav", tmp_path / "copy.wav", CHAPTERS)
    with pytest.raises(ConfigError, match=r"keeps its format; end its name in \.mp3"):
        write_chapters(tmp_path / "talk.mp3", tmp_path / "copy.m4a", CHAPTERS)


@pytest.mark.parametrize("suffix", ["m4a", "ogg", "flac"])
def test_a_file_that_is_not_what_its_name_says_stays(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"odd.{suffix}"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(DecodeError, match="odd"):
        write_chapters(path, path, CHAPTERS)
    assert path.read_bytes() == b"<html>not found</html>"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
