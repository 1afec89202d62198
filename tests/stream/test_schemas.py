"""The documents of docs/ against airsift's output, now and in version 1."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from stream.audio import AudioChunk
from stream.events import (
    Alarm,
    Alternative,
    Decision,
    Event,
    Gap,
    Labelled,
    Level,
    Match,
    Repeat,
    Segment,
    Share,
)
from stream.kafka.codec.message import CODECS, encode, encode_end
from stream.kafka.settings import TopicSettings

DOCS = Path(__file__).parents[2] / "docs"
RATE = 16000
EVENTS = [
    Decision("a", 0, 80000, RATE, 1.7e9, 0.95, 1.0),
    Decision("a", 0, 32000, RATE, None, 0.5, 0.5, final=False),
    Segment("ö b", RATE, 5 * RATE, RATE, None, "speech_over_music", 0.5, False),
    Segment("a", 0, RATE, RATE, None, "speech", 0.9, True, "female", 0.97),
    Labelled("a", 0, RATE, RATE, 1.7e9, "applause", 0.9, True),
    Labelled("ö b", RATE, 5 * RATE, RATE, None, "rain, or fire", 0.5, False),
    Match("a", 0, 5 * RATE, RATE, 0.0, "key", "Title", "Artist", 123, 17.5, True),
    Match(
        "a", 0, 9, RATE, None, "key", "", "", 1, 2.0, False, album="Album", isrc="XX1234567890",
        record_label="Label", track_duration=180 * RATE, extra={"work": "W7", "year": 1999},
        alternatives=(Alternative("b", "T", ""),),
    ),
    Share("a", 0, 9 * RATE, RATE, 0.0, "key", "Title", "", 5, 3.5, album="Album",
          isrc="XX1234567890", record_label="L"),
    Repeat("a", 900 * RATE, 930 * RATE, RATE, None, "9c41e07b52", 3, 0, "music", "song"),
    Level("a", 0, 5 * RATE, RATE, 0.0, -20.5, (-20.0, -21.0), -3.2, -18.0, -19.0, -23.0, 0.5, 12,
          0.3, (2,), True, "Artist - Title"),
    Level("a", 0, 5, RATE, None, -120.0, (-120.0,), -120.0, None, None, None, None, 0, 5.0, (),
          False),
    Gap("a", 0, 1, RATE, None, "missing"),
    Alarm("a", 0, 5 * RATE, RATE, 1.7e9, "dead_air", False, "warning", False, -71.5, -50.0, "",
          "dead air for 15 s", "north"),
    Alarm("a", 0, 0, RATE, None, "gone", True, "critical", True, None, None, "over", "no audio"),
]  # fmt: skip
# What subscribers of version 1 rely on: fields may be added to it, and nothing else.
COMMON = ["schema", "id", "station", "start_sample", "end_sample", "start_s", "end_s", "time"]
VERSION_1 = {
    "decision": [*COMMON, "p_speech", "p_music", "confidence", "final"],
    "segment": [*COMMON, "label", "score", "final"],
    "label": [*COMMON, "label", "score", "final"],
    "match": [*COMMON, "track", "title", "artist", "track_start_s", "score", "final"],
    "share": [*COMMON, "track", "title", "artist", "track_start_s", "score"],
    "repeat": [*COMMON, "cluster", "count", "previous_start_s", "label", "guess", "title"],
    "level": [
        *COMMON,
        "level_dbfs",
        "channels_dbfs",
        "true_peak_dbtp",
        "momentary_lufs",
        "short_term_lufs",
        "integrated_lufs",
        "correlation",
        "clipped",
        "silence_s",
        "dead_channels",
        "frozen",
        "title",
    ],
    "gap": [*COMMON, "reason"],
    "alarm": [
        *COMMON,
        "rule",
        "final",
        "severity",
        "escalated",
        "value",
        "threshold",
        "reason",
        "text",
        "group",
    ],
}
# Fields that came later: a message of before them is of version 1 all the same.
OPTIONAL = {
    "decision": {"level_dbfs"},
    "segment": {"voice", "voice_score"},
    "match": {"album", "isrc", "record_label", "track_duration_s", "extra", "alternatives"},
}
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "object": (dict,),
    "array": (list,),
}


def problems(value: Any, schema: dict[str, Any], at: str = "$") -> list[str]:
    """Return what is wrong, for the keywords that our schemas use."""
    found = []
    names = schema.get("type", [])
    kinds = [k for name in ([names] if isinstance(names, str) else names) for k in TYPES[name]]
    if kinds and (not isinstance(value, tuple(kinds)) or (type(value) is bool) != (bool in kinds)):
        return [f"{at}: {value!r} is no {names}"]
    if "const" in schema and value != schema["const"]:
        found.append(f"{at}: {value!r} is not {schema['const']!r}")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{at}: {value!r} is none of {schema['enum']}")
    if isinstance(value, int | float) and not (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
    ):
        found.append(f"{at}: {value} is out of range")
    if isinstance(value, str):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            found.append(f"{at}: {len(value)} characters")
        if not re.search(schema.get("pattern", ""), value):
            found.append(f"{at}: {value!r} is not like {schema['pattern']}")
    if isinstance(value, list):
        for index, each in enumerate(value):
            found += problems(each, schema.get("items", {}), f"{at}[{index}]")
    if isinstance(value, dict):
        found += [
            f"{at}: {name} is missing" for name in schema.get("required", []) if name not in value
        ]
        for name, part in schema.get("properties", {}).items():
            if name in value:
                found += problems(value[name], part, f"{at}.{name}")
    return found


def schema(kind: str) -> dict[str, Any]:
    return json.loads((DOCS / "schemas" / f"{kind}.json").read_text())


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_events_match_their_schema(event: Event) -> None:
    assert problems(json.loads(event.to_json()), schema(event.kind)) == []


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_the_schema_is_strict_enough_to_notice(event: Event) -> None:
    fields = event.to_dict()
    for name in fields:
        without = {k: v for k, v in fields.items() if k != name}
        assert bool(problems(without, schema(event.kind))) == (
            name not in OPTIONAL.get(event.kind, ())
        )
        assert problems({**fields, name: ["wrong"]}, schema(event.kind))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_subscribers_of_version_1_are_not_broken(event: Event) -> None:
    fields = event.to_dict()
    assert [name for name in VERSION_1[event.kind] if name not in fields] == []
    assert fields["schema"] == f"airsift.{event.kind}/1"


@pytest.fixture(scope="module")
def asyncapi() -> dict[str, Any]:
    return json.loads((DOCS / "asyncapi.json").read_text())


def test_the_document_names_all_topics(asyncapi: dict[str, Any]) -> None:
    topics = TopicSettings.default()
    addresses = {channel["address"] for channel in asyncapi["channels"].values()}
    assert addresses == {topics.audio, topics.dead_letters, *topics.events.values()}


def test_every_reference_leads_somewhere(asyncapi: dict[str, Any]) -> None:
    references = re.findall(r'"\$ref": "([^"]+)"', json.dumps(asyncapi))
    assert references
    for reference in references:
        if reference.startswith("#/"):
            node = asyncapi
            for part in reference[2:].split("/"):
                node = node[part]
        else:
            assert (DOCS / reference).is_file()


@pytest.mark.parametrize("codec", CODECS)
def test_published_audio_matches_the_document(asyncapi: dict[str, Any], codec: str) -> None:
    chunk = AudioChunk("a", 5, np.zeros(2000, np.float32), RATE, 1.7e9)
    message = encode(chunk, codec)
    fields = {name: value.decode() for name, value in message.headers}
    audio = asyncapi["components"]["messages"]["audio"]
    assert problems(fields, audio["headers"]) == []
    assert set(fields) == set(audio["headers"]["properties"])


def test_a_published_end_matches_the_document(asyncapi: dict[str, Any]) -> None:
    message = encode_end("a", 5, RATE)
    fields = {name: value.decode() for name, value in message.headers}
    end = asyncapi["components"]["messages"]["end"]
    assert problems(fields, end["headers"]) == []
    assert set(fields) == set(end["headers"]["properties"])
    assert len(message.value) <= end["payload"]["maxLength"]


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)  # fmt: skip


@given(extra=st.dictionaries(st.text("ab é", max_size=3), SCALARS, max_size=5))
def test_a_match_of_a_snapshot_is_published_with_the_same_bytes(
    extra: dict[str, str | int | float | bool | None],
) -> None:
    match = Match("a", 0, RATE, RATE, None, "key", "", "", 0, 9.0, final=True, extra=extra)
    stored = TypeAdapter(Match)
    assert stored.validate_json(stored.dump_json(match)).to_json() == match.to_json()
