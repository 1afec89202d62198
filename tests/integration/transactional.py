"""A broker whose transactions hold: noida-db, on a loopback port, for tests of exactly once.

Its consumer groups do not: it never checks a member's generation. One worker at a time.
"""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import noida_db


@contextmanager
def transactional_broker(folder: Path):
    """Start the broker with its files in `folder`; give where clients connect."""
    binary = Path(noida_db.__file__).parent / "noida-db"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [binary, "start", "--only", "kafka", "--kafka-port", str(port), "--data-dir", folder],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(10)
