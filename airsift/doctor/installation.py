"""What is installed and configured: libraries, extras, configuration, networks, catalogue."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.doctor.finding import Finding, ok, problem, warning
from airsift.errors import AirsiftError

if TYPE_CHECKING:
    from airsift.config import Config, Loaded

_TORCHLESS = {"torch", "torchaudio", "nnaudio", "scipy"}  # what requirements-edge.lock leaves out
_FOR_WORK_ON_AIRSIFT = {"dev", "docs", "training", "experiments"}
_EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")


def libraries() -> Iterator[Finding]:
    """Tell whether what airsift needs is installed, in versions that it was tried with."""
    needed, _ = requirements()
    if not needed:
        yield warning(
            "libraries",
            "airsift is run from its files alone: what it needs is not known",
            "install it, as with `make install`",
        )
        return
    versions = {name: _version(name) for name in needed}
    missing = [name for name, version in versions.items() if version is None]
    wrong = [
        f"{name} {version} is not {needed[name]}"
        for name, version in versions.items()
        if version is not None and not _fits(version, needed[name])
    ]
    text = f"{len(needed) - len(missing)} of {len(needed)} that airsift needs are installed"
    details = {name: version for name, version in versions.items() if version is not None}
    if missing and set(map(_plain, missing)) <= _TORCHLESS:
        yield ok("libraries", f"{text}; without torch: files and live audio on the CPU", **details)
    elif missing:
        way = f"pip install {' '.join(missing)}, or `make install`"
        yield problem("libraries", f"{text}; {', '.join(missing)} missing", way, **details)
    elif wrong:
        yield warning("libraries", f"{text}; {'; '.join(wrong)}", "`make install`", **details)
    else:
        yield ok("libraries", text, **details)


def extras() -> Iterator[Finding]:
    """Tell which extras are installed."""
    _, extra = requirements()
    whole: list[str] = []
    lacking: list[str] = []
    versions: dict[str, str] = {}
    for name, needed in extra.items():
        if name in _FOR_WORK_ON_AIRSIFT:
            continue
        found = {each: version for each in needed if (version := _version(each)) is not None}
        versions |= found
        if len(found) == len(needed):
            whole.append(name)
        elif found:
            missing = ", ".join(each for each in needed if each not in found)
            way = f"pip install 'airsift[{name}]'"
            yield warning("extras", f"{name} is not whole: {missing} missing", way)
        else:
            lacking.append(name)
    if whole or lacking:
        text = f"{', '.join(whole) or 'none'} installed"
        if lacking:
            text += f"; not {', '.join(lacking)}, as pip install 'airsift[{lacking[0]}]' brings"
        yield ok("extras", text, **versions)


def requirements() -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Return names and versions of what airsift needs, and of what each extra needs."""
    try:
        lines = metadata.requires("airsift") or []
    except metadata.PackageNotFoundError:
        lines = _of_the_checkout()
    needed: dict[str, str] = {}
    extra: dict[str, dict[str, str]] = {}
    for line in lines:
        requirement, _, marker = line.partition(";")
        match = re.match(r"\s*([\w.-]+)(?:\[[^\]]*\])?\s*(.*?)\s*$", requirement)
        if match is None:
            continue
        of_extra = _EXTRA.search(marker)
        group = needed if of_extra is None else extra.setdefault(of_extra[1], {})
        group[match[1]] = match[2].strip("()")
    return needed, extra


def _of_the_checkout() -> list[str]:
    file = Path(__file__).parents[2] / "pyproject.toml"
    if not file.is_file():
        return []
    project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    lines = list(project["dependencies"])
    for name, needed in project["optional-dependencies"].items():
        lines += [f"{line}; extra == '{name}'" for line in needed]
    return lines


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _fits(version: str, wanted: str) -> bool:
    """Return whether a version is one of those wanted; True where nothing can tell."""
    if not wanted or find_spec("packaging") is None:
        return True
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return SpecifierSet(wanted).contains(version, prereleases=True)
    except InvalidSpecifier:
        return True


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def configuration(loaded: Loaded | AirsiftError, file: Path | None) -> Iterator[Finding]:
    """Tell which configuration is read, and whether it is one."""
    if isinstance(loaded, AirsiftError):
        yield problem(
            "configuration",
            str(loaded),
            "change it; what follows is looked at with the defaults",
        )
        return
    variables = [name for name in os.environ if name.startswith("AIRSIFT_")]
    sources = [str(file)] if file is not None else []
    sources += [f"{len(variables)} variables AIRSIFT_*"] if variables else []
    given = len(loaded.given)
    text = f"{given} keys from {', '.join(sources) or '--set'}" if given else "the defaults alone"
    yield ok("configuration", text, keys=sorted(loaded.given))


def networks(config: Config) -> Iterator[Finding]:
    """Tell the hashes of the networks, and whether airsift trusts them."""
    from airsift.networks import model_file, voice_file
    from model.weights import check_source, check_trusted, onnx_file, read_manifest, sha256_of

    model = config.model
    files = [("model.sha256", model.sha256, model_file(config))]
    if model.voice:
        files.append(("model.voice_sha256", model.voice_sha256, voice_file(config)))
    if model.labels_path:
        files.append(("model.labels_sha256", model.labels_sha256, Path(model.labels_path)))
    for key, sha256, file in files:
        try:
            if file.exists():
                check_trusted(file, sha256, key)
                text = f"{file.name} {sha256_of(file)[:12]} is trusted"
            else:
                text = f"{onnx_file(file).name} alone"
            if onnx_file(file).exists() or not file.exists():
                made_of = read_manifest(file).torchscript_sha256
                if sha256:
                    check_source(file, sha256, key)
                text += f", {onnx_file(file).name} is made of {made_of[:12]}"
            yield ok("networks", text)
        except AirsiftError as error:
            yield problem("networks", str(error), "name a network that `airsift export` wrote")


def catalogue(config: Config) -> Iterator[Finding]:
    """Tell how many tracks the catalogue has, if one is configured."""
    folder = config.identify.catalogue
    if not folder:
        yield ok("catalogue", "none: identify.catalogue names one, and music has no titles")
        return
    from fingerprint.catalogue import Catalogue

    opened = Catalogue.open(Path(folder))
    try:
        text = f"{folder}: {len(opened.tracks())} tracks"
        if opened.problems:
            way = f"`airsift catalogue verify --catalogue {folder}` lists them"
            yield problem("catalogue", f"{text}; {opened.problems[0]}", way)
        else:
            yield ok("catalogue", text)
    finally:
        opened.close()
