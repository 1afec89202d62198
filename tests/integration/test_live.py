"""Live audio as for a user: a microphone through PortAudio, a web radio over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stream.testing import write_wav
from tests.integration.road import tune
from tests.stream.media import encode
from tests.stream.pulse import null_device, playing, skip_unless_installed
from tests.waiting import wait_until

AIRSIFT = [sys.executable, "-m", "airsift"]
RATE = 16000


def decisions(path: Path) -> list[dict]:
    if not path.exists():
        return []
    lines = path.read_text().splitlines()
    events = [json.loads(line) for line in lines if line.endswith("}")]
    return [e for e in events if e["schema"] == "airsift.decision/1" and e["final"]]


@pytest.mark.audio
def test_a_microphone_is_classified_until_ctrl_c(tmp_path):
    skip_unless_installed()
    sound, out = tmp_path / "tune.wav", tmp_path / "out.jsonl"
    write_wav(sound, tune(60))
    folder = tmp_path / "pulse"
    folder.mkdir()
    with null_device(folder) as environ, playing(environ, sound):
        command = [*AIRSIFT, "run", "--source", "microphone", "--sink", f"jsonl:{out}"]
        environ.setdefault("AIRSIFT_RUN__CHECKPOINT_S", "0.5")
        process = subprocess.Popen(
            command, env=environ, stderr=subprocess.PIPE, text=True, cwd=Path.cwd()
        )
        try:
            wait_until(lambda: len(decisions(out)) >= 3, process=process)
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0, process.stderr.read()
        finally:
            process.kill()
            process.wait(10)
            process.stderr.close()
    found = decisions(out)
    assert [event["start_s"] for event in found] == [float(k) for k in range(len(found))]
    assert {event["station"] for event in found} == {"microphone"}
    assert found[0]["time"] is not None
    last = json.loads(out.read_text().splitlines()[-1])
    assert last["schema"] == "airsift.segment/1"
    assert last["final"]


class Radio(BaseHTTPRequestHandler):
    """A station in MP3 that breaks off once, and has gone on when it is back 4 s later."""

    parts: tuple[bytes, bytes] = (b"", b"")
    connections = 0

    def do_GET(self):
        type(self).connections += 1
        first = type(self).connections == 1
        time.sleep(0 if first else 4)
        self.send_response(200)
        self.send_header("Content-Type", "audio/mpeg")
        self.send_header("icy-name", "Radio")
        self.end_headers()
        data = self.parts[not first]
        try:
            for start in range(0, len(data), 4000):  # a quarter of a second
                self.wfile.write(data[start : start + 4000])
                time.sleep(0.25)
        except OSError:
            pass

    def log_message(self, *_):
        pass


def test_a_web_radio_that_breaks_off_is_a_gap_and_goes_on(tmp_path):
    parts = []
    for seed, seconds in enumerate((12, 60)):
        path = tmp_path / f"{seed}.mp3"
        encode(path, tune(seconds, RATE, seed), RATE, "libmp3lame")
        parts.append(path.read_bytes())
    Radio.parts, Radio.connections = (parts[0], parts[1]), 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Radio)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    out = tmp_path / "out.jsonl"
    url = f"http://127.0.0.1:{server.server_port}/stream"
    command = [*AIRSIFT, "run", "--source", url, "--sink", f"jsonl:{out}", "--station", "radio"]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("AIRSIFT_")}
    environ["AIRSIFT_RUN__CHECKPOINT_S"] = "0.5"
    process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(
            lambda: '"airsift.gap/1"' in (out.read_text() if out.exists() else ""), process=process
        )
        gap_s = next(
            event["end_s"]
            for event in map(json.loads, out.read_text().splitlines())
            if event["schema"] == "airsift.gap/1"
        )
        wait_until(lambda: any(e["start_s"] > gap_s for e in decisions(out)), process=process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, process.stderr.read()
    finally:
        process.kill()
        process.wait(10)
        process.stderr.close()
        server.shutdown()
        server.server_close()
    assert Radio.connections >= 2
