"""The client of schema registries, against a server on loopback that answers as told."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from airsift.errors import BrokerError, ConfigError
from stream.events import Gap
from stream.kafka.codec.event_message import unframed
from stream.kafka.schema_registry import SchemaRegistry, open_format, schema_of
from stream.kafka.settings import KafkaSettings, MessageSettings, RegistrySettings

Request = tuple[str, dict[str, str], dict[str, str]]
Answer = tuple[int, bytes]
TYPE = "application/vnd.schemaregistry.v1+json"


@contextmanager
def answering(
    answer: Callable[[str, dict[str, str]], Answer],
) -> Iterator[tuple[str, list[Request]]]:
    """Give the address of a server, and its requests: path, headers and body."""
    requests: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            requests.append((self.path, dict(self.headers), body))
            status, content = answer(self.path, body)
            self.send_response(status)
            if status == 307:
                self.send_header("Location", content.decode())
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", requests
        server.shutdown()


def numbering(path: str, body: dict[str, str]) -> Answer:
    return 200, json.dumps({"id": 7 if "decision" in body["schema"] else 8}).encode()


def settings_of(url: str, **changes: object) -> KafkaSettings:
    return KafkaSettings.default(
        messages=MessageSettings.default(framing="confluent"),
        registry=RegistrySettings.default(url=url, **changes),
    )


@pytest.mark.parametrize("register", [True, False])
def test_each_kind_of_event_has_the_number_of_its_schema(register: bool) -> None:
    with answering(numbering) as (url, requests):
        form = open_format(settings_of(url, register_schemas=register), ["gap", "decision"])
    asked = {path: body for path, _, body in requests}
    end = "/versions" if register else ""
    assert asked.keys() == {f"/subjects/airsift.{t}-value{end}" for t in ("gaps", "decisions")}
    body = asked[f"/subjects/airsift.gaps-value{end}"]
    assert body == {"schemaType": "JSON", "schema": schema_of("gap")}
    assert all(headers["Content-Type"] == TYPE for _, headers, _ in requests)
    assert not any("Authorization" in headers for _, headers, _ in requests)
    gap = Gap("a", 0, 1, 16000, None, "missing")
    value = form.encode(gap).value
    assert value[:5] == b"\0\0\0\0\x08"
    assert unframed(value) == gap.to_bytes()


def test_every_kind_of_event_that_has_a_topic_has_a_schema() -> None:
    with answering(numbering) as (url, requests):
        open_format(settings_of(url))
    assert len(requests) == len(KafkaSettings.default().topics.events)
    for _, _, body in requests:
        assert json.loads(body["schema"])["type"] == "object"


def test_a_login_is_sent_and_never_shown(tmp_path) -> None:
    file = tmp_path / "password"
    file.write_text("sécret\n")
    for changes in ({"password_file": str(file)}, {"password": "sécret"}):
        with answering(lambda *_: (401, b'{"error_code":40101,"message":"no"}')) as (url, requests):
            settings = settings_of(url, username="bob", **changes).registry
            with pytest.raises(BrokerError, match=r"kafka\.registry\.username") as caught:
                SchemaRegistry(settings).id_of("s-value", "{}")
        assert "sécret" not in str(caught.value)
        assert "sécret" not in repr(settings)
        [(_, headers, _)] = requests
        assert (
            base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode()
            == "bob:sécret"
        )


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            (409, b'{"error_code":409,"message":"is\\nincompatible"}'),
            "compatibility of the subject to NONE",
        ),
        ((404, b"not here"), r"\(404: Not Found\); check kafka.registry.url"),
        ((500, b""), "refuses subject s-value"),
        ((307, b"http://127.0.0.1:1/elsewhere"), r"\(307"),
        ((200, b"<html>"), "does not answer as one"),
        ((200, b'{"id": "7"}'), "without the number of a schema"),
        ((200, b'{"id": true}'), "without the number of a schema"),
        ((200, b'{"id": 2147483648}'), "without the number of a schema"),
        ((200, b"[]"), "without the number of a schema"),
        ((200, b'{"id": 1' + b" " * (2 << 20) + b"}"), "does not answer as one"),
    ],
)
def test_each_refusal_is_one_line_with_a_way_out(answer: Answer, message: str) -> None:
    with (
        answering(lambda *_: answer) as (url, _),
        pytest.raises(BrokerError, match=message) as caught,
    ):
        SchemaRegistry(RegistrySettings.default(url=url)).id_of("s-value", "{}")
    assert "\n" not in str(caught.value)
    assert url in str(caught.value)


def test_a_schema_that_must_be_there_and_is_not_is_named() -> None:
    refusal = 404, b'{"error_code":40403,"message":"Schema not found"}'
    with (
        answering(lambda *_: refusal) as (url, _),
        pytest.raises(BrokerError, match="register docs/schemas there"),
    ):
        open_format(settings_of(url, register_schemas=False), ["gap"])


def test_a_registry_that_is_away_or_hangs_is_an_error_in_time() -> None:
    away = RegistrySettings.default(url="http://127.0.0.1:9")
    with pytest.raises(BrokerError, match="framing=none"):
        SchemaRegistry(away).id_of("s-value", "{}")
    hangs = threading.Event()
    with answering(lambda *_: (hangs.wait(10), (200, b"{}"))[1]) as (url, _):
        slow = RegistrySettings.default(url=url, timeout_s=0.2)
        with pytest.raises(BrokerError, match="timed out"):
            SchemaRegistry(slow).id_of("s-value", "{}")
        hangs.set()


@pytest.mark.parametrize("key", ["password_file", "ca_file"])
def test_a_file_that_is_missing_is_named(key: str, tmp_path) -> None:
    settings = RegistrySettings.default(
        url="https://127.0.0.1:9", username="bob", **{key: str(tmp_path / "missing")}
    )
    with pytest.raises(ConfigError, match=f"kafka.registry.{key}=.*missing"):
        SchemaRegistry(settings)


def test_without_framing_no_registry_is_asked() -> None:
    with answering(numbering) as (url, requests):
        settings = KafkaSettings.default(registry=RegistrySettings.default(url=url))
        open_format(settings)
    assert not requests
