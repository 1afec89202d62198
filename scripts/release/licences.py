"""Licences of the dependencies that requirements.lock pins, from their installed metadata."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

REVIEWED = Path(__file__).with_name("licences.toml")
# In the words of packages, from the most particular; the SPDX identifier of each.
_WORDS = (
    (r"affero|\bAGPL", "AGPL"),
    (r"lesser general|LGPL", "LGPL"),
    (r"general public|\bGPL", "GPL"),
    (r"mozilla|\bMPL", "MPL-2.0"),
    (r"apache", "Apache-2.0"),
    (r"3-clause|BSD-3", "BSD-3-Clause"),
    (r"2-clause|BSD-2", "BSD-2-Clause"),
    (r"\b0BSD", "0BSD"),
    (r"repoze", "Repoze"),
    (r"\bBSD", "BSD-3-Clause"),
    (r"\bMIT-0", "MIT-0"),
    (r"\bMIT\b", "MIT"),
    (r"\bISC", "ISC"),
    (r"python software|\bPSF", "PSF-2.0"),
    (r"unlicense", "Unlicense"),
    (r"\bzlib", "Zlib"),
    (r"CC0", "CC0-1.0"),
    (r"BSL-1|boost", "BSL-1.0"),
)
_ALLOWED = {
    "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "MIT", "MIT-0", "ISC", "PSF-2.0",
    "Unlicense", "Zlib", "CC0-1.0", "BSL-1.0", "MPL-2.0", "LGPL",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dependency:
    """A dependency as it is installed.

    Parameters
    ----------
    name, version : str
        As in the lock.
    stated : str
        What its metadata say of its licence; "" for nothing.
    """

    name: str
    version: str
    stated: str

    @property
    def licences(self) -> set[str]:
        """Identifiers of all licences that are stated; empty if none is known."""
        found = set()
        for part in re.split(r"\s+(?:AND|OR)\s+|[;()]", self.stated):
            words = next((id_ for word, id_ in _WORDS if re.search(word, part, re.I)), None)
            if words is not None:
                found.add(words)
            elif part.strip():
                found.add(part.strip())
        return found


def plain(name: str) -> str:
    """Return the name of a package as all write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(lock: Path) -> dict[str, str]:
    """Return the versions that a lock pins, by name."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    pairs = (line.split(";")[0].split("==") for line in lines if "==" in line)
    return {plain(name): version.strip() for name, version in pairs}


def dependencies(lock: Path) -> Iterator[Dependency]:
    """Yield what a lock pins, as it is installed.

    Raises
    ------
    LookupError
        Something is not installed, or in another version.
    """
    for name, version in sorted(pinned(lock).items()):
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise LookupError(f"{name} is not installed: `make install`") from None
        if found.version != version:
            raise LookupError(f"{name} is {found.version}, and the lock has {version}")
        yield Dependency(name, version, _stated(found))


def _stated(found: metadata.Distribution) -> str:
    facts = found.metadata
    classifiers = [
        each.rpartition("::")[2].strip()
        for each in facts.get_all("Classifier") or []
        if each.startswith("License ::") and not each.endswith("OSI Approved")
    ]
    if expression := facts.get("License-Expression"):
        return str(expression)
    if classifiers:
        return "; ".join(classifiers)
    return str(facts.get("License") or "").strip().partition("\n")[0]


def wrong_licences(found: list[Dependency], reviewed: dict[str, str] | None = None) -> list[str]:
    """Return the dependencies whose licences nobody has looked at."""
    if reviewed is None:
        reviewed = tomllib.loads(REVIEWED.read_text(encoding="utf-8"))["reviewed"]
    wrong = [
        f"{each.name}: {each.stated or 'no licence is stated'}; read it, and write the result into "
        f"{REVIEWED.name}"
        for each in found
        if each.name not in reviewed and not (each.licences and each.licences <= _ALLOWED)
    ]
    gone = reviewed.keys() - {each.name for each in found}
    return wrong + [f"{name} is in {REVIEWED.name} and no dependency" for name in sorted(gone)]
