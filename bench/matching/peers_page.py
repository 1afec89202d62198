"""docs/matching_peers.md: the tables and the figure of `peers`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.matching.music import RATE, load
from bench.report import table_lines, write_section

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.matching.background import Tally
    from bench.matching.peer_material import Material
    from bench.matching.peers import ChainResult, ProgrammeResult

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "matching_peers.md"
IMAGE = DOCS / "figures" / "matching_peers.svg"
MARK = "bench/matching/peers.py"
_COLOURS = {
    "airsift, live": "#2f6fde", "airsift, whole file": "#6b9bef", "airsift, windows": "#a9c6f8",
    "Chromaprint": "#c9741c", "audfprint": "#768390", "Olaf": "#3b9c5a", "Panako": "#9a4fd0",
}  # fmt: skip


def write(
    given: Material,
    chains: Mapping[str, ChainResult],
    programmes: Mapping[str, ProgrammeResult],
) -> None:
    """Replace the text between the two marks, and draw the figure."""
    parts = [
        _about(given),
        *_chains(given, chains),
        *_programmes(given, programmes),
    ]
    write_section(PAGE, MARK, "\n".join(parts))
    draw(programmes)


def _about(given: Material) -> str:
    hours = sum(len(load(path)) for path in given.tracks) / RATE / 3600
    return (
        f"The catalogue has {len(given.tracks)} tracks ({hours:.1f} h). {len(given.negatives)} "
        "clips of 10 s are of music and\nspeech that it does not have."
    )


def _chains(given: Material, chains: Mapping[str, ChainResult]) -> list[str]:
    head = [f"of {len(given.chains[0].tracks)} clips of 10 s", *chains]
    body = []
    for clips in given.chains:
        cells = [
            str(result.found[clips.name])
            + (f", {result.wrong[clips.name]} wrong" if result.wrong[clips.name] else "")
            for result in chains.values()
        ]
        body.append([clips.name, *cells])
    clips = sum(len(each.tracks) for each in given.chains)
    sums = [f"**{100 * each.all_found / clips:.0f} %**" for each in chains.values()]
    body.append(["**all**", *sums])
    body.append(["names not in the catalogue", *(str(each.false) for each in chains.values())])
    body.append(["settings", *(each.settings for each in chains.values())])
    body.append(["score over", *(f"{each.threshold:.3g}" for each in chains.values())])
    return ["", *table_lines(head, body)]


def _programmes(given: Material, programmes: Mapping[str, ProgrammeResult]) -> list[str]:
    bits = [bit for each in given.programmes for bit in each.bits]
    known = sum(bool(bit.track) for bit in bits)
    minutes = sum(len(each.samples) for each in given.programmes) / RATE / 60
    seconds = sum(bit.end - bit.start for bit in bits if bit.track) / RATE
    lines = [
        "",
        f"{len(given.programmes)} programmes, {minutes:.0f} min, with {known} bits of the "
        f"catalogue's music ({seconds:.0f} s) and {len(bits) - known}",
        "bits of other music:",
        "",
    ]
    first = next(iter(programmes.values())).tally
    levels = sorted(first.by_level, key=_first_number)
    lengths = sorted(first.by_length, key=_first_number)
    head = ["", "precision %", "recall %", "**F1 %**", *("recall " + name for name in levels)]
    head += [f"recall, bits of {name}" for name in lengths]
    body = []
    for name, result in programmes.items():
        counted = result.tally
        cells = [f"{100 * share:.1f}" for share in (counted.precision, counted.recall)]
        cells += [f"**{100 * counted.f1:.1f}**"]
        for table, labels in ((counted.by_level, levels), (counted.by_length, lengths)):
            cells += [_percent(table, label) for label in labels]
        body.append([name, *cells])
    lines += table_lines(head, body)
    head = ["wrong seconds", "another track", "unknown music", "speech only", "asked"]
    body = [
        [name, *(str(each.tally.wrong_in[kind]) for kind in head[1:4]), each.settings]
        for name, each in programmes.items()
    ]
    return [*lines, "", *table_lines(head, body)]


def draw(programmes: Mapping[str, ProgrammeResult]) -> None:
    """Plot recall by level and by length, and F1."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "airsift"  # deterministic files
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(10, 3.7), layout="constrained", width_ratios=(2, 1.5, 1.5)
    )
    tallies: dict[str, Tally] = {name: each.tally for name, each in programmes.items()}
    for name, counted in tallies.items():
        for axes, table in ((left, counted.by_level), (middle, counted.by_length)):
            labels = sorted(table, key=_first_number)
            shares = [100 * table[label][0] / table[label][1] for label in labels]
            axes.plot(labels, shares, "o-", color=_COLOURS[name], label=name, markersize=4)
    left.set(xlabel="music below speech", ylabel="seconds named right, %", ylim=(0, 100))
    middle.set(xlabel="length of the music", ylim=(0, 100))
    left.tick_params(axis="x", labelsize=7, rotation=15)
    names = list(tallies)[::-1]
    shares = [100 * tallies[name].f1 for name in names]
    right.barh(names, shares, color=[_COLOURS[name] for name in names])
    right.set(xlim=(0, 100), xlabel="F1 of seconds, %")
    figure.legend(
        *left.get_legend_handles_labels(), loc="outside lower center", ncols=len(tallies),
        frameon=False, fontsize=7,
    )  # fmt: skip
    for axes in (left, middle, right):
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    IMAGE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(IMAGE, metadata={"Date": None})
    plt.close(figure)


def _percent(table: Mapping[str, tuple[int, int]], label: str) -> str:
    right, of = table.get(label, (0, 0))
    return f"{100 * right / of:.0f}" if of else ""


def _first_number(label: str) -> int:
    return abs(int(label.split()[0]))
