"""The server: events out, in every form; slow and vanished readers; files; refusals."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from airsift.errors import ConfigError
from airsift.web import live as live_module
from airsift.web.app import PAGES, STATIC, Api, openapi
from airsift.web.feed import WebSink
from airsift.web.server import serving
from stream.alarms.clips import clip_of
from stream.events import Alarm, Segment
from stream.testing import programme, tone, write_wav
from tests.airsift.web.reader import Reader
from tests.airsift.web.serve import (
    START_MS,
    Client,
    alarm,
    config,
    decision,
    match,
    segment,
    served,
    until,
)

pytestmark = pytest.mark.slow
HOSTILE = [
    "a/b?c#d&e=f",
    "😀 Радио",
    "<script>alert(1)</script>",
    "'\"\\\u2028",
    "../../etc/passwd",
]


def now_of(client: Client) -> dict:
    return {each["name"]: each["now"] for each in client.json("/api/stations")["stations"]}


def test_stations_of_any_name_are_answered_as_they_are_called() -> None:
    with served() as client:
        client.feed.put([segment(name, 0, 10, "music") for name in HOSTILE])
        until(lambda: set(now_of(client)) == set(HOSTILE))
        assert {now["label"] for now in now_of(client).values()} == {"music"}


def test_a_running_pipelines_sink_shows_its_events() -> None:
    with served() as client:
        sink = WebSink(client.feed)
        sink.write([Segment("a", 0, 160_000, 16_000, 1.7e9, "speech", 0.9, False, "female", 0.9)])
        sink.flush()
        sink.close()
        until(lambda: "a" in now_of(client))
        now = now_of(client)["a"]
        assert (now["label"], now["voice"], now["open"]) == ("speech", "female", True)


def test_the_wall_by_websocket_is_what_the_hub_has() -> None:
    with served() as client, client.socket("/api/wall/ws") as wall:
        reader = Reader()
        assert json.loads(wall.recv()) == {"problem": "", "groups": {}}
        reader.apply(json.loads(wall.recv()))
        for n in range(5):
            client.feed.put([decision("a", n, 0.1, 0.9), segment("b", n, n + 1, "speech")])
            time.sleep(0.3)
            reader.apply(json.loads(wall.recv()))
        assert {name for name, _ in reader.state()} == {"a", "b"}
        assert len(reader.stations["b"]["spans"]) == 5
        assert len(reader.stations["a"]["trace"]) == 5
        client.feed.problem = "no broker"
        assert json.loads(wall.recv()) == {"problem": "no broker", "groups": {}}


def test_events_come_as_messages_and_lines_and_go_on_where_they_broke_off() -> None:
    events = [segment("a", n, n + 1, "music") for n in range(3)]
    with served() as client:
        with client.socket("/api/events/ws?station=a&kind=segment") as given:
            assert json.loads(given.recv()) == {"position": 0, "lost": 0, "events": []}
            client.feed.put([*events, decision("a", 3, 0, 1), segment("b", 0, 1, "music")])
            message = json.loads(given.recv())
            assert message["events"] == events
            assert message["lost"] == 0
        with client.open("/api/events?kind=segment", headers={"Last-Event-ID": "1"}) as answer:
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            lines = [answer.readline().decode().rstrip("\n") for _ in range(10)]
        data = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
        assert data == [*events[1:], segment("b", 0, 1, "music")]
        assert "id: 5" in lines


def test_who_was_away_for_too_long_is_told_how_many_are_lost() -> None:
    with served() as client:
        events = [segment("a", n, n + 1, "music") for n in range(6000)]
        client.feed.put(events)
        until(lambda: "a" in now_of(client))
        with client.socket("/api/events/ws?after=0") as given:
            message = json.loads(given.recv())
        assert message["lost"] == 1000
        assert message["events"][0] == events[1000]


def test_a_reader_that_takes_nothing_is_cut_and_delays_nobody(monkeypatch) -> None:
    monkeypatch.setattr(live_module, "STUCK_S", 1.0)
    counts = readers_of(monkeypatch)
    big = [segment(f"station {n} {'x' * 400}", 0, 10, "music") for n in range(300)]
    with served() as client:
        with raw_socket(client, "/api/wall/ws") as stuck, client.socket("/api/wall/ws") as quick:
            until(lambda: counts()[0] == 2)
            revision, begun, longest = 0, time.monotonic(), 0.0
            while counts()[0] == 2 and time.monotonic() < begun + 20:
                client.feed.put([each | {"score": time.monotonic() % 1} for each in big])
                sent = time.monotonic()
                message = json.loads(quick.recv(timeout=10))
                longest = max(longest, time.monotonic() - sent)
                revision = message.get("revision", revision)
            assert counts()[0] == 1
            assert revision > 0
            assert longest < 5
            with contextlib.suppress(OSError):
                stuck.send(b"")
        until(lambda: counts()[0] == 0)


def test_readers_that_go_away_without_a_word_leave_nothing_behind(monkeypatch) -> None:
    counts = readers_of(monkeypatch)
    with served() as client:
        for path in ("/api/wall/ws", "/api/events/ws"):
            with raw_socket(client, path):
                until(lambda: counts()[0] == 1)
            until(lambda: counts()[0] == 0)
        answer = client.open("/api/events")
        until(lambda: counts()[0] == 1)
        answer.close()
        client.feed.put([segment("a", 0, 1, "music")])
        until(lambda: counts()[0] == 0)


def readers_of(monkeypatch):
    """Return a function for the number of readers of the next server."""
    made = []

    class Noted(live_module.Live):
        def __init__(self, *given):
            super().__init__(*given)
            made.append(self)

    monkeypatch.setattr(live_module, "Live", Noted)
    return lambda: [each.readers for each in made]


@contextlib.contextmanager
def raw_socket(client: Client, path: str):
    """Open a WebSocket and read nothing more; at the end reset the connection."""
    host, port = client.host.split(":")
    with socket.create_connection((host, int(port))) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {client.host}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert b"101" in raw.recv(100)
        yield raw
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_every_answer_has_a_policy_and_static_files_end_at_their_folder() -> None:
    with served() as client:
        paths = [*PAGES, "/api/stations", "/static/app.js", "/nothing", "/api/timeline"]
        for path in paths:
            with client.open(path) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert "http" not in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
        for path in (
            "/static/../app.py",
            "/static/%2e%2e/app.py",
            "/static//etc/passwd",
            "/static/",
        ):
            assert client.status(path) == 404, path


def test_the_page_names_no_other_host_and_holds_no_inline_code() -> None:
    for path in STATIC.iterdir():
        text = path.read_text(encoding="utf-8")
        forbidden = ("https://", "innerHTML", "insertAdjacent", "eval(", "document.write")
        assert not [word for word in forbidden if word in text], path
        assert text.replace("http://www.w3.org/2000/svg", "").count("http://") == 0, path
        if path.suffix == ".html":
            assert " style=" not in text
            assert " onclick=" not in text


def test_foreign_names_and_pages_are_refused() -> None:
    with served() as client:
        assert client.status("/", headers={"Host": "evil.example"}) == 421
        evil = {"Origin": "http://evil.example"}
        assert client.status("/api/segments", method="POST", headers=evil) == 403
        from websockets.exceptions import InvalidStatus

        for more in ({"origin": "http://evil.example"}, {"additional_headers": evil}):
            with pytest.raises(InvalidStatus, match="403"), client.socket("/api/wall/ws", **more):
                pass


def test_a_token_is_needed_where_one_is_set(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("a-token-of-24-characters")
    with served(f"web.token_file={path}") as client:
        assert client.status("/api/stations") == 401
        with client.open("/", headers={"Accept": "text/html"}) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/login")
        assert client.status("/login") == 200
        bearer = {"Authorization": "Bearer a-token-of-24-characters"}
        assert client.status("/api/stations", headers=bearer) == 200
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        with client.open("/login", "POST", b"token=wrong", form) as answer:
            assert answer.headers["Location"] == "/login?wrong"
            assert "Set-Cookie" not in answer.headers
        with client.open("/login", "POST", b"token=a-token-of-24-characters", form) as answer:
            cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        headers = {"Cookie": cookie.split(";")[0]}
        assert client.status("/", headers=headers) == 200
        with client.socket("/api/wall/ws", additional_headers=headers) as wall:
            assert json.loads(wall.recv()) == {"problem": "", "groups": {}}


def test_a_server_that_others_could_reach_does_not_start() -> None:
    with (
        pytest.raises(ConfigError, match="others can reach it"),
        serving(config('web.address="0.0.0.0"')),
    ):
        pass


def test_a_port_that_is_taken_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(ConfigError, match=f"web.port={port}"),
            serving(config(f"web.port={port}")),
        ):
            pass


WRONG = (
    "/api/timeline?station=a", "/api/timeline?station=a&since=yesterday&until=2",
    "/api/timeline?station=a&since=5&until=2",
    "/api/timeline?station=a&since=0&until=9999999999999",
    "/api/timeline?station=a&since=2026-11-29T15:04&until=9999999999999",
)  # fmt: skip


def test_wrong_questions_are_answered_with_the_rule() -> None:
    with served() as client:
        for path in WRONG:
            assert client.status(path) == 400, path
            assert client.json(path)["error"]
        assert client.status("/api/history") == 501
        assert client.status("/api/stations", method="DELETE") == 405


def test_without_a_database_a_timeline_is_what_is_in_memory() -> None:
    with served() as client:
        events = [
            segment("a", 0, 10, "speech"), segment("a", 10, 40, "music"), match("a", 12, 38),
            segment("a", 300, 310, "speech"),
        ]  # fmt: skip
        client.feed.put(events)
        until(lambda: "a" in now_of(client))
        query = f"station=a&since={START_MS + 5000}&until={START_MS + 60_000}"
        found = client.json(f"/api/timeline?{query}")
        assert found["source"] == "memory"
        assert [span[2] for span in found["labels"]] == ["speech", "music"]
        [song] = found["songs"]
        seconds = song["foreground_s"], song["under_speech_s"], song["other_s"]
        assert (song["title"], *seconds) == ("Starfall", 26, 0, 0)


def test_the_sound_around_an_alarm_is_played_where_it_is_kept(tmp_path: Path) -> None:
    name, folder = "../<b>/😀", tmp_path / "clips"
    opened = Alarm(
        name, 5, 9, 16_000, None, "dead_air", False, "critical", False, None, None, "", ""
    )
    clip = clip_of(folder, opened)
    clip.parent.mkdir(parents=True)
    sound = write_wav(clip, tone(1.0)).read_bytes()
    query = f"/api/alarms/clip?station={quote(name)}"
    with served(f"alarms.clips.folder={folder}") as client:
        assert client.json("/api/about")["clips"] is True
        with client.open(f"{query}&rule=dead_air&start_sample=5") as answer:
            assert (answer.headers["Content-Type"], answer.read()) == ("audio/wav", sound)
        assert client.status(f"{query}&rule=dead_air&start_sample=6") == 404
        for wrong in ("rule=..&start_sample=5", "rule=dead_air&start_sample=-5", "rule=dead_air"):
            assert client.status(f"{query}&{wrong}") == 400
        client.feed.put([alarm(name, 0, 5)])
        until(lambda: now_of(client))
        times = f"since={START_MS}&until={START_MS + 9000}"
        line = client.json(f"/api/timeline?station={quote(name)}&{times}")
        assert line["alarms"] == [
            [START_MS, START_MS + 5000, "dead air", "dead_air", "critical", 0]
        ]


def test_a_disk_that_takes_no_file_is_said(monkeypatch, tmp_path: Path) -> None:
    with served() as client:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "away"))
        answer = client.json("/api/segments?name=a", method="POST", body=b"audio")
        assert answer == {"error": "the file cannot be stored here: No such file or directory"}


def test_the_description_of_the_api_is_of_every_route_and_no_other() -> None:
    with served() as client:
        assert client.json("/api/openapi.json") == openapi()
        about = {
            "history": "memory", "uploads": True, "spectrum": False, "clips": False,
            "catalogue": "none", "unknown": False, "reports": False,
        }  # fmt: skip
        assert about.items() <= client.json("/api/about").items()
    routes = {
        (route.path, method.lower())
        for route in Api(None, None)._routes()  # type: ignore[arg-type]
        for method in getattr(route, "methods", None) or {"GET"}
        if route.path.startswith("/api/") and method != "HEAD"
    }
    paths = openapi()["paths"]
    assert routes == {(path, method) for path, given in paths.items() for method in given}
    text = json.dumps(openapi())
    for reference in {part.split('"')[0] for part in text.split('"$ref": "')[1:]}:
        found = openapi()
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]


@pytest.mark.process
def test_a_file_is_segmented_and_what_is_none_is_refused(tmp_path: Path) -> None:
    audio = write_wav(tmp_path / "a.wav", programme(40)).read_bytes()
    with served("web.max_upload_mb=2") as client:
        name = "%3Cscript%3E%2F..%2F%F0%9F%98%80.wav"
        with client.open(f"/api/segments?name={name}", "POST", audio) as answer:
            *events, done = [json.loads(line) for line in answer.read().splitlines()]
        assert done == {"done": True, "problems": []}
        assert {each["label"] for each in events} >= {"speech", "music"}
        assert {each["station"] for each in events} == {"😀.wav"}
        assert all(each["id"].startswith("😀.wav/segment/") for each in events)
        with client.open("/api/segments?name=b", "POST", b"no audio" * 99) as answer:
            *events, done = [json.loads(line) for line in answer.read().splitlines()]
        assert events == []
        assert done["done"] is False
        assert done["problems"]
        assert str(tmp_path) not in done["problems"][0]
        assert "/tmp" not in done["problems"][0]
        assert client.status("/api/segments", method="POST", body=b"x" * (2 << 20 | 1)) == 413
