"""The beginning of a model card: what the files know; people write the rest."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from model.card import BEGIN, END
from model.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from model.spec import ModelSpec

TEXT = """# Model card: {name}

*What it is for, and for whom, in two sentences.*

| | |
|---|---|
| labels | {labels}: independent probabilities for {window_s:g} s of audio |
| input | {rate} Hz mono; {bins} bins from {fmin:g} Hz, {octave} to the \
octave, a column every {hop_ms:g} ms |
| network | {network}, {parameters} parameters (`airsift train --set network={network}`) |
| file | {size} bytes, weights {sha256} |
| licence | *its licence; that of the recordings may bind it* |

## Training data

{data}

*Hours and groups of each class and split (`airsift corpus stats`); whose voices and music are
missing; licences.*

## Training

{training}

## What was measured

`airsift evaluate` writes its tables between the two marks below, for a model of speech and music.

{begin}
{end}

## Where it fails

*What it gets wrong, and what it must not be used for.*
"""


def write_card(card: Path, file: Path, network: Any, name: str, spec: ModelSpec, run: Path) -> bool:
    """Write the beginning of a model card, unless there is one.

    Parameters
    ----------
    card : Path
        The card.
    file : Path
        The model file.
    network : nn.Module
        What is in it.
    name : str
        Of the network, in `model.networks`.
    spec : ModelSpec
        Its facts.
    run : Path
        The folder of its training.

    Returns
    -------
    bool
        Whether it was written.
    """
    if card.exists():
        return False
    text = TEXT.format(
        name=file.name,
        labels=", ".join(spec.labels),
        window_s=spec.window_columns * spec.hop / spec.sample_rate,
        rate=spec.sample_rate,
        bins=spec.n_bins,
        fmin=spec.fmin_hz,
        octave=spec.bins_per_octave,
        hop_ms=1000 * spec.hop / spec.sample_rate,
        network=name,
        parameters=sum(values.numel() for values in network.parameters()),
        size=file.stat().st_size,
        sha256=spec.weights_sha256[:12],
        data=spec.training_data,
        training=_training(run),
        begin=BEGIN,
        end=END,
    )
    write_whole(card, text.encode())
    return True


def _training(run: Path) -> str:
    """Say which state was kept, if the sheet of the training is there."""
    sheet = run / "sheet.csv"
    if not sheet.exists():
        return "*Steps, settings and the state that was kept.*"
    with sheet.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    kept = min(rows, key=lambda row: float(row["validation_cost"]))
    return (
        f"{rows[-1]['step']} steps; the state after step {kept['step']} was kept, with a cost of "
        f"{float(kept['validation_cost']):.4f} and {float(kept['validation_error']):.2%} of the "
        "outputs wrong on the validation windows."
    )
