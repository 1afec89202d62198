"""Events of every kind, for the tests of the history, as hypothesis makes them."""

from __future__ import annotations

from hypothesis import strategies as st

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

RATE = 16_000
DAY_S = 86_400
NEW_YEAR = 1_767_225_600  # 2026-01-01
# What a station may be called, and a title may be.
HOSTILE = (
    "radio", "a/segment/1", "/", "'; DROP TABLE airsift_events; --", '"quoted"', "😀 Радио",
    "<script>", "%_\\", "", " ", "x" * 5000, "line\nbreak", "nul\0nul", "half \ud83d", "\x1b[2J",
)  # fmt: skip

names = st.sampled_from(HOSTILE) | st.text(max_size=20)
probabilities = st.floats(0, 1).map(lambda value: round(value, 3))
seconds = st.integers(0, 3 * DAY_S)


@st.composite
def events(draw: st.DrawFn, stations: st.SearchStrategy[str] = names) -> Event:
    """Return an event of any kind, dated or not."""
    start_s = draw(seconds)
    start = start_s * RATE + draw(st.integers(0, RATE - 1))
    end = start + draw(st.integers(0, 3600 * RATE))
    time = None if draw(st.booleans()) else NEW_YEAR + start / RATE
    base = (draw(stations), start, end, RATE, time)
    recording = {
        "album": draw(names), "isrc": draw(names), "record_label": draw(names),
    }  # fmt: skip
    heard = (draw(names), draw(names), draw(names), draw(st.integers(0, 2**40)))
    score = draw(st.floats(0, 1000).map(lambda value: round(value, 3)))
    match draw(
        st.sampled_from(
            ["decision", "segment", "label", "match", "share", "repeat", "level", "gap", "alarm"]
        )
    ):
        case "decision":
            p = draw(probabilities), draw(probabilities)
            return Decision(*base, *p, final=draw(st.booleans()))
        case "segment":
            label = draw(st.sampled_from(["speech", "music", "speech_over_music", "other"]))
            voice = draw(st.sampled_from([(None, None), (None, 0.6), ("female", 0.9)]))
            return Segment(*base, label, draw(probabilities), draw(st.booleans()), *voice)
        case "label":
            return Labelled(*base, draw(names), draw(probabilities), draw(st.booleans()))
        case "match":
            more = {"final": draw(st.booleans()), "track_duration": draw(st.none() | seconds)}
            more["extra"] = draw(
                st.dictionaries(names, names | st.integers() | st.none(), max_size=3)
            )
            others = draw(st.lists(st.builds(Alternative, names, names, names), max_size=2))
            return Match(*base, *heard, score, **more, **recording, alternatives=tuple(others))
        case "share":
            return Share(*base, *heard, score, **recording)
        case "repeat":
            count = draw(st.integers(2, 9))
            guess = draw(st.sampled_from(["advert", "song"]))
            return Repeat(*base, draw(names), count, 0, draw(names), guess, draw(names))
        case "alarm":
            severity = draw(st.sampled_from(["warning", "critical"]))
            flags = draw(st.booleans()), severity, draw(st.booleans())
            values = draw(st.none() | st.just(-60.5)), draw(st.none() | st.just(-50.0))
            rule = draw(st.sampled_from(["gone", "dead_air"]))
            return Alarm(*base, rule, *flags, *values, draw(names), draw(names), draw(names))
        case "level":
            loud = draw(st.none() | st.just(-23.5))
            channels = tuple(draw(st.lists(st.just(-20.1), max_size=2)))
            dead = tuple(draw(st.lists(st.integers(1, 8), max_size=2)))
            peak = -1.0, loud, loud, loud, draw(st.none() | st.just(-0.5))
            faults = draw(st.integers(0, 9)), draw(st.sampled_from([0.0, 4.5])), dead
            title = draw(st.none() | names)
            return Level(*base, -20.1, channels, *peak, *faults, draw(st.booleans()), title)
    return Gap(*base, draw(names))


def storable(value: object) -> object:
    """Return what a database stores of a text, and of all texts in a value."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {storable(name): storable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [storable(each) for each in value]
    return value
