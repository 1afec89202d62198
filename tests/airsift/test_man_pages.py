"""The manual pages: one for each command, made of the texts of its help."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from airsift.cli.app import make_app

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.process, pytest.mark.slow]


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("man")
    subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "man_pages.py"), str(folder)],
        check=True,
        capture_output=True,
    )
    return {path.stem: path for path in folder.iterdir()}


def test_there_is_a_page_for_each_command_with_its_options(pages):
    names = []

    def walk(command, words):
        names.append("-".join(words))
        text = pages[names[-1]].read_text()
        for parameter in command.params:
            for option in getattr(parameter, "opts", ()):
                if option.startswith("-"):
                    assert option.replace("-", "\\-") in text, (words, option)
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, [*words, name])

    walk(typer.main.get_command(make_app()), ["airsift"])
    assert sorted(names) == sorted(pages)


def test_man_shows_them_as_they_are_written(pages):
    if shutil.which("man") is None:
        pytest.skip("man is not installed")
    shown = subprocess.run(
        ["man", "--warnings", "-l", str(pages["airsift-segment"])],
        env={"MANWIDTH": "80", "MANPAGER": "cat", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stderr == ""
    text = re.sub(r".\x08", "", shown.stdout)
    for part in (
        "AIRSIFT-SEGMENT(1)",
        "SYNOPSIS",
        "airsift segment [OPTIONS]",
        "--catalogue <str>",
    ):
        assert part in text
    assert max(map(len, text.splitlines())) <= 80


def test_they_have_no_mistake(pages):
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is not installed")
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", *map(str, pages.values())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_they_are_the_same_on_another_day(pages):
    first = pages["airsift"].read_text().splitlines()[0]
    assert re.fullmatch(r'\.TH "AIRSIFT" 1 \d{4}-\d\d-\d\d "airsift [\d.]+" "User Commands"', first)
