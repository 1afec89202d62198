"""Draw the figures of docs/explain.md: filters and layers of the shipped network.

::

    python -m bench.figures.explanation [--out docs/figures]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("agg")

from matplotlib import pyplot as plt

from model.explain import pictures
from model.explain.audio import window_of
from model.explain.explanation import explain
from model.explain.subject import SHIPPED, read

ROOT = Path(__file__).parents[2]
PIECE = ROOT / "stream" / "demo" / "audio" / "palace.opus"
START_S = 3.0
LAYERS = ("convolution 1", "convolution 4", "convolution 9")


def main() -> None:
    """Write both figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "figures")
    folder = parser.parse_args().out
    subject = read(Path(SHIPPED))
    assert subject.filters is not None
    pictures.draw_sheet([subject.filters], folder / "explain_filters.png")
    window = window_of(PIECE, START_S, subject)
    found = explain(subject, window, layers=LAYERS, number=None, count=1, report=lambda line: None)
    figure, axes = plt.subplots(2, 3, figsize=(9, 4.2), layout="constrained", sharex=True)
    top = float(found.input.max())
    shown = [("the window", found.input)]
    shown += [(f"map {each.number} of {each.layer}", each.input) for each in found.reconstructions]
    for axis, (title, values) in zip(axes.flat, shown, strict=False):
        axis.imshow(
            pictures.upright(values), cmap="inferno", vmin=0, vmax=top, aspect="auto",
            extent=(0, 5, 80, 5120), interpolation="nearest",
        )  # fmt: skip
        axis.set_title(title, fontsize=9)
    music = found.attributions[1]
    signed = {
        "music: integrated gradients": music.gradients.attributions.cpu().numpy(),
        "music: occlusion": music.occlusion[None],
    }
    for axis, (title, values) in zip(axes.flat[4:], signed.items(), strict=True):
        most = float(np.quantile(np.abs(values), 0.998))
        axis.imshow(
            pictures.upright(values), cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto",
            extent=(0, 5, 80, 5120),
        )  # fmt: skip
        axis.set_title(title, fontsize=9)
    for axis in axes.flat:
        axis.set_yticks([])
    for axis in axes[1]:
        axis.set_xlabel("seconds", fontsize=8)
    axes[0, 0].set_ylabel("80 Hz to 5 kHz", fontsize=8)
    axes[1, 0].set_ylabel("80 Hz to 5 kHz", fontsize=8)
    pictures.save(figure, folder / "explain_layers.png", dpi=75)


if __name__ == "__main__":
    main()
