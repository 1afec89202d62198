"""The version of airsift, wherever it stands."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

# Each place by the file and an expression whose first group is the version.
_PLACES = {
    "airsift/__init__.py": r'^__version__ = "(.*)"$',
    "Dockerfile": r"^ARG VERSION=(.*)$",
    "deploy/helm/airsift/Chart.yaml": r"^(?:version|appVersion): (.*)$",
    "deploy/kubernetes/airsift.yaml": r"image: airsift:(.*)$",
    "deploy/kubernetes/catalogue.yaml": r"image: airsift:(.*)$",
    "CITATION.cff": r'^version: "?([\d.]+)"?$',
    "CHANGELOG.md": r"\A.*?^## \[(\d[^\]]*)\]",
}
_DATED = r"^## \[{}\] - (\d{{4}}-\d\d-\d\d)$"


def versions(root: Path) -> dict[str, set[str]]:
    """Return the versions that each file states; the first of CHANGELOG.md."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = {"pyproject.toml": {str(project["version"])}}
    for name, expression in _PLACES.items():
        text = (root / name).read_text(encoding="utf-8")
        flags = re.M | re.S if name == "CHANGELOG.md" else re.M
        found[name] = set(re.findall(expression, text, flags))
    return found


def wrong_versions(root: Path) -> list[str]:
    """Return what is wrong with the version: places that differ, no date, a tag of another."""
    found = versions(root)
    (wanted,) = found["pyproject.toml"]
    wrong = [
        f"{name} says {', '.join(sorted(each)) or 'nothing'}, and pyproject.toml {wanted}"
        for name, each in found.items()
        if each != {wanted}
    ]
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    dated = re.search(_DATED.format(re.escape(wanted)), changelog, re.M)
    if dated is None:
        wrong.append(f"CHANGELOG.md: the section of {wanted} has no date")
    elif f'date-released: "{dated[1]}"' not in (root / "CITATION.cff").read_text(encoding="utf-8"):
        wrong.append(f"CITATION.cff: date-released is not {dated[1]}, as in CHANGELOG.md")
    for tag in _tags(root):
        if re.fullmatch(r"v\d+\.\d+\.\d+.*", tag) and tag != f"v{wanted}":
            wrong.append(f"this commit has the tag {tag}, and the version is {wanted}")
    return wrong


def _tags(root: Path) -> list[str]:
    done = subprocess.run(
        ["git", "tag", "--points-at", "HEAD"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.split()
