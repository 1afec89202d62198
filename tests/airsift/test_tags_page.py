"""The page of ``airsift tags check`` in a real browser: play, decide, keep, export, read back."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from airsift.tags.analysis import Content
from airsift.tags.catalogue import Entry
from airsift.tags.decisions import read_decisions
from airsift.tags.judging import Verdict
from airsift.tags.mapping import Claim
from airsift.tags.page import write_page
from stream.testing import tone, write_wav
from tests.browser import Page, browser

pytestmark = [pytest.mark.process, pytest.mark.slow]
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


@contextmanager
def opened(path: Path, profile: Path, saved: Path) -> Iterator[Page]:
    with browser(profile) as page:
        page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(saved))
        page.open(path)
        yield page


def press(page: Page, key: str) -> None:
    page.evaluate(
        f"document.body.dispatchEvent(new KeyboardEvent('keydown', "
        f"{{key: '{key}', bubbles: true}}))"
    )


def test_decisions_are_kept_and_exported_and_read_back(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    path, saved = made
    with opened(path, tmp_path, saved) as page:
        assert page.evaluate("document.querySelectorAll('.row').length") == 100
        shown = page.evaluate("[...document.querySelectorAll('.path')].map(e => e.textContent)")
        assert shown[:4] == names()
        page.evaluate("document.querySelectorAll('.row')[0].querySelector('.wrong').click()")
        press(page, "j")
        press(page, "r")
        press(page, "j")
        press(page, "w")
        press(page, "u")  # taken back
        press(page, "j")
        press(page, "w")
        assert page.evaluate("document.getElementById('count').textContent").startswith("3 of 234")
        assert not page.errors
    with opened(path, tmp_path, saved) as page:  # the browser was closed
        assert page.evaluate("document.getElementById('count').textContent").startswith("3 of 234")
        page.evaluate("document.getElementById('open').click()")
        assert page.evaluate("document.querySelector('.path').textContent") == names()[2]
        page.evaluate("document.getElementById('export').click()")
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
    with opened(path, tmp_path, saved) as page:
        for index in range(len(NAMES)):
            page.evaluate(
                f"document.querySelectorAll('.row')[{index}].querySelector('.play').click()"
            )
            page.wait_for("player.readyState > 2 && !player.paused && player.currentTime >= 5")
            page.evaluate("player.pause()")
        assert not page.errors
        # A file that is gone says so, and the page goes on.
        page.evaluate("document.querySelectorAll('.row')[4].querySelector('.play').click()")
        page.wait_for("document.querySelector('#now a') !== null")


def test_it_fits_a_narrow_window_and_turns_pages(made: tuple[Path, Path], tmp_path: Path) -> None:
    path, saved = made
    with opened(path, tmp_path, saved) as page:
        for width in (1400, 360):
            page.call(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=800,
                deviceScaleFactor=1,
                mobile=False,
            )
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.evaluate("document.getElementById('next').click()")
        page.evaluate("document.getElementById('next').click()")
        assert page.evaluate("document.querySelectorAll('.row').length") == 34
        assert page.evaluate("document.getElementById('next').disabled") is True
