"""Helpers for servers on loopback ports: free ports, and an end together with their parent."""

from __future__ import annotations

import ctypes
import random
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST_PORT = 10_000


def free_ports(count: int) -> list[int]:
    """Return unused ports of 127.0.0.1, below those of outgoing connections.

    A server that is away for a while must find its port free when it returns. The system may assign
    a port of its own range to any client meanwhile, even to the one that tries to connect to this
    port, which is then connected to itself.
    """
    end = 32_768
    with suppress(OSError, ValueError):
        end = int(_RANGE.read_text().split()[0])
    if end <= _FIRST_PORT + 1000:
        end = 65_536
    probes: list[socket.socket] = []
    try:
        while len(probes) < count:
            probe = socket.socket()
            try:
                probe.bind(("127.0.0.1", random.randrange(_FIRST_PORT, end)))  # noqa: S311
            except OSError:
                probe.close()
            else:
                probes.append(probe)
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def answers(process: subprocess.Popen[bytes], port: int, timeout_s: float) -> bool:
    """Wait until `process` listens on `port`; return False if it ends or does not."""
    deadline = time.monotonic() + timeout_s
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return process.poll() is None
    return False


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, even by kill -9."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
