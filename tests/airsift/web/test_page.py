"""The page in a real browser: it shows what the events say, whatever stations are called."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from airsift.web.hub import Hub
from stream.alarms.clips import clip_of
from stream.events import Alarm
from stream.lines import to_json
from stream.testing import programme, tone, write_wav
from tests.airsift.web.reader import Reader
from tests.airsift.web.serve import (
    START_MS,
    Client,
    alarm,
    decision,
    event,
    match,
    segment,
    served,
    until,
)
from tests.browser import Page, browser

pytestmark = [pytest.mark.process, pytest.mark.slow]
HOSTILE = [
    "Radio/Nord?a=b&c#d%20", "😀 Радио 九州", "<script>window.hacked=1</script>",
    '"><img src=x onerror=window.hacked=1>', "__proto__", "constructor", "' ` ${window.hacked=1}",
    "\u202enohtyp", "a\nb\tc",
]  # fmt: skip
STORE = """(() => {
  const lane = (map) => [...map.values()];
  return JSON.stringify([...airsift.store.stations.values()].map((view) => [view.name, {
    spans: lane(view.spans), songs: lane(view.songs), alarms: lane(view.alarms),
    trace: lane(view.trace), head_ms: view.head_ms, dated: view.dated, now: view.now,
  }]));
})()"""
TEXTS = """JSON.stringify(Object.fromEntries([...document.querySelectorAll('.tile')].map((tile) => [
  tile.dataset.station,
  Object.fromEntries(['h2', '.label', '.title', '.artist', '.trouble', '.voice'].map((name) =>
    [name, tile.querySelector(name).textContent])),
])))"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def client(page: Page) -> Iterator[Client]:
    with served() as client:
        page.errors.clear()
        page.requests.clear()
        page.resize(1440)
        yield client
        page.call("Page.navigate", url="about:blank")


def tiles(page: Page) -> dict[str, dict[str, str]]:
    return json.loads(page.evaluate(TEXTS))


def clean(page: Page, client: Client) -> None:
    """Check that nothing was injected, nothing failed, and no other host was asked."""
    assert page.evaluate("window.hacked") is None
    assert page.errors == []
    assert {url.split("/")[2] for url in page.requests} <= {client.host}


def test_the_store_of_the_page_is_the_hubs_after_any_events(page: Page, client: Client) -> None:
    page.visit(client.url)
    page.wait_for("globalThis.airsift?.store.connected")
    hub = Hub()
    for n in range(12):
        events = [
            segment("a", 10 * n, 10 * n + 10, ["speech", "music"][n % 2]),
            segment("b", 10 * n, 10 * n + 9, "other", final=n % 3 == 0),
            *(decision("a", 10 * n + k, 0.25, 0.5) for k in range(10)),
            match("b", 50 * (n // 4), 10 * n + 9, final=n % 4 == 3),
            event("gap", "b", 10 * n + 9, 10 * n + 10, reason="missing"),
            alarm("c", 0, n, final=n == 11),
        ]
        hub.put(events, 0.0)
        client.feed.put(events)
        time.sleep(0.11)
    expected = [
        [name, {key: value for key, value in station.items() if key != "seen_s"}]
        for name, station in Reader.of(hub).state()
    ]
    page.wait_for("airsift.store.stations.get('c')?.alarms.values().next().value?.open === false")
    page.wait_for(f"airsift.store.stations.get('a').head_ms === {START_MS + 120_000}")
    assert json.loads(page.evaluate(STORE)) == json.loads(json.dumps(expected))
    clean(page, client)


def test_what_is_shown_equals_the_events_and_no_name_is_more_than_a_name(
    page: Page, client: Client
) -> None:
    for name in HOSTILE:
        client.feed.put(
            [
                segment(name, 0, 10, "speech"),
                segment(name, 10, 30, "music", final=False),
                match(name, 11, 30, title=f"{name} t", artist=f"{name} a"),
                decision(name, 30, 0.1, 0.9),
            ]
        )
    client.feed.put([segment("plain", 0, 30, "speech", final=False, voice="female")])
    client.feed.put([alarm("plain", 10, 30, text="<b>dead</b> air")])
    page.visit(client.url)
    page.wait_for(f"document.querySelectorAll('.tile.music').length === {len(HOSTILE)}")
    page.wait_for("document.querySelector('.tile.troubled .trouble')?.textContent")
    shown = tiles(page)
    assert set(shown) == {*HOSTILE, "plain"}
    for name in HOSTILE:
        texts = shown[name]
        assert texts["h2"] == name
        assert texts[".label"] == "Music"
        plain = name.replace("\n", "�").replace("\t", "�").replace("\u202e", "")
        assert (texts[".title"], texts[".artist"]) == (f"{plain} t", f"{plain} a")
        assert texts[".trouble"] == ""
    assert shown["plain"][".voice"] == "female voice"
    assert shown["plain"][".trouble"] == "<b>dead</b> air"
    client.feed.put([alarm("plain", 10, 40, final=True), decision("plain", 40, 1, 0)])
    page.wait_for("!document.querySelector('.tile.troubled')")
    clean(page, client)
    for name in HOSTILE:
        page.evaluate(
            f"[...document.querySelectorAll('.tile')].find((tile) => tile.dataset.station === "
            f"{json.dumps(name)}).click()"
        )
        page.wait_for(f"document.querySelector('h1')?.textContent === {json.dumps(name)}")
        page.wait_for("document.querySelector('tbody tr td strong')")
        page.wait_for("document.querySelector('.live .label').textContent === 'Music'")
        page.call("Page.reload")
        page.wait_for(f"document.querySelector('h1')?.textContent === {json.dumps(name)}")
        page.wait_for("location.pathname === '/station' && document.querySelector('tbody tr')")
        page.press("Escape", 27)
        page.wait_for("document.querySelector('.wall')")
    clean(page, client)


def test_a_wall_is_filtered_and_walked_by_keys(page: Page, client: Client) -> None:
    client.feed.put([segment(f"s{n}", 0, 30, ["speech", "music"][n % 2]) for n in range(40)])
    client.feed.put([match("s7", 0, 30, title="Löwenzahn")])
    page.visit(client.url)
    page.wait_for("document.querySelectorAll('.tile.speech').length > 5")
    count = "[...document.querySelectorAll('.tile')].filter((tile) => !tile.hidden).length"
    assert page.evaluate(count) == 40
    names = page.evaluate("[...document.querySelectorAll('.tile h2')].map((e) => e.textContent)")
    assert names == [f"s{n}" for n in range(40)]
    page.evaluate("document.querySelector('.chip.music').click()")
    assert page.evaluate(count) == 20
    page.press("/", 191)
    page.wait_for("document.activeElement.id === 'filter'")
    page.call("Input.insertText", text="löwen")
    page.wait_for(f"{count} === 1")
    page.evaluate("document.querySelector('.chip.all').click()")
    page.evaluate("const i = document.getElementById('filter'); i.value = ''; "
                  "i.dispatchEvent(new Event('input')); i.blur()")  # fmt: skip
    for key, code in (("ArrowRight", 39), ("ArrowRight", 39), ("ArrowDown", 40), ("ArrowLeft", 37)):
        page.press(key, code)
    columns = page.evaluate(
        "getComputedStyle(document.querySelector('.wall')).gridTemplateColumns.split(' ').length"
    )
    assert page.evaluate("document.activeElement.dataset.station") == f"s{columns}"
    page.evaluate("document.activeElement.blur()")
    page.press("d", 68)
    page.wait_for("document.querySelector('.wall.rows')")
    page.press("d", 68)
    clean(page, client)


def test_a_page_goes_on_when_the_server_was_away(page: Page) -> None:
    with served() as client:
        page.visit(client.url)
        client.feed.put([segment("a", 0, 10, "music")])
        page.wait_for("document.querySelector('.tile.music')")
        port = client.host.split(":")[1]
    page.wait_for("document.querySelector('.status.off')")
    with served(f"web.port={port}") as client:
        client.feed.put([segment("b", 0, 10, "speech")])
        page.wait_for(
            "document.querySelector('.tile.speech') && !document.querySelector('.tile.music')"
        )
        client.feed.problem = "no <broker>"
        page.wait_for("document.getElementById('problem').textContent === 'no <broker>'")
    page.call("Page.navigate", url="about:blank")


def test_a_file_that_is_chosen_is_shown_with_its_segments(
    page: Page, client: Client, tmp_path: Path
) -> None:
    path = write_wav(tmp_path / "<b>é.wav", programme(40))
    page.visit(f"{client.url}upload")
    page.wait_for("document.getElementById('file')")
    root = page.call("DOM.getDocument")["root"]["nodeId"]
    node = page.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    page.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])
    page.wait_for("document.querySelector('.note').textContent === 'Done.'")
    rows = page.evaluate("[...document.querySelectorAll('tbody tr')].map((e) => e.textContent)")
    assert len(rows) >= 3
    assert page.evaluate("document.querySelector('section h2').textContent") == path.name
    clean(page, client)


def test_every_view_fits_a_phone(page: Page, client: Client) -> None:
    client.feed.put([segment("x" * 80, 0, 30, "speech_over_music"), match("x" * 80, 0, 30)])
    until(lambda: client.json("/api/stations")["stations"])
    page.resize(390, 844, dark=True)
    for path in ("", f"station?name={'x' * 80}", "search", "upload"):
        page.visit(client.url + path)
        page.wait_for("document.querySelector('main').children.length > 0")
        time.sleep(0.3)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, (path, wide)
    page.errors[:] = [each for each in page.errors if "404" not in each]


def test_a_search_finds_a_song_and_leads_to_its_time(page: Page, tmp_path: Path) -> None:
    from stream.events import Match, Segment
    from stream.history.rows import row_of
    from tests.stream.databases import Base

    base, begin, name = Base(tmp_path / "history.db"), START_MS // 1000, "<i>N/1</i>"
    events: list[Any] = [
        Segment(name, 0, 160_000 * 30, 16_000, float(begin), "music", 0.9, True),
        Match(name, 160_000, 160_000 * 20, 16_000, begin + 10.0, "k", "Star & fall", "No<va>", 0, 9,
              True),
    ]  # fmt: skip
    with base.writer() as writer:
        writer.open()
        writer.write([row_of(each) for each in events])
    with served(f"database.url={to_json(base.url)}", history=True) as client:
        page.errors.clear()
        page.requests.clear()
        page.resize(1440)
        page.visit(f"{client.url}search")
        page.wait_for("document.activeElement?.id === 'track'")
        page.call("Input.insertText", text="star")
        page.evaluate("document.querySelector('form.search button').click()")
        page.wait_for("document.querySelectorAll('tbody tr').length === 1")
        texts = page.evaluate(
            "[...document.querySelectorAll('tbody td')].map((e) => e.textContent)"
        )
        assert texts[1:3] == [name, "Star & fall No<va>"]
        assert texts[3:] == ["3:10", "3:10", "0:00"]
        page.evaluate("document.querySelector('tbody tr a').click()")
        page.wait_for(f"document.querySelector('h1')?.textContent === {json.dumps(name)}")
        page.wait_for("document.querySelector('tbody td strong')?.textContent === 'Star & fall'")
        clean(page, client)
        page.call("Page.navigate", url="about:blank")


def test_the_sound_around_an_alarm_is_heard_on_the_page(page: Page, tmp_path: Path) -> None:
    name = "a/b <i>"
    opened = Alarm(
        name, 0, 0, 16_000, None, "dead_air", False, "critical", False, None, None, "", ""
    )
    path = clip_of(tmp_path, opened)
    path.parent.mkdir()
    write_wav(path, tone(2.0))
    with served(f"alarms.clips.folder={tmp_path}") as client:
        page.errors.clear()
        page.requests.clear()
        client.feed.put([segment(name, 0, 60, "other"), alarm(name, 0, 50, text="<b>dead</b> air")])
        until(lambda: client.json("/api/stations")["stations"])
        page.visit(f"{client.url}station?name={quote(name)}")
        page.wait_for("document.querySelector('section[aria-label=Alarms] td strong')")
        cells = "[...document.querySelectorAll('section[aria-label=Alarms] td')]"
        found = page.evaluate(f"{cells}.map((cell) => cell.textContent)")
        assert found[1:] == ["<b>dead</b> air", "critical", "0:50", "▶ Listen"]
        page.evaluate("document.querySelector('section[aria-label=Alarms] .button').click()")
        page.wait_for("document.querySelector('section[aria-label=Alarms] audio').duration === 2")
        clean(page, client)
        page.call("Page.navigate", url="about:blank")
