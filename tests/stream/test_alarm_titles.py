"""Titles against songs, in whatever order both become known."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from stream.alarms.titles import Comparison, Titles, agreement
from stream.events import Alternative, Level, Match

RATE = 16_000


def level(second: int, title: str | None) -> Level:
    start, stop = second * RATE, (second + 1) * RATE
    return Level(
        "a", start, stop, RATE, None, -20.0, (-20.0,), -1.0, None, None, None, None, 0, 0.0, (),
        False, title,
    )  # fmt: skip


def match(start: int, stop: int, title: str, *others: str) -> Match:
    alternatives = tuple(Alternative(other, other, "") for other in others)
    return Match(
        "a", start * RATE, stop * RATE, RATE, None, title, title, "Somebody", 0, 9.0, False,
        alternatives=alternatives,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("title", "names", "value"),
    [
        ("Édith Piaf - La Vie en rose", ("La vie en Rose (mono)",), 0.8),
        ("ARTIST \N{EN DASH} SONG", ("Song",), 1.0),
        ("News at ten", ("La vie en rose",), 0.0),
        ("News", ("La vie en rose", "News"), 1.0),
        ("", ("Song",), None),
        ("Title", (), None),
        ("???", ("Song",), None),
        ("Звезда по имени Солнце", ("звезда",), 1.0),
    ],
)
def test_agreement(title: str, names: tuple[str, ...], value: float | None) -> None:
    assert agreement(title, names) == value


def test_a_song_waits_for_its_titles() -> None:
    titles = Titles()
    assert titles.add_title(level(0, "One")) == []
    assert titles.add_song(match(0, 3, "One")) == []
    assert titles.add_title(level(1, "One")) == []
    assert titles.add_title(level(2, "Two")) == [Comparison(0, 0, 3 * RATE, 0.0)]
    assert titles.add_song(match(0, 3, "One")) == []  # no news of it
    assert titles.finish(9 * RATE) == []


def test_any_alternative_may_be_meant() -> None:
    titles = Titles()
    titles.add_song(match(0, 1, "One", "Two"))
    [found] = titles.add_title(level(0, "somebody - two"))
    assert found.value == 1.0


SONGS = [match(2, 8, "One"), match(2, 12, "One"), match(14, 20, "Two"), match(14, 26, "Two")]
TITLES = [level(s, "One" if s < 10 else None if s < 17 else "Two") for s in range(30)]


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 34))
def test_the_order_in_which_both_come_and_a_restart_change_nothing(
    turns: list[bool], restart: int
) -> None:
    titles, found = Titles(), []
    songs, levels = list(SONGS), list(TITLES)
    stored = TypeAdapter(Titles)
    for number, turn in enumerate([*turns, *[True] * 4, *[False] * 30]):
        if turn and songs:
            found += titles.add_song(songs.pop(0))
        elif levels:
            found += titles.add_title(levels.pop(0))
        if number == restart:
            titles = stored.validate_python(json.loads(stored.dump_json(titles)))
    assert not songs
    assert not levels
    assert found == [
        Comparison(0, 2 * RATE, 8 * RATE, 1.0),
        Comparison(8 * RATE, 8 * RATE, 12 * RATE, None),
        Comparison(12 * RATE, 14 * RATE, 20 * RATE, 1.0),
        Comparison(20 * RATE, 20 * RATE, 26 * RATE, 1.0),
    ]


def test_memory_is_bounded() -> None:
    titles = Titles()
    for second in range(500):
        titles.add_title(level(second, f"{second} " + "x" * 10_000))
    for second in range(500, 900):
        titles.add_song(match(second, second + 1, f"{second}"))
    assert len(TypeAdapter(Titles).dump_json(titles)) < 60_000
