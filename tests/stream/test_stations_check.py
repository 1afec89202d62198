"""`airsift stations check`: what each station is, and what is wrong with it."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest

from stream.testing import tone, write_wav
from tests.command import airsift
from tests.stream.media import encode
from tests.stream.web_server import Answer, Request, encoded, radio, whole


def icy(request: Request) -> None:
    """Send a stream with a title behind every 4 kB of audio."""
    request.head(Content_Type="audio/mpeg", icy_name="Radio Test", icy_metaint="4096")
    data, title = encoded(6), b"StreamTitle='Anna - Song';"
    for start in range(0, len(data) - 4096, 4096):
        blocks = -(-len(title) // 16)
        request.wfile.write(data[start : start + 4096])
        request.wfile.write(bytes([blocks]) + title.ljust(16 * blocks, b"\0"))
    time.sleep(2)


def refused(request: Request) -> None:
    request.head(403)


def page(request: Request) -> None:
    request.head(Content_Type="text/html")
    request.wfile.write(b"<html><body>no radio</body></html>")


@pytest.mark.slow
def test_every_station_is_described_or_explained(tmp_path: Path) -> None:
    stereo = io.BytesIO()
    encode(stereo, tone(2, 48_000), 48_000, "libopus", format="ogg")
    (tmp_path / "note.ogg").write_bytes(stereo.getvalue())
    write_wav(tmp_path / "tape.wav", tone(1, 8_000), 8_000)
    (tmp_path / "text.wav").write_text("no audio")
    answers: dict[str, Answer] = {
        "/live": icy,
        "/refused": refused,
        "/page": page,
        "/file.mp3": whole(encoded(2), ranges=True),
    }
    with radio(answers) as (url, _):
        sources = {
            "live": f"{url}/live", "refused": f"{url}/refused", "page": f"{url}/page",
            "file": f"{url}/file.mp3", "note": "note.ogg", "tape": "tape.wav",
            "text": "text.wav", "none": "none.wav",
        }  # fmt: skip
        listed = tmp_path / "stations.toml"
        entries = [f'[[stations]]\nname="{n}"\nsource="{s}"\n' for n, s in sources.items()]
        listed.write_text("".join(entries) + '[[stations]]\nname="wrong"\n')
        end = airsift("stations", "check", listed, "--format", "jsonl")
        text = airsift("stations", "check", listed)
    assert end.returncode == text.returncode == 1
    assert "wrong is left out: source: Field required" in end.stderr
    found = {row["station"]: row for row in map(json.loads, end.stdout.splitlines())}
    assert list(found) == list(sources)
    told = {
        name: (row["kind"], row["codec"], row["rate"], row["channels"])
        for name, row in found.items()
        if not row["problem"]
    }
    assert told == {
        "live": ("live", "mp3", 44_100, 1),
        "file": ("file", "mp3", 44_100, 1),
        "note": ("file", "opus", 48_000, 1),
        "tape": ("file", "pcm_s16le", 8_000, 1),
    }
    assert (found["live"]["name"], found["live"]["title"]) == ("Radio Test", "Anna - Song")
    assert all(0 <= found[name]["first_audio_s"] < 60 for name in told)
    for name, says in {"refused": "403", "page": "no audio", "none": "No such file"}.items():
        assert says.lower() in found[name]["problem"].lower(), found[name]
    lines = text.stdout.splitlines()
    assert len(lines) == len(sources)
    assert lines[0].startswith("live: mp3 44.1 kHz mono, live, first audio after ")
    assert lines[0].endswith("Radio Test, plays Anna - Song")
    assert lines[1].startswith("refused: FAILS: ")


def test_a_list_in_order_ends_with_0(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", tone(1, 16_000))
    listed = tmp_path / "stations.toml"
    listed.write_text('[[stations]]\nname = "a"\nsource = "a.wav"\n')
    end = airsift("stations", "check", listed)
    assert (end.returncode, end.stderr) == (0, "")


def test_an_empty_list_is_not_in_order(tmp_path: Path) -> None:
    listed = tmp_path / "stations.toml"
    listed.write_text("")
    end = airsift("stations", "check", listed)
    assert (end.returncode, end.stdout) == (1, "")
    assert "has no station" in end.stderr


def test_a_login_is_not_shown(tmp_path: Path) -> None:
    listed = tmp_path / "stations.toml"
    listed.write_text(
        '[[stations]]\nname = "a"\nsource = "http://me:secret@127.0.0.1:9/x?token=secret"\n'
    )
    for form in ("text", "jsonl", "csv"):
        end = airsift("stations", "check", listed, "--format", form)
        assert end.returncode == 1
        assert "secret" not in end.stdout + end.stderr
