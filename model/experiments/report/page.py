"""The page of all experiments: every table beside the report's figures, pictures and sounds.

::

    FOLDER/SCALE/
      report2015.md     the page
      report2015/       its pictures and sounds

The page is made of what is there; experiments that were not run, or in part, are said to be so. Its
links are relative, so that both can be copied anywhere together.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airsift.errors import ConfigError
from airsift.files import replacing, write_whole
from model.experiments import kinds
from model.experiments.report import inside
from model.training import plot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from model.experiments.config import Scale
    from model.experiments.kinds import Study
    from model.experiments.report.inside import Piece
    from model.experiments.runner import Place

PAGE, PARTS = "report2015.md", "report2015"
SUFFIXES = (".png", ".opus")
TRIAL = "A trial of the commands: with so few windows, neither figures nor findings mean anything."
EXTENTS: Mapping[Scale, str] = {
    "tiny": TRIAL,
    "small": "The report's small set of windows, and fewer epochs than it had.",
    "full": "The report's windows and epochs.",
}


@dataclass(frozen=True, slots=True)
class _Entry:
    """An experiment, and what is there of it."""

    study: Study
    text: str | None
    values: Mapping[str, Any] | None
    complete: bool
    wanted: int  # trainings

    @property
    def state(self) -> str:
        """What holds here of its finding, or how much of it is done."""
        if self.values is None:
            return "not run"
        if self.complete:
            return f"**{self.values['verdict']}**"
        done = sum(len(row["seeds"]) for row in self.values["rows"])
        return f"{self.values['verdict']}; in part: {done} of {self.wanted} trainings"


def write(
    studies: Sequence[Study], place: Place, piece: Piece, report: Callable[[str], None]
) -> Path:
    """Write the page into the folder of the results, and return it.

    Parameters
    ----------
    studies : sequence of Study
        All experiments, also those that are not done.
    place : Place
        The results. Its recordings are needed only for the rows of an experiment in progress.
    piece : Piece
        What layers are shown on.
    report : callable
        Receives a line for each step that takes time, and each experiment that is not done.

    Raises
    ------
    ConfigError
        There is nothing to write about.
    """
    entries = [_entry(study, place, report) for study in studies]
    there = [each for each in entries if each.values is not None]
    if not there:
        raise ConfigError(
            f"{place.folder} has no results: run `airsift experiment all --scale {place.scale}`, "
            "or name its --folder"
        )
    for each in entries:
        if not each.complete:
            report(f"{each.study.name}: {each.state}")
    parts = place.folder / PARTS
    parts.mkdir(parents=True, exist_ok=True)
    names = ", ".join(each.study.name for each in entries if not each.complete)
    lines = [
        f"# The experiments of the 2015 report, at the scale {place.scale}", "",
        'Those of J. Royo-Letelier, "Detection and characterization of singing voice using deep '
        'neural networks" (ATIAM master report, Deezer, 2015), beside its own figures. '
        f"{EXTENTS[place.scale]} `airsift experiment all --scale {place.scale}` runs them and "
        f"writes this page, `airsift experiment report --scale {place.scale}` the page alone. "
        "docs/experiments.md says what the figures are of, and where this differs from the "
        "report.", "",
        *([f"Not done, or in part: {names}.", ""] if names else []),
        *_summary(entries), "",
    ]  # fmt: skip
    for each in there:
        lines += _section(each, place, parts)
    lines += _inside(there, place, piece, parts, report)
    text = "\n".join(lines)
    _keep_only(parts, linked(text))
    write_whole(place.folder / PAGE, text.encode())
    return place.folder / PAGE


def copy(page: Path, folder: Path) -> Path:
    """Copy the page with its pictures and sounds into a folder, and return the copy.

    Pictures and sounds of an older copy are removed.

    Raises
    ------
    ConfigError
        The folder cannot be written.
    """
    text = page.read_text(encoding="utf-8")
    names = linked(text)
    parts = folder / PARTS
    try:
        parts.mkdir(parents=True, exist_ok=True)
        for name in sorted(names):
            with replacing(parts / name) as partial:
                shutil.copyfile(page.parent / PARTS / name, partial)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written ({error.strerror or error}): name another folder"
        ) from error
    _keep_only(parts, names)
    write_whole(folder / PAGE, text.encode())
    return folder / PAGE


def linked(text: str) -> set[str]:
    """Return the names of the pictures and sounds that a page links."""
    return set(re.findall(rf"\]\({PARTS}/([^)]+)\)", text))


def _keep_only(parts: Path, names: set[str]) -> None:
    for old in parts.iterdir():
        if old.suffix in SUFFIXES and old.name not in names:
            old.unlink()


def _entry(study: Study, place: Place, report: Callable[[str], None]) -> _Entry:
    home = place.folder / study.name
    wanted = len(study.trained.rows) * study.trained.scales[place.scale].seeds
    try:
        text = (home / kinds.TEXT).read_text(encoding="utf-8")
        values = json.loads((home / kinds.VALUES).read_bytes())
    except (OSError, ValueError):
        pass
    else:
        # The page has the picture in a folder of its own.
        text = re.sub(rf"\n!\[[^\]]*\]\({kinds.PICTURE}\)\n", "", text)
        return _Entry(study, text, values, complete=True, wanted=wanted)
    found = None
    if home.is_dir():
        try:
            found = study.so_far(place, report)
        except ConfigError as error:
            report(f"{study.name}: what is done of it cannot be shown: {error}")
    if found is None:
        return _Entry(study, None, None, complete=False, wanted=wanted)
    return _Entry(study, found.text, found.values, complete=False, wanted=wanted)


def _summary(entries: Sequence[_Entry]) -> list[str]:
    lines = ["| experiment | finding of the report | here |", "|---|---|---|"]
    for each in entries:
        name = f"{each.study.name}: {each.study.title}"
        if each.text is not None:
            heading = each.text.partition("\n")[0].lstrip("# ")
            anchor = re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
            name = f"[{name}](#{anchor})"
        finding = each.study.finding
        said = f"(expected) {finding.text}" if finding.expected else finding.text
        lines.append(f"| {name} | {said} | {each.state} |")
    return lines


def _section(each: _Entry, place: Place, parts: Path) -> list[str]:
    """Return the section of an experiment, with its pictures and its commands."""
    study, text, values = each.study, each.text, each.values
    assert text is not None
    assert values is not None
    lines = [text.rstrip("\n"), ""]
    if not each.complete:
        lines += [f"This experiment is not finished: {each.state}.", ""]
    if plot.can_draw():
        image = f"{study.name}.png"
        study.draw(values, place, parts / image)
        lines += [f"![{study.title}]({PARTS}/{image})", ""]
    teacher = " --teacher DIR" if study.trained.has_teacher else ""
    lines += [f"`airsift experiment {study.name} --scale {place.scale}{teacher}`", ""]
    if isinstance(study, kinds.TableOfRows) and any(row.penalties for row in study.trained.rows):
        image = f"{study.name}-filters.png"
        if plot.can_draw() and inside.draw_filters(study, place, parts / image):
            lines += [
                "The filters of the first layer, each in units of its greatest weight:", "",
                f"![Filters of {study.title}]({PARTS}/{image})", "",
                f"`airsift explain experiments/{place.scale}/{study.name}`", "",
            ]  # fmt: skip
    return lines


def _inside(
    entries: Sequence[_Entry],
    place: Place,
    piece: Piece,
    parts: Path,
    report: Callable[[str], None],
) -> list[str]:
    """Return the section on what layers keep, with a picture and sounds."""
    tables = [
        (each.study, each.values)
        for each in entries
        if isinstance(each.study, kinds.TableOfRows) and each.values is not None
    ]
    chosen = inside.choose(tables, place)
    lines = ["## What layers keep, to see and to hear", ""]
    if chosen is None:
        return [*lines, "No network on the CQT is trained here.", ""]
    image = parts / "layers.png" if plot.can_draw() else None
    sounds = inside.sound(chosen, piece, parts, image, report)
    lines += [
        f"5 s of {piece.credit}, sent through the network on the CQT with the highest F here "
        f"({chosen.study.name}, {chosen.row.name}: {100 * chosen.f:.1f}). The strongest map of "
        "three layers is sent back to the CQT by a deconvolution network (Zeiler and Fergus 2014), "
        "and made audible by Griffin and Lim's iteration (1984).", "",
    ]  # fmt: skip
    if image is not None:
        lines += [f"![The window, and what maps keep of it]({PARTS}/{image.name})", ""]
    state = chosen.state.relative_to(place.folder).parent.as_posix()
    command = f"airsift explain experiments/{place.scale}/{state} {piece.shown} --start "
    command += f"{piece.start:g}"
    lines += ["| sound | command, which writes it as WAV |", "|---|---|"]
    lines += [
        f"| [{each.title}]({PARTS}/{each.file}) | `{command}{each.options}` |" for each in sounds
    ]
    return [*lines, ""]
