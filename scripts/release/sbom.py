"""A software bill of materials in CycloneDX 1.6, from the lock and the installed metadata."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from scripts.release.licences import Dependency, plain

_SPDX = re.compile(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*")


def bill(
    version: str, files: dict[str, str], found: Sequence[Dependency], epoch: int
) -> dict[str, Any]:
    """Return the bill of materials of a release.

    Parameters
    ----------
    version : str
        Airsift's.
    files : dict of str to str
        The SHA-256 of each file of the release, by name.
    found : sequence of Dependency
        What requirements.lock pins.
    epoch : int
        The time of the release, in Unix seconds.
    """
    of_all = "\n".join([version, *files.values(), *(f"{d.name}=={d.version}" for d in found)])
    names = {each.name for each in found}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, of_all)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": "airsift",
                "name": "airsift",
                "version": version,
                "purl": f"pkg:pypi/airsift@{version}",
                "licenses": [{"license": {"id": "Apache-2.0"}}],
                "components": [
                    {
                        "type": "file",
                        "bom-ref": name,
                        "name": name,
                        "hashes": [{"alg": "SHA-256", "content": sha256}],
                    }
                    for name, sha256 in files.items()
                ],
            },
        },
        "components": [_component(each) for each in found],
        "dependencies": [
            {"ref": "airsift", "dependsOn": sorted(_needed_by("airsift", names))},
            *({"ref": d.name, "dependsOn": sorted(_needed_by(d.name, names))} for d in found),
        ],
    }


def _component(each: Dependency) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": each.name,
        "name": each.name,
        "version": each.version,
        "purl": f"pkg:pypi/{each.name}@{each.version}",
    }
    if each.stated and _SPDX.fullmatch(each.stated) and " " in each.stated:
        component["licenses"] = [{"expression": each.stated}]
    else:
        component["licenses"] = [{"license": {"name": each.stated or "not stated"}}]
    return component


def _needed_by(name: str, among: set[str]) -> set[str]:
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return set()
    names = {plain(re.split(r"[\s\[<>=!~;(]", line.strip())[0]) for line in lines}
    return names & among - {name}


def wrong_bill(bill: dict[str, Any]) -> list[str]:
    """Return what in a bill is not as CycloneDX 1.6 wants it."""
    wrong = []
    if (bill["bomFormat"], bill["specVersion"]) != ("CycloneDX", "1.6"):
        wrong.append("it is no CycloneDX 1.6")
    serial = bill["serialNumber"]
    if not re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", serial):
        wrong.append(f"serialNumber={serial!r} is no urn:uuid")
    refs = [each["bom-ref"] for each in bill["components"]]
    refs += [bill["metadata"]["component"]["bom-ref"]]
    wrong += [f"bom-ref {ref} is there twice" for ref in {r for r in refs if refs.count(r) > 1}]
    for each in bill["components"]:
        if not re.fullmatch(r"pkg:pypi/[a-z0-9.-]+@[\w.+!-]+", each["purl"]):
            wrong.append(f"{each['name']}: {each['purl']} is no package URL")
        if not each.get("licenses"):
            wrong.append(f"{each['name']}: no licence")
    for each in bill["dependencies"]:
        wrong += [f"{r} is named and not described" for r in [each["ref"], *each["dependsOn"]]
                  if r not in refs]  # fmt: skip
    return wrong
