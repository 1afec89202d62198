"""The tables of docs/peers.md."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.peers import score
from bench.peers.significance import Difference, difference
from bench.peers.windows import MIXED_DB, TRUTH, WINDOW_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.peers.answers import Answers
    from bench.peers.score import Scored
    from bench.peers.windows import Known

PAGE = Path(__file__).parents[2] / "docs" / "peers.md"
BEGIN = "<!-- written by bench/peers/__main__.py: begin -->"
END = "<!-- written by bench/peers/__main__.py: end -->"
OURS = "airsift"
_NOT = "-"


@dataclass(frozen=True)
class Compared:
    """Everything that the tables are made of.

    Parameters
    ----------
    known : Known
        The windows and programmes.
    answers : mapping of str to Answers
        Of each peer by name, airsift among them.
    model : Path
        The model file of airsift.
    shipped : bool
        Whether it is the one that airsift ships.
    """

    known: Known
    answers: Mapping[str, Answers]
    model: Path
    shipped: bool


def tables(of: Compared) -> str:
    """Return all tables as Markdown."""
    scored = {name: score.label_windows(of.known, each) for name, each in of.answers.items()}
    parts = [
        introduction(of, scored),
        "## One label a window",
        _classes(scored),
        "## Each source",
        _sources(scored),
        "## Differences to airsift",
        _differences(of, scored),
        "## Speech over music, and programmes",
        _mixtures(of, scored),
        _programmes(of),
        "## Speed",
        _speed(of),
    ]
    return "\n\n".join(part for part in parts if part)


def write(text: str, page: Path = PAGE) -> None:
    """Replace the text between the two marks of the page."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page} has not both marks, {BEGIN} and {END}: put them back")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def introduction(of: Compared, scored: Mapping[str, Scored]) -> str:
    """Return what was measured, with numbers."""
    test = next(iter(scored.values()))
    counted = score.counted_units(test.units)
    sources = {source for source, _ in counted}
    validation = [
        each for each in of.known.windows if each.split == "validation" and each.kind in TRUTH
    ]
    digest = hashlib.sha256(of.model.read_bytes()).hexdigest()[:12]
    which = "the shipped weights" if of.shipped else f"`{of.model.name}`, not the shipped weights"
    return (
        f"The row of airsift is of {which} (SHA-256 begins with {digest}). Test: "
        f"{len(test.units)} windows of 5 s from {len(set(test.units))} classes of "
        f"{len({source for source, _ in test.units})} sources, {len(set(test.groups))} groups; "
        f"means are over the {len(counted)} classes of {len(sources)} sources with at least "
        f"{score.MIN_WINDOWS} windows. Thresholds: {len(validation)} windows of "
        f"{len({each.source for each in validation})} other sources. All figures but speed and "
        "memory are in per cent."
    )


def _classes(scored: Mapping[str, Scored]) -> str:
    head = ["program", *(f"{kind} rejected" if kind == "noise" else kind for kind in TRUTH)]
    head += ["mean of all", "worst source", "macro F", "all windows pooled", "thresholds"]
    rows = []
    for name, each in scored.items():
        recalls = score.shares(each.units, each.right)
        means = score.class_means(each)
        low = min(recalls, key=lambda unit: recalls[unit])
        both = each.labels == score.LABELS
        # In brackets: without a label for music, all but speech is rejected.
        mark = str if both else "({})".format
        own = [
            _percent(means.get(kind)) if kind == "speech" else mark(_percent(means.get(kind)))
            for kind in TRUTH
        ]
        rows.append(
            [name, *own, mark(_percent(np.mean(list(recalls.values())))),
             mark(f"{_percent(recalls[low])} ({low[0]}, {low[1]})"), _percent(score.macro_f(each)),
             mark(_percent(each.right.mean())), ", ".join(f"{t:g}" for t in each.thresholds)]
        )  # fmt: skip
    return _table(head, rows)


def _sources(scored: Mapping[str, Scored]) -> str:
    recalls = {name: score.shares(each.units, each.right) for name, each in scored.items()}
    first = next(iter(scored.values()))
    rows = []
    for unit in sorted(score.counted_units(first.units), key=lambda unit: unit[::-1]):
        here = [
            group for group, each in zip(first.groups, first.units, strict=True) if each == unit
        ]
        shown = [_percent(recalls[name][unit]) for name in scored]
        rows.append([unit[1], unit[0], str(len(here)), str(len(set(here))), *shown])
    return _table(["class", "source", "windows", "groups", *scored], rows)


def _differences(of: Compared, scored: Mapping[str, Scored]) -> str:
    if OURS not in scored or len(scored) < 2:
        return ""
    rows = []
    for name, each in scored.items():
        if name == OURS:
            continue
        ours = score.label_windows(of.known, of.answers[OURS], each.labels)
        for part, kinds in _parts(each.labels):
            chosen = np.array([kind in kinds for _, kind in each.units])
            if chosen.any():
                rows.append([name, part, *_difference(_compare(ours, each, chosen))])
    head = ["program", "windows of", "windows", "only airsift right", "only the other right"]
    return _table([*head, "McNemar's p", "points, 95 % interval", "ahead"], rows)


def _parts(labels: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "all", tuple(TRUTH)
    if "music" in labels:
        yield from ((kind, (kind,)) for kind in TRUTH)
    else:
        yield "speech", ("speech",)
        yield "no speech", ("music", "singing", "noise")


def _compare(ours: Scored, other: Scored, chosen: score.Flags) -> Difference:
    places = np.flatnonzero(chosen)
    return difference(
        ours.right[chosen],
        other.right[chosen],
        [other.units[at] for at in places],
        [other.groups[at] for at in places],
    )


def _difference(found: Difference) -> list[str]:
    both = found.p < 0.05 and (found.low > 0 or found.high < 0)
    ahead = (OURS if found.points > 0 else "the other") if both else "neither for sure"
    p = "< 0.0001" if found.p < 0.0001 else f"{found.p:.4f}"
    return [
        str(found.windows), str(found.only_first), str(found.only_second), p,
        f"{found.points:+.1f} ({found.low:+.1f} to {found.high:+.1f})", ahead,
    ]  # fmt: skip


def _mixtures(of: Compared, scored: Mapping[str, Scored]) -> str:
    kinds = [f"speech over music at {level_db} dB" for level_db in MIXED_DB]
    counts = [sum(each.kind == kind for each in of.known.windows) for kind in kinds]
    if not any(counts):
        return ""
    rows = []
    for name, each in of.answers.items():
        found = score.both_found(of.known, each, scored[name].thresholds)
        if found:
            rows.append([name, *(_percent(found.get(kind)) for kind in kinds)])
    head = [f"{level_db} dB ({n})" for level_db, n in zip(MIXED_DB, counts, strict=True)]
    text = "Both labels found, by the level of the music under the speech (windows):"
    return f"{text}\n\n{_table(['program', *head], rows)}"


def _programmes(of: Compared) -> str:
    found = {name: score.programme_figures(of.known, each) for name, each in of.answers.items()}
    rows = [[name, *map(_percent, row.values())] for name, row in found.items() if row]
    if not rows:
        return ""
    head = ["program", *next(row for row in found.values() if row)]
    minutes = sum(each.seconds for each in of.known.programmes) / 60
    text = f"{len(of.known.programmes)} programmes, {minutes:.0f} minutes:"
    return f"{text}\n\n{_table(head, rows)}"


def _speed(of: Compared) -> str:
    rows, programme = [], of.known.programmes[0].seconds if of.known.programmes else 0.0
    for name, each in of.answers.items():
        if not (took := each.timing):
            continue
        rows.append(
            [name, _rate(WINDOW_S * took["windows"], took["windows_cpu_s"]),
             _rate(programme, took["programmes_cpu_s"]), f"{took['peak_mb']:,.0f}",
             f"{took['load']:.1f}", took["at"]]
        )  # fmt: skip
    if not rows:
        return ""
    head = ["program", "windows", "programme", "peak memory, MB", "load of the machine", "measured"]
    text = "Seconds of audio in a second of CPU time on one thread:"
    return f"{text}\n\n{_table(head, rows)}"


def _rate(audio_s: float, cpu_s: float | None) -> str:
    return f"{audio_s / cpu_s:,.0f}" if audio_s and cpu_s else _NOT


def _percent(value: float | None) -> str:
    return _NOT if value is None else f"{100 * value:.1f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
