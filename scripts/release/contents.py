"""What a wheel and an sdist must hold, and what they must not."""

from __future__ import annotations

import hashlib
import posixpath
import re
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

# Code, weights and audio of airsift; a wheel that grew beyond that holds something else.
MAX_BYTES = 20_000_000
_PACKAGES = ("airsift", "stream", "model", "fingerprint")
_AUDIO = (".opus", ".ogg", ".flac", ".mp3", ".wav", ".m4a")
_NEEDED = (
    "airsift/py.typed",
    "airsift/default.toml",
    "airsift/cli/app.py",
    "airsift/web/static/index.html",
    "model/weights/airsift.pt",
    "model/weights/airsift.onnx.zip",
    "model/weights/voice.pt",
    "model/weights/voice.onnx.zip",
    "model/weights/SHA256SUMS",
    "model/weights/LICENCE.md",
    "model/experiments/configs/",
    "stream/kafka/schemas/segment.json",
    "stream/demo/ATTRIBUTION.md",
)
_OF_SDIST = (
    "pyproject.toml",
    "hatch_build.py",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "PKG-INFO",
)
_REFUSED = re.compile(
    r"(^|/)(tests?|bench|\.git|\.venv|__pycache__|node_modules)/|\.py[co]$|(^|/)\.env$|~$|\.log$"
)
Read = Callable[[str], bytes]


def wrong_wheel(path: Path) -> list[str]:
    """Return what is wrong with a wheel."""
    with zipfile.ZipFile(path) as wheel:
        names = [name for name in wheel.namelist() if not name.endswith("/")]
        wrong = wrong_files(names, wheel.read)
    info = next((n.split("/")[0] for n in names if n.endswith(".dist-info/METADATA")), "")
    data = info.replace(".dist-info", ".data")
    for name in names:
        top = name.split("/")[0]
        if top not in (*_PACKAGES, info, data):
            wrong.append(f"{name} belongs to no package")
    if f"{info}/licenses/LICENSE" not in names:
        wrong.append("the licence is not in it")
    pages = [n for n in names if n.startswith(f"{data}/data/share/man/man1/airsift")]
    if f"{data}/data/share/man/man1/airsift.1" not in pages:
        wrong.append("the manual pages are not in it: `make man` writes them")
    if path.stat().st_size > MAX_BYTES:
        wrong.append(f"{path.stat().st_size} bytes are more than {MAX_BYTES}")
    return wrong


def wrong_sdist(path: Path) -> list[str]:
    """Return what is wrong with an sdist: it must build, and hold nothing that is not in git."""
    with tarfile.open(path) as archive:
        names = [member.name.partition("/")[2] for member in archive if member.isfile()]
        outside = [member.name for member in archive if _leads_out(member)]
    wrong = [f"{name} leads out of it" for name in outside]
    wrong += [f"{name} is missing" for name in _OF_SDIST if name not in names]
    wrong += [
        f"{name} must not be in it"
        for name in names
        if re.search(r"(^|/)(\.venv|\.git|__pycache__|\.env)(/|$)", name)
    ]
    return wrong


def _leads_out(member: tarfile.TarInfo) -> bool:
    """Return whether a file, or the target of a link, is outside of the archive's one folder."""
    path = member.name
    if member.issym():
        path = posixpath.join(posixpath.dirname(path), member.linkname)
    path = posixpath.normpath(path)
    return path.startswith(("/", "..")) or path.split("/")[0] != member.name.split("/")[0]


def wrong_files(names: list[str], read: Read) -> list[str]:
    """Return what is missing among the files of the packages, and what must not be there."""
    wrong = [
        f"{needed} is missing"
        for needed in _NEEDED
        if not any(n == needed or (needed.endswith("/") and n.startswith(needed)) for n in names)
    ]
    wrong += [f"{name} must not be in it" for name in names if _REFUSED.search(name)]
    return wrong + wrong_audio(names, read) + wrong_weights(names, read)


def wrong_audio(names: list[str], read: Read) -> list[str]:
    """Return the audio without a licence in an ATTRIBUTION.md of its folder or the one above."""
    wrong = []
    for name in (each for each in names if each.endswith(_AUDIO)):
        folder, _, file = name.rpartition("/")
        pages = [f"{at}/ATTRIBUTION.md" for at in (folder, folder.rpartition("/")[0])]
        rows = [
            row
            for page in pages
            if page in names
            for row in read(page).decode().splitlines()
            if f"`{file}`" in row
        ]
        if not any(re.search(r"\bCC|public domain|Apache|MIT|GPL", row, re.I) for row in rows):
            wrong.append(f"{name}: no ATTRIBUTION.md names its licence")
    return wrong


def wrong_weights(names: list[str], read: Read) -> list[str]:
    """Return the TorchScript files whose hash is not the one that airsift trusts."""
    if "model/weights/SHA256SUMS" not in names:
        return []
    sums: Mapping[str, str] = {
        line.split()[1]: line.split()[0]
        for line in read("model/weights/SHA256SUMS").decode().splitlines()
    }
    wrong = []
    for name in (each for each in names if re.fullmatch(r"model/weights/[^/]+\.pt", each)):
        if hashlib.sha256(read(name)).hexdigest() != sums.get(name.rpartition("/")[2]):
            wrong.append(f"{name}: its hash is not in SHA256SUMS")
    return wrong
