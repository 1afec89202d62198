"""The page that needs no server: what it says of a sound is what airsift says, in a real browser.

`make page` fetches onnxruntime-web, without which the tests in a browser are skipped.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from airsift import build, config
from airsift.build import build_pipeline
from stream.audio import AudioChunk, EndOfStream, end_of
from stream.events import Decision, Segment
from stream.sources.file import read_file
from stream.stages.smooth import Smooth
from stream.testing import write_wav
from tests.browser import browser

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "docs/demo/engine.js"
PACKAGE = ROOT / "dist/onnxruntime-web-1.30.0.tgz"
DEMO = ROOT / "stream/demo/audio"
RATE = 16_000
TOLERANCE = 0.002


# Decisions to segments


def settings():
    smoothing = build.smoothing(config.load(environ={}).config, RATE)
    names = "change_cost max_delay min_length update grid speech_level music_level"
    return smoothing, {name: getattr(smoothing, name) for name in names.split()}


def random_decisions(seed):
    """Return decisions as the network makes them, of labels that last some seconds each."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 120))
    target = np.repeat(rng.integers(0, 2, (n, 2)), rng.integers(1, 12), axis=0)[: 5 * n]
    noise = rng.normal(0, rng.uniform(0.5, 3), (len(target) * 5 + 25, 2))
    logits = 4 * (2 * np.repeat(target, 5, axis=0) - 1) + noise[: len(target) * 5]
    p = np.round(1 / (1 + np.exp(-logits)), 4)
    found = []
    for i in range(max(len(p) // 5 - 5, 1)):
        start = i * RATE
        near = p[5 * i : 5 * i + 5] if rng.random() < 0.9 else []
        frames = tuple((start + 35_000 + 3_200 * k, *map(float, q)) for k, q in enumerate(near))
        clip = np.round(p[5 * i : 5 * i + 25].mean(axis=0), 4)
        found.append((start, start + 5 * RATE, float(clip[0]), float(clip[1]), frames))
    return found


PROGRAM = """
import { Smooth } from ENGINE;
const { settings, rate, runs } = JSON.parse(await new Response(process.stdin).text());
const out = runs.map(({ decisions, end }) => {
  const smooth = new Smooth(settings, rate), found = [];
  for (const [start, end, p_speech, p_music, frames] of decisions)
    found.push(...smooth.push({ start, end, p_speech, p_music, frames, final: true }));
  return [...found, ...smooth.finish(end)];
});
console.log(JSON.stringify(out));
"""


@pytest.mark.slow
@pytest.mark.process
def test_segments_follow_from_decisions_as_in_python(tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    smoothing, values = settings()
    runs, expected = [], []
    for seed in range(60):
        decisions = random_decisions(seed)
        end = decisions[-1][1] - 1000 * (seed % 7)
        runs.append({"decisions": decisions, "end": end})
        stage = Smooth(smoothing)
        items = [
            Decision("a", start, after, RATE, None, speech, music, boundary_frames=frames)
            for start, after, speech, music, frames in decisions
        ]
        found = stage.push([*items, EndOfStream("a", end, RATE)])
        expected.append(
            [
                [e.start, e.end, e.label, round(e.score, 3), e.final]
                for e in found
                if isinstance(e, Segment)
            ]
        )
    module = tmp_path / "engine.mjs"
    shutil.copy(ENGINE, module)
    program = PROGRAM.replace("ENGINE", json.dumps(module.as_uri()))
    done = subprocess.run(
        [node, "--input-type=module", "--eval", program],
        input=json.dumps({"settings": values, "rate": RATE, "runs": runs}),
        capture_output=True,
        text=True,
        check=True,
    )
    answered = [
        [[e["start"], e["end"], e["label"], e["score"], e["final"]] for e in run]
        for run in json.loads(done.stdout)
    ]
    assert sum(len(run) for run in expected) > 400
    for ours, theirs in zip(expected, answered, strict=True):
        assert [each[:3] + each[4:] for each in ours] == [each[:3] + each[4:] for each in theirs]
        # A mean at half a thousandth is rounded to the even one, or up.
        assert [each[3] for each in theirs] == pytest.approx([e[3] for e in ours], abs=0.0011)


# The page in a browser


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    if not PACKAGE.is_file():
        pytest.skip("onnxruntime-web is not there: `make page` fetches it")
    folder = tmp_path_factory.mktemp("page")
    shutil.copy(PACKAGE, folder)
    path = folder / "airsift.html"
    script = ROOT / "scripts/demo_page.py"
    subprocess.run([sys.executable, script, path], check=True, capture_output=True)
    return path


def sound(*parts):
    clips = [read_file(DEMO / f"{name}.opus", rate=RATE)[: round(s * RATE)] for name, s in parts]
    samples = np.rint(np.concatenate(clips) * 32767).astype("<i2")
    return samples.astype(np.float32) / 32768


def said_by_python(samples):
    """Return what the pipeline says, without the network of voices."""
    loaded = config.load(sets=["model.voice=false"], environ={}).config
    events = build_pipeline(loaded).push([AudioChunk("a", 0, samples, RATE), end_of("a", RATE)])
    return [event for event in events if event.kind in ("decision", "segment")]


def said_by_page(page, path):
    content = base64.b64encode(path.read_bytes()).decode()
    return json.loads(
        page.evaluate(
            f"(async () => JSON.stringify(await window.airsift.classify("
            f"Uint8Array.from(atob('{content}'), (c) => c.charCodeAt(0)).buffer)))()"
        )
    )


def check_same(found, expected):
    decisions = [[e for e in events if kind(e) == "decision"] for events in (found, expected)]
    assert [(e["start"], e["end"], e["final"]) for e in decisions[0]] == [
        (e.start, e.end, e.final) for e in decisions[1]
    ]
    for ours, theirs in zip(*decisions, strict=True):
        assert ours["p_speech"] == pytest.approx(theirs.p_speech, abs=TOLERANCE)
        assert ours["p_music"] == pytest.approx(theirs.p_music, abs=TOLERANCE)
    assert [
        (e["start"], e["end"], e["label"], e["final"]) for e in found if e["kind"] == "segment"
    ] == [(e.start, e.end, e.label, e.final) for e in expected if e.kind == "segment"]


def kind(event):
    return event["kind"] if isinstance(event, dict) else event.kind


@pytest.mark.slow
@pytest.mark.process
def test_the_page_says_what_airsift_says(page_file, tmp_path):
    """Of speech and music in turns, and of audio that is shorter than a window or a frame."""
    whole = sound(("announcer", 15), ("starfall", 17.3), ("wind", 6), ("reader-1098", 14))
    lengths = [0.3, 0.5, 0.7, 1.0, 1.9, 2.0, 4.99, 5.0, 5.01, 7.3, len(whole) / RATE]
    with browser(tmp_path) as page:
        page.open(page_file)
        for number, seconds in enumerate(lengths):
            samples = whole[: round(seconds * RATE)]
            path = write_wav(tmp_path / f"{number}.wav", samples)
            check_same(said_by_page(page, path), said_by_python(samples))
        assert not [url for url in page.requests if not url.startswith(("file:", "blob:"))]
        assert page.errors == []


@pytest.mark.slow
@pytest.mark.process
def test_a_file_is_opened_and_shown(page_file, tmp_path):
    samples = sound(("announcer", 12), ("starfall", 15))
    path = write_wav(tmp_path / "a.wav", samples)
    final = [e for e in said_by_python(samples) if e.kind == "segment" and e.final]
    with browser(tmp_path) as page:
        page.open(page_file)
        choose(page, path)
        page.wait_for("document.getElementById('state').textContent.includes(' s in ')")
        rows = page.evaluate(
            "[...document.querySelectorAll('#segments tr')].map((row) =>"
            " [...row.cells].map((cell) => cell.textContent))"
        )
        assert [row[2] for row in rows] == [e.label.replace("_", " ") for e in final]
        assert [row[1] for row in rows] == [f"0:{e.end / RATE:04.1f}" for e in final]
        # What is no sound is one line, and the page goes on.
        (tmp_path / "no.wav").write_bytes(b"no sound")
        choose(page, tmp_path / "no.wav")
        page.wait_for("document.getElementById('problem').textContent.includes('no.wav cannot be')")
        choose(page, path)
        page.wait_for("document.getElementById('state').textContent.includes(' s in ')")
        assert page.evaluate("document.getElementById('problem').textContent") == ""


def choose(page, path):
    """Choose a file as a user does in the dialog."""
    node = page.call("Runtime.evaluate", expression="document.getElementById('file')")["result"]
    page.call("DOM.setFileInputFiles", files=[str(path)], objectId=node["objectId"])


@pytest.mark.slow
@pytest.mark.process
def test_the_wall_is_played_with_what_is_on(page_file, tmp_path):
    with browser(tmp_path) as page:
        page.open(page_file)
        titles = page.evaluate(
            "[...document.querySelectorAll('#wall strong')].map((e) => e.textContent)"
        )
        assert titles == ["Radio North", "Radio South"]
        page.wait_for("players.every((audio) => audio.duration > 100)")
        page.evaluate("players[0].currentTime = 40")
        now = "document.querySelectorAll('#wall .now')[0].textContent"
        page.wait_for(f"{now} === 'music: Obsidian Shell - Starfall'")
        page.evaluate("document.querySelectorAll('#wall button')[0].click()")
        page.wait_for("players[0].currentTime > 40.5")
        page.evaluate("document.querySelectorAll('#wall button')[1].click()")
        page.wait_for("players[0].paused && !players[1].paused && players[1].currentTime > 0.2")
        # Something is drawn.
        painted = page.evaluate(
            "(() => { const c = document.querySelector('#wall canvas');"
            "return new Set(c.getContext('2d').getImageData(0, 5, c.width, 1).data).size; })()"
        )
        assert painted > 4
        assert page.errors == []


@pytest.mark.slow
@pytest.mark.process
def test_a_microphone_is_heard(page_file, tmp_path):
    path = write_wav(tmp_path / "a.wav", sound(("announcer", 12)))
    options = (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={path}",
    )
    with browser(tmp_path, *options) as page:
        page.open(page_file)
        page.evaluate("document.getElementById('microphone').click()")
        page.wait_for("document.getElementById('now').textContent === 'speech'")
        assert page.evaluate("document.getElementById('speech').value") > 0.5
        page.evaluate("document.getElementById('microphone').click()")
        page.wait_for("document.querySelectorAll('#segments tr').length > 0")
        assert page.errors == []


@pytest.mark.process
def test_another_package_than_the_known_one_is_refused(tmp_path):
    (tmp_path / PACKAGE.name).write_bytes(b"another")
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/demo_page.py", tmp_path / "a.html"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "is not onnxruntime-web@1.30.0" in done.stderr
    assert not (tmp_path / "a.html").exists()
