"""Write requirements-edge.lock: what runs airsift without torch and scipy, as the full lock has it.

python scripts/edge_requirements.py > requirements-edge.lock

Run it where requirements.lock is installed. Training, evaluation and a GPU need what is left out.
"""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
LEFT_OUT = {"torch", "torchaudio", "nnaudio", "scipy"}
HEAD = """\
# Exact versions that run airsift on a CPU without torch and scipy, as in requirements.lock.
# Written by scripts/edge_requirements.py.
"""


def name_of(line: str) -> str:
    """Return the name of a package as all write it."""
    return re.sub("[-_.]+", "-", re.split(r"[=<>;\[ ]", line)[0]).lower()


def needed(lines: list[str]) -> set[str]:
    """Return the names of packages and of all that they need."""
    found: set[str] = set()
    waiting = list(lines)
    while waiting:
        one = Requirement(waiting.pop())
        name = name_of(one.name)
        if name in found | LEFT_OUT or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        waiting += distribution(one.name).requires or []
    return found


def main() -> None:
    """Print the lock."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    built = [*project["build-system"]["requires"], "editables"]  # to install it, in place or not
    names = needed([*project["project"]["dependencies"], *built])
    pins = (ROOT / "requirements.lock").read_text().splitlines()
    kept = [pin for pin in pins if not pin.startswith("#") and name_of(pin) in names]
    print(HEAD + "\n".join(kept))


if __name__ == "__main__":
    main()
