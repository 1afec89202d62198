"""A broker whose data survive it: Tansu over the S3 interface of moto, which runs beside it.

moto wants another click than Faust, so it lives in a virtual environment of its own, which is
made the first time.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stream.kafka.embedded import EmbeddedBroker

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[1] / ".venv-moto"
MOTO = "moto[server,s3]==5.2.5"
BUCKET = "tansu"
_START_S = 60.0


@contextmanager
def durable_broker() -> Iterator[EmbeddedBroker]:
    """Give a broker, not started yet, that holds what it has on an S3 server of ours."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [_python(), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        endpoint = f"http://127.0.0.1:{port}"
        _make_bucket(endpoint)
        yield EmbeddedBroker(
            f"s3://{BUCKET}/",
            environment={
                "AWS_ACCESS_KEY_ID": "any",
                "AWS_SECRET_ACCESS_KEY": "any",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ENDPOINT": endpoint,
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_ALLOW_HTTP": "true",
            },
        )
    finally:
        server.kill()
        server.wait()


def _python() -> str:
    """Return the Python of moto's environment; make it if it is not there."""
    python = FOLDER / "bin" / "python"
    if not (FOLDER / "ready.json").exists():
        subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", MOTO]
        subprocess.run([str(python), *install], check=True)
        (FOLDER / "ready.json").write_text(json.dumps(MOTO))
    return str(python)


def _make_bucket(endpoint: str) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            request = urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")
            urllib.request.urlopen(request, timeout=5).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return
