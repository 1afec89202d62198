"""The view of a microphone: its level, its lines on a terminal, and the source behind it."""

from __future__ import annotations

import io
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from airsift.cli.devices import lines_of
from airsift.cli.listen import ask
from airsift.errors import SourceError
from stream.audio import AudioChunk
from stream.events import Decision, Event, Gap, Match, Segment
from stream.sinks.format import width_of
from stream.sinks.level_meter import HOLD_S, LOWEST_DB, WINDOW_S, LevelMeter
from stream.sinks.listening import ListeningSink
from stream.sources import devices
from stream.sources.devices import InputDevice, input_devices, lasting_name
from stream.sources.shown import ShownSource
from stream.testing import ListSource, ManualClock, chunks_of, tone
from tests.examples import examples
from tests.terminal import SIZES, Terminal, strange

RATE = 16_000
BLOCK = RATE // 10  # as a microphone gives it


def blocks(gains: list[float], channels: int = 1) -> list[AudioChunk]:
    """Return a block of a sine for each gain."""
    sine = np.stack([tone(0.1, RATE, hz=1000, level=1.0)] * channels, axis=1)
    return [
        AudioChunk("a", i * BLOCK, (sine * gain).astype(np.float32), RATE)
        for i, gain in enumerate(gains)
    ]


@examples(50)
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=40),
    st.lists(st.integers(1, 7), min_size=1, max_size=40),
    st.integers(1, 3),
)
def test_the_meter_shows_the_last_moment_and_the_highest_of_a_while(
    gains: list[float], sizes: list[int], channels: int
) -> None:
    meter, chunks = LevelMeter(), blocks(gains, channels)
    for size in sizes * 40:
        meter.push(chunks[:size])
        chunks = chunks[size:]
    window = blocks(gains, channels)[-round(WINDOW_S * 10) :]
    power = np.mean([np.mean(chunk.samples.astype(float) ** 2) for chunk in window])
    assert meter.level_dbfs == pytest.approx(
        max(10 * math.log10(float(power) + 1e-99), -120), abs=0.01
    )
    highest = max(np.abs(b.samples).max() for b in blocks(gains, channels)[-round(HOLD_S * 10) :])
    expected = max(20 * math.log10(float(highest) + 1e-99), -120)
    assert meter.peak_dbfs == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_what_is_no_audio_is_shown_as_loud_or_silent_and_passes(value: float) -> None:
    meter = LevelMeter()
    meter.push([AudioChunk("a", 0, np.full(BLOCK, value, np.float32), RATE)])
    assert -120 <= meter.level_dbfs <= 60
    meter.push(blocks([0.5] * 20))
    assert meter.level_dbfs == pytest.approx(-9.03, abs=0.05)
    assert len(meter.render(40, "#.").plain) == 40


@given(st.floats(-130, 20), st.floats(0, 60), st.integers(1, 200))
def test_the_bar_is_as_long_as_the_level_is_high(level: float, above: float, length: int) -> None:
    meter = LevelMeter()
    amplitude, peak = 10 ** (level / 20), 10 ** ((level + above) / 20)
    samples = np.full(BLOCK, amplitude, np.float32)
    samples[0] = peak
    meter.push([AudioChunk("a", 0, samples, RATE)])
    bar = meter.render(length, "#.").plain
    assert len(bar) == length
    assert set(bar) <= set("#.|")
    assert bar.count("|") <= 1
    full = len(bar) - len(bar.lstrip("#"))
    shown = min(max(1 - meter.level_dbfs / LOWEST_DB, 0), 1) * length
    assert abs(full - shown) <= 0.5 + 1e-6


def segment(start: float, end: float, *, final: bool, label: Any = "speech") -> Segment:
    times = round(start * RATE), round(end * RATE)
    return Segment("a", *times, RATE, 1e9 + start, label, 0.93, final, "female")


def song(start: float, end: float, *, final: bool, title: str = "Title") -> Match:
    times = round(start * RATE), round(end * RATE)
    return Match("a", *times, RATE, 1e9 + start, "t1", title, "Artist", 30 * RATE, 5.0, final)


EVENTS: list[Event] = [
    Decision("a", 0, 5 * RATE, RATE, 1e9, 0.74, 0.05),
    segment(0, 12, final=True),
    Gap("a", 12 * RATE, 20 * RATE, RATE, 1e9 + 12, "pause"),
    song(20, 40, final=False),
    segment(20, 41, final=False, label="speech_over_music"),
]


@pytest.mark.parametrize("size", [*SIZES, (20, 4), (21, 5)])
def test_it_fits_every_terminal(size: tuple[int, int]) -> None:
    clock = ManualClock(100.0)
    sink = ListeningSink(io.StringIO(), "日本語 USB Audio Device (hw:1,0), 48 kHz", clock)
    sink.loading = "loads the networks and the catalogue"
    shown = []
    for waits in ("", "microphone USB"):
        for events in ([], EVENTS):
            sink.waits_for = waits
            sink.write(events)
            sink.on_audio(blocks([0.5, 0.1]))
            shown.append([line.plain for line in sink.render(*size)])
            clock.now += 3
            shown.append([line.plain for line in sink.render(*size)])
    for lines in shown:
        assert 1 <= len(lines) < size[1]
        assert all(width_of(line) <= size[0] for line in lines)
    if size[0] >= 80:
        text = "\n".join(shown[2])
        assert "speech over music, female  0.93   since 01:47:00Z" in text
        assert "Artist - Title, 00:50" in text
        assert "-13.5 dBFS, peak -6.0" in text
        assert "0.74" in text
        assert text.startswith("日本語 USB Audio Device (hw:1,0), 48 kHz ")
        assert "loads the networks and the catalogue: 3 s" in text
        assert "no audio for 3 s; is it muted?" in "\n".join(shown[1])
        assert "waits for microphone USB: plug it in" in "\n".join(shown[-1])


def test_a_song_is_shown_until_a_while_after_it_ended() -> None:
    sink = ListeningSink(io.StringIO(), "a", ManualClock(0.0))

    def shown() -> str:
        return "\n".join(line.plain for line in sink.render(80, 24))

    sink.write([song(0, 20, final=True)])
    assert "Artist - Title" in shown()
    sink.write([segment(20, 29, final=False)])
    assert "Artist - Title" in shown()
    sink.write([segment(20, 31, final=False)])
    assert "Artist - Title" not in shown()


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_history_scrolls_above_and_stays(
    size: tuple[int, int], encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    title = "日本語\x1b[2J [bold]" + 30 * "x"
    with Terminal(size) as seen:
        file, clock = seen.file(encoding), ManualClock(0.0)
        sink = ListeningSink(file, "USB", clock)
        assert sink.fits
        for turn in range(80):
            clock.now += 0.2
            sink.on_audio(blocks([0.5]))
            sink.write([segment(turn, turn + 1, final=False), segment(turn, turn + 1, final=True)])
            sink.write([song(turn, turn + 1, final=True, title=title)])
        seen.settle()
        assert any(line.startswith("level") for line in seen.shown)
        assert len([line for line in seen.lines if line.startswith("level")]) == 1
        sink.close()
        sink.close()
        file.close()
        seen.finish()
        assert strange(seen.text) == []
        lines = seen.lines
        assert len(lines) == 160
        assert not any(line.startswith(("level", "now", "USB")) for line in lines)
        assert [line[:19] for line in lines[::2]] == [
            f"2001-09-09 01:46:{40 + t:02}"
            if t < 20
            else f"2001-09-09 01:{47 + (t - 20) // 60}:{(t - 20) % 60:02}"
            for t in range(80)
        ]


@given(st.lists(st.integers(0, 3), max_size=12), st.integers(0, 12))
def test_a_shown_source_gives_what_its_source_gives(sizes: list[int], until: int) -> None:
    chunks = chunks_of(np.zeros(sum(sizes) * 10, np.float32), 10, rate=RATE)
    batches, at = [], 0
    for size in sizes:
        batches.append(chunks[at : at + size])
        at += size
    shown: list[AudioChunk] = []
    source = ShownSource(ListSource(batches), shown.extend)
    turns = iter(range(100))
    source.keep_until(lambda: next(turns) >= until)
    assert shown == [chunk for batch in batches[:until] for chunk in batch]
    given = [item for items in source for item in items]
    assert given == shown == chunks


class FakePortAudio:
    """The part of sounddevice that finds devices, with its rules for names."""

    PortAudioError = LookupError

    def __init__(self, names: list[str], default: int = 0) -> None:
        self.names, self._default = names, default

    def query_hostapis(self) -> list[dict[str, object]]:
        return [{"name": "ALSA"}]

    def query_devices(self, asked: int | str | None = None, kind: str | None = None) -> Any:
        known = [
            {
                "index": i, "name": name, "hostapi": 0, "default_samplerate": 48_000.0,
                "max_input_channels": 0 if name.startswith("out") else 2,
            }
            for i, name in enumerate(self.names)
        ]  # fmt: skip
        inputs = [each for each in known if each["max_input_channels"]]
        if kind is None:
            return known
        if not inputs:
            raise LookupError("no device")
        if asked is None:
            return known[self._default]
        if isinstance(asked, int):
            found = [each for each in inputs if each["index"] == asked]
        else:
            found = [each for each in inputs if asked.lower() in str(each["name"]).lower()]
            exact = [each for each in found if str(each["name"]).lower() == asked.lower()]
            found = exact if len(exact) == 1 else found
        if len(found) != 1:
            raise ValueError(f"{len(found)} devices found")
        return found[0]


@pytest.fixture
def portaudio(monkeypatch: pytest.MonkeyPatch) -> FakePortAudio:
    fake = FakePortAudio(["out", "USB Mic: Audio (hw:1,0)", "default", "sysdefault"], default=2)
    monkeypatch.setattr(devices, "load_portaudio", lambda: fake)
    return fake


def test_inputs_are_listed_with_the_default(portaudio: FakePortAudio) -> None:
    found = input_devices()
    assert found[0] == InputDevice(1, "USB Mic: Audio (hw:1,0)", "ALSA", 2, 48_000, False)
    assert lines_of(found) == [
        "    1  USB Mic: Audio (hw:1,0)  ALSA, 48 kHz stereo",
        "*   2  default                  ALSA, 48 kHz stereo",
        "    3  sysdefault               ALSA, 48 kHz stereo",
    ]
    portaudio.names[1:] = []
    assert input_devices() == []


@pytest.mark.parametrize(
    ("device", "lasts"), [("1", "USB Mic: Audio"), ("usb", "USB Mic: Audio"), ("2", "default"),
                          ("3", "sysdefault"), ("", "")],
)  # fmt: skip
def test_an_input_is_found_again_under_another_number(
    portaudio: FakePortAudio, device: str, lasts: str
) -> None:
    assert lasting_name(device) == lasts
    before = [name for name in portaudio.names if lasts and name.startswith(lasts)]
    portaudio.names[:] = ["new", "out", "default", "sysdefault", "USB Mic: Audio (hw:3,0)"]
    if lasts:
        again = devices.find_device(portaudio, lasts)["name"]  # type: ignore[arg-type]
        assert again[:8] == before[0][:8]


def test_two_of_one_kind_keep_their_cards(portaudio: FakePortAudio) -> None:
    portaudio.names[:] = ["Mic (hw:1,0)", "Mic (hw:2,0)"]
    assert lasting_name("1") == "Mic (hw:2,0)"
    with pytest.raises(SourceError, match=r"2 devices found.*choose from: 0 Mic"):
        lasting_name("mic")


def test_one_is_asked_until_one_input_is_meant(
    portaudio: FakePortAudio, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = iter(["9", "a", " usb "])
    monkeypatch.setattr("builtins.input", lambda question: next(typed))
    assert ask(input_devices(), lasting_name) == "USB Mic: Audio"
    out, err = capsys.readouterr()
    assert out.count("\n") == 3
    assert err.count("no such input") == 2
    monkeypatch.setattr("builtins.input", lambda question: "")
    assert ask(input_devices(), lasting_name) == ""


def test_nothing_is_chosen_for_somebody_who_goes(
    portaudio: FakePortAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(question: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", gone)
    with pytest.raises(typer.Abort):
        ask(input_devices(), lasting_name)


def test_a_microphone_that_is_absent_is_what_is_waited_for() -> None:
    from stream.sources.microphone import MicrophoneSource

    source = SimpleNamespace(is_absent=True, name="USB")
    assert MicrophoneSource.waits_for.fget(source) == {"microphone USB"}  # type: ignore[attr-defined]
    source.is_absent = False
    assert MicrophoneSource.waits_for.fget(source) == frozenset()  # type: ignore[attr-defined]
