"""The main program of an adapter: process a list of files, and measure the cost.

An adapter runs in the environment of its peer, without airsift's libraries::

    python -m bench.peers.adapters.NAME LIST.json ANSWERS.jsonl

``LIST.json`` has ``windows`` and ``programmes``: for each key, a 16 kHz mono WAV file. For each
file the peer gives spans in seconds, or a score from 0 to 1, for each of its labels. A line is
appended for each answer, so that an interrupted run goes on where it was. Lists of paths under
``timed`` are processed again, for the speed.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path


def cpu_s() -> float:
    """Return the CPU seconds of this process and its children."""
    own, called = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + called.ru_utime + called.ru_stime


def peak_mb() -> float:
    """Return the peak memory of this process; getrusage would include that of the parent."""
    status = Path("/proc/self/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


def run(load, *, labels, how):
    """Process every file of the list.

    Parameters
    ----------
    load : callable
        Returns two functions from a path to answers: for a window, and for a programme or None.
    labels : list of str
        Labels of the peer.
    how : str
        The mode of the peer, for the report.
    """
    files = json.loads(Path(sys.argv[1]).read_text())
    window, programme = load()
    with Path(sys.argv[2]).open("a", encoding="utf-8") as out:

        def write(line):
            out.write(json.dumps(line) + "\n")
            out.flush()

        write({"about": {"labels": labels, "how": how, "programmes": programme is not None}})
        for kind, process in (("windows", window), ("programmes", programme)):
            begun = time.monotonic()
            for number, (key, path) in enumerate(files[kind].items() if process else ()):
                write({"key": key, "answer": process(path)})
                if time.monotonic() - begun > 30:
                    print(f"  {kind}: {number + 1} of {len(files[kind])}", file=sys.stderr)
                    begun = time.monotonic()
        timed = files["timed"]
        if timed["windows"]:
            # Warm-up: the first calls compile and allocate.
            for path in timed["windows"][:3]:
                window(path)
            took = {
                "windows": len(timed["windows"]),
                "windows_cpu_s": _took(window, timed["windows"]),
                "programmes_cpu_s": _took(programme, timed["programmes"])
                if programme and timed["programmes"]
                else None,
                "peak_mb": peak_mb(),
                "load": os.getloadavg()[0],
                "at": time.strftime("%Y-%m-%d %H:%M"),
            }
            write({"timing": took})


def _took(process, paths) -> float:
    before = cpu_s()
    for path in paths:
        process(path)
    return cpu_s() - before
