"""Feeds and their episodes, from a server on the loopback with the faults of the world."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from airsift import __version__
from airsift.config import Config, load
from airsift.errors import SourceError
from airsift.podcasts import download, feed
from airsift.xdg import cache_home
from stream.runner import Stop
from tests.command import airsift
from tests.stream.web_server import Answer, Request, radio

AUDIO = bytes(range(256)) * 2000


def item(number: int, url: str, *, title: str = "", day: int = 0) -> str:
    date = formatdate(1_600_000_000 + 86_400 * (day or number), usegmt=True)
    return (
        f"<item><title>{title or f'Episode {number}'}</title><guid>id-{number}</guid>"
        f"<pubDate>{date}</pubDate><enclosure url='{url}' type='audio/mpeg' length='1'/></item>"
    )


def rss(*items: str) -> bytes:
    text = f"<rss version='2.0'><channel><title>A show</title>{''.join(items)}</channel></rss>"
    return text.encode()


def give(body: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(request: Request) -> None:
        request.head(status, Content_Length=str(len(body)), **headers)
        request.wfile.write(body)

    return answer


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "_MAX_BACKOFF_S", 0.01)
    return tmp_path / "cache"


@pytest.fixture
def config() -> Config:
    return load(sets=["http.timeout_s=1.0", "podcasts.max_wait_s=0.2"]).config


@pytest.fixture
def served() -> Iterator[tuple[str, dict[str, Answer], list[str]]]:
    answers: dict[str, Answer] = {}
    with radio(answers) as (url, visits):
        yield url, answers, visits


Served = tuple[str, dict[str, Answer], list[str]]


def test_episodes_are_files_with_names_and_are_fetched_once(
    served: Served, config: Config, cache: Path
) -> None:
    url, answers, visits = served
    answers["/feed"] = give(
        rss(item(2, "/2.mp3", title="A / B &amp; &lt;b&gt;C&lt;/b&gt;"), item(1, "1.mp3"))
    )
    answers["/1.mp3"] = answers["/2.mp3"] = give(AUDIO)
    found = feed.local_episodes(f"{url}/feed", config)
    assert found is not None
    assert (found.title, found.failed) == ("A show", 0)
    assert [each.name for each in found.files] == [
        "2020-09-14 Episode 1.mp3", "2020-09-15 A _ B & C.mp3"
    ]  # fmt: skip
    assert all(each.read_bytes() == AUDIO for each in found.files)
    assert all(each.is_relative_to(cache / "airsift") for each in found.files)
    assert visits == ["/feed", "/1.mp3", "/2.mp3"]
    newest = feed.local_episodes(f"{url}/feed", config, latest=1)
    assert newest is not None
    assert newest.files == found.files[1:]
    assert visits[3:] == ["/feed"]


def test_a_feed_is_asked_for_only_if_it_changed(served: Served, config: Config) -> None:
    url, answers, _ = served
    asked: list[dict[str, str]] = []

    def answer(request: Request) -> None:
        asked.append(dict(request.headers))
        if request.headers.get("If-None-Match") == '"one"':
            request.head(304)
        else:
            give(
                rss(item(1, "/1.mp3")), ETag='"one"', Last_Modified="Mon, 30 Nov 2020 10:00:00 GMT"
            )(request)

    answers["/feed"], answers["/1.mp3"] = answer, give(AUDIO)
    first = feed.local_episodes(f"{url}/feed", config)
    assert feed.local_episodes(f"{url}/feed", config) == first
    assert "If-None-Match" not in asked[0]
    assert asked[1]["If-Modified-Since"] == "Mon, 30 Nov 2020 10:00:00 GMT"
    assert asked[0]["User-Agent"] == f"airsift/{__version__}"


def test_a_broken_download_goes_on_where_it_broke(served: Served, config: Config) -> None:
    url, answers, _ = served
    ranges: list[str | None] = []

    def answer(request: Request) -> None:
        ranges.append(request.headers.get("Range"))
        start = int((ranges[-1] or "bytes=0-")[6:-1])
        assert not start or request.headers["If-Range"] == '"v1"'
        headers = {"ETag": '"v1"', "Content_Length": str(len(AUDIO) - start)}
        if start:
            headers["Content_Range"] = f"bytes {start}-{len(AUDIO) - 1}/{len(AUDIO)}"
        request.head(206 if start else 200, **headers)
        request.wfile.write(AUDIO[start : start + 200_000])

    answers["/feed"], answers["/1.mp3"] = give(rss(item(1, "/1.mp3"))), answer
    found = feed.local_episodes(f"{url}/feed", config)
    assert found is not None
    assert found.files[0].read_bytes() == AUDIO
    assert ranges == [None, "bytes=200000-", "bytes=400000-"]
    assert [each.name for each in found.files[0].parent.iterdir()] == [found.files[0].name]


def test_a_file_that_changed_is_not_put_behind_the_old_one(served: Served, config: Config) -> None:
    url, answers, _ = served
    bodies = iter([b"old" * 9, b"new audio"])

    def answer(request: Request) -> None:
        body = next(bodies)
        request.head(
            200, ETag=f'"{body[:3].decode()}"', Content_Length=str(len(body) + (body[:3] == b"old"))
        )
        request.wfile.write(body)

    answers["/feed"], answers["/1.mp3"] = give(rss(item(1, "/1.mp3"))), answer
    found = feed.local_episodes(f"{url}/feed", config)
    assert found is not None
    assert found.files[0].read_bytes() == b"new audio"


def redirect(to: str) -> Answer:
    return lambda request: request.head(302, Location=to)


def hang(request: Request) -> None:
    request.head(200, Content_Length="1000")
    request.wfile.write(b"<?xml version='1.0'?>")
    time.sleep(3)


def cut(request: Request) -> None:
    request.head(200, Content_Length="900")
    request.wfile.write(rss()[:60])


BOMB = b"<?xml version='1.0'?><!DOCTYPE l [<!ENTITY a 'aaaaaaaaaa'>" + b"".join(
    b"<!ENTITY %c '%s'>" % (98 + n, (b"&%c;" % (97 + n)) * 10) for n in range(9)
) + b"]><rss version='2.0'><channel><title>&j;</title></channel></rss>"  # fmt: skip

REFUSED = {
    "404": (give(b"", 404), "HTTP 404 Not Found"),
    "500": (give(b"", 500), "HTTP 500"),
    "429": (give(b"", 429, Retry_After="3600"), r"come back in 3600 s.*max_wait_s=0\.2"),
    "hang": (hang, "connection broke|no answer in time"),
    "loop": (redirect("/feed?token=secret"), "lead in a circle"),
    "html": (give(b"<!DOCTYPE html><html><body>Hello</body></html>"), "is a page of HTML"),
    "cut": (cut, "too early"),
    "bomb": (give(BOMB), "declares entities"),
    "no audio": (give(rss("<item><title>text</title></item>")), "a feed without audio"),
    "xml": (give(b"<?xml version='1.0'?><opml><body/></opml>"), "no RSS and no Atom"),
    "large": (give(rss("<item/>" * 200_000)), r"more than 1 MB; raise podcasts\.max_feed_mb"),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_a_faulty_feed_is_one_line(served: Served, config: Config, fault: str) -> None:
    url, answers, visits = served
    answers["/feed?token=secret"], message = REFUSED[fault]
    config = config.model_copy(
        update={"podcasts": config.podcasts.model_copy(update={"max_feed_mb": 1})}
    )
    began = time.monotonic()
    with pytest.raises(SourceError, match=message) as error:
        feed.local_episodes(f"{url}/feed?token=secret", config)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)
    assert time.monotonic() - began < 10
    assert len(visits) <= download.ATTEMPTS


def test_audio_is_no_feed(served: Served, config: Config) -> None:
    url, answers, _ = served
    for name, body in {"/mp3": b"ID3\4" + AUDIO, "/empty": b"", "/ogg": b"OggS" + AUDIO}.items():
        answers[name] = give(body)
        assert feed.local_episodes(url + name, config) is None


def test_a_feed_of_the_last_time_serves_while_its_server_is_away(
    served: Served, config: Config
) -> None:
    url, answers, _ = served
    answers["/feed"], answers["/1.mp3"] = give(rss(item(1, "/1.mp3"))), give(AUDIO)
    first = feed.local_episodes(f"{url}/feed", config)
    answers["/feed"] = give(b"", 503)
    complaints: list[str] = []
    assert feed.local_episodes(f"{url}/feed", config, complain=complaints.append) == first
    assert "the feed of the last time is used" in complaints[0]


def test_a_bad_episode_is_told_and_passed_over(served: Served, config: Config) -> None:
    url, answers, _ = served
    faults: dict[str, Answer] = {
        "/1.mp3": give(b"", 404),
        "/2.mp3": give(b"<html>pay</html>", Content_Type="text/html; charset=utf-8"),
        "/3.mp3": give(b""),
        "/4.mp3": redirect("file:///etc/passwd"),
    }
    answers.update(faults)
    items = [item(n, f"/{n}.mp3") for n in range(1, 5)]
    items += [item(5, "file:///etc/passwd"), item(6, "ftp://127.0.0.1/x.mp3"), item(7, "/7.mp3")]
    answers["/feed"], answers["/7.mp3"] = give(rss(*items)), give(AUDIO)
    complaints: list[str] = []
    found = feed.local_episodes(f"{url}/feed", config, complain=complaints.append)
    assert found is not None
    assert (len(found.files), found.failed) == (1, 6)
    expected = [
        "404",
        "page of HTML",
        "empty",
        "'file' is no address",
        "'file' is no",
        "'ftp' is no",
    ]
    for line, part in zip(complaints, expected, strict=True):
        assert part in line


@pytest.mark.parametrize("place", ["http://127.0.0.1:{port}/1.mp3", "/redirects"])
def test_a_feed_from_outside_leads_into_no_private_network(
    served: Served, config: Config, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    url, answers, visits = served
    port = url.rpartition(":")[2]
    real = socket.getaddrinfo

    def resolve(host: str, *rest: object, **named: object) -> list:
        return real("127.0.0.1" if host == "feed.example.org" else host, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    answers["/feed"] = give(rss(item(1, place.format(port=port))))
    answers["/redirects"] = redirect(f"http://127.0.0.1:{port}/1.mp3")
    answers["/1.mp3"] = give(AUDIO)
    complaints: list[str] = []
    found = feed.local_episodes(
        f"http://feed.example.org:{port}/feed", config, complain=complaints.append
    )
    assert found is not None
    assert (found.files, found.failed) == ([], 1)
    assert "leads into a private network" in complaints[0]
    assert "/1.mp3" not in visits


@pytest.mark.slow
def test_of_ten_thousand_episodes_the_newest_are_taken(served: Served, config: Config) -> None:
    url, answers, visits = served
    answers["/feed"] = give(rss(*(item(n, f"/{n}.mp3") for n in range(10_000))))
    for n in range(9_990, 10_000):
        answers[f"/{n}.mp3"] = give(AUDIO[:9])
    complaints: list[str] = []
    found = feed.local_episodes(f"{url}/feed", config, complain=complaints.append)
    assert found is not None
    assert len(found.files) == feed.LATEST
    assert found.files[-1].name.endswith("Episode 9999.mp3")
    assert "has 10000 episodes; the 10 newest are taken" in complaints[0]
    assert len(visits) == 11


def test_names_stay_when_titles_change_and_never_meet(served: Served, config: Config) -> None:
    url, answers, _ = served
    answers["/1.mp3"], answers["/2.mp3"] = give(b"one"), give(b"two")
    answers["/feed"] = give(
        rss(item(1, "/1.mp3", title="Same", day=1), item(2, "/2.mp3", title="Same", day=1))
    )
    first = feed.local_episodes(f"{url}/feed", config)
    assert first is not None
    assert sorted(each.name for each in first.files) == [
        "2020-09-14 Same (2).mp3", "2020-09-14 Same.mp3"
    ]  # fmt: skip
    assert {each.read_bytes() for each in first.files} == {b"one", b"two"}
    answers["/feed"] = give(
        rss(item(1, "/1.mp3", title="Other", day=1), item(2, "/2.mp3", title="..", day=1))
    )
    again = feed.local_episodes(f"{url}/feed", config)
    assert again is not None
    assert again.files == first.files


@pytest.mark.slow
def test_the_segments_of_a_feed(served: Served) -> None:
    url, answers, visits = served
    audio = (Path(__file__).parents[3] / "stream/demo/audio/reader-1098.opus").read_bytes()
    answers["/feed"] = give(rss(*(item(n, f"/{n}.opus") for n in range(1, 4))))
    answers["/2.opus"], answers["/3.opus"] = give(audio), give(b"", 404)
    done = airsift("segment", f"{url}/feed", "--latest", "2", "--format", "jsonl")
    assert done.returncode == 1
    assert "HTTP 404 Not Found" in done.stderr
    [row] = {json.loads(line)["station"] for line in done.stdout.splitlines()}
    assert row.endswith("2020-09-15 Episode 2.opus")
    assert "/1.opus" not in visits
    done = airsift("segment", f"{url}/2.opus", "--latest", "2")
    assert "none is named" in done.stderr
    answers["/feed"] = give(b"<html><body>moved</body></html>")
    done = airsift("segment", f"{url}/feed")
    assert (done.returncode, done.stdout) == (1, "")
    assert "is a page of HTML" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_atom_feed(served: Served, config: Config) -> None:
    url, answers, _ = served
    answers["/feed"] = give(
        b"<?xml version='1.0'?><feed xmlns='http://www.w3.org/2005/Atom'><title>Atom</title><entry>"
        b"<id>urn:1</id><title>One</title><updated>2021-03-04T05:06:07Z</updated>"
        b"<link rel='enclosure' type='audio/x-m4a' href='audio?n=1'/></entry></feed>"
    )
    answers["/audio?n=1"] = give(AUDIO)
    found = feed.local_episodes(f"{url}/feed", config)
    assert found is not None
    assert [each.name for each in found.files] == ["2021-03-04 One.m4a"]


def test_one_file_of_a_host_at_a_time(served: Served, config: Config) -> None:
    url, answers, _ = served
    now, most = 0, 0
    lock = threading.Lock()

    def answer(request: Request) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        give(AUDIO)(request)
        with lock:
            now -= 1

    for n in range(4):
        answers[f"/{n}.mp3"] = answer
        answers[f"/feed{n}"] = give(rss(item(n, f"/{n}.mp3")))
    threads = [
        threading.Thread(target=feed.local_episodes, args=(f"{url}/feed{n}", config))
        for n in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert most == 1


def test_a_stop_ends_a_download_and_keeps_what_came(served: Served, config: Config) -> None:
    url, answers, _ = served
    stop = Stop()

    def answer(request: Request) -> None:
        request.head(200, ETag='"v"', Content_Length=str(len(AUDIO)))
        request.wfile.write(AUDIO[:100_000])
        request.wfile.flush()
        stop.request()
        time.sleep(0.1)
        request.wfile.write(AUDIO[100_000:])

    answers["/feed"], answers["/1.mp3"] = give(rss(item(1, "/1.mp3"))), answer
    found = feed.local_episodes(f"{url}/feed", config, stop=stop)
    assert found is not None
    assert (found.files, found.failed) == ([], 0)
    [part] = cache_home().rglob("*.part")
    assert AUDIO.startswith(part.read_bytes())
    about = json.loads(part.with_name(f"{part.name}.json").read_bytes())
    assert about == {"validator": '"v"'}


@pytest.mark.parametrize(
    "damage", [lambda path: path.write_text("{"), lambda path: path.write_text("[1]")]
)
def test_a_damaged_cache_is_fetched_anew(
    served: Served, config: Config, damage: Callable[[Path], object]
) -> None:
    url, answers, _ = served
    answers["/feed"], answers["/1.mp3"] = give(rss(item(1, "/1.mp3"))), give(AUDIO)
    first = feed.local_episodes(f"{url}/feed", config)
    for name in ("feed.json", "names.json"):
        [path] = cache_home().rglob(name)
        damage(path)
    assert feed.local_episodes(f"{url}/feed", config) == first
