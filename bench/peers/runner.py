"""The main program of an adapter: process a list of files, and measure the cost.

An adapter runs in the environment of its peer, without airsift::

    python -m bench.peers.adapters.NAME LIST.json OUT.json

``LIST.json`` has the lists ``windows`` and ``programmes`` of 16 kHz mono WAV files. For each
file the peer gives spans in seconds for each of its labels, or a score from 0 to 1.
"""

from __future__ import annotations

import json
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
        Returns two functions from a path to answers: for a window, and for a programme.
    labels : list of str
        Labels of the peer.
    how : str
        The mode of the peer, for the report.
    """
    files = json.loads(Path(sys.argv[1]).read_text())
    window, programme = load()
    # Warm-up: the first call compiles and allocates.
    window(files["windows"][0])
    out = {"labels": labels, "how": how}
    for kind, process in (("windows", window), ("programmes", programme)):
        answers = {}
        before, begun = cpu_s(), time.monotonic()
        for number, path in enumerate(files[kind]):
            answers[path] = process(path)
            if time.monotonic() - begun > 10:
                print(f"  {kind}: {number + 1} of {len(files[kind])}", file=sys.stderr, flush=True)
                begun = time.monotonic()
        out[kind] = {"answers": answers, "cpu_s": cpu_s() - before}
    out["peak_mb"] = peak_mb()
    Path(sys.argv[2]).write_text(json.dumps(out))
