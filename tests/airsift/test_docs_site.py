"""The documentation as pages: `make docs` builds all of it, and it needs no other host."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

import airsift
from airsift.defaults import defaults
from tests.browser import browser
from tests.shown import tree

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
# Pages with long lines, wide tables and pictures.
WIDE = ["index", "quickstart", "benchmarks", "operating", "topics", "reference/commands",
        "reference/configuration", "source/configs/default-toml"]  # fmt: skip
pytestmark = [pytest.mark.process, pytest.mark.slow]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Write nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def text_of(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text()))


def test_the_command_line_is_all_there(site: Path) -> None:
    page = text_of(site / "reference" / "commands.html")
    for words, options in tree().items():
        assert " ".join(["airsift", *words]) in page
        for option in options - {"--help"}:
            assert option in page, words


def test_the_configuration_is_all_there(site: Path) -> None:
    page = text_of(site / "reference" / "configuration.html")

    def check(table: dict[str, object]) -> None:
        for name, value in table.items():
            assert name in page
            if isinstance(value, dict):
                check(value)

    check(defaults())


def test_every_public_name_is_there(site: Path) -> None:
    page = text_of(site / "reference" / "python.html")
    for name in airsift.__all__:
        assert name.startswith("__") or name in page
    assert "seconds" in page.lower()  # of the docstrings


def test_every_event_is_there(site: Path) -> None:
    page = text_of(site / "reference" / "schemas.html")
    for path in (ROOT / "docs" / "schemas").glob("*.json"):
        schema = json.loads(path.read_text())
        assert schema["title"] in page
        assert all(name in page for name in schema["properties"]), path.name


def test_links_that_leave_the_documentation_stay_on_the_site(site: Path) -> None:
    for page in site.rglob("*.html"):
        if page.name == "404.html":
            continue
        for target in re.findall(r'(?:href|src)="([^"#]+)', page.read_text()):
            if not re.match(r"[a-z]+:", target):
                assert (page.parent / target).resolve().exists(), (page.name, target)


def test_a_reader_without_a_network(site: Path, address: str, tmp_path: Path) -> None:
    with browser(tmp_path) as page:
        page.resize(390)
        for name in WIDE:
            page.visit(f"{address}/{name}.html")
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= 390, (name, width)
        page.resize(1200)
        page.visit(f"{address}/index.html")
        page.evaluate("document.querySelector('input.md-search__input').focus()")
        page.call("Input.insertText", text="watermark")
        page.wait_for("document.querySelector('.md-search-result__link')")
        found = page.evaluate("document.querySelector('.md-search-result__link').href")
        assert found.startswith(f"{address}/glossary.html")
        assert not page.errors
        others = {url for url in page.requests if not url.startswith((f"{address}/", "blob:"))}
        assert not others


def test_the_navigation_has_every_page() -> None:
    """A page that is left out would be found by the search alone."""

    class Loader(yaml.SafeLoader):
        """YAML with the names of Python that mkdocs.yml has."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    config = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)

    def pages(part: object) -> Iterator[str]:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            part = list(part.values())
        if isinstance(part, list):
            for each in part:
                yield from pages(each)

    docs = ROOT / "docs"
    there = {str(path.relative_to(docs)) for path in docs.rglob("*.md")}
    assert set(pages(config["nav"])) == there
