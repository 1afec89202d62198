"""The demo as a user runs it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from functools import cache

import pytest

from stream.demo import programme
from stream.demo.programme import programmes
from stream.demo.summary import summary
from stream.events import Match, Repeat, Segment

assemble = cache(programme.assemble)


@pytest.fixture
def demo(tmp_path):
    """Start the demo with a folder for temporary files of its own; it must leave that empty."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    started = []

    def start(*options):
        process = subprocess.Popen(
            [sys.executable, "-m", "airsift", "demo", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "TMPDIR": str(temporary),
                "OMP_NUM_THREADS": "1",
                # Of the user's broker, which the demo must not ask.
                "AIRSIFT_KAFKA__SECURITY__PROTOCOL": "SSL",
                "AIRSIFT_KAFKA__START_FROM": "latest",
            },
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
    assert list(temporary.iterdir()) == []


def broker_of(text):
    return int(re.search(r"127\.0\.0\.1:(\d+)", text).group(1))


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.process
@pytest.mark.long
def test_it_processes_both_stations_names_the_songs_and_leaves_nothing_behind(demo):
    process = demo("--speed", "20")
    output, complaints = process.communicate(timeout=180)
    assert (process.returncode, complaints) == (0, "")
    assert "5 of 5 named, 0 wrong" in output
    assert "Lincoln Domina - Hunting: not in the catalogue" in output
    assert re.search(r"Hunting, again 10 min later: found as [0-9a-f]{10}, song, 2 times\n", output)
    assert "`airsift catalogue name`, and played once more: recognised\n" in output
    assert float(re.search(r"  all +(\d+\.\d)%", output).group(1)) > 85
    assert "\x1b" not in output
    assert not answers(broker_of(output))


@pytest.mark.process
def test_ctrl_c_ends_it_in_order(demo):
    process = demo("--speed", "1")
    output = ""
    while "sees:" not in output:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        output += line
    process.send_signal(signal.SIGINT)
    rest, complaints = process.communicate(timeout=60)
    assert (process.returncode, complaints) == (130, "")
    assert "Share" not in rest
    assert not answers(broker_of(output))


@pytest.mark.process
def test_a_speed_out_of_range_is_refused_in_one_line(demo):
    process = demo("--speed", "0")
    output, complaints = process.communicate(timeout=60)
    assert process.returncode != 0
    assert output == ""
    assert "Traceback" not in complaints


@pytest.mark.slow
def test_the_summary_of_the_truth_is_perfect_and_of_nothing_is_not():
    on_air = [assemble(name) for name in programmes()]
    events = [
        Segment(p.name, s.start, s.end, 1000, None, s.label, 1.0, True)
        for p in on_air
        for s in p.stretches
    ]
    events += [
        Match(p.name, play.start, play.end, 1000, None, play.track, "", "", 0, 1.0, True)
        for p in on_air
        for play in p.plays
        if play.known
    ]
    perfect = "\n".join(summary(on_air, events))
    assert len(re.findall("100.0%", perfect)) == 5
    assert "5 of 5 named, 0 wrong" in perfect
    nothing = "\n".join(summary(on_air, []))
    assert len(re.findall(" 0.0%", nothing)) == 5
    assert "0 of 5 named, 0 wrong" in nothing


@pytest.mark.slow
def test_the_summary_says_what_became_of_what_came_again():
    south = assemble("south")
    first = south.length_ms + 600_000
    found = Repeat("south", first, first + 20_000, 1000, None, "59ffb420f9", 2, 0, "music", "song")
    again = first + 620_000
    named = Match("south", again, again + 20_000, 1000, None, "k", "Hunting", "", 0, 9.0, True)
    missed = "Hunting, again 10 min later: missed"
    assert missed in "\n".join(summary([south], []))
    # The first playing, in the programme, is none that came again.
    early = Repeat("south", 105_000, 136_000, 1000, None, "59ffb420f9", 2, 0, "music", "song")
    assert missed in "\n".join(summary([south], [early]))
    assert "played once more: missed" in "\n".join(summary([south], [found]))
    text = "\n".join(summary([south], [found, named]))
    assert "found as 59ffb420f9, song, 2 times" in text
    assert "played once more: recognised" in text
    assert "WRONG NAME" not in text


@pytest.mark.slow
def test_the_summary_draws_the_truth_above_the_detection():
    on_air = [assemble("north")]
    shift = [
        Segment("north", s.start + 4000, s.end + 4000, 1000, None, s.label, 1.0, True)
        for s in on_air[0].stretches
    ]
    played, detected = summary(on_air, shift, 90)[2:4]
    assert (
        played == "  north  " + "s" * 15 + "m" * 29 + "...." + "mm" + "b" * 8 + "m" * 9 + "......"
    )
    assert detected == " " * 9 + "  " + played[9:-2]


@pytest.mark.slow
@pytest.mark.parametrize("columns", [30, 40, 60, 80, 82, 200])
def test_the_strips_fit_the_terminal_and_use_its_room(columns):
    lines = summary([assemble(name) for name in programmes()], [], columns)
    strips = [line for line in lines if re.match(r"  (north|south)  [smb.]+$", line)]
    assert len(strips) == 2
    longest = max(map(len, strips))
    assert columns / 2 < longest < columns or longest > 150
    assert max(map(len, lines)) <= max(columns, 80)
    # As long as their programmes are, one to the other.
    assert len(strips[0]) - 9 == pytest.approx((len(strips[1]) - 9) * 146 / 151, abs=1)


@pytest.mark.slow
def test_a_wrong_name_is_reported():
    on_air = [assemble("south")]
    wrong = Match("south", 110_000, 120_000, 1000, None, "palace", "", "", 0, 1.0, True)
    assert "  south  palace: WRONG NAME" in summary(on_air, [wrong])
