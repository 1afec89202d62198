"""The check of a release: each rule finds what breaks it, and this checkout breaks none."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from scripts.release import __main__ as release
from scripts.release.contents import (
    wrong_audio,
    wrong_files,
    wrong_sdist,
    wrong_weights,
    wrong_wheel,
)
from scripts.release.licences import Dependency, dependencies, pinned, wrong_licences
from scripts.release.sbom import bill, wrong_bill
from scripts.release.versions import versions, wrong_versions

ROOT = Path(__file__).parents[2]
PAGES = ("CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "model/weights/LICENCE.md")
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def of_checkout() -> list[str]:
    """Return the files that a wheel has, as they lie here."""
    done = subprocess.run(
        ["git", "ls-files", "airsift", "stream", "model", "fingerprint"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    included = ["airsift/default.toml", "model/experiments/configs/report.toml"]
    return [*done.stdout.split("\n")[:-1], *included, "stream/kafka/schemas/segment.json"]


def read(name: str) -> bytes:
    return (ROOT / name).read_bytes()


# Contents


@pytest.mark.process
def test_the_files_of_this_checkout_are_those_of_a_release():
    assert wrong_files(of_checkout(), read) == []


@pytest.mark.process
@pytest.mark.parametrize(
    ("added", "removed", "words"),
    [
        ("stream/tests/test_x.py", "", "must not be in it"),
        ("airsift/__pycache__/x.cpython-311.pyc", "", "must not be in it"),
        ("airsift/.env", "", "must not be in it"),
        ("", "airsift/py.typed", "airsift/py.typed is missing"),
        ("", "model/weights/voice.pt", "voice.pt is missing"),
        ("", "stream/kafka/schemas/segment.json", "segment.json is missing"),
        ("stream/demo/audio/new.opus", "", "no ATTRIBUTION.md names its licence"),
        ("", "stream/demo/ATTRIBUTION.md", "no ATTRIBUTION.md names its licence"),
    ],
)
def test_what_is_missing_or_must_not_be_there_is_found(added, removed, words):
    names = [each for each in of_checkout() if each != removed] + [added] * bool(added)
    wrong = wrong_files(names, read)
    assert any(words in line for line in wrong), wrong


def test_audio_needs_a_licence_and_not_a_row_alone():
    page = b"| `a.opus` | by somebody | all rights reserved |\n| `b.opus` | CC BY 4.0 |\n"
    names = ["x/audio/a.opus", "x/audio/b.opus", "x/ATTRIBUTION.md"]
    assert wrong_audio(names, lambda _: page) == [
        "x/audio/a.opus: no ATTRIBUTION.md names its licence"
    ]


def test_weights_that_are_not_trusted_are_found():
    good, sums = b"good", f"{hashlib.sha256(b'good').hexdigest()}  airsift.pt\n".encode()
    names = ["model/weights/SHA256SUMS", "model/weights/airsift.pt", "model/weights/new.pt"]
    files = {"model/weights/SHA256SUMS": sums, "model/weights/airsift.pt": good}
    wrong = wrong_weights(names, lambda name: files.get(name, b"other"))
    assert wrong == ["model/weights/new.pt: its hash is not in SHA256SUMS"]


def test_an_sdist_leads_nowhere_else(tmp_path):
    path = tmp_path / "a-1.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in ("README.md", "LICENSE", "CHANGELOG.md", "PKG-INFO", "pyproject.toml"):
            archive.addfile(tarfile.TarInfo(f"a-1/{name}"), io.BytesIO())
        for name, target in [("inside", "sub/../README.md"), ("out", "../../etc/passwd")]:
            link = tarfile.TarInfo(f"a-1/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
        archive.addfile(tarfile.TarInfo("a-1/.venv/x"), io.BytesIO())
    assert wrong_sdist(path) == [
        "a-1/out leads out of it",
        "hatch_build.py is missing",
        ".venv/x must not be in it",
    ]


@pytest.mark.process
@pytest.mark.long
def test_two_builds_are_the_same_and_the_wheel_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    subprocess.run([sys.executable, "scripts/man_pages.py", "dist/man"], cwd=ROOT, check=True)
    wheel, sdist = release.build(tmp_path / "one")
    again = release.build(tmp_path / "two")
    assert release.differing([wheel, sdist], list(again)) == []
    unpacked = release.from_sdist(sdist)
    assert release.differing([wheel], [unpacked]) == []
    assert not unpacked.parent.exists()
    assert (wrong_wheel(wheel), wrong_sdist(sdist)) == ([], [])
    assert release.wrong_installation(wheel) == []


# Versions


@pytest.mark.process
def test_a_place_with_another_version_is_found(tmp_path):
    for name in versions(ROOT):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (wanted,) = versions(ROOT)["pyproject.toml"]
    changelog = tmp_path / "CHANGELOG.md"
    text = changelog.read_text()
    changelog.write_text(re.sub(rf"(## \[{re.escape(wanted)}\]) - .*", r"\1 - unreleased", text))
    docker = tmp_path / "Dockerfile"
    docker.write_text(docker.read_text().replace(f"VERSION={wanted}", "VERSION=9.9.9"))
    wrong = wrong_versions(tmp_path)
    assert any(line.startswith("Dockerfile says 9.9.9") for line in wrong)
    assert any("has no date" in line for line in wrong)
    assert len(wrong) == 2


# Licences and the bill of materials


@pytest.mark.parametrize(
    ("stated", "licences"),
    [
        ("Apache-2.0 AND MIT", {"Apache-2.0", "MIT"}),
        ("Apache License, Version 2.0", {"Apache-2.0"}),
        ("GNU Lesser General Public License v2 or later (LGPLv2+)", {"LGPL"}),
        ("GPL-2.0-or-later", {"GPL"}),
        ("GNU Affero General Public License v3", {"AGPL"}),
        ("3-Clause BSD License", {"BSD-3-Clause"}),
        ("Mozilla Public License 2.0 (MPL 2.0)", {"MPL-2.0"}),
        ("Something of our own", {"Something of our own"}),
        ("", set()),
    ],
)
def test_licences_are_known_by_many_names(stated, licences):
    assert Dependency("a", "1", stated).licences == licences


def test_a_licence_that_nobody_has_read_is_found():
    found = [Dependency("a", "1", "MIT"), Dependency("b", "1", "GPL-3.0"), Dependency("c", "1", "")]
    wrong = wrong_licences(found, {})
    assert [line.split(":")[0] for line in wrong] == ["b", "c"]
    assert wrong_licences(found, {"b": "read", "c": "read"}) == []
    assert wrong_licences(found[:1], {"old": "read"}) == [
        "old is in licences.toml and no dependency"
    ]


def test_those_of_this_release_were_read_and_are_in_its_bill():
    found = list(dependencies(ROOT / "requirements.lock"))
    assert wrong_licences(found) == []
    made = bill("1.2.3", {"airsift-1.2.3-py3-none-any.whl": "0" * 64}, found, 0)
    assert wrong_bill(made) == []
    assert {each["name"] for each in made["components"]} == set(pinned(ROOT / "requirements.lock"))
    assert made == bill("1.2.3", {"airsift-1.2.3-py3-none-any.whl": "0" * 64}, found, 0)
    needs = {each["ref"]: each["dependsOn"] for each in made["dependencies"]}
    assert "numpy" in needs["airsift"] or needs["airsift"] == []  # airsift need not be installed
    assert "multidict" in needs["aiohttp"]


def test_a_bill_that_names_nothing_twice():
    found = [
        Dependency("a", "1", "MIT"),
        Dependency("a", "2", "MIT"),
        Dependency("b", "x y", "MIT"),
    ]
    made = bill("1.0.0", {}, found, 0)
    made["dependencies"].append({"ref": "gone", "dependsOn": []})
    wrong = wrong_bill(made)
    assert "bom-ref a is there twice" in wrong
    assert any("is no package URL" in line for line in wrong)
    assert "gone is named and not described" in wrong


# Pages for contributors


@pytest.mark.parametrize("name", [*PAGES, "README.md"])
def test_a_page_leads_to_what_is_there_and_names_no_address(name):
    page = ROOT / name
    assert release.wrong_links(page) == []
    assert not re.search(r"\b[\w.+-]+@[\w-]+\.[a-z]{2,}\b", page.read_text())


def test_the_citation_is_one():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "version", "date-released", "license"} <= cited.keys()
    assert cited["type"] == "software"
    assert cited["license"] == "Apache-2.0"
    assert cited["authors"]
    assert all(each.get("name") or each.get("family-names") for each in cited["authors"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", cited["date-released"])
    known = "cff-version message type title abstract authors version date-released license keywords"
    assert cited.keys() <= set(known.split())


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_for_issues_is_one(path):
    form = yaml.safe_load(path.read_text())
    if path.stem == "config":
        assert form.keys() <= {"blank_issues_enabled", "contact_links"}
        return
    assert {"name", "description", "body"} <= form.keys() <= {"name", "description", "body",
                                                               "labels", "title"}  # fmt: skip
    ids = [each["id"] for each in form["body"] if each["type"] != "markdown"]
    assert len(ids) == len(set(ids)) > 0
    for each in form["body"]:
        assert each["type"] in {"markdown", "textarea", "input", "dropdown", "checkboxes"}
        needed = "value" if each["type"] == "markdown" else "label"
        assert each["attributes"][needed]
        if each["type"] in ("dropdown", "checkboxes"):
            assert each["attributes"]["options"]
    assert any(each.get("validations", {}).get("required") for each in form["body"])


def test_there_is_a_template_for_changes():
    assert "CHANGELOG.md" in (ROOT / ".github" / "PULL_REQUEST_TEMPLATE.md").read_text()
