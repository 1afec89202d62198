"""How long `import airsift` takes, and the first results after it, each in a new process.

A row is the least and the median of some rounds, in turns: seconds by the clock from the start of
the interpreter to its end, and CPU seconds. ``python`` is the interpreter alone; the time of
an import is the difference.

::

    python -m bench.speed.imports
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time

from bench.report import Report, arguments

_AUDIO = "import numpy; audio = numpy.zeros(16_000 * 10, numpy.float32)\n"
PROGRAMS = {
    "python": "pass",
    "import airsift": "import airsift",
    "import numpy": "import numpy",
    "results without the engine": "import airsift; airsift.Segments()",
    "10 s of audio": f"import airsift\n{_AUDIO}airsift.segment(audio, 16_000)",
    "10 s of audio, again": f"import airsift\n{_AUDIO}airsift.segment(audio, 16_000)\n"
    "airsift.segment(audio, 16_000)",
}


def seconds(program: str) -> tuple[float, float]:
    """Run a program in a new interpreter; return its seconds by the clock, and of CPU."""
    before, began = _cpu_s(), time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - began, _cpu_s() - before


def _cpu_s() -> float:
    """Return the CPU seconds of the processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in PROGRAMS}
    for program in PROGRAMS.values():  # once before, for the disk
        seconds(program)
    for _ in range(options.rounds):
        for name, program in PROGRAMS.items():
            times[name].append(seconds(program))
    report = Report("A new process: seconds")
    for name, found in times.items():
        clock, cpu = zip(*found, strict=True)
        report.row(
            name,
            least_s=min(clock),
            median_s=statistics.median(clock),
            least_cpu_s=min(cpu),
            median_cpu_s=statistics.median(cpu),
        )
    report.finish(options.json)


if __name__ == "__main__":
    main()
