"""Web servers that refuse, redirect, lie, break off, or give lists and pages instead of audio."""

from __future__ import annotations

import io
import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import AirsiftError, DecodeError, SourceError
from stream.decoding.framing import frame_start
from stream.kafka.loopback import free_ports
from stream.sources.http import HttpSource
from stream.sources.settings import HttpSettings
from stream.sources.web_client import WebClient
from stream.sources.web_content import Kind, content_of, entries
from stream.sources.web_errors import WebError, retry_after_s
from stream.sources.web_file import Sign, WebFile, backoff_s, sign_of
from stream.testing import tone
from tests.integration.certificates import Authority
from tests.stream.media import encode, noise
from tests.stream.web_server import (
    RATE,
    Answer,
    Request,
    encoded,
    length_s,
    listening,
    moved,
    radio,
    received_audio,
    stream,
    whole,
)

QUICK = HttpSettings.default(timeout_s=2.0, max_backoff_s=0.2)


def refused(url: str, settings: HttpSettings = QUICK) -> str:
    with pytest.raises((SourceError, DecodeError)) as error:
        HttpSource(url, "radio", settings)
    message = str(error.value)
    assert message.startswith(f"{url}: ")
    assert "\n" not in message
    assert len(message) < 400
    return message.removeprefix(f"{url}: ")


def reply(status: int, **headers: str) -> Answer:
    return lambda request: request.head(status, **headers)


@pytest.mark.slow
def test_each_refusal_is_one_line_with_its_way_out() -> None:
    answers = {
        f"/{status}": reply(status) for status in (401, 403, 404, 410, 418, 429, 451, 500, 503)
    }
    with radio(answers) as (url, visits):
        for path, words in {
            "/401": "asks for a login (HTTP 401 Unauthorized); set http.username",
            "/403": "forbids access (HTTP 403 Forbidden)",
            "/404": "is not there (HTTP 404 Not Found)",
            "/410": "is gone for good (HTTP 410 Gone)",
            "/418": "refuses (HTTP 418",
            "/429": "cannot serve now (HTTP 429 Too Many Requests)",
            "/451": "refuses (HTTP 451",
            "/500": "cannot serve now (HTTP 500",
            "/503": "cannot serve now (HTTP 503 Service Unavailable)",
        }.items():
            assert refused(url + path).startswith(words)
        assert len(visits) == len(answers)  # each is requested once


@pytest.mark.slow
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_short_retry_after_at_the_start_is_honoured(form: str) -> None:
    def answer(request: Request) -> None:
        times.append(time.monotonic())
        if len(times) < 3:
            at = formatdate(time.time() + 2, usegmt=True) if form == "date" else "1"
            request.head(503 if form == "date" else 429, Retry_After=at)
        else:
            whole(encoded(2), ranges=True)(request)

    times: list[float] = []
    with (
        radio({"/a.mp3": answer}) as (url, _),
        listening(f"{url}/a.mp3", max_backoff_s=5.0) as source,
    ):
        assert length_s(received_audio(source)) == pytest.approx(2, abs=0.1)
    assert len(times) == 3
    assert times[1] - times[0] >= 0.9


def test_a_long_retry_after_at_the_start_is_an_error() -> None:
    with radio({"/live": reply(503, Retry_After="3600")}) as (url, visits):
        assert "asks to come back in 3600 s" in refused(f"{url}/live")
        assert len(visits) == 1


@given(st.text(max_size=40))
def test_no_retry_after_is_too_odd(value: str) -> None:
    wait_s = retry_after_s(value, 0.0)
    assert wait_s is None or wait_s >= 0


def test_retry_after_in_both_forms() -> None:
    assert retry_after_s("120", 0) == 120
    assert retry_after_s(" 0 ", 0) == 0
    now = 1_700_000_000
    assert retry_after_s(formatdate(now + 90, usegmt=True), now) == 90
    assert retry_after_s(formatdate(now - 90, usegmt=True), now) == 0
    for text in (None, "", "soon", "-5", "1.5", "9" * 40, "Fri, 99 Nov 2023 00:00:00 GMT"):
        assert retry_after_s(text, now) is None


@given(
    st.integers(0, 100), st.floats(0.1, 100), st.none() | st.floats(0, 1e9),
)  # fmt: skip
def test_a_wait_is_bounded(attempt: int, max_s: float, requested_s: float | None) -> None:
    wait_s = backoff_s(attempt, max_s, requested_s)
    assert 0 < wait_s <= 10 * max_s
    assert wait_s <= max_s or (requested_s is not None and requested_s >= wait_s)
    assert wait_s >= min(requested_s or 0, 10 * max_s)


def test_redirections_that_lead_nowhere() -> None:
    answers: dict[str, Answer] = {f"/{i}": reply(302, Location=f"/{i + 1}") for i in range(30)}
    answers |= {
        "/self": reply(301, Location="/self"),
        "/ping": reply(307, Location="/pong"),
        "/pong": reply(308, Location="/ping"),
        "/nowhere": reply(302),
        "/dead": reply(302, Location="/gone"),
        "/gone": reply(404),
    }
    with radio(answers) as (url, visits):
        assert "in a circle" in refused(f"{url}/self")
        assert "in a circle" in refused(f"{url}/ping")
        assert "more than 10 times" in refused(f"{url}/0")
        assert "without saying where to" in refused(f"{url}/nowhere")
        assert "404 Not Found" in refused(f"{url}/dead")
        assert len(visits) < 20


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tls", "dns", "refused", "no http", "drips", "cut"])
def test_servers_that_are_none(kind: str) -> None:
    def serve(reply: bytes, pause_s: float) -> None:
        with suppress(OSError), server:
            server.settimeout(10)
            while True:
                connection, _ = server.accept()
                with suppress(OSError), connection:
                    connection.recv(4096)
                    for i in range(len(reply)) if pause_s else [0]:
                        connection.sendall(reply[i : i + 1] if pause_s else reply)
                        time.sleep(pause_s)

    if kind == "refused":
        assert "Connection refused" in refused(f"http://127.0.0.1:{free_ports(1)[0]}/live")
        return
    if kind == "dns":
        assert "host name is not known" in refused("http://no-such-host.invalid/live")
        return
    replies = {
        "tls": b"HTTP/1.0 400 Bad\r\n\r\n",
        "no http": b"220 mail.example ESMTP\r\n",
        "drips": b"HTTP/1.0 200 OK\r\nX: " + b"y" * 10_000,
        "cut": b"HTTP/1.0 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 5000\r\n\r\n",
    }
    server = socket.create_server(("127.0.0.1", 0))
    url = f"127.0.0.1:{server.getsockname()[1]}/live"
    pause_s = 0.5 if kind == "drips" else 0.0
    threading.Thread(target=serve, args=[replies[kind], pause_s], daemon=True).start()
    began = time.monotonic()
    message = refused(("https://" if kind == "tls" else "http://") + url)
    assert time.monotonic() - began < 30
    words = {
        "tls": "TLS: ", "no http": "is no web server", "drips": "no answer in time",
        "cut": "5000 bytes too early",
    }  # fmt: skip
    assert words[kind] in message
    server.close()


PAGES = {
    "a web page (HTML)": b"<!DOCTYPE html><html><body>Not found</body></html>",
    "JSON": b'{"error": "no such mount"}',
    "an image (PNG)": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "an image (JPEG)": b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(200),
    "an image (GIF)": b"GIF89a" + bytes(200),
    "a podcast feed (RSS)": b'<?xml version="1.0"?><rss version="2.0"><channel/></rss>',
    "a DASH manifest": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"/>',
    "XML": b'<?xml version="1.0"?><error>gone</error>',
    "plain text": b"The station is off the air.\n",
    "a PDF": b"%PDF-1.7\n%\xe2\xe3",
}


@pytest.mark.parametrize("name", list(PAGES))
@pytest.mark.parametrize("kind", ["audio/mpeg", "text/html"])
def test_what_is_no_audio_is_named(name: str, kind: str) -> None:
    def answer(request: Request) -> None:
        request.head(Content_Type=kind, icy_name="Radio")
        request.wfile.write(PAGES[name])

    with radio({"/live": answer}) as (url, _):
        assert f"is {name}" in refused(f"{url}/live")


def test_audio_is_read_with_any_content_type() -> None:
    def answer(request: Request) -> None:
        request.head(Content_Type="text/html", icy_name="Radio")
        request.wfile.write(encoded(3))

    with radio({"/live": answer}) as (url, _), listening(f"{url}/live") as source:
        assert length_s(received_audio(source, until_s=2.5)) >= 2.5


LISTS = {
    "/a.m3u": "#EXTM3U\n#EXTINF:-1,Radio\n{dead}\n{url}/page\n{url}/gone\n\n{url}/live.mp3\n",
    "/b.m3u": "{url}/gone\r\n{url}/live.mp3\r\n",
    "/c.m3u8": "\ufeff#EXTM3U\n#EXTINF:-1,Radio\n{url}/gone\nlive.mp3\n",
    "/d.pls": "[playlist]\nFile2={url}/live.mp3\nFile1={url}/gone\nNumberOfEntries=2\n",
    "/e.pls": "[Playlist]\nfile1=file:///etc/passwd\nfile10={url}/live.mp3\nfile9={dead}\n",
    "/f.xspf": """<?xml version="1.0" encoding="UTF-8"?>
        <playlist version="1" xmlns="http://xspf.org/ns/0/"><title>{url}/other</title><trackList>
        <track><location>{url}/gone</location></track>
        <track><title>Radio</title><location> {url}/live.mp3?a=1&amp;b=2 </location></track>
        </trackList></playlist>""",
    "/g.asx": """<ASX VERSION="3.0"><ENTRY><REF HREF="{url}/gone"/></ENTRY>
        <Entry><Ref href = '{url}/live.mp3?a=1&b=2' /></Entry></ASX>""",
    "/h.asx": "[Reference]\r\nRef1={url}/gone\r\nRef2={url}/live.mp3?MSWMExt=.asf\r\n",
    "/i.ram": "# a comment\n{url}/gone\n{url}/live.mp3\n",
    "/j": "[playlist]\nFile1={url}/gone\nFile2={url}/b.m3u\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("path", list(LISTS))
def test_of_a_list_the_first_entry_that_plays_is_taken(path: str) -> None:
    live = stream(encoded(3), then=2)
    answers: dict[str, Answer] = {
        "/live.mp3": live,
        "/live.mp3?a=1&b=2": live,
        "/gone": reply(404),
        "/page": whole(PAGES["a web page (HTML)"]),
    }
    with radio(answers) as (url, visits):
        dead = f"http://127.0.0.1:{free_ports(1)[0]}/dead"
        for name, text in LISTS.items():
            answers[name] = whole(text.format(url=url, dead=dead).encode())
        with listening(url + path) as source:
            assert length_s(received_audio(source, until_s=2)) >= 2
        assert visits[-1].startswith("/live.mp3")


@pytest.mark.slow
def test_playlists_without_audio_report_the_first_failure() -> None:
    answers: dict[str, Answer] = {
        "/gone": reply(404),
        "/a.m3u": whole(b"/gone\n"),
        "/b.m3u": whole(b"/gone\n/garbage\n"),
        "/garbage": whole(noise(1, 50_000).tobytes()),
        "/empty.m3u": whole(b"#EXTM3U\n"),
        "/circle.m3u": whole(b"circle.m3u\n"),
        "/many.m3u": whole("".join(f"/gone?{i}\n" for i in range(3000)).encode()),
        "/entity.xspf": whole(
            b'<?xml version="1.0"?><!DOCTYPE p [<!ENTITY a "http://x"><!ENTITY b "&a;&a;">]>'
            b"<playlist><trackList><track><location>&b;</location></track></trackList></playlist>"
        ),
        "/broken.xspf": whole(b"<playlist><trackList><<</playlist>"),
    }
    answers |= {f"/gone?{i}": reply(404) for i in range(3000)}
    with radio(answers) as (url, visits):
        assert f"its list's only entry fails: {url}/gone: is not there (HTTP 404" in refused(
            f"{url}/a.m3u"
        )
        assert "all 2 entries of its list fail, the first one so" in refused(f"{url}/b.m3u")
        assert "without any address" in refused(f"{url}/empty.m3u")
        assert "lists" in refused(f"{url}/circle.m3u")
        assert "with a DTD" in refused(f"{url}/entity.xspf")
        assert "no XML" in refused(f"{url}/broken.xspf")
        visits.clear()
        refused(f"{url}/many.m3u")
        assert len(visits) <= 21


@given(st.binary(max_size=300), st.sampled_from(["m3u", "pls", "xspf", "asx"]))
def test_no_list_is_too_odd(body: bytes, kind: str) -> None:
    with suppress(DecodeError):
        assert entries(body, kind, "http://host/list", "list")


@given(st.binary(max_size=3000), st.text(max_size=30))
def test_no_answer_is_too_odd(body: bytes, kind: str) -> None:
    assert content_of(body, kind, "http://host/live").kind in Kind


def test_audio_is_never_taken_for_text() -> None:
    forms = "mp3:libmp3lame adts:aac flac:flac ogg:libopus wav:pcm_s16le mp4:aac mpegts:aac"
    for form, codec in (each.split(":") for each in forms.split()):
        data = io.BytesIO()
        encode(data, noise(2, 48_000), 48_000, codec, format=form)
        body = data.getvalue()
        for start in (0, len(body) // 3 if form in ("mp3", "adts", "mpegts") else 0):
            assert content_of(body[start:], "text/html", "http://h/a.m3u").kind is Kind.AUDIO


@pytest.mark.parametrize(("codec", "form"), [("libmp3lame", "mp3"), ("aac", "adts")])
def test_a_stream_met_in_the_middle_of_a_frame_begins_with_its_next_one(
    codec: str, form: str
) -> None:
    data = io.BytesIO()
    encode(data, noise(5, 44_100)[0], 44_100, codec, format=form, options={"write_xing": "0"})
    body = data.getvalue()
    body = body[body.index(b"\xff") :]
    for cut in range(1, 3000, 271):
        part = body[cut : cut + 16_384]
        start = frame_start(part)
        assert start is not None
        assert 0 <= start < 1_500
        assert part[start] == 0xFF
        assert frame_start(part[start:]) == 0
        assert frame_start(part[:20]) in (None, 0)


@pytest.mark.parametrize(
    ("headers", "sign"),
    [
        ({"icy-name": "x", "Content-Length": "5"}, Sign.LIVE),
        ({"ICE-Audio-Info": "x", "Accept-Ranges": "bytes", "Content-Length": "5"}, Sign.LIVE),
        ({}, Sign.NO_LENGTH),
        ({"Content-Length": "many"}, Sign.NO_LENGTH),
        ({"Content-Length": "-1"}, Sign.NO_LENGTH),
        ({"Content-Length": "5", "Transfer-Encoding": "chunked"}, Sign.NO_LENGTH),
        ({"Content-Length": "5"}, Sign.ONLY_LENGTH),
        ({"Content-Length": "5", "Accept-Ranges": "none"}, Sign.ONLY_LENGTH),
        ({"Content-Length": "5", "Accept-Ranges": "bytes"}, Sign.FILE),
        ({"Content-Length": "5", "ETag": '"a"'}, Sign.FILE),
        ({"Content-Length": str(2**40), "Last-Modified": "now"}, Sign.FILE),
        ({"Content-Length": str(2**31 - 1)}, Sign.LIVE),
        ({"Content-Length": str(2**63 - 1)}, Sign.LIVE),
    ],
)
def test_headers_are_parsed(headers: dict[str, str], sign: Sign) -> None:
    from email.message import Message
    from types import SimpleNamespace

    message = Message()
    for name, value in headers.items():
        message[name] = value
    answer = SimpleNamespace(headers=message, is_icy=False)
    assert sign_of(answer) is sign  # type: ignore[arg-type]
    assert sign_of(SimpleNamespace(headers=message, is_icy=True)) is Sign.LIVE  # type: ignore[arg-type]


def test_an_old_server_answers_icy() -> None:
    def serve() -> None:
        with suppress(OSError), server:
            for _ in range(3):
                connection, _ = server.accept()
                with suppress(OSError), connection:
                    connection.recv(4096)
                    connection.sendall(
                        b"ICY 200 OK\r\nicy-notice1:<BR>\r\nContent-Length:9\r\n\r\n"
                    )
                    connection.sendall(encoded(3))
                    time.sleep(2)

    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, daemon=True).start()
    with listening(f"http://127.0.0.1:{server.getsockname()[1]}/") as source:
        assert source.live
    server.close()


def broken(data: bytes, *, every: int, ranges: bool, tag: str | None = '"a"') -> Answer:
    """Serve a file, and end each answer after `every` bytes."""

    def answer(request: Request) -> None:
        requested = request.headers.get("Range")
        start = int(requested[6:].split("-")[0]) if requested and ranges else 0
        headers = {"Content_Length": str(len(data) - start), "Content_Type": "audio/mpeg"}
        headers |= {"ETag": tag} if tag else {}
        if ranges:
            headers |= {"Accept_Ranges": "bytes"}
            headers |= {"Content_Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        request.head(206 if start else 200, **headers)
        # Without ranges, each answer comes a little further.
        end = start + every if ranges else next(ends)
        request.wfile.write(data[start:end])

    ends = iter(range(every, 10**9, every))
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("tag", ['"a"', None])
def test_a_file_that_breaks_off_again_and_again_is_read_whole_and_once(
    ranges: bool, tag: str | None
) -> None:
    data = encoded(30)
    answers = {"/a.mp3": broken(data, every=len(data) // 4 + 1, ranges=ranges, tag=tag)}
    with (
        radio(answers) as (url, visits),
        listening(f"{url}/a.mp3", max_backoff_s=0.05, settle_s=5.0) as source,
    ):
        chunks = received_audio(source)
        assert source.warnings == []
        assert not source.live
        assert source.reconnects == 0
    assert len(visits) >= 4
    assert length_s(chunks) == pytest.approx(30, abs=0.2)
    assert [chunk.start for chunk in chunks] == [0, *(chunk.end for chunk in chunks[:-1])]


@pytest.mark.slow
def test_a_file_that_changes_while_it_is_read_is_named() -> None:
    bodies = iter([encoded(10)[:40_000], encoded(12, "aac", "adts")])

    def answer(request: Request) -> None:
        request.head(Content_Length="80000", ETag=f'"{len(visits)}"')
        request.wfile.write(next(bodies, b""))

    with radio({"/a.mp3": answer}) as (url, visits), listening(f"{url}/a.mp3") as source:
        received_audio(source)
        assert len(source.warnings) == 1
        assert "other bytes than before" in source.warnings[0]


@pytest.mark.slow
def test_a_file_in_chunks_without_a_length_is_read_once() -> None:
    """A generated podcast sends more at once than a live stream could."""
    data = encoded(150)

    def answer(request: Request) -> None:
        request.protocol_version = "HTTP/1.1"
        request.head(Content_Type="audio/mpeg", Transfer_Encoding="chunked")
        for start in range(0, len(data), 50_000):
            piece = data[start : start + 50_000]
            request.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        request.wfile.write(b"0\r\n\r\n")

    with radio({"/a": answer}) as (url, visits), listening(f"{url}/a") as source:
        chunks = received_audio(source)
        assert len(visits) == 1
        assert not source.live
        assert source.warnings == []
    assert {chunk.time for chunk in chunks} == {None}
    assert length_s(chunks) == pytest.approx(150, abs=0.2)


def test_a_film_with_its_index_at_the_end_is_read_by_ranges() -> None:
    data = io.BytesIO()
    encode(data, tone(20, RATE), RATE, "aac", format="mp4")
    answers = {"/a.mp4": whole(data.getvalue(), ranges=True)}
    with radio(answers) as (url, visits), listening(f"{url}/a.mp4") as source:
        assert length_s(received_audio(source)) == pytest.approx(20, abs=0.2)
        assert len(visits) <= 3


def test_a_film_with_its_index_at_the_end_is_read_without_ranges_too() -> None:
    data = io.BytesIO()
    encode(data, tone(20, RATE), RATE, "aac", format="mp4")
    with radio({"/a.mp4": whole(data.getvalue())}) as (url, visits):
        with listening(f"{url}/a.mp4") as source:
            assert length_s(received_audio(source)) == pytest.approx(20, abs=0.2)
        assert len(visits) <= 3


@pytest.mark.parametrize(("at", "n"), [(0, 10), (70_000, 5), (100_000, 64_000), (199_990, 100)])
def test_a_file_is_read_from_any_byte(at: int, n: int) -> None:
    data = b"0000ftyp" + noise(1, 50_000).tobytes()[:199_992]
    with radio({"/a": whole(data, ranges=True)}) as (url, _):
        client = WebClient(url, QUICK)
        file = WebFile(client, client.get(f"{url}/a"), "a")
        assert file.peek(100)[:100] == data[:100]
        assert file.seekable()
        file.seek(at)
        got = b""
        while len(got) < n and (piece := file.read(n - len(got))):
            got += piece
        assert got == data[at : at + n]
        assert file.tell() == at + len(got)
        assert file.seek(0, 2) == len(data)
        assert file.read(10) == b""
        assert file.seek(0) == 0
        assert file.read(10) == data[:10]
        file.close()


@pytest.fixture
def login(tmp_path: Path) -> Callable[[str], HttpSettings]:
    """Give a function from a password to settings with it."""

    def settings(password: str) -> HttpSettings:
        path = tmp_path / "password"
        path.write_text(f"{password}\n", encoding="utf-8")
        return HttpSettings.default(timeout_s=3.0, username="bob", password_file=str(path))

    return settings


def test_a_login_of_the_settings_is_for_the_server_of_the_address_alone(
    login: Callable[[str], HttpSettings],
) -> None:
    def answer(request: Request) -> None:
        seen.append((request.path, request.headers.get("Authorization")))
        whole(f"{there}/live.mp3\n".encode())(request)

    seen: list[tuple[str, str | None]] = []
    elsewhere: dict[str, Answer] = {"/live.mp3": stream(encoded(3), then=2)}

    def foreign(request: Request) -> None:
        seen.append((request.path, request.headers.get("Authorization")))
        stream(encoded(3), then=2)(request)

    elsewhere["/live.mp3"] = foreign
    answers = {"/list.m3u": answer, "/old.m3u": reply(302, Location="/list.m3u")}
    with radio(elsewhere) as (there, _), radio(answers) as (url, _):
        source = HttpSource(f"{url}/old.m3u", "radio", login("open sesame ü"))
        source.close()
    token = "Basic Ym9iOm9wZW4gc2VzYW1lIMO8"
    assert seen == [("/list.m3u", token), ("/live.mp3", None)]


def test_hls_has_the_login_of_the_settings(login: Callable[[str], HttpSettings]) -> None:
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", "#EXTINF:2,", "/0.ts", "#EXT-X-ENDLIST", ""]
    bodies = {"/a.m3u8": "\n".join(lines).encode(), "/0.ts": encoded(2, "aac", "mpegts")}

    def answer(request: Request) -> None:
        if request.headers.get("Authorization") != "Basic Ym9iOm9wZW46L0Bz":
            request.head(401, WWW_Authenticate='Basic realm="radio"')
        else:
            whole(bodies[request.path])(request)

    with radio(dict.fromkeys(bodies, answer)) as (url, _):
        source = HttpSource(f"{url}/a.m3u8", "radio", login("open:/@s"))
        assert length_s(received_audio(source)) == pytest.approx(2, abs=0.3)
        source.close()


def test_a_refused_login_differs_from_a_missing_one(login: Callable[[str], HttpSettings]) -> None:
    with radio({"/live": reply(401, WWW_Authenticate="Basic")}) as (url, _):
        message = refused(f"{url}/live", login("open-sesame"))
        assert "refuses the login (HTTP 401 Unauthorized); check http.username" in message
        assert "open-sesame" not in message


@pytest.mark.slow
def test_each_wait_for_an_absent_station_is_logged_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    visits = iter([
        stream(encoded(2)), reply(404), reply(401), reply(503, Retry_After="1"), moved,
        whole(PAGES["a web page (HTML)"]),
    ])  # fmt: skip
    answers: dict[str, Answer] = {"/live.mp3": reply(410)}

    def answer(request: Request) -> None:
        next(visits, stream(encoded(6), then=9))(request)

    answers["/live"] = answer
    with (
        caplog.at_level(logging.INFO, "stream.sources.http"),
        radio(answers) as (url, seen),
        listening(f"{url}/live", max_backoff_s=0.1) as source,
    ):
        received_audio(source, until_s=3)
        assert source.reconnects == 1
        assert len(seen) == 8
    lines = [record.getMessage() for record in caplog.records]
    assert all("\n" not in line for line in lines)
    for words in ("ended", "404", "401", "come back in 1 s", "410 Gone", "HTML"):
        assert sum(words in line for line in lines) == 1, (words, lines)
    # Similar warnings are one line a minute, for any address.
    assert len({record.msg for record in caplog.records}) == 2


@pytest.mark.slow
def test_a_stream_that_sends_bytes_and_no_audio_is_connected_to_again() -> None:
    def answer(request: Request) -> None:
        request.head(icy_name="Radio")
        request.wfile.write(encoded(3))
        while visits.count("/live") == 1:
            request.wfile.write(bytes(100))
            time.sleep(0.05)
        time.sleep(3)

    with (
        radio({"/live": answer}) as (url, visits),
        listening(f"{url}/live", timeout_s=0.7, max_backoff_s=0.2) as source,
    ):
        deadline = time.monotonic() + 60
        for _ in source:
            if source.reconnects:
                break
            assert time.monotonic() < deadline


def test_errors_carry_retry_after() -> None:
    answers = {"/a.m3u": whole(b"/busy\n"), "/busy": reply(503, Retry_After="70")}
    with radio(answers) as (url, _), pytest.raises(AirsiftError) as error:
        HttpSource(f"{url}/a.m3u", "radio", QUICK)
    assert isinstance(error.value, WebError)
    assert (error.value.status, error.value.retry_after_s) == (503, 70)


@pytest.mark.process
def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    contexts = {
        "trusted": authority.server(),
        "elsewhere": authority.server("other", host="DNS:radio.example"),
        "expired": authority.server("old", days=-1),
    }
    answers: dict[str, Answer] = {"/live": stream(encoded(3), then=2)}
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with radio(answers, contexts["trusted"]) as (url, visits):
        assert "TLS: " in refused(f"{url}/live")
        assert visits == []
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    for name, words in {"elsewhere": "IP address mismatch", "expired": "expired"}.items():
        with radio(answers, contexts[name]) as (url, visits):
            assert words in refused(f"{url}/live")
            assert visits == []
    with radio(answers, contexts["trusted"]) as (url, _), listening(f"{url}/live") as source:
        assert length_s(received_audio(source, until_s=2.5)) >= 2.5
