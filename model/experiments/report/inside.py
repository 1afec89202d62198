"""What the page shows of the inside of the networks: sheets of filters, layers, and sounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from model.experiments import runner
from model.explain import pictures
from model.explain.audio import window_of, write_opus
from model.explain.explanation import audio_of, input_of, reconstruct
from model.explain.subject import read
from model.frontend.kernels import bin_frequencies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.experiments.config import Row
    from model.experiments.kinds import Study
    from model.experiments.runner import Place
    from model.explain.explanation import Reconstruction

    Floats = NDArray[np.float32]

FEATURE = "cqt"  # the one that audio can be made of again


@dataclass(frozen=True, slots=True)
class Piece:
    """The audio that layers are shown on.

    Parameters
    ----------
    path : Path
        The file.
    shown : str
        How a command names it.
    credit : str
        Title, artist and licence.
    start : float
        Where the window begins, in seconds.
    """

    path: Path
    shown: str
    credit: str
    start: float


@dataclass(frozen=True, slots=True)
class Chosen:
    """The network that is listened to: its row, its best state, and its F."""

    study: Study
    row: Row
    state: Path
    f: float


@dataclass(frozen=True, slots=True)
class Sound:
    """A file of a sound, what it is, and the option of `airsift explain` that makes it."""

    file: str
    title: str
    options: str


def draw_filters(study: Study, place: Place, image: Path) -> bool:
    """Draw the first filters of all trained rows of an experiment; return whether there are any."""
    found = []
    for row in study.trained.rows:
        folder = (
            None
            if row.layers is None
            else runner.training_folder(study.trained, row, 1, place.folder, place.scale)
        )
        filters = None if folder is None else read(folder / "best.pt").filters
        if filters is not None:
            found.append(filters)
    if found:
        pictures.draw_sheet(found, image)
    return bool(found)


def choose(tables: Sequence[tuple[Study, Mapping[str, Any]]], place: Place) -> Chosen | None:
    """Return the network on the CQT with the highest F, of equal ones the first.

    Parameters
    ----------
    tables : sequence of (Study, mapping)
        Experiments that are tables of rows, with their ``table.json``.
    place : Place
        The results.
    """
    found: list[Chosen] = []
    for study, values in tables:
        f = {each["name"]: float(each["f"][0]) for each in values["rows"]}
        for row in study.trained.rows:
            if row.feature != FEATURE or row.layers is None or row.name not in f:
                continue
            home = runner.training_folder(study.trained, row, 1, place.folder, place.scale)
            if home is not None:
                found.append(Chosen(study, row, home / "best.pt", f[row.name]))
    return max(found, key=lambda each: each.f, default=None)


def sound(
    chosen: Chosen, piece: Piece, folder: Path, image: Path | None, report: Callable[[str], None]
) -> list[Sound]:
    """Write what the strongest map of three layers keeps of a piece, as sounds and a picture.

    Parameters
    ----------
    chosen : Chosen
        The network.
    piece : Piece
        The audio.
    folder : Path
        For the sounds.
    image : Path, optional
        The picture.
    report : callable
        Receives a line for each layer.

    Returns
    -------
    list of Sound
        The window, with and without its phase, and one for each layer that keeps some of it.
    """
    subject = read(chosen.state)
    window = window_of(piece.path, piece.start, subject)
    convolutions = [name for name in subject.chain.names if name.startswith("convolution")]
    # The first, the one in the middle and the last.
    layers = dict.fromkeys(convolutions[place] for place in (0, len(convolutions) // 2, -1))
    found = reconstruct(subject, window, layers=list(layers), number=None, count=1, report=report)
    whole = input_of(subject, window)[0].cpu()
    sounds = []

    def add(name: str, samples: Floats | None, title: str, options: str) -> None:
        if samples is not None:
            write_opus(samples, folder / name)
            sounds.append(Sound(name, title, options))

    add("window.opus", window, "the window itself", "")
    add("window-resynthesis.opus", audio_of(subject, whole), "the window without its phase", "")
    for each in found:
        add(
            f"{each.layer.replace(' ', '-')}-map-{each.number}.opus", each.audio,
            f"what map {each.number} of {each.layer} keeps of it",
            f' --layer "{each.layer}" --map {each.number}',
        )  # fmt: skip
    if image is not None:
        _draw(whole.numpy(), found, subject.seconds, image)
    return sounds


def _draw(whole: Floats, found: Sequence[Reconstruction], seconds: float, image: Path) -> None:
    """Draw the window and what maps keep of it, side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [("the window", whole)]
    shown += [(f"map {each.number} of {each.layer}", each.input) for each in found]
    figure = Figure(figsize=(2.4 * len(shown), 2.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    low, high = float(bin_frequencies()[0]), float(bin_frequencies()[-1])
    for axis, (title, values) in zip(axes, shown, strict=True):
        axis.imshow(
            pictures.upright(values), cmap="inferno", vmin=0, vmax=float(whole.max()),
            aspect="auto", extent=(0, seconds, 0, 1), interpolation="nearest",
        )  # fmt: skip
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("seconds", fontsize=8)
        axis.set_yticks([])
    axes[0].set_ylabel(f"{low:.0f} Hz to {high:.0f} Hz", fontsize=8)
    pictures.save(figure, image, dpi=75)
