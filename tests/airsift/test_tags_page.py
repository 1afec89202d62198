"""The page of ``airsift tags check`` in a real browser: play, decide, keep, export, read back."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import pytest

from airsift.tags.catalogue import Entry
from airsift.tags.decisions import read_decisions
from airsift.tags.judging import Verdict
from airsift.tags.listening import Content
from airsift.tags.mapping import Claim
from airsift.tags.page import write_page
from stream.testing import tone, write_wav
from tests.browser import Page, needs_browser

pytestmark = [pytest.mark.process, pytest.mark.slow, needs_browser]
# Names that would break a page, a link or a table.
NAMES = ['a "quoted", name.wav', "</script><b>x.wav", "50% #1? ü.wav", "c:colon.wav"]


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Path]:
    content = Content(20.0, 20.0, 0.0, 1.0, 0.02, 0.97, (), (5.0,))
    audio = tmp_path / "audio"
    audio.mkdir()
    verdicts = []
    for name in NAMES:
        safe = name.replace("/", "_")
        write_wav(audio / safe, tone(12.0))
        verdicts.append(Verdict(Entry(audio / safe, safe, ("Audiobook",)), Claim.speech, content))
    many = [
        Verdict(Entry(audio / f"{n}.wav", f"{n}.wav", ("Talk",)), Claim.speech, content)
        for n in range(230)
    ]
    page = tmp_path / "page.html"
    write_page(page, tmp_path / "catalogue.csv", verdicts + many)
    (tmp_path / "saved").mkdir()
    return page, tmp_path / "saved"


def names() -> list[str]:
    return [name.replace("/", "_") for name in NAMES]


def press(page: Page, key: str) -> None:
    page.run(
        f"document.body.dispatchEvent(new KeyboardEvent('keydown', "
        f"{{key: '{key}', bubbles: true}}))"
    )


def test_decisions_are_kept_and_exported_and_read_back(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    path, saved = made
    with Page(path.as_uri(), tmp_path / "profile", saved) as page:
        assert page.run("document.querySelectorAll('.row').length") == 100
        shown = page.run("[...document.querySelectorAll('.path')].map(e => e.textContent)")
        assert shown[:4] == names()
        page.run("document.querySelectorAll('.row')[0].querySelector('.wrong').click()")
        press(page, "j")
        press(page, "r")
        press(page, "j")
        press(page, "w")
        press(page, "u")  # taken back
        press(page, "j")
        press(page, "w")
        assert page.run("document.getElementById('count').textContent").startswith("3 of 234")
        assert not page.errors
    with Page(path.as_uri(), tmp_path / "profile", saved) as page:  # the browser was closed
        assert page.run("document.getElementById('count').textContent").startswith("3 of 234")
        page.run("document.getElementById('open').click()")
        assert page.run("document.querySelector('.path').textContent") == names()[2]
        page.run("document.getElementById('export').click()")
        deadline = time.monotonic() + 20
        while not (saved / "decisions.csv").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.2)
        assert not page.errors
    expected = {names()[0]: "wrong", names()[1]: "right", names()[3]: "wrong"}
    assert read_decisions(saved / "decisions.csv") == expected
    with (saved / "decisions.csv").open(newline="", encoding="utf-8") as file:
        assert {row["contains"] for row in csv.DictReader(file)} == {"music"}


def test_every_name_plays_from_where_the_tags_are_contradicted(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    path, saved = made
    with Page(path.as_uri(), tmp_path / "profile", saved) as page:
        for index in range(len(NAMES)):
            page.run(f"document.querySelectorAll('.row')[{index}].querySelector('.play').click()")
            page.wait_for("player.readyState > 2 && !player.paused && player.currentTime >= 5")
            page.run("player.pause()")
        # A file that is gone says so, and the page goes on.
        page.run("document.querySelectorAll('.row')[4].querySelector('.play').click()")
        page.wait_for("document.querySelector('#now a') !== null")
        assert not page.errors


def test_it_fits_a_narrow_window_and_turns_pages(made: tuple[Path, Path], tmp_path: Path) -> None:
    path, saved = made
    with Page(path.as_uri(), tmp_path / "profile", saved) as page:
        for width in (1400, 360):
            page.resize(width, 800)
            assert page.run("document.documentElement.scrollWidth") <= width
        page.run("document.getElementById('next').click()")
        page.run("document.getElementById('next').click()")
        assert page.run("document.querySelectorAll('.row').length") == 34
        assert page.run("document.getElementById('next').disabled") is True
