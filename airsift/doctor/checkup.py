"""Runs the checks, each within its time, and turns what goes wrong in one into a finding."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from airsift.config import Config, Loaded, load
from airsift.doctor import installation, machine
from airsift.doctor.finding import Finding, problem
from airsift.errors import AirsiftError

# Seconds until a check counts as hanging. Libraries take long to load from a slow disk.
_HERE_S = 10.0
_APART_S = {"sound": 10.0, "broker": 15.0, "gpu": 120.0, "backends": 120.0, "speed": 120.0}
_GRACE_S = 5.0  # until a process that was killed is gone
NAMES = {"broker": "Kafka", "gpu": "GPU"}  # of checks that are called otherwise in a finding

Check = Callable[[], Iterable[Finding]]


def checkup(path: Path | None, sets: Sequence[str]) -> Iterator[Finding]:
    """Yield the findings of all checks, in a fixed order, each as soon as it can be.

    Never raises, and ends within the sum of the times that its checks have.

    Parameters
    ----------
    path : Path, optional
        The configuration file.
    sets : sequence of str
        ``section.key=value``.
    """
    loaded = _load(path, sets)
    config = load(environ={}).config if isinstance(loaded, AirsiftError) else loaded.config
    given = None if isinstance(loaded, AirsiftError) else (path, sets)
    # What waits for others runs beside the rest; what is measured runs alone, at the end.
    early = {name: _begin(name, partial(apart, name, given)) for name in ("sound", "broker", "gpu")}
    here: dict[str, Check] = {
        "Python": machine.python,
        "libraries": installation.libraries,
        "extras": installation.extras,
        "configuration": partial(installation.configuration, loaded, path),
        "processor": machine.processor,
        "memory": machine.memory,
        "disk": partial(machine.disks, config),
        "clock": machine.clock,
        "networks": partial(installation.networks, config),
        "catalogue": partial(installation.catalogue, config),
    }
    for name, check in here.items():
        yield from within(name, check, _HERE_S)
    for name, answers in early.items():
        yield from _answer(name, answers, _APART_S[name] + _GRACE_S)
    for name in ("backends", "speed"):
        yield from within(name, partial(apart, name, given), _APART_S[name] + _GRACE_S)


def within(name: str, check: Check, limit_s: float) -> list[Finding]:
    """Return the findings of a check, or that it failed or hangs."""
    return _answer(name, _begin(name, check), limit_s)


def _begin(name: str, check: Check) -> queue.Queue[list[Finding]]:
    """Begin a check in a thread that nobody has to wait for."""
    answers: queue.Queue[list[Finding]] = queue.Queue()
    threading.Thread(target=lambda: answers.put(_caught(name, check)), daemon=True).start()
    return answers


def _answer(name: str, answers: queue.Queue[list[Finding]], limit_s: float) -> list[Finding]:
    try:
        return answers.get(timeout=limit_s)
    except queue.Empty:
        return [_hangs(name, limit_s)]


def _caught(name: str, check: Check) -> list[Finding]:
    try:
        return list(check())
    except Exception as error:
        return [failure(name, error)]


def failure(name: str, error: BaseException) -> Finding:
    """Return that a check ended by an error."""
    name = NAMES.get(name, name)
    if isinstance(error, AirsiftError):
        return problem(name, str(error), "see what it names")
    reason = f"{type(error).__name__}: {error}"
    way = "report it to the repository's issue tracker, with the output of `airsift doctor --json`"
    return problem(name, f"this check failed: {reason}", way)


def _hangs(name: str, limit_s: float) -> Finding:
    return problem(
        name, f"no answer within {limit_s:g} s", "look at what it waits for, or try again"
    )


def apart(name: str, given: tuple[Path | None, Sequence[str]] | None) -> list[Finding]:
    """Run a check in a process of its own."""
    path, sets = given if given is not None else (None, [])
    request = {"path": str(path) if path else None, "sets": list(sets), "plain": given is None}
    root = Path(__file__).parents[2]
    environ = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    return run_apart(
        name,
        [sys.executable, "-P", "-m", "airsift.doctor", name, json.dumps(request)],
        _APART_S[name],
        environ,
    )


def run_apart(
    name: str, command: Sequence[str], limit_s: float, environ: dict[str, str]
) -> list[Finding]:
    """Return the findings that a command prints, or how it ended without."""
    try:
        done = subprocess.run(  # noqa: S603 - this Python, and words of ours
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_s,
            check=False,
        )
        if done.returncode < 0:
            number = -done.returncode
            return [_crashed(name, number)]
        return [Finding.from_dict(each) for each in json.loads(done.stdout)]
    except subprocess.TimeoutExpired:
        return [_hangs(name, limit_s)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [failure(name, error)]


def _crashed(name: str, number: int) -> Finding:
    why = signal.Signals(number).name if number in {*signal.Signals} else f"signal {number}"
    way = "its library does not run on this machine: install the versions of requirements.lock"
    if number == signal.SIGILL:
        way = (
            "this processor lacks instructions that its library was built with; use an older build"
        )
    return problem(name, f"this check was ended by {why}", way)


def _load(path: Path | None, sets: Sequence[str]) -> Loaded | AirsiftError:
    try:
        return load(path, sets)
    except AirsiftError as error:
        return error


def config_of(request: str) -> tuple[Config, bool]:
    """Return the configuration that a process of its own is asked to use, and whether a broker is.

    Raises
    ------
    AirsiftError
        It is none; it was one for the process that asks.
    """
    asked = json.loads(request)
    if asked["plain"]:
        loaded = load(environ={})
    else:
        loaded = load(Path(asked["path"]) if asked["path"] else None, asked["sets"])
    return loaded.config, "kafka.bootstrap_servers" in loaded.given
