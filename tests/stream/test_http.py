from __future__ import annotations

import io
import time

import numpy as np
import pytest

from airsift.errors import AirsiftError, DecodeError, SourceError
from stream.sources.http import HttpSource
from stream.sources.settings import HttpSettings
from stream.testing import tone
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "format"),
    [("libmp3lame", "mp3"), ("flac", "ogg"), ("aac", "adts"), ("libopus", "ogg")],
)
def test_a_live_stream_is_read_without_gaps(codec: str, format: str) -> None:  # noqa: A002
    rate = 48_000 if codec == "libopus" else RATE
    data = io.BytesIO()
    encode(data, tone(6, rate), rate, codec, format=format)
    with (
        radio({"/live": stream(data.getvalue(), then=5)}) as (url, _),
        listening(f"{url}/live") as source,
    ):
        before = time.time()
        chunks = received_audio(source, until_s=5)
    assert {chunk.station for chunk in chunks} == {"radio"}
    assert [chunk.start for chunk in chunks] == [0, *(chunk.end for chunk in chunks[:-1])]
    assert chunks[0].rate == rate
    samples = np.concatenate([chunk.samples for chunk in chunks])[rate : 4 * rate]
    assert np.count_nonzero(np.diff(np.signbit(samples))) == pytest.approx(2 * 440 * 3, abs=4)
    times = [chunk.time for chunk in chunks]
    # What comes at once was on air before, and the last of it just then.
    assert chunks[-1].time is not None
    assert before - 3 < chunks[-1].time + length_s(chunks[-1:]) <= time.time()
    assert times[-1] - times[0] == pytest.approx(chunks[-1].start / rate, abs=0.01)  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.slow
def test_a_stalled_live_stream_is_idle_then_taken_up_again() -> None:
    data = encoded(4)
    answers = {"/live": stream(data[: len(data) // 2], data, then=3)}
    with radio(answers) as (url, _), listening(f"{url}/live", timeout_s=2.0) as source:
        idle, chunks = 0, []
        for batch in source:
            idle += not batch
            chunks += batch
            if source.reconnects:
                break
    assert idle >= 3
    places = [chunk.gap_reason for chunk in chunks[1:]]
    first = chunks[: 1 + places.index("reconnect")] if "reconnect" in places else chunks
    assert length_s(first) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("ranges", [False, True])
def test_a_file_ends_when_it_is_over(ranges: bool) -> None:
    answers = {"/a.mp3": whole(encoded(3), ranges=ranges)}
    with radio(answers) as (url, _), listening(f"{url}/a.mp3") as source:
        chunks = received_audio(source)
        assert source.reconnects == 0
        assert source.warnings == []
    assert length_s(chunks) == pytest.approx(3, abs=0.1)


@pytest.mark.slow
def test_a_file_that_breaks_off_is_taken_up_where_it_did() -> None:
    data = encoded(6)
    answers = {"/a.mp3": whole(data, ranges=True, break_at=len(data) // 2)}
    with radio(answers) as (url, _), listening(f"{url}/a.mp3") as source:
        chunks = received_audio(source)
        assert source.warnings == []
    assert [chunk.start for chunk in chunks] == [0, *(chunk.end for chunk in chunks[:-1])]
    assert length_s(chunks) == pytest.approx(6, abs=0.1)


def test_a_file_without_ranges_is_read_again_up_to_where_it_broke_off() -> None:
    data = encoded(6)
    answers = {"/a.mp3": whole(data, break_at=len(data) // 2)}
    with radio(answers) as (url, visits), listening(f"{url}/a.mp3") as source:
        chunks = received_audio(source)
        assert source.warnings == []
        assert len(visits) == 2
    assert [chunk.start for chunk in chunks] == [0, *(chunk.end for chunk in chunks[:-1])]
    assert length_s(chunks) == pytest.approx(6, abs=0.1)


@pytest.mark.slow
def test_a_file_that_cannot_be_taken_up_is_read_so_far_and_named() -> None:
    data = encoded(6)
    visits = iter([whole(data, break_at=len(data) // 2)])

    def answer(request: Request) -> None:
        next(visits, lambda request: request.head(404))(request)

    with radio({"/a.mp3": answer}) as (url, _), listening(f"{url}/a.mp3") as source:
        chunks = received_audio(source)
        assert len(source.warnings) == 1
        assert source.warnings[0].startswith(f"{url}/a.mp3: ends early at")
        assert "404" in source.warnings[0]
    assert length_s(chunks) == pytest.approx(3, abs=0.2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("/list.m3u", "#EXTM3U\n#EXTINF:-1,Radio\n{url}/live.mp3\n{url}/other.mp3\n"),
        ("/list.pls", "[playlist]\nNumberOfEntries=1\nFile1={url}/live.mp3\nTitle1=Radio\n"),
        ("/listen", "{url}/live.mp3\r\n"),
        ("/relative.m3u", "#EXTM3U\n#EXTINF:-1,Radio\n\n live.mp3 \nother.mp3\n"),
    ],
)
def test_lists_lead_to_their_first_stream(name: str, text: str) -> None:
    answers = {"/live.mp3": stream(encoded(3), then=2)}
    with radio(answers) as (url, visits):
        body = text.format(url=url).encode()
        answers[name] = whole(body)
        with listening(url + name) as source:
            assert length_s(received_audio(source, until_s=2)) >= 2
        assert visits[-1] == "/live.mp3"


def test_hls_is_followed() -> None:
    segments = [encoded(2, "aac", "mpegts") for _ in range(2)]
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", "#EXT-X-VERSION:3"]
    lines += ["#EXTINF:2,", "/0.ts", "#EXTINF:2,", "/1.ts", "#EXT-X-ENDLIST", ""]
    answers = {"/a.m3u8": whole("\n".join(lines).encode())}
    answers |= {f"/{i}.ts": whole(data) for i, data in enumerate(segments)}
    with radio(answers) as (url, _), listening(f"{url}/a.m3u8") as source:
        assert length_s(received_audio(source)) == pytest.approx(4, abs=0.3)


@pytest.mark.slow
def test_a_redirection_is_followed() -> None:
    answers = {"/old": moved, "/live.mp3": stream(encoded(3), then=2)}
    with radio(answers) as (url, _), listening(f"{url}/old") as source:
        assert length_s(received_audio(source, until_s=2)) >= 2


def refusal(url: str) -> tuple[type[AirsiftError], str]:
    began = time.monotonic()
    with pytest.raises((SourceError, DecodeError)) as error:
        HttpSource(url, "radio", HttpSettings.default(timeout_s=2.0))
    assert time.monotonic() - began < 60
    message = str(error.value)
    assert message.startswith(f"{url}: ")
    assert "\n" not in message
    return type(error.value), message


def old_page(request: Request) -> None:
    """Answer as HTTP/1.0 did, where only the closed connection marks the end."""
    request.send_response(200)
    request.end_headers()
    request.wfile.write(b"<html><body>Not a radio</body></html>" * 50)


@pytest.mark.slow
def test_what_never_was_a_stream_is_refused_in_one_line() -> None:
    answers: dict[str, Answer] = {
        "/gone": lambda request: request.head(404),
        "/garbage": whole(noise(1, 50_000).tobytes()),
        "/page": whole(b"<html><body>Not a radio</body></html>"),
        "/silent": lambda _: time.sleep(4),
        "/empty": stream(b""),
        "/page-without-length": old_page,
        "/list.m3u": lambda request: request.head(500),
    }
    with radio(answers) as (url, _):
        kind, message = refusal(f"{url}/gone")
        assert issubclass(kind, SourceError)
        assert "404 Not Found" in message
        assert refusal(f"{url}/garbage")[0] is DecodeError
        assert refusal(f"{url}/page")[0] is DecodeError
        assert "no answer in time" in refusal(f"{url}/silent")[1]
        assert "is a web page (HTML)" in refusal(f"{url}/page-without-length")[1]
        assert "ends before any audio" in refusal(f"{url}/empty")[1]
        assert "HTTP 500" in refusal(f"{url}/list.m3u")[1]
    assert "Connection refused" in refusal(url)[1]  # the server is closed now
    refusal("http://no-such-host.invalid/a.mp3")


@pytest.mark.slow
def test_after_once_working_a_refusal_is_waited_out() -> None:
    long = stream(encoded(12), then=90)
    visits = iter([stream(encoded(2)), *[lambda request: request.head(503)] * 2, long])
    answers: dict[str, Answer] = {"/live": lambda r: next(visits)(r)}
    with radio(answers) as (url, seen), listening(f"{url}/live") as source:
        # Of the second burst, what was on air while the server refused.
        received_audio(source, until_s=2.5)
        assert len(seen) == 4
        assert source.reconnects == 1


@pytest.mark.slow
@pytest.mark.parametrize("started", [False, True])
def test_closing_is_quick_even_while_the_server_is_silent(started: bool) -> None:
    answers = {"/live": stream(encoded(2), then=5)}
    with radio(answers) as (url, _):
        source = HttpSource(f"{url}/live", "radio", HttpSettings.default(timeout_s=60.0))
        if started:
            received_audio(source, until_s=1)
        began = time.monotonic()
        source.close()
        source.close()
        assert time.monotonic() - began < 4.5  # before the server ends it
