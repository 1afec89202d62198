"""The catalogue, unknown pieces and reports by the API."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from fingerprint.analysis.track_landmarks import analyse
from fingerprint.catalogue import Catalogue
from fingerprint.index.track_list import TrackList
from fingerprint.matching.matcher import LandmarkMatcher
from fingerprint.repeats import finder
from fingerprint.track import Track
from stream.events import Match, Repeat, Segment
from stream.history.rows import row_of
from stream.lines import to_json
from stream.testing import write_wav
from tests.airsift.web import repeated
from tests.airsift.web.serve import START_MS, Client, segment, served, until
from tests.fingerprint.music import compose
from tests.stream.databases import Base

RATE = 16_000
HOSTILE = "</td><script>1</script>'\"/..%2F😀\u202e"
SHOWN = "</td><script>1</script>'\"/..%2F😀"
JSON = {"Content-Type": "application/json"}
FOREIGN = ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"})


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A catalogue with three tracks."""
    folder = tmp_path / "shelf"
    opened = Catalogue.create(folder)
    for seed, (key, title, artist) in enumerate(
        [("k/1?", "Löwenzahn", "Ébène"), ("k2", HOSTILE, "<b>No</b>"), ("k3", "Orbit", "Nova")], 1
    ):
        landmarks = analyse([compose(seed, 12.0)], key)
        opened.add_landmarks(landmarks, Track(key, title, artist, "Album", "DEA000000001"))
    opened.close()
    return folder


@pytest.fixture
def client(shelf: Path) -> Iterator[Client]:
    with served(f"identify.catalogue={to_json(str(shelf))}") as client:
        yield client


def send(client: Client, method: str, path: str, body: object = None, **headers: str) -> Any:
    data = None if body is None else to_json(body).encode()  # type: ignore[arg-type]
    with client.open(path, method, data, JSON | headers) as answer:
        return answer.status, json.loads(answer.read())


def keys(client: Client, query: str = "") -> list[str]:
    return [track["key"] for track in client.json(f"/api/catalogue{query}")["tracks"]]


def test_tracks_are_listed_newest_first_in_parts_and_found_by_words(client: Client) -> None:
    assert client.json("/api/about")["catalogue"] == "write"
    found = client.json("/api/catalogue?limit=2")
    assert (found["found"], found["total"]) == (3, 3)
    assert [track["key"] for track in found["tracks"]] == ["k3", "k2"]
    assert found["tracks"][0] | {"extra": {}} == {
        "key": "k3", "title": "Orbit", "artist": "Nova", "album": "Album", "isrc": "DEA000000001",
        "label": "", "duration_s": 12.0, "copy_of": "", "extra": {},
    }  # fmt: skip
    assert keys(client, "?limit=2&offset=2") == ["k/1?"]
    for words, expected in {
        "lowen": ["k/1?"], "EBENE%20Löwen": ["k/1?"], "no": ["k3", "k2"], "nova%20löwen": [],
        "%25": ["k2"], "dea0": ["k3", "k2", "k/1?"], "'%20OR%201=1": [],
    }.items():  # fmt: skip
        assert keys(client, f"?search={quote(words, safe='%')}") == expected, words
    assert client.status("/api/catalogue?limit=0") == 400
    assert client.status("/api/catalogue?offset=-1") == 400


def test_a_track_is_renamed_and_removed_and_a_matcher_that_runs_knows(
    client: Client, shelf: Path
) -> None:
    matcher = LandmarkMatcher(Catalogue.open(shelf))
    query = matcher.extract(compose(3, 12.0))
    assert [match.title for match in matcher.match(query)] == ["Orbit"]
    path = "/api/catalogue/track?key=k3"
    status, track = send(client, "PATCH", path, {"title": HOSTILE, "artist": " x\ny "})
    assert (status, track["title"], track["artist"]) == (200, SHOWN, "x y")
    assert (track["album"], track["isrc"]) == ("Album", "DEA000000001")
    assert client.json("/api/catalogue")["tracks"][0]["title"] == SHOWN
    assert [match.title for match in matcher.match(query)] == [SHOWN]
    assert send(client, "DELETE", path) == (200, {"removed": "k3"})
    assert matcher.match(query) == []
    assert keys(client) == ["k2", "k/1?"]
    # Another tab has removed it.
    for method, body in (("DELETE", None), ("PATCH", {"title": "a"})):
        status, answer = send(client, method, path, body)
        assert (status, "no track of this key" in answer["error"]) == (409, True)
    assert (
        send(client, "PATCH", f"/api/catalogue/track?key={quote('k/1?')}", {"album": ""})[0] == 200
    )


WRONG: list[tuple[object, str]] = [
    ({"title": ""}, "title"), ({"title": " \n"}, "title"), ({"title": 5}, "title"),
    ({"key": "a"}, "key"), ([], "object"), ({"album": "x" * 501}, "500"),
]  # fmt: skip


def test_wrong_names_are_refused_and_change_nothing(client: Client) -> None:
    before = client.json("/api/catalogue")
    for body, word in WRONG:
        status, answer = send(client, "PATCH", "/api/catalogue/track?key=k3", body)
        assert status == 400, body
        assert word in answer["error"]
    assert send(client, "PATCH", "/api/catalogue/track", {"title": "a"})[0] == 400
    plain = {"Content-Type": "text/plain"}
    path = "/api/catalogue/track?key=k3"
    assert client.status(path, method="PATCH", body=b'{"title":"a"}', headers=plain) == 415
    assert client.status(path, method="PATCH", body=b"{", headers=JSON) == 400
    assert client.status(path, method="PATCH", body=b"[" * 300_000, headers=JSON) == 413
    assert client.json("/api/catalogue") == before


def changing(client: Client) -> list[tuple[str, str]]:
    paths = client.json("/api/openapi.json")["paths"]
    return [(path, method) for path, its in paths.items() for method in its if method != "get"]


def test_nothing_is_changed_for_a_page_of_another_site(client: Client) -> None:
    before = client.json("/api/catalogue")
    asked = changing(client)
    assert len(asked) >= 6
    for path, method in asked:
        for headers in FOREIGN:
            with client.open(
                f"{path}?key=k3&name=a", method.upper(), b'{"title":"a"}', JSON | headers
            ) as answer:
                assert answer.status == 403, (path, method, headers)
                assert "another site" in json.loads(answer.read())["error"]
    own = {"Origin": client.url.rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert client.json("/api/catalogue") == before
    assert send(client, "DELETE", "/api/catalogue/track?key=k3", **own)[0] == 200


def test_where_nothing_may_be_changed_or_is_set_up_it_is_said(shelf: Path) -> None:
    with served(f"identify.catalogue={to_json(str(shelf))}", "web.may_change=false") as client:
        assert client.json("/api/about")["catalogue"] == "read"
        assert len(keys(client)) == 3
        assert send(client, "DELETE", "/api/catalogue/track?key=k3")[0] == 403
        assert client.status("/api/catalogue?name=a", method="POST", body=b"x") == 403
    with served() as client:
        for path, word in {
            "/api/catalogue": "identify.catalogue", "/api/unknown": "repeats.folder",
            "/api/reports": "--database", "/api/reports/x": "--database",
        }.items():  # fmt: skip
            with client.open(path) as answer:
                assert answer.status == 501
                assert word in json.loads(answer.read())["error"]


def test_a_token_is_needed_to_change_anything(shelf: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef")
    catalogue = f"identify.catalogue={to_json(str(shelf))}"
    with served(catalogue, f"web.token_file={to_json(str(token))}") as client:
        path = "/api/catalogue/track?key=k3"
        assert send(client, "DELETE", path)[0] == 401
        assert send(client, "DELETE", path, Authorization="Bearer 0123456789abcdef")[0] == 200


def test_a_catalogue_that_is_written_by_another_process_is_said(
    client: Client, shelf: Path
) -> None:
    with Catalogue.open(shelf).writing():
        status, answer = send(client, "DELETE", "/api/catalogue/track?key=k3")
    assert (status, "another process is writing" in answer["error"]) == (409, True)
    assert len(keys(client)) == 3


@pytest.mark.slow
@pytest.mark.process
def test_a_file_that_is_added_is_found_by_a_matcher_that_runs(
    client: Client, shelf: Path, tmp_path: Path
) -> None:
    matcher = LandmarkMatcher(Catalogue.open(shelf))
    sound = compose(9, 14.0)
    query = matcher.extract(sound)
    assert matcher.match(query) == []
    data = write_wav(tmp_path / "a.wav", sound).read_bytes()
    name = quote("../..\\<script>é😀\n.wav")
    with client.open(f"/api/catalogue?name={name}", "POST", data) as answer:
        added = json.loads(answer.read())
    assert (added["result"], added["problems"], added["like"]) == ("added", [], None)
    assert added["file"] == "<script>é😀\ufffd.wav"
    assert added["track"]["title"] == "<script>é😀\ufffd"
    assert "content" not in added["track"]
    [match] = matcher.match(query)
    assert (match.track, match.title) == (added["track"]["key"], "<script>é😀\ufffd")
    assert client.json("/api/catalogue")["total"] == 4

    # The very file again; its sound at another level; no audio; nothing at all.
    again = client.json("/api/catalogue?name=b.wav", method="POST", body=data)
    assert (again["result"], again["track"]["title"]) == ("present", "<script>é😀\ufffd")
    quiet = write_wav(tmp_path / "b.wav", sound * np.float32(0.6)).read_bytes()
    other = client.json("/api/catalogue?name=b.wav", method="POST", body=quiet)
    assert (other["result"], other["like"]["track"]) == ("duplicate", match.track)
    assert "same recording" in other["like"]["text"]
    kept = client.json("/api/catalogue?name=b.wav&duplicates=1", method="POST", body=quiet)
    assert (kept["result"], kept["track"]["title"]) == ("added", "b")
    assert client.json("/api/catalogue")["tracks"][0]["copy_of"] == match.track
    for body in (b"no audio" * 99, b""):
        failed = client.json("/api/catalogue?name=c.mp3", method="POST", body=body)
        assert (failed["result"], failed["track"]) == ("failed", None)
        [problem] = failed["problems"]
        assert problem.startswith("c.mp3: ")
        assert "/tmp" not in problem
        assert str(tmp_path) not in problem
    assert client.json("/api/catalogue")["total"] == 5
    assert Catalogue.open(shelf).verify() == []


def test_a_file_that_is_too_large_is_refused(shelf: Path) -> None:
    with served(f"identify.catalogue={to_json(str(shelf))}", "web.max_upload_mb=1") as client:
        body = b"x" * (1 << 20 | 1)
        assert client.status("/api/catalogue?name=a", method="POST", body=body) == 413
    with served(f"identify.catalogue={to_json(str(shelf))}", "web.max_upload_mb=0") as client:
        assert client.status("/api/catalogue?name=a", method="POST", body=b"x") == 413


def test_a_catalogue_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    with served(f"identify.catalogue={to_json(str(tmp_path / 'none'))}") as client:
        assert client.json("/api/catalogue") == {"found": 0, "total": 0, "offset": 0, "tracks": []}
        assert send(client, "DELETE", "/api/catalogue/track?key=a")[0] == 409
    assert not (tmp_path / "none").exists()


# Unknown pieces


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[Repeat]]:
    """A folder of repeats, and the events of its first station."""
    monkeypatch.setattr(finder, "MIN_LAG", repeated.MIN_LAG)
    root = tmp_path / "repeats"
    events = repeated.store(root, HOSTILE, 1)
    repeated.store(root, "talk", 2, "speech")
    clips = next(path for path in root.iterdir() if "talk" not in path.name) / "clips"
    assert not clips.exists()
    clips.mkdir()
    write_wav(clips / f"{events[0].cluster}.wav", repeated.audio(1)[: 3 * RATE])
    return root, events


@pytest.mark.slow
def test_an_unknown_piece_is_listed_heard_and_named(
    played: tuple[Path, list[Repeat]], tmp_path: Path
) -> None:
    root, events = played
    shelf, base = tmp_path / "shelf", Base(tmp_path / "history.db")
    with base.writer() as writer:
        writer.open()
        writer.write([row_of(event) for event in events])
    matcher = LandmarkMatcher(Catalogue.create(shelf))
    with served(
        f"identify.catalogue={to_json(str(shelf))}", f"repeats.folder={to_json(str(root))}",
        f"database.url={to_json(base.url)}", history=True,
    ) as client:  # fmt: skip
        found = client.json("/api/unknown")
        [piece] = found["pieces"]
        assert (piece["station"], piece["count"], piece["title"]) == (HOSTILE, 3, "")
        assert (piece["label"], piece["clip"]) == ("music", True)
        for each, at in zip(piece["occurrences"], repeated.SPOTS, strict=True):
            assert each["dated"]
            assert abs(each["start_ms"] - START_MS - at * 1000) < 300
            assert abs(each["end_ms"] - each["start_ms"] - repeated.SPOT_S * 1000) < 300
        assert client.json("/api/unknown?kind=all")["found"] == 2
        assert client.json("/api/unknown?named=1")["found"] == 0

        place = {"folder": piece["folder"], "cluster": piece["cluster"]}
        query = "&".join(f"{name}={quote(value)}" for name, value in place.items())
        with client.open(f"/api/unknown/clip?{query}") as answer:
            assert answer.headers["Content-Type"] == "audio/wav"
            assert answer.read()[:4] == b"RIFF"
        for wrong in ("folder=..&cluster=a", f"folder={quote(piece['folder'])}&cluster=../runs"):
            assert client.status(f"/api/unknown/clip?{wrong}") == 404

        line = f"/api/timeline?station={quote(HOSTILE)}&since={START_MS}&until={START_MS + 200_000}"
        assert {span[2] for span in client.json(line)["repeats"]} == {piece["guess"]}

        name = {**place, "title": "<b>Soap</b>", "artist": "A & B", "kind": "advert"}
        path = "/api/unknown/name"
        for wrong in ({"title": ""}, {"cluster": "0"}, {"folder": "../shelf"}, {"album": "x"}):
            assert send(client, "POST", path, name | wrong)[0] in (400, 404)
        status, track = send(client, "POST", path, name)
        assert (status, track["title"], track["extra"]["kind"]) == (200, "<b>Soap</b>", "advert")
        # Named in another tab meanwhile.
        status, answer = send(client, "POST", path, name)
        assert (status, "has a track of this key" in answer["error"]) == (409, True)

        assert client.json("/api/unknown")["found"] == 0
        [piece] = client.json("/api/unknown?named=1")["pieces"]
        assert piece["title"] == "<b>Soap</b>"
        # It is recognised from now on, and what was stored before has its name.
        start = round(repeated.SPOTS[1] * RATE)
        heard = repeated.audio(1)[start : start + round(repeated.SPOT_S * RATE)]
        assert [match.title for match in matcher.match(matcher.extract(heard))] == ["<b>Soap</b>"]
        assert {span[2] for span in client.json(line)["repeats"]} == {"<b>Soap</b>"}
        stored = client.json("/api/history?kind=repeat")["events"]
        assert {event["title"] for event in stored} == {"<b>Soap</b>"}


def test_a_folder_of_repeats_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    with served(f"repeats.folder={to_json(str(tmp_path / 'none'))}") as client:
        assert client.json("/api/unknown")["pieces"] == []
        assert client.status("/api/unknown?kind=x") == 400
        assert send(client, "POST", "/api/unknown/name", {"title": "a"})[0] == 501


# Groups


def test_the_groups_of_a_file_are_sent_and_follow_it(tmp_path: Path) -> None:
    from airsift.web.groups import GroupsFile
    from airsift.web.server import serving
    from tests.airsift.web.serve import answers, config

    path = tmp_path / "stations.toml"
    text = '[[stations]]\nname = "{}"\nsource = "http://127.0.0.1/a"\ngroup = "{}"\n'

    def write(groups: dict[str, str]) -> None:
        path.write_text("".join(text.format(*each) for each in groups.items()))

    write({"__proto__": "<b>West</b>", "b": "", "c": "West/😀"})
    settings = config()
    with serving(settings, groups=GroupsFile(path, settings)) as server:
        client = Client(server.url, server.feed)
        until(lambda: answers(client))
        client.feed.put([segment("c", 0, 5, "music"), segment("b", 0, 5, "music")])
        with client.socket("/api/wall/ws") as wall:
            first = json.loads(wall.recv())
            assert first["groups"] == {"__proto__": "<b>West</b>", "c": "West/😀"}
            until(lambda: len(client.json("/api/stations")["stations"]) == 2)
            groups = {s["name"]: s.get("group") for s in client.json("/api/stations")["stations"]}
            assert groups == {"b": None, "c": "West/😀"}
            write({"b": "East"})
            end = time.monotonic() + 20
            while first.get("groups") != {"b": "East"}:
                assert time.monotonic() < end
                first = json.loads(wall.recv(timeout=20))
            path.write_text("no toml")
            time.sleep(2.5)
            assert client.json("/api/stations")["stations"][0]["group"] == "East"


# Reports


@pytest.fixture
def history(tmp_path: Path) -> Base:
    base, begin = Base(tmp_path / "history.db"), START_MS // 1000
    rows = []
    for name in (HOSTILE, "-x"):
        rows += [
            Segment(name, 0, RATE * 600, RATE, float(begin), "music", 0.9, True),
            Match(name, RATE * 10, RATE * 200, RATE, begin + 10.0, "k", HOSTILE, "No<va>", 0, 9,
                  True),
        ]  # fmt: skip
    with base.writer() as writer:
        writer.open()
        writer.write([row_of(each) for each in rows])
    return base


DAY = {"from": "2026-05-28", "to": "2026-05-29", "zone": "Europe/Berlin"}


@pytest.mark.slow
@pytest.mark.process
def test_reports_are_made_shown_and_saved(history: Base, tmp_path: Path) -> None:
    with served(f"database.url={to_json(history.url)}", history=True) as client:
        assert client.json("/api/about")["reports"] is True
        about = client.json("/api/reports")
        assert [each["name"] for each in about["formats"]][:2] == ["html", "csv"]
        status, made = send(client, "POST", "/api/reports", DAY)
        assert (status, made["format"], made["notes"]) == (200, "html", [])
        with client.open(f"/api/reports/{made['id']}") as answer:
            text = answer.read().decode()
            policy = answer.headers.get_all("Content-Security-Policy")
            assert answer.headers["Content-Disposition"].startswith("inline")
        assert len(policy or []) == 1
        assert "script" not in policy[0]  # type: ignore[index]
        assert "sandbox" in policy[0]  # type: ignore[index]
        assert "<script" not in text
        assert "&lt;script&gt;" in text

        asked = {**DAY, "format": "csv", "table": "playlist", "stations": ["-x"]}
        status, made = send(client, "POST", "/api/reports", asked)
        assert status == 200
        with client.open(f"/api/reports/{made['id']}") as answer:
            assert answer.headers["Content-Disposition"].startswith("attachment")
            [head, row] = answer.read().decode().splitlines()
        assert row.startswith("'-x,")
        assert head.startswith("station,")

        for wrong, word in (
            ({"stations": ["none"]}, "nothing is stored"),
            ({"format": "soundexchange", "stations": ["-x"]}, "TransmissionCategory"),
        ):
            status, answer = send(client, "POST", "/api/reports", DAY | wrong)
            assert (status, word in answer["error"]) == (422, True), answer
            assert "--" not in answer["error"]
        assert client.status("/api/reports/none") == 404


def children() -> list[str]:
    """Return the processes that this one has started, as far as they run `airsift`."""
    found = []
    for path in Path("/proc/self/task").glob("*/children"):
        for number in path.read_text().split():
            with contextlib.suppress(OSError):
                line = Path("/proc", number, "cmdline").read_bytes()
                found += [line.decode()] if b"airsift\0report" in line else []
    return found


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("leaves", ["browser", "server"])
def test_a_report_that_nobody_waits_for_is_not_made(history: Base, leaves: str) -> None:
    with served(f"database.url={to_json(history.url)}", history=True) as client:
        asking = http.client.HTTPConnection(client.host)
        asking.request("POST", "/api/reports", json.dumps(DAY), JSON)
        until(lambda: len(children()) == 1, 60)
        if leaves == "browser":
            asking.close()
            until(lambda: not children(), 60)
            assert send(client, "POST", "/api/reports", DAY | {"to": "no"})[0] == 400
    assert children() == []
    asking.close()


def test_wrong_reports_are_refused_before_they_are_made(tmp_path: Path) -> None:
    with served(f"database.url={to_json(str(tmp_path / 'h.db'))}", history=True) as client:
        for wrong in (
            {"from": "yesterday"}, {"to": "2026-05-01"}, {"format": "pdf"}, {"to": "2030-01-01"},
            {"stations": "a"}, {"stations": [5]}, {"stations": ["a"] * 501}, {"zone": "../x"},
            {"table": "x"}, {"fields": {"a": 1}}, {"fields": []}, {"output": "/tmp/x"},
        ):  # fmt: skip
            status, answer = send(client, "POST", "/api/reports", DAY | wrong)
            assert (status, bool(answer["error"])) == (400, True), wrong
        assert send(client, "POST", "/api/reports", [])[0] == 400


def test_a_list_of_a_hundred_thousand_tracks_is_asked_in_parts(tmp_path: Path) -> None:
    folder = tmp_path / "shelf"
    opened = Catalogue.create(folder)
    rows = [(f"k{n}", f"Song {n}", f"Artist {n % 100}") for n in range(2000)]
    database = opened._metadata._db
    database.executemany(
        "INSERT INTO tracks (key, title, artist, album, isrc, label, duration, content, extra, "
        "recording) VALUES (?, ?, ?, '', '', '', 160000, '', '{}', '')", rows,
    )  # fmt: skip
    opened.close()
    tracks = TrackList(folder)
    part = tracks.part("song artist", offset=1950, limit=100)
    assert (part.found, part.total, len(part.tracks)) == (2000, 2000, 50)
    assert part.tracks[-1].key == "k0"
    assert [track.title for track in tracks.part("SONG 1999").tracks] == ["Song 1999"]
    tracks.close()
