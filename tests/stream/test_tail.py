from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from airsift.cli.tail import _as_json, as_line
from stream.events import Alarm, Decision, Event, Gap, Level, Match, Segment, Share
from stream.kafka.client.chunk_trace import _event

RATE = 16000
NO_TIME = b'{"schema": "airsift.gap/1", "station": "a", "start_s": 0, "end_s": 1, "time": "x"}'
LATE = b'{"schema": "airsift.gap/1", "start_s": 0, "end_s": 1e99, "time": "2026-01-01T00:00:00Z"}'


def record(value: bytes | None, headers: dict[str, bytes] | None = None) -> SimpleNamespace:
    sent = list((headers or {}).items())
    return SimpleNamespace(
        topic="t", partition=1, offset=7, key=b"news", value=value, headers=sent, timestamp=0
    )


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            Segment("news", 0, 3723 * RATE, RATE, None, "music", 0.876, False),
            "00:00 - 1:02:03        news              segment   music 0.88 ...",
        ),
        (
            Segment("news", 0, 63 * RATE, RATE, 1_790_000_000.25, "music", 0.876, True),
            "2026-09-21 14:13:20Z - 14:14:23Z  news              segment   music 0.88",
        ),
        (
            Match("news", 0, RATE, RATE, None, "t", "Title", "Artist", 0, 12.0, True),
            "00:00 - 00:01          news              match     Artist - Title (score 12)",
        ),
        (
            Share("news", 0, RATE, RATE, None, "t", "Title", "Me", 0, 12.0),
            "00:00 - 00:01          news              share     a loop of Me - Title (score 12)",
        ),
        (
            Level(
                "news",
                0,
                5 * RATE,
                RATE,
                None,
                -20.0,
                (-20.0, -120.0),
                -3.25,
                -18.0,
                None,
                None,
                None,
                0,
                0.0,
                (2,),
                True,
            ),
            "00:00 - 00:05          news              level     -18.0 LUFS, peak -3.2 dBTP  "
            "channel 2 dead, frozen",
        ),
        (
            Alarm(
                "news",
                0,
                RATE,
                RATE,
                None,
                "dead_air",
                True,
                "warning",
                False,
                None,
                None,
                "ended",
                "dead air for 15 s",
            ),
            "00:00 - 00:01          news              alarm     "
            "dead_air: dead air for 15 s (over: ended)",
        ),
        (
            Gap("news", 0, RATE, RATE, None, "missing"),
            "00:00 - 00:01          news              gap       missing",
        ),
        (
            Decision("news", 0, RATE, RATE, None, 0.5, 0.25),
            "00:00 - 00:01          news              decision  speech 0.50  music 0.25",
        ),
    ],
)
def test_events_are_one_line_for_people(event: Event, line: str) -> None:
    assert as_line(record(event.to_json().encode())) == line


def test_a_trace_says_of_an_event_what_tail_says() -> None:
    event = Segment("news", 0, 63 * RATE, RATE, 1_790_000_000.25, "music", 0.876, True)
    sent = record(event.to_json().encode())
    line = _event(sent, "news", 1_790_000_010.0, 1_790_000_011.0)
    assert line is not None
    assert line.text == "music 0.88, 0.0 to 63.0 s"
    assert line.text.split(",")[0] in as_line(sent)


def test_a_dead_letter_names_its_reason() -> None:
    line = as_line(record(b"\0\1", {"airsift-reason": b"no audio"}))
    assert line.split() == ["news", "dead", "letter", "no", "audio"]


def test_a_note_marks_its_letter_as_resent() -> None:
    line = as_line(record(b"", {"airsift-replayed": b"1790000000000"}))
    assert line.split() == ["news", "dead", "letter", "sent", "again"]


@pytest.mark.parametrize(
    "value", [None, b"\xff", b"[]", b"{}", b'{"schema": "airsift.gap/1"}', NO_TIME, LATE]
)
def test_what_is_no_event_is_shown_as_it_is(value: bytes | None) -> None:
    assert as_line(record(value)) == f"t[1] 7: {(value or b'')[:80]!r}"


@pytest.mark.parametrize("value", [None, b"\xff\xfe", b"{"])
def test_any_record_is_valid_json(value: bytes | None) -> None:
    fields = json.loads(_as_json(record(value, {"airsift-reason": b"bad"})))
    assert fields == {"topic": "t", "key": "news", "headers": {"airsift-reason": "bad"}}
