"""The catalogue, unknown pieces, reports and groups in a real browser."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from airsift.web.server import serving
from fingerprint.analysis.track_landmarks import analyse
from fingerprint.catalogue import Catalogue
from fingerprint.index.database import DATABASE
from fingerprint.matching.matcher import LandmarkMatcher
from fingerprint.repeats import finder
from fingerprint.track import Track
from stream.events import Match, Segment
from stream.history.rows import row_of
from stream.lines import to_json
from stream.testing import write_wav
from tests.airsift.web import repeated
from tests.airsift.web.serve import (
    START_MS,
    Client,
    alarm,
    answers,
    config,
    segment,
    served,
    until,
)
from tests.browser import Page, browser
from tests.fingerprint.music import compose
from tests.stream.databases import Base

pytestmark = [pytest.mark.process, pytest.mark.slow]
RATE = 16_000
PROCESSES_S = 300.0  # that processes of a low priority may take where others compute
HOSTILE = '</td><script>window.hacked=1</script>"><img src=x onerror=window.hacked=1>😀'
ROWS = "[...document.querySelectorAll('.tracks tbody tr')]"
TITLES = f"{ROWS}.map((row) => row.querySelector('strong').textContent)"
JOBS = "[...document.querySelectorAll('.job')].map((e) => e.querySelector('.state').textContent)"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture(autouse=True)
def afresh(page: Page) -> None:
    page.visit("about:blank")  # the page of the test before has lost its server
    page.errors.clear()
    page.requests.clear()
    page.resize(1280)


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    folder = tmp_path / "shelf"
    opened = Catalogue.create(folder)
    for seed, (title, artist) in enumerate([("Löwenzahn", "Ébène"), (HOSTILE, HOSTILE)], 1):
        track = Track(f"k{seed}", title, artist, HOSTILE, "DEA0", extra={"file": HOSTILE})
        opened.add_landmarks(analyse([compose(seed, 12.0)], title), track)
    opened.close()
    return folder


def choose(page: Page, selector: str, paths: list[Path]) -> None:
    """Choose files, as in the dialog that the browser shows."""
    root = page.call("DOM.getDocument")["root"]["nodeId"]
    node = page.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
    page.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])


def click(page: Page, selector: str, text: str = "") -> None:
    found = f"[...document.querySelectorAll({json.dumps(selector)})].find((e) => !e.hidden && e.textContent.includes({json.dumps(text)}))"  # noqa: E501
    page.wait_for(found)
    page.evaluate(f"{found}.click()")


def drop(page: Page, name: str) -> None:
    """Drop a file that is no audio somewhere on the page."""
    page.evaluate(f"""(() => {{
      const carried = new DataTransfer();
      carried.items.add(new File(['no audio'], {json.dumps(name)}));
      const given = {{dataTransfer: carried, bubbles: true, cancelable: true}};
      for (const type of ['dragover', 'drop'])
        document.body.dispatchEvent(new DragEvent(type, given));
    }})()""")


def write(page: Page, name: str, text: str) -> None:
    """Write into a field of the dialog, in place of what stands there."""
    page.evaluate(f"document.querySelector('dialog [name={name}]').select()")
    page.call("Input.insertText", text=text)


def clean(page: Page, client: Client) -> None:
    assert page.evaluate("window.hacked") is None
    assert page.errors == []
    assert {url.split("/")[2] for url in page.requests} <= {client.host}


def test_files_that_are_dropped_are_added_and_found(
    page: Page, shelf: Path, tmp_path: Path
) -> None:
    sound = compose(9, 14.0)
    song = write_wav(tmp_path / "<b>Ünknown &amp; 😀.wav", sound)
    quiet = write_wav(tmp_path / "quiet.wav", sound * 0.5)
    matcher = LandmarkMatcher(Catalogue.open(shelf))
    query = matcher.extract(sound)
    with served(f"identify.catalogue={to_json(str(shelf))}") as client:
        page.visit(f"{client.url}catalogue")
        page.wait_for(f"{ROWS}.length === 2")
        assert page.evaluate(TITLES) == [HOSTILE, "Löwenzahn"]
        shown = client.json("/api/catalogue")["tracks"]
        assert page.evaluate(TITLES) == [track["title"] for track in shown]
        choose(page, "#files", [song, quiet])
        drop(page, "rubbish.mp3")
        page.wait_for(f"{JOBS}.length === 3")
        # Another view does not end it.
        click(page, ".bar nav a", "Wall")
        page.wait_for("document.querySelector('.wall')")
        click(page, ".bar nav a", "Catalogue")
        ready = f"{JOBS}.every((state) => !/Waiting|Sending|Reading/.test(state))"
        page.wait_for(ready, PROCESSES_S)
        states = page.evaluate(JOBS)
        assert states == ["Added", "Same recording", "Not added"]
        texts = page.evaluate("[...document.querySelectorAll('.job')].map((e) => e.textContent)")
        assert "same recording" in texts[1]
        assert "<b>Ünknown &amp; 😀" in texts[1]
        assert "rubbish.mp3: " in texts[2]
        page.wait_for(f"{ROWS}.length === 3")
        assert page.evaluate(TITLES)[0] == "<b>Ünknown &amp; 😀"
        [match] = matcher.match(query)
        assert match.title == "<b>Ünknown &amp; 😀"
        click(page, ".job .button", "Add it anyway")
        page.wait_for(f"{JOBS}[1] === 'Added'", PROCESSES_S)
        page.wait_for(f"{ROWS}.length === 4")
        click(page, ".button", "Clear the list")
        page.wait_for("document.querySelectorAll('.job').length === 0")
        clean(page, client)


def test_a_track_is_searched_renamed_and_removed(page: Page, shelf: Path) -> None:
    with served(f"identify.catalogue={to_json(str(shelf))}") as client:
        page.visit(f"{client.url}catalogue")
        page.wait_for(f"{ROWS}.length === 2")
        page.press("/", 191)
        page.wait_for("document.activeElement.id === 'search'")
        page.call("Input.insertText", text="lowen ebene")
        page.wait_for(f"{ROWS}.length === 1")
        assert page.evaluate("location.search") == "?search=lowen+ebene"
        click(page, ".tracks .icon", "✎")
        page.wait_for("document.activeElement.name === 'title'")
        write(page, "title", HOSTILE)
        # Two tabs: the other one has changed the artist meanwhile.
        body = b'{"artist": "Other tab"}'
        headers = {"Content-Type": "application/json"}
        path = "/api/catalogue/track?key=k1"
        assert client.status(path, method="PATCH", body=body, headers=headers) == 200
        page.press("Enter", 13)
        click(page, "dialog .primary", "Save")
        page.wait_for("!document.querySelector('dialog.ask')")
        track = client.json("/api/catalogue?search=tab")["tracks"][0]
        assert (track["title"], track["artist"]) == (HOSTILE, "Other tab")

        # The other tab removes it while it is renamed here.
        page.evaluate("document.getElementById('search').value = ''")
        page.visit(f"{client.url}catalogue?search=tab")
        page.wait_for(f"{ROWS}.length === 1")
        click(page, ".tracks .icon", "✎")
        page.wait_for("document.activeElement.name === 'title'")
        assert client.status(path, method="DELETE") == 200
        write(page, "title", "What was typed")
        click(page, "dialog .primary", "Save")
        page.wait_for("document.querySelector('dialog .wrong').textContent.includes('no track')")
        assert page.evaluate("document.querySelector('dialog [name=title]').value") == (
            "What was typed"
        )
        page.errors[:] = [each for each in page.errors if "409" not in each]
        click(page, "dialog .button", "Cancel")

        page.visit(f"{client.url}catalogue")
        page.wait_for(f"{ROWS}.length === 1")
        click(page, ".tracks .icon", "✕")
        page.wait_for("document.activeElement.textContent === 'Cancel'")
        assert HOSTILE in page.evaluate("document.querySelector('dialog.ask h2').textContent")
        page.press("Escape", 27)
        page.wait_for("!document.querySelector('dialog.ask')")
        assert client.json("/api/catalogue")["total"] == 1
        assert page.evaluate("location.pathname") == "/catalogue"
        click(page, ".tracks .icon", "✕")
        click(page, "dialog .danger", "Remove")
        page.wait_for("document.querySelector('.empty').textContent.startsWith('No track yet')")
        assert client.json("/api/catalogue")["total"] == 0
        clean(page, client)


def test_a_dialog_survives_a_server_that_begins_anew(page: Page, shelf: Path) -> None:
    catalogue = f"identify.catalogue={to_json(str(shelf))}"
    with served(catalogue) as client:
        port = client.host.split(":")[1]
        page.visit(f"{client.url}catalogue")
        page.wait_for(f"{ROWS}.length === 2")
        click(page, ".tracks .icon", "✎")
        page.wait_for("document.activeElement.name === 'title'")
        write(page, "title", "Kept")
    click(page, "dialog .primary", "Save")
    page.wait_for("document.querySelector('dialog .wrong').textContent.includes('does not answer')")
    with served(catalogue, f"web.port={port}") as client:
        click(page, "dialog .primary", "Save")
        page.wait_for("!document.querySelector('dialog.ask')")
        page.wait_for(f"{TITLES}.includes('Kept')")
        assert client.json("/api/catalogue?search=kept")["found"] == 1


def test_a_large_catalogue_is_leafed_through(page: Page, shelf: Path) -> None:
    import sqlite3

    with sqlite3.connect(shelf / DATABASE) as database:
        database.executemany(
            "INSERT INTO tracks (key, title, artist, album, isrc, label, duration, content, extra, "
            "recording) VALUES (?, ?, 'A', '', '', '', 160000, '', '{}', '')",
            [(f"n{n}", f"Song {n}") for n in range(1000)],
        )
    database.close()
    with served(f"identify.catalogue={to_json(str(shelf))}") as client:
        page.visit(f"{client.url}catalogue?page=2")
        page.wait_for(f"{ROWS}.length === 50")
        assert page.evaluate(TITLES)[0] == "Song 949"
        page.press("ArrowRight", 39)
        page.wait_for(f"{TITLES}[0] === 'Song 899'")
        assert page.evaluate("location.search") == "?page=3"
        text = page.evaluate("document.querySelector('.pager .dim').textContent")
        assert text == "101 to 150 of 1\u202f002"
        click(page, ".pager .button", "»")
        page.wait_for(f"{ROWS}.length === 2")
        assert page.evaluate("document.activeElement.tagName") == "BODY"
        clean(page, client)


def test_an_unknown_piece_is_heard_and_named(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finder, "MIN_LAG", repeated.MIN_LAG)
    root, shelf = tmp_path / "repeats", tmp_path / "shelf"
    station = "</p><img src=x onerror=window.hacked=1>"
    [event, _] = repeated.store(root, station, 1)
    [folder] = root.iterdir()
    (folder / "clips").mkdir()
    write_wav(folder / "clips" / f"{event.cluster}.wav", repeated.audio(1)[: 2 * RATE])
    with served(
        f"identify.catalogue={to_json(str(shelf))}", f"repeats.folder={to_json(str(root))}"
    ) as client:
        page.visit(f"{client.url}unknown")
        page.wait_for("document.querySelectorAll('.pieces li').length === 1")
        [piece] = client.json("/api/unknown")["pieces"]
        shown = page.evaluate("document.querySelector('.pieces li').textContent")
        for text in ("Jingle", "Music", "0:09", "3 times", station):
            assert text in shown
        links = page.evaluate("[...document.querySelectorAll('.times a')].map((a) => a.search)")
        for link, each in zip(links, reversed(piece["occurrences"]), strict=True):
            assert link.startswith(f"?name={quote(station, safe='()*!')}")
            assert link.endswith(f"at={each['start_ms']}")
        click(page, ".pieces .button", "Listen")
        page.wait_for("document.querySelector('audio').duration === 2")
        click(page, ".pieces .button", "Name it")
        page.wait_for("document.activeElement.name === 'title'")
        page.call("Input.insertText", text=HOSTILE)
        click(page, "dialog .primary", "Name it")
        page.wait_for("document.querySelector('.empty').textContent.startsWith('Nothing that')")
        [track] = client.json("/api/catalogue")["tracks"]
        assert (track["title"], track["extra"]["kind"]) == (HOSTILE, "jingle")
        click(page, ".chip", "Named")
        page.wait_for("document.querySelectorAll('.pieces li').length === 1")
        assert page.evaluate("location.search") == "?named=1"
        assert HOSTILE in page.evaluate("document.querySelector('.pieces strong').textContent")
        clean(page, client)


def test_a_report_is_made_on_the_page(page: Page, tmp_path: Path) -> None:
    base, begin = Base(tmp_path / "history.db"), START_MS / 1000
    rows = [
        Segment(HOSTILE, 0, RATE * 600, RATE, begin, "music", 0.9, True),
        Match(HOSTILE, 0, RATE * 200, RATE, begin, "k", HOSTILE, "No<va>", 0, 9, True),
        Segment("b", 0, RATE * 600, RATE, begin, "speech", 0.9, True),
    ]
    with base.writer() as writer:
        writer.open()
        writer.write([row_of(each) for each in rows])
    with served(f"database.url={to_json(base.url)}", history=True) as client:
        page.visit(f"{client.url}reports?from=2026-05-28&to=2026-05-28")
        page.wait_for("document.querySelectorAll('.names input').length === 2")
        page.evaluate(
            f"[...document.querySelectorAll('.names input')]"
            f".find((box) => box.value === {json.dumps(HOSTILE)}).click()"
        )
        click(page, "form.report .primary", "Make")
        shown = "document.querySelector('iframe').src.includes('/api/reports/')"
        page.wait_for(shown, PROCESSES_S)
        path = page.evaluate("document.querySelector('iframe').getAttribute('src')")
        with client.open(path) as answer:
            assert "<script>window" not in (text := answer.read().decode())
        assert "&lt;script&gt;window.hacked=1" in text
        page.wait_for("document.querySelector('iframe').getBoundingClientRect().height > 300")
        page.evaluate(
            "var f = document.getElementById('format'); f.value = 'csv';"
            "f.dispatchEvent(new Event('change'))"
        )
        click(page, "form.report .primary", "Make")
        page.wait_for("document.querySelectorAll('.job').length === 2", PROCESSES_S)
        link = page.evaluate("document.querySelector('.job a').getAttribute('href')")
        with client.open(link) as answer:
            assert answer.headers["Content-Disposition"].startswith("attachment")
            assert HOSTILE.replace('"', '""') in answer.read().decode()
        page.evaluate(
            "var f = document.getElementById('format'); f.value = 'ddex';"
            "f.dispatchEvent(new Event('change'))"
        )
        names = page.evaluate(
            "[...document.querySelectorAll('.fields input')].filter((i) => i.required).length"
        )
        assert names == 9
        page.evaluate("document.querySelectorAll('.fields input').forEach((i) => i.value = '?')")
        click(page, "form.report .primary", "Make")
        wrong = "document.querySelector('.report .wrong').textContent.includes('must be')"
        page.wait_for(wrong, PROCESSES_S)
        page.errors[:] = [each for each in page.errors if "422" not in each]
        # The frame is of no origin, so its text is read in a page of its own.
        page.visit(client.url + path.lstrip("/"))
        text = page.evaluate("document.body.innerText")
        assert text.count(HOSTILE) >= 2
        assert page.evaluate("origin") == "null"
        clean(page, client)


def test_a_wall_of_groups_is_filtered_counted_and_kept_in_the_address(page: Page) -> None:
    names = ["North", HOSTILE, "__proto__", ""]
    groups = {f"s{n}": names[n % 4] for n in range(12) if n % 4 != 3}
    with serving(config(), groups=lambda: groups) as server:
        client = Client(server.url, server.feed)
        until(lambda: answers(client))
        client.feed.put([segment(f"s{n}", 0, 30, ["speech", "music"][n % 2]) for n in range(12)])
        client.feed.put([alarm("s0", 0, 30), alarm("s1", 0, 30), alarm("s5", 0, 30)])
        until(lambda: len(client.json("/api/stations")["stations"]) == 12)
        chips = """[...document.querySelectorAll('.groups .chip')].map((chip) =>
          [...chip.children].map((part) => part.textContent))"""
        shown = "[...document.querySelectorAll('.tile')].filter((e) => !e.hidden).map((e) => e.dataset.station)"  # noqa: E501
        page.visit(client.url)
        page.wait_for(f"{shown}.length === 12 && document.querySelector('.tile.troubled')")
        page.wait_for(f"{chips}.length === 5 && {chips}[0][2] === '3'")
        assert sorted(page.evaluate(chips)) == sorted(
            [["All groups", "12", "3"], ["North", "3", "1"], [HOSTILE, "3", "2"],
             ["__proto__", "3", ""], ["No group", "3", ""]]
        )  # fmt: skip
        click(page, ".groups .chip", HOSTILE)
        assert page.evaluate(shown) == ["s1", "s5", "s9"]
        counts = "[...document.querySelectorAll('.chip b')].slice(0, 3).map((e) => e.textContent)"
        assert page.evaluate(counts) == ["3", "0", "3"]
        assert page.evaluate("location.search") == f"?group={quote(HOSTILE, safe='()*!')}"
        # It stays when a station was looked at, and when the page is loaded again.
        click(page, ".tile:not([hidden])")
        page.wait_for("location.pathname === '/station'")
        page.press("Escape", 27)
        page.wait_for(f"{shown}.join() === 's1,s5,s9'")
        page.evaluate("window.isOld = true")
        page.call("Page.reload")
        page.wait_for(f"!window.isOld && {shown}.join() === 's1,s5,s9'")
        # Keys alone.
        before = page.evaluate("location.search")
        page.press("g", 71)
        page.wait_for(f"location.search !== {json.dumps(before)}")
        page.call("Input.dispatchKeyEvent", type="keyDown", key="G", modifiers=8)
        page.wait_for(f"location.search === {json.dumps(before)}")
        page.evaluate("document.querySelector('.groups .chip').focus()")
        page.press("Enter", 13)
        page.call("Input.dispatchKeyEvent", type="char", text="\r")
        page.wait_for(f"{shown}.length === 12")
        assert page.evaluate("location.search") == ""
        page.visit(f"{client.url}?group=gone")
        page.wait_for("document.querySelector('.empty').textContent.includes('“gone”')")
        clean(page, client)


def test_what_is_not_set_up_is_said_and_views_fit_a_phone(
    page: Page, shelf: Path, tmp_path: Path
) -> None:
    with served() as client:
        for path, words in {
            "catalogue": "identify.catalogue", "unknown": "repeats.folder", "reports": "--database",
        }.items():  # fmt: skip
            page.visit(client.url + path)
            page.wait_for(f"document.querySelector('.empty').textContent.includes('{words}')")
        assert page.evaluate("document.getElementById('to-catalogue').hidden")
        assert page.evaluate("document.getElementById('to-reports').hidden")
        clean(page, client)
        page.visit("about:blank")
    base = Base(tmp_path / "history.db")
    with base.writer() as writer:
        writer.open()
        segments = [Segment("x" * 80, 0, 9 * RATE, RATE, START_MS / 1000, "music", 0.9, True)]
        writer.write([row_of(each) for each in segments])
    page.errors.clear()
    page.requests.clear()
    page.resize(390, 844, dark=True)
    with served(
        f"identify.catalogue={to_json(str(shelf))}", "repeats.folder=none",
        f"database.url={to_json(base.url)}", history=True,
    ) as client:  # fmt: skip
        for path, condition in {
            "catalogue": f"{ROWS}.length", "unknown": "document.querySelector('.empty')",
            "reports": "document.querySelector('.names input')",
        }.items():  # fmt: skip
            page.visit(client.url + path)
            page.wait_for(condition)
            time.sleep(0.3)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 390, (path, wide)
        page.visit(f"{client.url}catalogue")
        click(page, ".tracks .icon", "✎")
        page.wait_for("document.querySelector('dialog.ask')")
        box = "document.querySelector('dialog.ask').getBoundingClientRect()"
        assert page.evaluate(f"{box}.left >= 0 && {box}.right <= 390 && {box}.top >= 0")
        click(page, "dialog .button", "Cancel")
        clean(page, client)
