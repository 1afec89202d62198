"""Freed memory is returned to the system, whatever was freed before."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Blocks of 8 MB, freed in an order that leaves a small one after each.
HOLES = """
import sys
from pathlib import Path
from airsift.malloc import give_back_large_blocks

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

if sys.argv[1] == "given back":
    assert give_back_large_blocks()
held = []
bytes(30 << 20)  # glibc's own limit is now above the blocks
before = resident_mb()
blocks = []
for _ in range(20):
    blocks.append(b"x" * (8 << 20))
    held.append([b"y" * 100_000])
blocks.clear()
print(resident_mb() - before)
"""


# Pages that are free between blocks that are still used.
PAGES = """
import sys
from pathlib import Path
from airsift.malloc import give_back_free_pages

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

before = resident_mb()
blocks = [b"x" * 100_000 for _ in range(1000)]
del blocks[::2], blocks[::2]  # a quarter is left, the last of all among them
if sys.argv[1] == "given back":
    assert give_back_free_pages()
print(resident_mb() - before)
"""


@pytest.mark.process
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc")
@pytest.mark.parametrize(
    ("code", "how", "low_mb", "high_mb"),
    [
        pytest.param(HOLES, "given back", 0, 20, id="large blocks"),
        pytest.param(HOLES, "held", 100, 200, id="large blocks, without"),
        pytest.param(PAGES, "given back", 20, 35, id="pages"),
        pytest.param(PAGES, "held", 80, 120, id="pages, without"),
    ],
)
def test_freed_memory_is_returned(code, how, low_mb, high_mb):
    child = [sys.executable, "-c", code, how]
    grown = subprocess.run(child, capture_output=True, text=True, check=True)
    assert low_mb <= float(grown.stdout) <= high_mb
