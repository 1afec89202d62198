from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from airsift.errors import Backpressure, ConfigError
from stream.events import Gap
from stream.history.rows import Row, row_of
from stream.history.spool import Spool

MANY = 10**8


def row(number: int) -> Row:
    return row_of(Gap("ü/😀", number, number + 1, 16_000, None, "x"))


def drained(spool: Spool) -> list[int]:
    found = []
    while (name := spool.take()) is not None:
        found += [each.start for rows in spool.read(name) for each in rows]
        spool.remove(name)
    return found


def test_rows_come_back_in_order_and_once(tmp_path):
    spool = Spool(tmp_path, MANY)
    for begin in range(0, 3000, 300):
        spool.append([row(n) for n in range(begin, begin + 300)])
    assert drained(spool) == list(range(3000))
    assert spool.size() == 0
    assert spool.take() is None
    spool.append([row(7)])
    assert drained(spool) == [7]


def test_what_is_appended_while_it_is_read_comes_next(tmp_path):
    spool = Spool(tmp_path, MANY)
    spool.append([row(1)])
    name = spool.take()
    spool.append([row(2)])
    assert [each.start for rows in spool.read(name) for each in rows] == [1]
    assert spool.take() == name  # it is not done before it is removed
    spool.remove(name)
    assert drained(spool) == [2]


def test_another_process_takes_over_what_nobody_holds(tmp_path):
    first, second = Spool(tmp_path, MANY), Spool(tmp_path, MANY)
    first.append([row(1)])
    assert second.take() is None
    second.append([row(2)])
    first.close()
    assert drained(second) == [1, 2]


@pytest.mark.process
def test_a_killed_process_leaves_whole_rows(tmp_path):
    program = (
        "import os, sys; from pathlib import Path; from stream.events import Gap\n"
        "from stream.history.rows import row_of; from stream.history.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1]), 10**8)\n"
        "for n in range(100):\n"
        "    spool.append([row_of(Gap('a', n, n + 1, 16_000, None, 'x'))])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", program, tmp_path], cwd=root, check=False)
    [file] = tmp_path.glob("*.spool")
    with file.open("ab") as half:
        half.write(row(100).to_json().encode()[:50])
    assert drained(Spool(tmp_path, MANY)) == list(range(100))


def test_a_damaged_line_costs_only_itself(tmp_path, caplog):
    spool = Spool(tmp_path, MANY)
    spool.append([row(1), row(2), row(3)])
    spool.close()
    [file] = tmp_path.glob("*.spool")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + b"\xff{}\n" + lines[2])
    assert drained(Spool(tmp_path, MANY)) == [1, 3]
    assert "1 damaged lines" in caplog.text


def test_it_is_bounded(tmp_path):
    spool = Spool(tmp_path, 2000)
    spool.append([row(1)])
    with pytest.raises(Backpressure, match="spool_mb"):
        spool.append([row(n) for n in range(2, 100)])
    assert drained(spool) == [1]
    spool.append([row(2)])


@pytest.mark.process
def test_a_full_disk_is_backpressure_and_leaves_whole_rows(tmp_path):
    program = (
        "import resource, signal, sys; from pathlib import Path; from stream.events import Gap\n"
        "from airsift.errors import Backpressure\n"
        "from stream.history.rows import row_of; from stream.history.spool import Spool\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))\n"
        "spool = Spool(Path(sys.argv[1]), 10**8)\n"
        "rows = [row_of(Gap('a', n, n + 1, 16_000, None, 'x')) for n in range(100)]\n"
        "spool.append(rows[:2])\n"
        "try:\n"
        "    spool.append(rows[2:])\n"
        "except Backpressure as full:\n"
        "    print(full)\n"
        "spool.append(rows[2:3])\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], cwd=root, check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    assert "no space left" in done.stdout
    assert drained(Spool(tmp_path, MANY)) == [0, 1, 2]


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="spool_folder"):
        Spool(tmp_path / "file" / "spool", MANY)


def test_files_of_others_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    spool = Spool(tmp_path, MANY)
    with (tmp_path / "1.spool").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert spool.take() is None
    assert (tmp_path / "notes.txt").read_text() == "mine"
