"""Build a release and look at it: ``python -m scripts.release`` writes it to dist/release/.

Two builds must be the same to the last byte; their contents, licences and versions, the readme and
an installation are looked at. Nothing is uploaded. Exit code 1 if anything is wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import typer

from scripts.release.contents import wrong_sdist, wrong_wheel
from scripts.release.licences import dependencies, wrong_licences
from scripts.release.sbom import bill, wrong_bill
from scripts.release.versions import versions, wrong_versions

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "dist" / "release"


def main() -> None:
    """Run all checks and print a line for each."""
    failures = 0
    epoch = _epoch()
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch)

    def tell(what: str, wrong: list[str]) -> None:
        nonlocal failures
        failures += len(wrong)
        print(f"{'wrong' if wrong else 'ok':<6}{what}", flush=True)
        for line in wrong:
            print(f"      {line}", flush=True)

    tell("versions agree", wrong_versions(ROOT))
    tell("nothing is changed that is not committed", changed())
    subprocess.run([sys.executable, "scripts/man_pages.py", "dist/man"], cwd=ROOT, check=True)
    shutil.rmtree(OUTPUT, ignore_errors=True)
    wheel, sdist = build(OUTPUT)
    with tempfile.TemporaryDirectory() as folder:
        again = build(Path(folder))
        tell("a second build is the same", differing([wheel, sdist], list(again)))
        tell("the wheel that the sdist builds is the same", differing([wheel], [from_sdist(sdist)]))
    tell(f"contents of {wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB", wrong_wheel(wheel))
    tell(f"contents of {sdist.name}, {sdist.stat().st_size / 1e6:.1f} MB", wrong_sdist(sdist))
    tell("the readme leads to files that are there", wrong_links(ROOT / "README.md"))
    try:
        found = list(dependencies(ROOT / "requirements.lock"))
    except LookupError as error:
        tell("dependencies", [str(error)])
    else:
        tell(f"licences of {len(found)} dependencies", wrong_licences(found))
        (version,) = versions(ROOT)["pyproject.toml"]
        hashes = {each.name: sha256(each) for each in (wheel, sdist)}
        materials = bill(version, hashes, found, epoch)
        tell("bill of materials", wrong_bill(materials))
        file = OUTPUT / f"airsift-{version}.cdx.json"
        file.write_text(json.dumps(materials, indent=1) + "\n", encoding="utf-8")
    tell("the wheel runs where it is installed", wrong_installation(wheel))
    made = sorted(each for each in OUTPUT.iterdir() if each.name != "SHA256SUMS")
    (OUTPUT / "SHA256SUMS").write_text("".join(f"{sha256(f)}  {f.name}\n" for f in made))
    print(f"{OUTPUT}: {failures or 'nothing'} wrong")
    sys.exit(1 if failures else 0)


def build(folder: Path) -> tuple[Path, Path]:
    """Build the wheel and the sdist into a folder."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def from_sdist(sdist: Path) -> Path:
    """Build the wheel from an unpacked sdist, as pip does; return it in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="airsift-sdist-"))
    shutil.unpack_archive(sdist, folder, filter="data")
    (unpacked,) = folder.iterdir()
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=unpacked,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def differing(first: list[Path], second: list[Path]) -> list[str]:
    """Return the files of two builds that are not the same."""
    wrong = [
        f"{one.name}: {sha256(one)[:12]}, and {sha256(other)[:12]} the other time"
        for one, other in zip(first, second, strict=True)
        if sha256(one) != sha256(other)
    ]
    for other in second:
        if other.parent.name.startswith("airsift-sdist-"):
            shutil.rmtree(other.parent)
    return wrong


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def changed() -> list[str]:
    """Return the files that differ from the commit."""
    done = subprocess.run(
        ["git", "status", "--short"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def wrong_links(page: Path) -> list[str]:
    """Return relative links of a page that lead nowhere, and headings without text below."""
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.S))
    local = [link.partition("#")[0] for link in links if not re.match(r"\w+:|#", link)]
    wrong = [f"{link} is not there" for link in local if not (page.parent / link).exists()]
    if text.count("```") % 2:
        wrong.append("a block of code is never closed")
    return wrong


def wrong_installation(wheel: Path) -> list[str]:
    """Install a wheel in a new environment, on this one's libraries, and use it from elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "env"
        venv.create(place)
        python = place / "bin" / "python"
        packages = next((place / "lib").glob("python*/site-packages"))
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        pip += ["--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
        subprocess.run(pip, check=True)
        # The new environment's own come first, so airsift is the wheel's.
        libraries = Path(typer.__file__).parents[1]
        (packages / "libraries.pth").write_text(f"{libraries}\n", encoding="utf-8")
        environ = {"PATH": f"{place / 'bin'}:/usr/bin:/bin", "HOME": folder}
        announcer = packages / "stream" / "demo" / "audio" / "announcer.opus"
        program = (
            f"import airsift; found = airsift.segment({str(announcer)!r}); "
            "print(airsift.__file__, len(found))"
        )
        uses = {
            "airsift --version": ["airsift", "--version"],
            "airsift segment": ["airsift", "segment", str(announcer)],
            "airsift.segment": [str(python), "-c", program],
        }
        wrong = []
        for name, command in uses.items():
            done = subprocess.run(
                [shutil.which(command[0], path=environ["PATH"]) or command[0], *command[1:]],
                cwd=folder,
                env=environ,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode or not done.stdout:
                wrong.append(f"{name}: exit code {done.returncode}: {done.stderr.strip()[-300:]}")
            elif name == "airsift.segment" and not done.stdout.startswith(str(packages)):
                wrong.append(f"{name}: airsift was imported from {done.stdout.split()[0]}")
        if not (place / "share" / "man" / "man1" / "airsift-segment.1").is_file():
            wrong.append("man would not find airsift-segment")
        return wrong


def _epoch() -> int:
    """Return the time of the commit, or that of the environment, in Unix seconds."""
    if named := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(named)
    done = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


if __name__ == "__main__":
    main()
