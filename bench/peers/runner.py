"""What every peer's adapter does: read a list of files, hear each, and say what it cost.

An adapter runs inside its peer's own environment and needs nothing of airsift::

    python -m bench.peers.adapters.NAME LIST.json OUT.json

``LIST.json`` has the lists ``windows`` and ``programmes`` of 16 kHz mono WAV files. For each
file the peer gives spans in seconds for each label it knows, or a score from 0 to 1.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path


def cpu_s() -> float:
    """CPU seconds of this process, all its threads, and the programs it called."""
    own, called = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + called.ru_utime + called.ru_stime


def peak_mb() -> float:
    """Most memory of this process; what getrusage says begins with that of who started it."""
    status = Path("/proc/self/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


def run(load, *, says, how):
    """Hear every file of the list.

    Parameters
    ----------
    load : callable
        Returns two functions from a path to answers: for a window, and for a programme.
    says : list of str
        The labels that the peer can give.
    how : str
        Which of its ways is used, for the report.
    """
    files = json.loads(Path(sys.argv[1]).read_text())
    window, programme = load()
    # The first call compiles and allocates; its cost is not counted, its answer not kept.
    window(files["windows"][0])
    out = {"says": says, "how": how}
    for kind, hear in (("windows", window), ("programmes", programme)):
        answers = {}
        before, begun = cpu_s(), time.monotonic()
        for number, path in enumerate(files[kind]):
            answers[path] = hear(path)
            if time.monotonic() - begun > 10:
                print(f"  {kind}: {number + 1} of {len(files[kind])}", file=sys.stderr, flush=True)
                begun = time.monotonic()
        out[kind] = {"answers": answers, "cpu_s": cpu_s() - before}
    out["peak_mb"] = peak_mb()
    Path(sys.argv[2]).write_text(json.dumps(out))
