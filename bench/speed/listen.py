"""How soon `airsift listen` says something, shows the level, and hears.

It runs in a pseudo-terminal on the default input, several times: seconds of the clock from its
start until its first words, until the level is drawn, and until the networks are loaded and have
judged the first seconds. Needs an input with some sound. Aim: first words, with what is loaded,
within a second.
"""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from statistics import median

from bench.report import Report, arguments

ROUNDS = 5
_LIMIT_S = 120.0
MARKS = {"first_words_s": b"looks for", "level_s": b"dBFS", "heard_s": b"since "}


def listened() -> dict[str, float]:
    """Return the seconds until each mark was written."""
    ours, theirs = pty.openpty()
    environ = os.environ | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "airsift", "listen"],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=environ,
    )
    os.close(theirs)
    text, found = b"", dict[str, float]()
    try:
        while len(found) < len(MARKS) and time.monotonic() - began < _LIMIT_S:
            text += os.read(ours, 65_536)
            for name, mark in MARKS.items():
                if mark in text:
                    found.setdefault(name, time.monotonic() - began)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        os.close(ours)
    return found


def main() -> None:
    options = arguments(__doc__).parse_args()
    report = Report("airsift listen, seconds from its start")
    rounds = [listened() for _ in range(ROUNDS + 1)][1:]
    report.row("80x24", **{name: median(each[name] for each in rounds) for name in MARKS})
    report.finish(options.json)


if __name__ == "__main__":
    main()
