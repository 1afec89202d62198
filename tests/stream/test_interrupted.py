"""Commands that read an idle pipe end on request."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stream.testing import tone
from tests.stream.wave_files import form, wav

AUDIO = wav(form(1), (tone(12, 16_000) * 9_000).astype("<i2").tobytes())


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(
    ("command", "number", "sent"),
    [
        ("segment", signal.SIGINT, b""),
        ("segment", signal.SIGTERM, AUDIO),
        ("classify", signal.SIGINT, AUDIO),
    ],
)
def test_a_command_ends_while_it_waits_for_a_pipe(
    tmp_path: Path, command: str, number: signal.Signals, sent: bytes
) -> None:
    fifo = tmp_path / "a.fifo"
    os.mkfifo(fifo)
    process = subprocess.Popen(
        [sys.executable, "-m", "airsift", command, str(fifo)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    end = os.open(fifo, os.O_WRONLY)  # waits until the command reads
    try:
        rest = memoryview(sent)
        while rest:
            rest = rest[os.write(end, rest) :]
        time.sleep(0.5)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    finally:
        os.close(end)
        process.kill()
    assert process.returncode == 130
    assert errors == b""
