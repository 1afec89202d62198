"""A file of stations: each entry stands for itself."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import ConfigError
from stream.kafka.settings import KafkaSettings
from stream.lines import one_line
from stream.sources.settings import HttpSettings, MicrophoneSettings
from stream.stations.entry import StationEntry, StationList, read_stations
from stream.stations.watch import FileWatch

HTTP = HttpSettings.default()
GOOD = '[[stations]]\nname = "one"\nsource = "http://radio.example/one"\n'


def read(folder: Path, text: str) -> StationList:
    path = folder / "stations.toml"
    path.write_text(text, encoding="utf-8")
    return read_stations(path, HTTP)


def test_what_a_station_may_have(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """
        [[stations]]
        name = "Rádió 1/FM 🎧"
        source = "https://radio.example/live"
        group = "north"
        http = { timeout_s = 3, username = "me", password_file = "/secret" }

        [[stations]]
        name = "desk"
        source = "microphone:USB"

        [[stations]]
        name = "tape"
        source = "tapes/a.wav"
        track = "2"
        enabled = false
        """,
    )
    assert found.problems == ()
    web, desk, tape = found.entries
    assert (web.kind, desk.kind, tape.kind) == ("web", "microphone", "file")
    assert desk.microphone_settings(MicrophoneSettings.default()).device == "USB"
    assert tape.source == str(tmp_path / "tapes" / "a.wav")
    settings = web.http_settings(HTTP)
    assert (settings.timeout_s, settings.username) == (3, "me")
    assert settings.max_backoff_s == HTTP.max_backoff_s
    assert list(found.enabled) == ["Rádió 1/FM 🎧", "desk"]


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ('source = "http://a"', "name: Field required"),
        ('name = "x"', "source: Field required"),
        ('name = ""\nsource = "http://a"', "name: String should have at least 1"),
        ('name = 5\nsource = "http://a"', "name: Input should be a valid string"),
        ('name = "a\\nb"\nsource = "http://a"', "one line"),
        ('name = "a\\u202e"\nsource = "http://a"', "one line"),
        ('name = " a"\nsource = "http://a"', "one line"),
        ('name = "x"\nsource = "ftp://a"', "scheme ftp must be http or https"),
        ('name = "x"\nsource = "file:///etc/passwd"', "scheme file must be http or https"),
        ('name = "x"\nsource = "http://a"\ncolour = 3', "colour: Extra inputs"),
        ('name = "x"\nsource = "http://a"\nenabled = "no"', "enabled: Input should be a valid"),
        ('name = "x"\nsource = "http://a"\nhttp = { timeout_s = -1 }', "http: timeout_s"),
        ('name = "x"\nsource = "http://a"\nhttp = { what = 1 }', "http: what"),
        ('name = "x"\nsource = "http://a"\nhttp = { username = "me" }', "belong together"),
        ('name = "one"\nsource = "http://b"', "has the name of a station above"),
        ('name = "x"\nsource = "a"\ncatalogue = "a\\u0000b"', "catalogue: must be one line"),
        ('name = "x"\nsource = "a"\ncatalogue = "~nobody-here/c"', "is no folder"),
        (f'name = "x"\nsource = "a"\ncatalogue = "{"a" * 3000}"', "is no folder"),
    ],
)
def test_an_entry_that_cannot_be_used_leaves_the_others(
    tmp_path: Path, entry: str, says: str
) -> None:
    found = read(tmp_path, f'{GOOD}[[stations]]\n{entry}\n[[stations]]\nname="z"\nsource="z.wav"')
    assert list(found.enabled) == ["one", "z"]
    (problem,) = found.problems
    assert says in problem.text
    assert "station 2" in problem.text
    assert "\n" not in problem.text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[stations]\n", "is no TOML"),
        ("a = 1", "has a: it may hold"),
        ("stations = 1", "has a stations that is no list"),
        ("[kafka]\n", "has kafka"),
        ("stations = " + "[" * 5000, "nested too deeply"),
        ("a = 1" + "0" * 5000, "is no TOML"),
        ("a = 2026-02-30", "is no TOML"),
    ],
)
def test_a_file_that_lists_no_stations_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read(tmp_path, text)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_stations(tmp_path / "none.toml", HTTP)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is no TOML"):
        read_stations(tmp_path / "bytes.toml", HTTP)


# What files, home directories, web servers, zones and hours do not take.
ODD = ("~", "~nobody-here/a", "~\0", "a" * 3_999, "/", "..", "http://[::1", "kafka:", "Europe")
VALUES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(ODD),
    st.integers(),
    st.booleans(),
    st.lists(st.integers(), max_size=2),
    st.lists(st.sampled_from(ODD), max_size=2),
    st.dictionaries(st.sampled_from(["timeout_s", "x", "dead_air"]), st.integers(), max_size=2),
)
KEYS = st.sampled_from([*StationEntry.model_fields, "name", "source", "other"])


@given(tables=st.lists(st.dictionaries(KEYS, VALUES, max_size=5), max_size=5))
def test_every_entry_is_used_or_explained(
    tmp_path_factory: pytest.TempPathFactory, tables: list[dict[str, object]]
) -> None:
    found = read(tmp_path_factory.mktemp("list"), "".join(map(_table, tables)))
    assert len(found.entries) + len(found.problems) == len(tables)
    assert len({each.name for each in found.entries}) == len(found.entries)
    for problem in found.problems:
        assert one_line(problem.text) == problem.text


def _table(values: dict[str, object]) -> str:
    return "[[stations]]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in values.items())


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            escaped = "".join(f"\\U{ord(c):08x}" for c in value)
            return f'"{escaped}"'
        case list():
            return f"[{', '.join(map(_toml, value))}]"
        case dict():
            return "{ " + ", ".join(f"{k} = {v}" for k, v in value.items()) + " }"
        case _:
            return str(value)


@given(text=st.one_of(st.text(max_size=60), st.text("[]{}=.,\"'#a1\n", max_size=60)))
def test_any_text_is_a_list_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    with suppress(ConfigError):
        read(tmp_path_factory.mktemp("list"), f"{GOOD}{text}")


def test_a_mark_of_the_encoding_is_no_error(tmp_path: Path) -> None:
    assert list(read(tmp_path, f"\ufeff{GOOD}").enabled) == ["one"]


def test_a_changed_file_is_reported_once_and_when_it_rests(tmp_path: Path) -> None:
    path, now = tmp_path / "list", [0.0]
    path.write_text("a")
    watch = FileWatch(path, lambda: now[0])

    def looks() -> bool:
        now[0] += 1.0
        return watch.has_changed()

    assert not looks()
    path.write_text("a longer text")
    assert [looks(), looks(), looks()] == [False, True, False]
    path.unlink()
    assert [looks(), looks(), looks()] == [False, True, False]
    path.write_text("b")
    seen = []
    for length in range(3):  # while it is written, it does not rest
        path.write_text("b" * (length + 2))
        seen.append(looks())
    assert [*seen, looks(), looks()] == [False, False, False, True, False]


def test_a_request_reports_a_change_at_once(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("a")
    watch = FileWatch(path)
    watch.request()
    assert watch.has_changed()
    assert not watch.has_changed()


def test_the_example_can_be_used_as_it_is() -> None:
    found = read_stations(
        Path(__file__).parents[2] / "configs" / "stations.toml", HTTP, KafkaSettings.default()
    )
    assert found.problems == ()
    assert {entry.kind for entry in found.entries} == {"web", "kafka", "microphone", "file"}
