"""The measured part of a model card: tables in Markdown, and the files they are written to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from airsift.errors import ConfigError
from airsift.files import write_whole
from model.evaluation import metrics as figures
from model.evaluation.conditions import TREATED
from model.evaluation.requirements import POOLED, degraded, percent, points

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from model.evaluation.metrics import Figure
    from model.evaluation.predict import Judged
    from model.evaluation.requirements import Row

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
WORST = 15
MET = {True: "met", False: "**missed**", None: ""}


@dataclass(frozen=True, slots=True)
class Place:
    """A model card and what is written beside it.

    Parameters
    ----------
    card : Path
        The card; it has the two markers.
    """

    card: Path

    @property
    def sources(self) -> Path:
        """The page of sources and groups."""
        return self.card.with_name(f"{self.card.stem}_sources.md")

    @property
    def figure(self) -> Path:
        """The figure."""
        return self.card.parent / "figures" / f"{self.card.stem}.svg"

    def check(self) -> None:
        """Refuse a card that cannot take the tables, before anything is measured.

        Raises
        ------
        ConfigError
            It is not there or has no markers.
        """
        _parts(self.card)

    def write(self, block: str, sources: str, figure: bytes) -> None:
        """Write all three; the card comes last, and each is whole or as it was.

        Raises
        ------
        ConfigError
            The disk is full, or a file may not be written.
        """
        before, after = _parts(self.card)
        picture = self.figure.relative_to(self.card.parent).as_posix()
        text = (
            f"{before}{BEGIN}\n{block}\n\n![The measured figures]({picture})\n\n"
            f"By source, and the worst groups: [{self.sources.name}]({self.sources.name}).\n"
            f"{END}{after}"
        )
        for path, data in (
            (self.figure, figure),
            (self.sources, sources.encode()),
            (self.card, text.encode()),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, data)


def block(
    asked: Sequence[Row],
    judged: Mapping[str, Judged],
    programmes: Mapping[str, Figure],
    split: str,
) -> str:
    """Return the card's tables: what was asked, both outputs, programmes, losses, conditions."""
    return "\n\n".join(
        [
            f"Measured on the {split} split. Windows of 5 s, each judged alone; in brackets 95 % "
            "intervals by drawing groups again.",
            _asked(asked),
            _outputs(judged),
            *([_programmes(programmes)] if programmes else []),
            _losses(judged),
            _conditions(judged),
        ]
    )


def sources_page(judged: Mapping[str, Judged], split: str) -> str:
    """Return the page of every source, and of the groups with the most mistakes."""
    lines = [
        "# The model on each source",
        "",
        f"Written by `airsift evaluate` with the tables of the model card: the {split} split, "
        "5 s windows, share with both outputs right and its 95 % interval over groups.",
        "",
        "| condition | source | both outputs right | windows | groups |",
        "|---|---|---|---|---|",
    ]
    worst: list[tuple[float, int, str, str]] = []
    pure = [name for name in ("speech", "music", "singing", "noise") if name in judged]
    for name in pure:
        each = judged[name]
        of = each.sources
        for source in () if of is None else np.unique(of):
            part = _part(each, of == source)
            measured = figures.estimate(figures.both_right, figures.pool([part]))
            shown = percent(measured) if measured.groups > 1 else f"{measured.value:.1%}"
            lines.append(
                f"| {name} | {source} | {shown} | {measured.windows} | {measured.groups} |"
            )
        for group in np.unique(each.groups):
            wrong = _wrong(_part(each, each.groups == group))
            worst.append((wrong.mean(), len(wrong), name, str(group)))
    lines += [
        "",
        f"The {WORST} groups with the largest share of wrong windows, of those with three or more:",
        "",
        "| group | condition | wrong | windows |",
        "|---|---|---|---|",
    ]
    worst = sorted((each for each in worst if each[1] > 2), key=lambda e: (-e[0], -e[1], e[3]))
    lines += [
        f"| {group} | {name} | {share:.0%} | {windows} |"
        for share, windows, name, group in worst[:WORST]
        if share > 0
    ]
    return "\n".join(lines) + "\n"


def _asked(asked: Sequence[Row]) -> str:
    lines = [
        "| figure | asked | measured | windows / groups | |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.figure} | {row.asked} | {row.measured} | {row.behind} | {MET[row.met]} |"
        for row in asked
    ]
    return "\n".join(lines)


def _outputs(judged: Mapping[str, Judged]) -> str:
    of = figures.pool([judged[name] for name in POOLED if name in judged])
    lines = ["| output at 0.5 | precision | recall | F |", "|---|---|---|---|"]
    for name, label in (("speech", figures.SPEECH), ("music", figures.MUSIC)):
        cells = [
            percent(figures.estimate(make(label), of))
            for make in (figures.precision, figures.recall, figures.f_measure)
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _programmes(programmes: Mapping[str, Figure]) -> str:
    lines = ["| spliced programmes, as `airsift segment` hears them | value |", "|---|---|"]
    lines += [f"| {name} | {percent(figure)} |" for name, figure in programmes.items()]
    return "\n".join(lines)


def _losses(judged: Mapping[str, Judged]) -> str:
    lines = ["| treatment | points of macro F lost against clean |", "|---|---|"]
    lines += [
        f"| {name} | {points(figure)} |" for name, figure in degraded(judged, list(TREATED)).items()
    ]
    return "\n".join(lines)


def _conditions(judged: Mapping[str, Judged]) -> str:
    lines = [
        "| condition | both outputs right | speech right | music right | windows | groups |",
        "|---|---|---|---|---|---|",
    ]
    for name, each in judged.items():
        measured = figures.estimate(figures.both_right, figures.pool([each]))
        right = (each.probabilities > 0.5) == (np.array(each.truth) > 0)
        lines.append(
            f"| {name} | {percent(measured)} | {right[:, 0].mean():.1%} | "
            f"{right[:, 1].mean():.1%} | {measured.windows} | {measured.groups} |"
        )
    return "\n".join(lines)


def _part(each: Judged, chosen: figures.Flags) -> Judged:
    return type(each)(each.name, each.truth, each.probabilities[chosen], each.groups[chosen])


def _wrong(each: Judged) -> figures.Flags:
    wrong: figures.Flags = ((each.probabilities > 0.5) != (np.array(each.truth) > 0)).any(axis=1)
    return wrong


def _parts(card: Path) -> tuple[str, str]:
    """Return what stands before and after the measured part."""
    try:
        old = card.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{card} cannot be read ({error}): name a model card") from error
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ConfigError(f"{card} must have the lines {BEGIN} and {END}: add them")
    return before, after
