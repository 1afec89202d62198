"""Order of the tests, and what `make quick` runs: tests without processes that are not slow.

Such tests need no list. A test that starts another process carries the marker ``process``: by its
folder, by the broker it asks for, or by hand. Whichever does so without it fails, and names the
marker, so that what is left is quick by itself.
"""

from __future__ import annotations

import multiprocessing.util
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Audit events of Python for another process.
_EVENTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system"}
# Libraries look for shared objects and fonts by such programs, once.
_LOOK_UPS = ("fc-list", "ldconfig", "gcc", "cc", "ld", "objdump", "uname", "lscpu", "file")
_started: list[str] = []


def watch() -> None:
    """Note every process that is started from here on."""

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _EVENTS:
            program = str(arguments[0]) if arguments else event
            if Path(program).name not in _LOOK_UPS:
                _started.append(program)

    sys.addaudithook(note)
    spawn = multiprocessing.util.spawnv_passfds  # type: ignore[attr-defined]

    def noted(path: Any, *rest: Any) -> Any:  # no audit hook reports it
        _started.append(str(path))
        return spawn(path, *rest)

    multiprocessing.util.spawnv_passfds = noted  # type: ignore[attr-defined]


def mark(items: list[pytest.Item], fixtures: set[str]) -> None:
    """Mark what needs a broker: all tests over it, and those that ask for one of the fixtures."""
    integration = Path(__file__).parent / "integration"
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        if fixtures & names or integration in item.path.parents:
            item.add_marker(pytest.mark.process)


def slowest_first(items: list[pytest.Item]) -> None:
    """Put the files with tests of processes or slow ones first, the others keep their order.

    Files are given out whole to two runs at once. What starts late ends late: if a slow file comes
    last, one of the two waits for it with nothing to do.
    """
    waits = {"process": 4, "slow": 1}  # about the seconds of one such test
    cost: Counter[Path] = Counter()
    for item in items:
        cost[item.path] += sum(waits.get(mark.name, 0) for mark in item.iter_markers())
    items.sort(key=lambda item: -cost[item.path])


def failing_where_unmarked(item: pytest.Item) -> Iterator[None]:
    """Let a phase of a test run; fail it if a process was started that its markers do not name."""
    before = len(_started)
    yield
    if len(_started) > before and item.get_closest_marker("process") is None:
        pytest.fail(
            f"started {_started[before]}: mark the test with @pytest.mark.process, so that "
            "`make quick` leaves it out",
            pytrace=False,
        )
