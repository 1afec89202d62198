"""A server for tests, and what asks it."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from airsift.config import Config, load
from airsift.web.feed import Feed
from airsift.web.server import serving

START_MS = 1_780_000_000_000  # 2026-05-28


def config(*sets: str) -> Config:
    return load(sets=["web.port=0", *sets], environ={}).config


@dataclass
class Client:
    """Asks a server."""

    url: str
    feed: Feed

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://").rstrip("/")

    def open(
        self,
        path: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HTTPResponse:
        connection = http.client.HTTPConnection(self.host, timeout=60)
        connection.request(method, path, body, dict(headers or {}))
        return connection.getresponse()

    def status(self, path: str, **more: Any) -> int:
        with self.open(path, **more) as answer:
            return answer.status

    def json(self, path: str, **more: Any) -> Any:
        with self.open(path, **more) as answer:
            return json.loads(answer.read())

    def socket(self, path: str, **more: Any) -> Any:
        from websockets.sync.client import connect

        return connect(f"ws://{self.host}{path}", **more)


@contextmanager
def served(*sets: str, history: bool = False) -> Iterator[Client]:
    with serving(config(*sets), history=history) as server:
        client = Client(server.url, server.feed)
        until(lambda: answers(client))
        yield client


def answers(client: Client) -> bool:
    try:
        return client.status("/api/about") in (200, 401)
    except OSError:
        return False


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never held"
        time.sleep(0.02)


def event(kind: str, station: str, start_s: float, end_s: float, **more: Any) -> dict[str, Any]:
    """Return the JSON of an event of a station that began at `START_MS`."""
    begin = START_MS / 1000 + start_s
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(begin))
    return {
        "schema": f"airsift.{kind}/1",
        "id": f"{station}/{kind}/{round(start_s * 16_000)}",
        "station": station,
        "start_sample": round(start_s * 16_000),
        "end_sample": round(end_s * 16_000),
        "start_s": start_s,
        "end_s": end_s,
        "time": f"{text}.{round(begin * 1000) % 1000:03}Z",
        **more,
    }


def segment(station: str, start_s: float, end_s: float, label: str, **more: Any) -> dict[str, Any]:
    own = {"label": label, "score": 0.97, "final": True, "voice": None, "voice_score": None}
    return event("segment", station, start_s, end_s, **(own | more))


def decision(station: str, end_s: float, p_speech: float, p_music: float) -> dict[str, Any]:
    own = {"p_speech": p_speech, "p_music": p_music, "confidence": 0.9, "final": True}
    return event("decision", station, end_s - 5, end_s, **own, level_dbfs=-18.0)


def match(station: str, start_s: float, end_s: float, **more: Any) -> dict[str, Any]:
    own = {
        "track": "k1", "title": "Starfall", "artist": "Nova", "track_start_s": 3.0, "score": 12.0,
        "final": False, "album": "Sky", "isrc": "", "record_label": "", "track_duration_s": 200.0,
        "extra": {}, "alternatives": [],
    }  # fmt: skip
    return event("match", station, start_s, end_s, **(own | more))


def alarm(station: str, start_s: float, end_s: float, **more: Any) -> dict[str, Any]:
    own = {
        "rule": "dead_air", "final": False, "severity": "critical", "escalated": False,
        "value": -70.0, "threshold": -50.0, "reason": "", "text": "dead air", "group": "",
    }  # fmt: skip
    return event("alarm", station, start_s, end_s, **(own | more))


def database(folder: Path) -> str:
    """Return the address of a database of a test."""
    return str(folder / "history.db")
