"""`airsift segment` and `classify` of files behind web addresses."""

from __future__ import annotations

import base64
import csv
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from airsift.cli.app import make_app
from airsift.errors import SourceError
from fingerprint.catalogue import Catalogue
from tests.stream.media import encode, noise

RATE = 16_000
SECRETS = ("alice", "s3cr3t", "tok3n")
LOGIN = base64.b64encode(b"alice:s3cr3t").decode()


class Handler(SimpleHTTPRequestHandler):
    """A folder; ``/private`` wants a login, and ``/to?`` leads to what follows it."""

    def do_GET(self) -> None:
        if self.path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to?"))
            self.end_headers()
            return
        if self.path.startswith("/private"):
            if self.headers.get("Authorization") != f"Basic {LOGIN}":
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="files"')
                self.end_headers()
                return
            self.path = self.path.removeprefix("/private")
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    handler = partial(Handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    samples = noise(14, RATE)
    samples[:, 6 * RATE :] *= 0.001
    encode(folder / "a.flac", samples, RATE, "flac")
    encode(folder / "a.mp3", samples, RATE, "libmp3lame")
    encode(folder / "a b.wav", samples, RATE, "pcm_s16le")
    encode(folder / "short.mp3", samples[:, : RATE * 3 // 10], RATE, "libmp3lame")
    (folder / "page.mp3").write_text("<html><body>This is no audio.</body></html>" * 50)
    return folder


@pytest.fixture
def host(folder: Path) -> Iterator[str]:
    with serving(folder) as host:
        yield host


def events(text: str) -> list[dict[str, object]]:
    found = [json.loads(line) for line in text.splitlines()]
    return [{k: v for k, v in each.items() if k not in ("id", "station")} for each in found]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.flac", "a.mp3", "a%20b.wav"])
def test_a_file_behind_an_address_gives_what_it_gives_on_the_disk(
    folder: Path, host: str, name: str
) -> None:
    url = f"http://{host}/{name}"
    there = CliRunner().invoke(make_app(), ["segment", url])
    here = CliRunner().invoke(make_app(), ["segment", str(folder / name.replace("%20", " "))])
    assert (there.exit_code, there.stderr) == (here.exit_code, here.stderr) == (0, "")
    assert events(there.stdout) == events(here.stdout) != []
    assert {json.loads(line)["station"] for line in there.stdout.splitlines()} == {url}
    assert {event["time"] for event in events(there.stdout)} == {None}


@pytest.mark.slow
@pytest.mark.parametrize("command", ["segment", "classify"])
def test_a_login_and_a_query_are_in_nothing_that_is_written(host: str, command: str) -> None:
    urls = [
        f"http://alice:s3cr3t@{host}/private/a.mp3?key=tok3n#tok3n",
        f"HTTP://alice:s3cr3t@{host}/private/short.mp3?key=tok3n",
        f"http://alice:s3cr3t@{host}/private/none.mp3?key=tok3n",
        f"http://alice:s3cr3t@{host}:1/private/a.mp3?key=tok3n",
        f"http://alice:wrong-s3cr3t@{host}/private/a.mp3?key=tok3n",
        f"ftp://alice:s3cr3t@{host}/a.mp3?key=tok3n",
    ]
    done = CliRunner().invoke(make_app(), [command, "--format", "csv", *urls])
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    name = "station" if command == "segment" else "file"
    assert {row[name] for row in rows} == {f"http://{host}/private/a.mp3"}
    assert done.exit_code == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 5
    assert "short.mp3: 0.3" in lines[0]
    for secret in SECRETS:
        assert secret not in done.output


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://{host}/none.mp3", ["/none.mp3", "404"]),
        ("http://{host}/private/a.mp3", ["/private/a.mp3", "401"]),
        ("http://{host}/page.mp3", ["/page.mp3", "no audio"]),
        ("http://127.0.0.1:1/a.mp3", ["127.0.0.1:1", "refused"]),
        ("http://{host}/to?ftp://127.0.0.1/a.mp3", ["/to"]),
        ("http://{host}/to?file:///etc/passwd", ["/to"]),
        ("file:///etc/passwd", ["file", "only http:// and https://"]),
        ("ftp://{host}/a.mp3", ["ftp", "only http:// and https://"]),
        ("concat://{host}/a.mp3|b", ["concat", "only http:// and https://"]),
        ("https://", ["only http:// and https://"]),
        ("http://[::1/a.mp3", ["only http:// and https://"]),
    ],
)
@pytest.mark.parametrize("command", ["classify"])
def test_what_cannot_be_read_is_one_line(
    host: str, command: str, url: str, words: list[str]
) -> None:
    done = CliRunner().invoke(make_app(), [command, "--format", "jsonl", url.format(host=host)])
    assert (done.exit_code, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("airsift: ")
    for word in words:
        assert word.lower() in line.lower()


@pytest.mark.slow
def test_a_private_address_is_refused_by_configuration(host: str) -> None:
    options = ["--format", "jsonl", "--set", "http.allow_private=false"]
    done = CliRunner().invoke(make_app(), ["classify", *options, f"http://{host}/a.mp3"])
    assert (done.exit_code, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert "no public address" in line


def test_a_file_that_is_called_as_an_address_is_read_by_a_path(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "http:").mkdir()
    (tmp_path / "http:" / "a.flac").write_bytes((folder / "a.flac").read_bytes())
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(make_app(), ["classify", "--format", "jsonl", "./http://a.flac"])
    assert done.exit_code == 0
    assert {json.loads(line)["file"] for line in done.stdout.splitlines()} == {"http:/a.flac"}


def test_what_is_read_is_counted(host: str) -> None:
    from airsift import config
    from airsift.inputs import open_input
    from stream.runner import Stop

    source = open_input(f"http://{host}/a.flac", config.load(environ={}).config, Stop())
    chunks = [chunk for batch in source for chunk in batch]
    source.close()
    assert source.duration_s == pytest.approx(14)
    assert source.decoded_s == 14
    assert np.concatenate([chunk.samples for chunk in chunks]).shape == (14 * RATE,)


@pytest.mark.parametrize("command", ["add", "match"])
def test_a_catalogue_refuses_addresses(tmp_path: Path, command: str) -> None:
    if command == "match":
        Catalogue.create(tmp_path / "shelf")
    url = "https://alice:s3cr3t@example.org/a.mp3?key=tok3n"
    options = ["--catalogue", str(tmp_path / "shelf")]
    done = CliRunner().invoke(make_app(), ["catalogue", command, *options, url])
    assert isinstance(done.exception, SourceError)
    assert str(done.exception).startswith("https://example.org/a.mp3: only `segment`")
    for secret in SECRETS:
        assert secret not in str(done.exception)
