"""`airsift plot`, and its page in a real browser."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from fingerprint.catalogue import Catalogue
from fingerprint.track import Track
from stream.testing import noise, programme, tone, write_wav
from tests.browser import browser
from tests.command import airsift
from tests.stream.media import encode

pytest.importorskip("matplotlib")
SECONDS = 40


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a programme, its labels, its picture and its page."""
    folder = tmp_path_factory.mktemp("plot")
    samples = programme(SECONDS)
    write_wav(folder / "it.wav", samples)
    catalogue = Catalogue.create(folder / "shelf")
    catalogue.add(samples, Track("t", "All </script> of it", "An Artist"))
    catalogue.close()
    (folder / "it.txt").write_text(f"0\t10\tspeech\n10\t{SECONDS}\tmusic: An Artist - All\n")
    done = airsift(
        "plot", folder / "it.wav", "--catalogue", folder / "shelf", "--truth", folder / "it.txt",
        "--output", folder / "it.png", "--output", folder / "it.html",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"it\.png: .*speech and music as in truth in \d+\.\d% of", done.stderr)
    return folder


def data_of(page: Path) -> dict:
    text = page.read_text()
    return json.loads(text.partition('type="application/json">')[2].partition("</script>")[0])


@pytest.mark.slow
def test_the_page_has_the_events_that_segment_prints(made) -> None:
    done = airsift("segment", made / "it.wav", "--catalogue", made / "shelf")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    rows = {row["name"]: row["spans"] for row in data_of(made / "it.html")["rows"]}
    printed = [
        [e["start_s"], e["end_s"], e["label"], ""] for e in events if "segment" in e["schema"]
    ]
    for ours, theirs in zip(rows["airsift"], printed, strict=True):
        assert ours[:2] == pytest.approx(theirs[:2], abs=1e-3)
        assert ours[2:] == theirs[2:]
    matches = [e for e in events if "match" in e["schema"]]
    assert len(rows["songs"]) == len(matches) == 1
    assert rows["songs"][0][3] == "An Artist - All </script> of it"
    assert [row[2] for row in rows["truth"]] == ["speech", "music"]
    assert (made / "it.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
@pytest.mark.process
def test_the_page_zooms_scrolls_and_plays_in_a_browser(made) -> None:
    with browser(made) as page:
        page.open(made / "it.html")
        page.wait_for("image.complete && player.readyState >= 1")
        page.evaluate("draw()")
        assert page.evaluate("player.duration") == pytest.approx(SECONDS, abs=0.1)
        assert page.evaluate("byId('view').textContent") == f"00:00 to 00:{SECONDS}"
        # Something is drawn in every row: more than one colour.
        colours = page.evaluate("""
            [40, 190, 340, height - 50].map((y) => {
              const ratio = window.devicePixelRatio;
              const pixels = context.getImageData(
                LEFT * ratio, (y - 15) * ratio, inner() * ratio, 30 * ratio).data;
              return new Set(new Uint32Array(pixels.buffer)).size;
            })""")
        assert min(colours) > 1, colours
        assert colours[1] > 100
        assert page.evaluate("byId('songs').innerText").count("</script>") == 1

        left, top = page.evaluate(
            "(() => { const r = canvas.getBoundingClientRect(); return [r.left, r.top]; })()"
        )
        at = left + page.evaluate("xOf(20)")
        before = page.evaluate("view.length")
        page.mouse("mouseWheel", at, top + 100, deltaX=0, deltaY=-300)
        page.wait_for(f"view.length < {before / 2}")
        assert left + page.evaluate("xOf(20)") == pytest.approx(at, abs=1)  # it stays where it is

        start = page.evaluate("view.start")
        page.drag((at, top + 100), (at - 200, top + 100))
        moved = 200 / page.evaluate("inner()") * page.evaluate("view.length")
        assert page.evaluate("view.start") == pytest.approx(start + moved, abs=0.05)

        page.evaluate("byId('zoom').value = 1000; byId('zoom').dispatchEvent(new Event('input'))")
        assert page.evaluate("view.length") == pytest.approx(1)
        page.evaluate(
            "byId('position').value = 1000; byId('position').dispatchEvent(new Event('input'))"
        )
        assert page.evaluate("view.start") == pytest.approx(SECONDS - 1)
        page.evaluate("byId('all').click()")
        assert page.evaluate("view.length") == SECONDS

        # A click plays from there.
        x = left + page.evaluate("xOf(30)")
        page.drag((x, top + 40), (x, top + 40))
        assert page.evaluate("player.currentTime") == pytest.approx(30, abs=0.1)
        page.evaluate("player.play()")
        page.wait_for("player.currentTime > 30.2")
        page.evaluate("player.pause()")

        assert page.errors == []
        assert page.requests == [(made / "it.html").resolve().as_uri()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "codec"), [("a.flac", "flac"), ("a.mp3", "mp3"), ("a.mkv", "aac")]
)
def test_what_segment_reads_is_drawn(name, codec, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    encode(tmp_path / name, tone(8, hz=440, level=0.3), 16_000, codec)
    done = airsift("plot", name, "--output", "x.html")
    assert done.returncode == 0, done.stderr
    data = data_of(tmp_path / "x.html")
    assert data["length"] == pytest.approx(8, abs=0.2)
    if name == "a.mkv":
        assert data["note"] == "No player: browsers do not play files that end with .mkv."
    else:
        assert data["audio"].startswith("data:audio/")
    done = airsift("plot", name)
    assert done.returncode == 0
    assert (tmp_path / "a.png").exists()


@pytest.mark.slow
def test_a_large_file_is_drawn_without_a_player(made, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("airsift.timeline.page.MAX_AUDIO_BYTES", 1000)
    shutil.copy(made / "it.wav", tmp_path / "it.wav")
    done = airsift("plot", tmp_path / "it.wav", "--output", tmp_path / "it.html")
    assert done.returncode == 0, done.stderr
    data = data_of(tmp_path / "it.html")
    assert data["audio"] is None
    assert data["note"].startswith("No player: the file has 1 MB")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no.wav",), "no.wav: cannot be opened (No such file or directory)"),
        (("it.wav", "--output", "it.pdf"), "--output it.pdf: must end with .png, .svg, .html"),
        (("it.wav", "--output", "no/it.png"), "--output no/it.png: there is no folder no"),
        (("it.wav", "--truth", "no.txt"), "no.txt: No such file or directory"),
        (("it.wav", "--catalogue", "no"), "no catalogue"),
        (("-",), "-: name the picture with --output"),
        (("https://example.org/it.mp3",), "https://example.org/it.mp3: name the picture"),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_wav(tmp_path / "it.wav", noise(2, level=0.1, seed=1))
    done = airsift("plot", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("airsift: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("*.png"))


def test_the_picture_of_an_episode_is_not_replaced(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("talk.png").write_bytes(b"mine")
    done = airsift("plot", "talk.mp3")
    assert (done.returncode, Path("talk.png").read_bytes()) == (1, b"mine")
    assert "talk.png: exists already; --output talk.png replaces it" in done.stderr


def test_a_file_that_is_too_short_is_one_line(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_wav(tmp_path / "it.wav", np.zeros(1600, np.float32))
    done = airsift("plot", "it.wav")
    assert done.returncode == 1
    assert "0.10 s of audio, but a decision needs 0.5 s" in done.stderr
