"""Readers of the formats: other people's libraries where there are any, never the one that wrote.

Each takes the bytes of a file and returns its rows: begin and end in seconds, and a text.
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

Row = tuple[float, float, str]
Tiers = dict[str, list[Row]]


def read_textgrid_with_praat(data: bytes, folder: Path) -> Tiers:
    """Read a TextGrid with Praat itself, as parselmouth has it."""
    import parselmouth
    from parselmouth.praat import call

    path = folder / "praat.TextGrid"
    path.write_bytes(data)
    grid = parselmouth.read(str(path))
    tiers: Tiers = {}
    for tier in range(1, call(grid, "Get number of tiers") + 1):
        rows = []
        for number in range(1, call(grid, "Get number of intervals", tier) + 1):
            where = (grid, "Get start time of interval", tier, number)
            start = call(*where)
            end = call(grid, "Get end time of interval", tier, number)
            rows.append((start, end, call(grid, "Get label of interval", tier, number)))
        tiers[call(grid, "Get tier name", tier)] = rows
    return tiers


def read_textgrid(data: bytes, folder: Path) -> Tiers:
    """Read a TextGrid with the library textgrid."""
    import textgrid

    path = folder / "other.TextGrid"
    path.write_bytes(data)
    grid = textgrid.TextGrid.fromFile(str(path))
    return {
        tier.name: [(each.minTime, each.maxTime, each.mark) for each in tier] for tier in grid.tiers
    }


def read_elan(data: bytes, folder: Path) -> Tiers:
    """Read a document of ELAN with pympi."""
    from pympi.Elan import Eaf

    path = folder / "a.eaf"
    path.write_bytes(data)
    document = Eaf(str(path))
    return {
        name: [
            (row[0] / 1000, row[1] / 1000, row[2])
            for row in document.get_annotation_data_for_tier(name)
        ]
        for name in document.get_tier_names()
    }


def read_rttm(data: bytes) -> list[Row]:
    """Read RTTM with pandas, by the columns of its definition."""
    import csv

    import pandas

    names = ["type", "uri", "channel", "start", "length", "a", "b", "label", "c", "d"]
    if not data:
        return []
    frame = pandas.read_csv(
        io.BytesIO(data), sep=" ", names=names, quoting=csv.QUOTE_NONE, keep_default_na=False
    )
    assert set(frame["type"]) <= {"SPEAKER"}
    assert frame["uri"].nunique() == 1
    return [(row.start, round(row.start + row.length, 3), row.label) for row in frame.itertuples()]


def read_audacity(data: bytes) -> list[Row]:
    """Read labels of Audacity: three cells divided by tabs."""
    rows = []
    for line in data.decode().split("\n")[:-1]:
        start, end, text = line.split("\t")
        rows.append((float(start), float(end), text))
    return rows


def read_srt(data: bytes) -> list[Row]:
    """Read SubRip with the library srt."""
    import srt

    return [
        (each.start.total_seconds(), each.end.total_seconds(), each.content)
        for each in srt.parse(data.decode())
    ]


def read_with_pysubs2(data: bytes, kind: str) -> list[Row]:
    """Read subtitles with pysubs2."""
    import pysubs2

    found = pysubs2.SSAFile.from_string(data.decode(), format_=kind)
    return [(each.start / 1000, each.end / 1000, each.plaintext) for each in found]


def read_jams(data: bytes) -> Tiers:
    """Read JAMS with its library, which validates it by the schema."""
    import jams

    found = jams.load(io.StringIO(data.decode()), validate=True, strict=True)
    return {
        annotation.sandbox.content: [
            (each.time, round(each.time + each.duration, 3), each.value) for each in annotation.data
        ]
        for annotation in found.annotations
    }


def read_ebucore(data: bytes) -> list[Row]:
    """Read the parts of EBUCore: begin and length as durations of ISO 8601, and their type."""
    names = {"e": "urn:ebu:metadata-schema:ebucore", "dc": "http://purl.org/dc/elements/1.1/"}
    root = ElementTree.fromstring(data)
    assert root.tag == f"{{{names['e']}}}ebuCoreMain"
    rows = []
    for part in root.iterfind("e:coreMetadata/e:part", names):
        start = part.findtext("e:partStartTime/e:offsetNormalPlayTime", "", names)
        length = part.findtext("e:partDuration/e:normalPlayTime", "", names)
        begin, seconds = (float(_groups(r"PT([\d.]+)S", text)[0]) for text in (start, length))
        rows.append((begin, round(begin + seconds, 3), part.attrib["typeLabel"]))
    return rows


def _groups(pattern: str, text: str) -> tuple[str, ...]:
    found = re.fullmatch(pattern, text)
    assert found, text
    return found.groups()


def read_cue(data: bytes) -> tuple[str, list[tuple[int, str]]]:
    """Read a CUE sheet by its definition: the file, and each track's frame and title."""
    text = data.decode("utf-8", "surrogateescape")
    first, *lines = text.split("\r\n")[:-1]
    file, _ = _groups(r'FILE "([^"]*)" (WAVE|MP3|AIFF)', first)
    tracks: list[tuple[int, str]] = []
    title = ""
    for line in lines:
        word, rest = line.split(maxsplit=1)
        if word == "TRACK":
            assert rest == f"{len(tracks) + 1:02} AUDIO"
        elif word == "TITLE":
            title = _groups(r'"([^"]*)"', rest)[0]
        elif word == "INDEX":
            minutes, seconds, frames = map(int, _groups(r"01 (\d+):([0-5]\d):(\d\d)", rest))
            assert frames < 75
            tracks.append(((minutes * 60 + seconds) * 75 + frames, title))
        else:
            assert word in ("PERFORMER", "ISRC")
    assert len(tracks) <= 99
    return file, tracks


def read_m3u(data: bytes) -> list[tuple[float, float, str, str]]:
    """Read a playlist as VLC does: options belong to the next line that is no comment."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    assert lines[0] == "#EXTM3U"
    rows, title, options = [], "", dict[str, float]()
    for line in filter(None, lines[1:]):
        if line.startswith("#EXTINF:"):
            title = line.partition(",")[2]
        elif line.startswith("#EXTVLCOPT:"):
            name, _, value = line.removeprefix("#EXTVLCOPT:").partition("=")
            options[name] = float(value)
        else:
            rows.append((options.pop("start-time"), options.pop("stop-time"), title, line))
    return rows


def read_json(data: bytes, part: str = "segments") -> list[Row]:
    """Read the segments, or the labels, of the JSON document."""
    return [(e["start_s"], e["end_s"], e["label"]) for e in json.loads(data)[part]]


def read_rows(data: bytes, kind: str = "segment") -> list[Row]:
    """Read the segments, or the labels, of JSON lines."""
    rows = (json.loads(line) for line in data.splitlines())
    found = [e for e in rows if e["schema"] == f"airsift.{kind}/1"]
    return [(e["start_s"], e["end_s"], e["label"]) for e in found]


def read_csv(data: bytes, kind: str = "segment") -> list[Row]:
    """Read the segments, or the labels, of the table with pandas."""
    import pandas

    frame = pandas.read_csv(io.BytesIO(data), keep_default_na=False, dtype=str)
    found = frame[frame["schema"] == kind]
    return [(float(e.start_s), float(e.end_s), e.label) for e in found.itertuples()]
