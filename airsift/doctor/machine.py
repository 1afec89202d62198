"""The machine: processor, memory, disks and clock."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.doctor.finding import Finding, ok, problem, warning
from airsift.errors import AirsiftError

if TYPE_CHECKING:
    from airsift.config import Config

_OLDEST = (3, 11)
# What the kernels of both backends use, in the words of /proc/cpuinfo, from the oldest.
_SETS = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "amx_tile", "asimd", "sve")
# Memory of a worker with 1000 stations (docs/benchmarks.md); files need less.
_WORKER_MB = 342
_UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)


def python() -> Iterator[Finding]:
    """Tell which Python runs, and on which system."""
    version = platform.python_version()
    system = f"{platform.system()} {platform.release()} on {platform.machine()}"
    libc = " ".join(platform.libc_ver()).strip()
    text = f"{platform.python_implementation()} {version} in {sys.prefix}; {system}"
    if libc:
        text += f", {libc}"
    if sys.version_info[:2] < _OLDEST:
        yield problem("Python", text, "use Python 3.11 or later")
    elif not sys.platform.startswith("linux"):
        yield warning(
            "Python", text, "airsift is tested on Linux; see the platforms in docs/quickstart.md"
        )
    else:
        yield ok("Python", text)


def processor() -> Iterator[Finding]:
    """Tell the processor, how much of it may be used, and its instruction sets."""
    facts = _colon_lines(Path("/proc/cpuinfo"))
    name = facts.get("model name") or platform.processor() or platform.machine()
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    sets = [each for each in _SETS if each in flags]
    usable, there = cores(), os.cpu_count() or 1
    text = f"{name}, {usable:g} of {there} cores, {', '.join(sets) or 'instruction sets unknown'}"
    if flags and platform.machine() in ("x86_64", "AMD64") and "avx2" not in sets:
        yield warning("processor", text, "results are the same, and take longer, without avx2")
    else:
        yield ok("processor", text, cores=usable, instruction_sets=sets)


def cores() -> float:
    """Return how many cores this process may use, by its affinity and its control group."""
    count = float(len(os.sched_getaffinity(0)))
    with suppress(OSError, ValueError, IndexError, ZeroDivisionError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()[:2]
        if quota != "max":
            count = min(count, int(quota) / int(period))
    return count


def memory() -> Iterator[Finding]:
    """Tell how much memory is free, by the system and by the control group."""
    facts = _colon_lines(Path("/proc/meminfo"))
    free = _kib(facts.get("MemAvailable", "")) / 1024
    total = _kib(facts.get("MemTotal", "")) / 1024
    if not total:
        yield ok("memory", "not known on this system")
        return
    with suppress(OSError, ValueError):
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")) / 2**20
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii")) / 2**20
        total, free = min(total, limit), min(free, limit - used)
    text = f"{free / 1024:.1f} of {total / 1024:.1f} GB available"
    if free < _WORKER_MB:
        way = f"end other programs: a worker with 1000 stations needs {_WORKER_MB} MB"
        yield warning("memory", text, way, available_mb=round(free))
    else:
        yield ok("memory", text, available_mb=round(free))


def disks(config: Config) -> Iterator[Finding]:
    """Tell the free space of the disks that are written to, and whether they can be."""
    found: dict[int, list[str]] = {}
    places: dict[int, Path] = {}
    for what, folder in _folders(config).items():
        there = next((p for p in (folder, *folder.parents) if p.is_dir()), None)
        if there is None:
            continue
        if not os.access(there, os.W_OK | os.X_OK):
            yield warning(
                "disk", f"{folder} ({what}) cannot be written to", "write elsewhere, or change it"
            )
            continue
        device = there.stat().st_dev
        found.setdefault(device, []).append(what)
        places.setdefault(device, there)
    need = config.database.spool_mb
    for device, uses in found.items():
        free = shutil.disk_usage(places[device]).free / 1e6
        text = f"{free / 1000:.1f} GB free on that of {places[device]} ({', '.join(uses)})"
        if free < need:
            way = f"free some: database.spool_mb={need} alone may use that much"
            yield warning("disk", text, way, free_mb=round(free))
        else:
            yield ok("disk", text, free_mb=round(free))


def _folders(config: Config) -> dict[str, Path]:
    from airsift.xdg import cache_home

    folders = {"working folder": Path.cwd(), "temporary files": Path(tempfile.gettempdir())}
    with suppress(AirsiftError):
        folders["cache"] = cache_home()
    if "://" not in (url := config.database.url.get_secret_value()):
        folders["history"] = Path(url).absolute().parent
        folders["its spool"] = Path(config.database.spool_folder).absolute()
    named = {
        "catalogue": config.identify.catalogue,
        "repeats": config.repeats.folder,
        "clips": config.alarms.clips.folder,
    }
    return folders | {what: Path(each).absolute() for what, each in named.items() if each}


def clock() -> Iterator[Finding]:
    """Tell the time, and whether something keeps it right."""
    now = datetime.now(UTC)
    text = f"{now:%Y-%m-%dT%H:%M:%SZ}, local zone {'/'.join(dict.fromkeys(time.tzname))}"
    state = _clock_state()
    if state is None:
        yield ok("clock", f"{text}; whether it is synchronised is not known here")
    elif state == _UNSYNCHRONISED:
        way = "run a time service, as chrony or systemd-timesyncd: live events carry this time"
        yield warning("clock", f"{text}, not synchronised", way)
    else:
        yield ok("clock", f"{text}, synchronised")


def _clock_state() -> int | None:
    """Return what adjtimex(2) says of the clock; None where there is no such call."""
    try:
        # A zero in its first field asks, and sets nothing; struct timex has less than 512 bytes.
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        return None
    return state if state >= 0 else None


def _colon_lines(path: Path) -> Mapping[str, str]:
    """Return the first of each ``name : value``; nothing if there is no such file."""
    found: dict[str, str] = {}
    with suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            found.setdefault(name.strip(), value.strip())
    return found


def _kib(text: str) -> int:
    match = re.match(r"(\d+) kB", text)
    return int(match[1]) if match else 0
