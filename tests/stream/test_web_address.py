"""Web addresses: hidden secrets and refused destinations."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from airsift.cli.app import make_app
from airsift.errors import SourceError
from stream.sources import web_client
from stream.sources.http import HttpSource
from stream.sources.settings import HttpSettings
from stream.sources.web_address import PublicOnly, check_scheme, is_public, public_name
from stream.sources.web_client import WebClient
from tests.stream.web_server import (
    Answer,
    encoded,
    length_s,
    radio,
    received_audio,
    stream,
    whole,
)

SECRET = "open-sesame-81723"
words = st.text("abcXYZ019-_.~%", min_size=1, max_size=8)


@given(
    user=words, password=words, host=words, path=st.lists(words, max_size=3), query=words, end=words
)
def test_a_name_has_neither_login_nor_query(
    user: str, password: str, host: str, path: list[str], query: str, end: str
) -> None:
    shown = "/".join(["http://" + host, *path])
    url = f"http://{user}:{SECRET}{password}@" + shown[7:] + f"?token={SECRET}{query}#{end}"
    assert public_name(url) == shown
    assert public_name(shown) == shown


@given(st.text(max_size=60).filter(lambda text: SECRET not in text), st.text(max_size=20))
def test_no_text_is_too_odd_for_a_name(before: str, after: str) -> None:
    for url in (f"http://{before}?{SECRET}{after}", f"http://u:{SECRET}@{before}"):
        # A second "@", "/" or bracket moves what a login is; it is never shown as a query.
        name = public_name(url)
        assert isinstance(name, str)
    assert SECRET not in public_name(f"http://{before}?{SECRET}")


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "tcp://10.0.0.1:22", "ftp://host/a.mp3", "/etc/passwd", "data:,x",
     "http:///nowhere", "http://[::1", "http://host:port/", "concat:a|b", "", "C:\\music\\a.mp3"],
)  # fmt: skip
def test_only_http_and_https_are_addresses(url: str) -> None:
    with pytest.raises(SourceError, match=r"^list: .*only http:// and https:// are read$"):
        check_scheme(url, "list")
    check_scheme("HTTPS://host/a", "list")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::808:808", True),
        ("2002:7f00:1::", False),
        ("not an address", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.slow
def test_what_is_private_is_refused_by_name() -> None:
    with radio({"/live": stream(encoded(3), then=2)}) as (url, visits):
        with pytest.raises(SourceError, match=r"127\.0\.0\.1.*http\.allow_private=false") as error:
            HttpSource(
                f"{url}/live?token={SECRET}", "radio", HttpSettings.default(allow_private=False)
            )
        assert SECRET not in str(error.value)
        assert visits == []
        for name in ("localhost", "127.1", "[::1]", "2130706433", "0x7f000001"):
            port = url.rpartition(":")[2]
            with pytest.raises(SourceError):
                HttpSource(
                    f"http://{name}:{port}/live", "radio", HttpSettings.default(allow_private=False)
                )
        assert visits == []


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> str:
    """Take 127.0.0.1 for public, and 127.0.0.2 for private, where a server waits for nobody."""

    class Guard(PublicOnly):
        def __init__(self) -> None:
            super().__init__(lambda address: address == "127.0.0.1")

    monkeypatch.setattr(web_client, "PublicOnly", Guard)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.2,127.0.0.1")
    return "127.0.0.2"


@pytest.mark.slow
def test_public_addresses_are_read_as_without_the_rule(inside: str) -> None:
    data = encoded(4)
    answers = {"/live": stream(data, then=2), "/a.mp3": whole(data, ranges=True)}
    answers["/list.pls"] = whole(b"[playlist]\nFile1=/live\n")
    with radio(answers) as (url, _):
        answers["/list.pls"] = whole(f"[playlist]\nFile1={url}/live\n".encode())
        for path, until_s in (("/live", 3), ("/a.mp3", 1e9), ("/list.pls", 3)):
            source = HttpSource(
                url + path, "radio", HttpSettings.default(timeout_s=3.0, allow_private=False)
            )
            try:
                assert length_s(received_audio(source, until_s=until_s)) >= 3
            finally:
                source.close()


@pytest.mark.slow
def test_nothing_on_the_way_leads_inside(inside: str) -> None:
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", "#EXTINF:2,", "{}/0.ts", "#EXT-X-ENDLIST", ""]
    answers: dict[str, Answer] = {}
    with (
        radio(answers) as (url, visits),
        socket.create_server((inside, 0)) as trap,
    ):
        trap.settimeout(0.2)
        there = f"http://{inside}:{trap.getsockname()[1]}"
        handler = {
            "/moved": lambda request: request.head(302, Location=f"{there}/live.mp3"),
            "/list.m3u": whole(f"#EXTM3U\n{there}/live.mp3\n".encode()),
            "/moved.m3u": lambda request: request.head(302, Location=f"{there}/list.m3u"),
            "/hls.m3u8": whole("\n".join(lines).format(there).encode()),
        }
        for path, answer in handler.items():
            answers[path] = answer
            with pytest.raises(SourceError, match=inside):
                HttpSource(
                    url + path, "radio", HttpSettings.default(timeout_s=2.0, allow_private=False)
                )
            with pytest.raises(TimeoutError):
                trap.accept()
        assert [v for v in visits if v in handler]


@pytest.mark.parametrize(
    "entry",
    ["file:/etc/passwd", "file:///etc/passwd", "tcp://127.0.0.1:1", "ftp://127.0.0.1/a", "data:,x",
     "rtsp://127.0.0.1/a", "subfile:,,start,0,end,0,,:/etc/passwd", "concat:/etc/passwd"],
)  # fmt: skip
def test_a_list_from_the_network_names_only_the_web(entry: str) -> None:
    answers = {"/list.m3u": whole(f"#EXTM3U\n{entry}\n".encode())}
    only = pytest.raises(SourceError, match="only http:// and https:// are read")
    with radio(answers) as (url, _), only:
        HttpSource(f"{url}/list.m3u", "radio", HttpSettings.default(timeout_s=2.0))


@pytest.mark.slow
@pytest.mark.parametrize("target", ["file:///etc/passwd", "tcp://{}", "ftp://{}/a", "rtmp://{}/a"])
@pytest.mark.parametrize("path", ["/a.m3u", "/a.mp3"])
def test_a_redirection_leads_only_to_the_web(path: str, target: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.2)
        where = target.format(f"127.0.0.1:{trap.getsockname()[1]}")
        answers = {path: lambda request: request.head(302, Location=where)}
        with radio(answers) as (url, _):
            with pytest.raises(SourceError):
                HttpSource(url + path, "radio", HttpSettings.default(timeout_s=2.0))
            with pytest.raises(TimeoutError):
                trap.accept()


@pytest.mark.parametrize("entry", ["file:///etc/hostname", "tcp://{}", "/etc/hostname"])
def test_a_playlist_of_hls_reads_no_file_and_calls_nobody(entry: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.2)
        lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", "#EXTINF:2,", "{}", "#EXT-X-ENDLIST", ""]
        named = entry.format(f"127.0.0.1:{trap.getsockname()[1]}")
        answers = {"/a.m3u8": whole("\n".join(lines).format(named).encode())}
        answers["/etc/hostname"] = lambda request: request.head(404)
        with radio(answers) as (url, _):
            with pytest.raises(Exception, match=r"^http://127"):
                HttpSource(f"{url}/a.m3u8", "radio", HttpSettings.default(timeout_s=2.0))
            with pytest.raises(TimeoutError):
                trap.accept()


def guarded(data: bytes):
    """Serve only those who know the password."""

    def answer(request) -> None:
        if request.headers.get("Authorization") != "Basic Ym9iOm9wZW4tc2VzYW1lLTgxNzIz":
            request.head(401, WWW_Authenticate='Basic realm="radio"')
            return
        whole(data)(request)

    return answer


@pytest.mark.slow
def test_a_login_opens_and_is_not_disclosed(tmp_path: Path) -> None:
    answers = {"/a.mp3": guarded(encoded(7)), "/list.m3u": guarded(b"#EXTM3U\na.mp3\n")}
    events = tmp_path / "events.jsonl"
    with radio(answers) as (url, _):
        login = url.replace("http://", f"http://bob:{SECRET}@")
        for path in ("/a.mp3", "/list.m3u"):
            source = f"{login}{path}?token={SECRET}"
            answers[f"{path}?token={SECRET}"] = answers[path]
            run = ["run", "--source", source, "--sink", f"jsonl:{events}"]
            done = CliRunner().invoke(make_app(), run)
            assert done.exit_code == 0, done.output
            assert SECRET not in done.output
        lines = events.read_text().splitlines()
        assert {json.loads(line)["station"] for line in lines} == {
            f"{url}/a.mp3",
            f"{url}/list.m3u",
        }
        assert SECRET not in events.read_text()
        wrong = url.replace("http://", f"http://bob:no{SECRET}@")
        done = CliRunner().invoke(make_app(), ["run", "--source", f"{wrong}/a.mp3?token={SECRET}"])
        assert done.exit_code != 0
        assert SECRET not in done.output


def test_a_login_is_not_taken_along_to_another_server() -> None:
    seen: list[str | None] = []

    def answer(request) -> None:
        seen.append(request.headers.get("Authorization"))
        whole(b"#EXTM3U\nlive.mp3\n")(request)

    with radio({"/list.m3u": answer}) as (there, _):
        moved = {"/old.m3u": lambda request: request.head(302, Location=f"{there}/list.m3u")}
        with radio(moved) as (url, _):
            login = url.replace("http://", f"http://bob:{SECRET}@")
            client = WebClient(f"{login}/old.m3u", HttpSettings.default(timeout_s=2.0))
            response = client.get(f"{login}/old.m3u")
            response.close()
    assert seen == [None]
    assert response.url == f"{there}/list.m3u"


@pytest.mark.slow
def test_closing_ends_the_proxy(inside: str) -> None:
    with radio({"/live": stream(encoded(30), then=20)}) as (url, _):
        source = HttpSource(f"{url}/live", "radio", HttpSettings.default(allow_private=False))
        received_audio(source, until_s=1)
        guard = source._client.guard
        assert guard is not None
        source.close()
        port = int(guard.url.rpartition(":")[2])
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)):
                    return
            time.sleep(0.05)
        pytest.fail("the proxy still listens")
