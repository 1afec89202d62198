"""Output of each command on a terminal and in a pipe."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest

from fingerprint.catalogue import Catalogue
from fingerprint.track import Track
from stream.events import Gap, Match, Segment
from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.producer import Producer
from stream.kafka.client.sink import KafkaSink
from stream.kafka.codec.dead_letter import as_dead_letter
from stream.kafka.records.consumer_record import Received
from stream.kafka.settings import KafkaSettings
from stream.sources.file import read_file
from stream.testing import write_wav
from tests.integration.road import tune
from tests.terminal import AIRSIFT, SIZES, Terminal, run, strange

RATE = 8_000
# What people call things, or what somebody sends to annoy them.
NASTY = (
    "日本語の番組\x1b[2J\x1b]0;owned\a\x9b31m\r\n\u202eevil e\u0301 👨\u200d👩 [bold]" + 90 * "x"
)
FILE = NASTY.replace("\r\n", " ")
ANY_MUSIC = ["--set", "smoothing.change_cost=0.1", "--set", "smoothing.music_level=0.01"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of files, and a catalogue of a track with a nasty name."""
    folder = tmp_path_factory.mktemp("terminal")
    write_wav(folder / f"{FILE}.wav", tune(24))
    write_wav(folder / "long.wav", tune(130, seed=1))
    shelf = Catalogue.create(folder / "shelf")
    samples = read_file(folder / f"{FILE}.wav")
    shelf.add(samples, Track("k\x1b[31m\n1", title=NASTY, artist=f"\x9b{NASTY}"))
    shelf.add(read_file(folder / "long.wav"), Track("k2", title="Plain", artist="Nobody"))
    return folder


def as_in_a_pipe(terminal: Terminal) -> bytes:
    """Return what was written to a terminal, before it made carriage returns of line ends."""
    return terminal.raw.replace(b"\r\n", b"\n")


COMMANDS = {
    "segment": [
        "segment", "--format=jsonl", "--catalogue=shelf", *ANY_MUSIC, f"{FILE}.wav", "long.wav",
    ],
    "segment as csv": [
        "segment", "--format=csv", "--catalogue=shelf", *ANY_MUSIC, f"{FILE}.wav", "long.wav",
    ],
    "classify": ["classify", f"{FILE}.wav"],
    "classify as json": ["classify", "--format", "jsonl", f"{FILE}.wav"],
    "run to json lines": ["run", "--source", f"{FILE}.wav", "--sink", "jsonl:-"],
    "catalogue list": ["catalogue", "list", "--catalogue", "shelf"],
    "catalogue list as json": ["catalogue", "list", "--json", "--catalogue", "shelf"],
    "catalogue match": ["catalogue", "match", "--catalogue", "shelf", f"{FILE}.wav"],
    "catalogue match as json": [
        "catalogue", "match", "--json", "--catalogue", "shelf", f"{FILE}.wav",
    ],
    "catalogue stats": ["catalogue", "stats", "--catalogue", "shelf"],
    "catalogue verify": ["catalogue", "verify", "--catalogue", "shelf"],
    "config": ["config", "--set", f"kafka.group={json.dumps(FILE)}"],
    "version": ["--version"],
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("name", COMMANDS)
def test_standard_output_is_the_same_on_a_terminal_as_in_a_pipe(folder: Path, name: str) -> None:
    command = [*AIRSIFT, *COMMANDS[name]]
    piped = run(command, out="pipe", err="terminal", cwd=folder)
    (size,) = {"segment": SIZES[:1], "segment as csv": SIZES[1:2]}.get(name, SIZES[2:])
    apart = run(command, size, err="terminal", cwd=folder)
    together = run(command, size, cwd=folder)
    assert piped.code == apart.code == together.code == 0
    assert piped.files["out"].count(b"\n") >= 1
    assert apart.out is not None
    assert apart.err is not None
    assert as_in_a_pipe(apart.out) == piped.files["out"]
    for ran in (piped, apart, together):
        for terminal in (ran.out, ran.err):
            assert terminal is None or strange(terminal.text) == []
            assert terminal is None or not terminal.screen.title
    # What is drawn meanwhile leaves nothing behind.
    assert together.out is not None
    assert together.out.lines == apart.out.lines
    assert apart.err.lines == []
    if "json" in name or name == "segment":
        assert [json.loads(line) for line in piped.files["out"].decode().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("environ", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_the_live_view_is_below_whole_lines(
    folder: Path, size: tuple[int, int], environ: dict[str, str]
) -> None:
    options = ["--set", "identify.catalogue=shelf", *ANY_MUSIC]
    ran = run(
        [*AIRSIFT, "run", "--source", f"{FILE}.wav", *options], size, cwd=folder, environ=environ
    )
    assert ran.code == 0
    assert ran.out is not None
    assert strange(ran.out.text) == []
    assert not ran.out.screen.title
    text = " ".join(ran.out.lines)
    assert "本" in text
    if "TERM" in environ:
        assert "\x1b" not in ran.out.text
        piped = run([*AIRSIFT, "run", "--source", f"{FILE}.wav", *options], out="pipe", cwd=folder)
        assert as_in_a_pipe(ran.out) == piped.files["out"]
    else:
        assert "song" not in text  # as lines would say
        assert len([line for line in ran.out.lines if "本" in line]) <= 3
    if "NO_COLOR" in environ:
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]", ran.out.text)


@pytest.mark.slow
def test_an_interrupt_while_the_bar_is_drawn_leaves_only_rows(folder: Path) -> None:
    path = write_wav(folder / "hours.wav", tune(7200))

    def interrupt(terminal: Terminal, process: subprocess.Popen[bytes]) -> None:
        terminal.wait_for(lambda: "% " in "".join(terminal.shown))
        process.send_signal(signal.SIGINT)

    command = [*AIRSIFT, "segment", "--format", "csv", path.name]
    ran = run(command, cwd=folder, while_running=interrupt)
    assert ran.code == 130
    assert ran.out is not None
    assert all(re.match(r"station,|,voice|hours\.wav,segment,", line) for line in ran.out.lines)
    assert "\x1b[?25l" not in ran.out.text


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_adding_draws_a_bar_and_leaves_what_is_wrong_and_the_count(
    folder: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    (tmp_path / f"bad{FILE}.mp3").write_bytes(b"no audio at all" * 100)
    write_wav(tmp_path / "one.wav", tune(8))
    write_wav(tmp_path / f"{FILE}.wav", tune(8, seed=3))
    command = [*AIRSIFT, "catalogue", "add", "--catalogue", str(tmp_path / "shelf")]
    ran = run([*command, str(tmp_path)], size, cwd=folder)
    assert ran.code == 1
    assert ran.out is not None
    assert strange(ran.out.text) == []
    text = "".join(ran.out.lines)
    assert re.match(r"airsift: .*evil.*no audio file", "".join(ran.out.rows))
    assert text.endswith(f"2 added, 0 already there, 1 failed; 2 tracks in {tmp_path / 'shelf'}")
    assert "%" not in text
    assert "█" not in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["segment", f"none{FILE}.wav"],
        ["segment", "--config", f"none{FILE}.toml", "x"],
        ["segment", "--set", f"{FILE}=3", "x"],
        ["segment", "--set", f"smoothing.change_cost={FILE}", "x"],
        ["segment", "--catalogue", f"none{FILE}", "x"],
        ["segment", "--debug", f"none{FILE}.wav"],
        ["segment", "--format", FILE, "x"],
        ["classify", f"ftp://{FILE}"],
        ["run", "--source", f"none{FILE}.wav"],
        ["run", "--source", "x", "--sink", FILE],
        ["catalogue", "add", "--catalogue", "new", f"none{FILE}.wav"],
        ["catalogue", "remove", "--catalogue", "shelf", FILE],
        ["catalogue", "list", "--catalogue", f"none{FILE}"],
        ["publish", "x", "--station", NASTY],
        ["train", f"none{FILE}", "run"],
        ["evaluate", f"none{FILE}"],
        ["export", f"none{FILE}", "x.pt"],
        ["corpus", "stats", f"none{FILE}"],
        [FILE],
        ["segment", f"--{FILE.replace(chr(0x202E), '')}"],
    ],
    ids=lambda arguments: " ".join(arguments)[:24].replace("\x1b", ""),
)
@pytest.mark.parametrize("size", [(40, 10)])
def test_no_error_lets_a_name_reach_the_terminal_raw(
    folder: Path, arguments: list[str], size: tuple[int, int]
) -> None:
    ran = run([*AIRSIFT, *arguments], size, cwd=folder)
    assert ran.code not in (0, 70)
    assert ran.out is not None
    assert ran.out.lines
    assert strange(ran.out.text) == []
    assert not ran.out.screen.title


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("command", [[], ["segment"], ["catalogue", "add"], ["train"]])
def test_help_names_every_option_in_whole(size: tuple[int, int], command: list[str]) -> None:
    ran = run([*AIRSIFT, *command, "--help"], size)
    wide = run([*AIRSIFT, *command, "--help"], (200, 60))
    assert ran.code == 0
    assert ran.out is not None
    assert wide.out is not None
    options = set(re.findall(r"--[a-z-]+", "\n".join(wide.out.lines)))
    text = "".join(line.ljust(size[0]) for line in ran.out.lines)  # a narrow one breaks lines
    assert {each for each in options if each not in text} == set()
    assert "…" not in "".join(ran.out.lines)


def test_what_is_on_the_topics_is_shown_the_same_on_a_terminal_as_in_a_pipe(
    kafka_settings: KafkaSettings, folder: Path
) -> None:
    settings, topics = kafka_settings, kafka_settings.topics
    ensure_topics(settings, [*topics.events.values(), topics.audio, topics.dead_letters])
    sink = KafkaSink(settings)
    station = NASTY[:50]
    sink.write(
        [
            Segment(station, 0, 16_000, 16_000, None, "speech", 0.9, True),
            Match(station, 0, 16_000, 16_000, None, "k\x1b[31m", NASTY, NASTY, 0, 9.0, True),
            Gap(station, 16_000, 32_000, 16_000, 1.7e9, NASTY),
        ]
    )
    sink.close()
    sender = Producer(settings)
    # Of whom other programs write to the topics there may be anything.
    odd = {"schema": "airsift.segment/1\x1b[2J", "station": NASTY, "start_s": 0, "end_s": 1,
           "label": NASTY, "score": 0.5, "final": True}  # fmt: skip
    sender.send(topics.segments, b"x", json.dumps(odd, ensure_ascii=False).encode(), [])
    sender.send(topics.segments, NASTY.encode(), b"\x1b[2J\x9b no JSON", [])
    letter = as_dead_letter(
        Received(topics.audio, 0, 0, 1_700_000_000_000, NASTY.encode(), b"\x1b[2J", []), NASTY,
        max_bytes=100_000,
    )  # fmt: skip
    sender.send(topics.dead_letters, *letter)
    sender.flush()
    sender.close()
    options = ["--set", f"kafka.bootstrap_servers={settings.bootstrap_servers}"]
    for name, topic in topics.model_dump().items():
        if isinstance(topic, str):
            options += ["--set", f"kafka.topics.{name}={topic}"]
    tail = ["tail", "--from-start", "--until-end", "--topic=segments", "--topic=matches"]
    tail += ["--topic=gaps", "--topic=dead-letters"]
    for command in (tail, [*tail, "--json"], ["deadletter", "list"]):
        command = [*AIRSIFT, *command, *options]
        piped = run(command, out="pipe", err="terminal", cwd=folder)
        shown = run(command, (40, 10), err="terminal", cwd=folder)
        assert piped.code == shown.code == 0
        assert shown.out is not None
        assert shown.err is not None
        assert shown.err.lines == []
        assert strange(shown.out.text) == []
        assert strange(piped.files["out"].decode()) == []
        lines = as_in_a_pipe(shown.out).splitlines()
        # Topics are read side by side: their order is not the same each time.
        assert sorted(lines) == sorted(piped.files["out"].splitlines())
        assert len(lines) == (1 if "deadletter" in command else 6)
        if "--json" in command:
            assert any(json.loads(line).get("title") == NASTY for line in lines)
