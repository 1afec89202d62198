"""The beginning of a model card: what the training recorded; people write the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airsift.files import write_whole
from model.evaluation.model_card import BEGIN, END
from model.training import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from model.export.torchscript import Trained
    from model.spec import ModelSpec

TEXT = """# Model card: {name}

*What it is for, and for whom, in two sentences.*

| | |
|---|---|
| labels | {labels}: independent probabilities for {window_s:g} s of audio |
| input | {rate} Hz mono; {bins} bins from {fmin:g} Hz, {octave} to the \
octave, a column every {hop_ms:g} ms |
| network | {network}, {parameters} parameters |
| file | {size} bytes, weights {sha256} |
| licence | *its licence; that of the recordings may bind it* |

## Training data

{data}

*Whose voices and music are missing; what the licences ask for.*

## Training

{training}

## What was measured

`airsift evaluate` writes its tables between the two marks below, for a model of speech and music.

{begin}
{end}

## Where it fails

*What it gets wrong, and what it must not be used for.*
"""
NOT_RECORDED = "*Not recorded: say where the audio came from, hours and groups of each class.*"


def write_card(card: Path, file: Path, trained: Trained, spec: ModelSpec, statement: str) -> bool:
    """Write the beginning of a model card, unless there is one.

    Parameters
    ----------
    card : Path
        The card.
    file : Path
        The model file.
    trained : Trained
        What is in it, and what its training recorded.
    spec : ModelSpec
        Its facts.
    statement : str
        What whoever exports it says of the audio; may be empty.

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
        network=trained.name,
        parameters=sum(values.numel() for values in trained.network.parameters()),
        size=file.stat().st_size,
        sha256=spec.weights_sha256[:12],
        data=_data(trained.record, statement),
        training=_training(trained.record),
        begin=BEGIN,
        end=END,
    )
    write_whole(card, text.encode())
    return True


def _data(made: Mapping[str, Any] | None, statement: str) -> str:
    parts = [f"Stated at the export: {statement}"] if statement else []
    if not made:
        return "\n\n".join([*parts, NOT_RECORDED])
    parts += [record.stated(made)] if record.stated(made) else []
    facts = made["sources"]
    sources = [(name, record.named(name, facts[name])) for name in sorted(facts)]
    recordings = [
        (row["split"], row["source"], row["class"], row["groups"], row["recordings"],
         record.hours(row["seconds"]), row["licence"])
        for row in made["recordings"]
    ]  # fmt: skip
    columns = [
        (row["class"], "made by formulas or of the voices above" if row["made"] else "recorded",
         row["groups"], row["streams"], record.hours(row["seconds"]))
        for row in made["columns"]
    ]  # fmt: skip
    parts += [
        "Recorded by the training. A group is a voice, a track or a place, as the lists name it.",
        _table(("source", "what it was"), sources),
        _table(
            ("split", "source", "class", "groups", "recordings", "audio", "licence"), recordings
        ),
        "What windows were drawn from, after joining and treating, repetitions included:",
        _table(("class", "", "groups", "streams", "columns"), columns),
    ]
    if made["left out as mislabelled"]:
        groups = ", ".join(made["left out as mislabelled"])
        parts.append(f"Left out as mislabelled in the course of the training: {groups}.")
    return "\n\n".join(parts)


def _training(made: Mapping[str, Any] | None) -> str:
    """Say how it was trained and which state was kept."""
    if not made:
        return "*Steps, settings and the state that was kept.*"
    kept, settings = made["kept"], made["settings"]
    versions = {"airsift": made["airsift"], "python": made["python"], **made["libraries"]}
    rows = [
        *(settings.items()),
        *(
            (f"configuration, {each}", made["config"][each])
            for each in ("name", "sha256")
            if made["config"]
        ),
        ("seed of the columns", made["bank seed"]),
        ("versions", ", ".join(f"{name} {value}" for name, value in versions.items())),
        *((f"key of {name}", key) for name, key in made["learnt from"].items()),
    ]
    windows = sum(made["validation windows"].values())
    return (
        f"{settings['steps']} steps; the state after step {kept['step']} was kept, with a cost of "
        f"{kept['cost']:.4f} and {kept['error']:.2%} of the outputs wrong on {windows} validation "
        f"windows.\n\n{_table(('setting', 'value'), rows)}"
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: object) -> str:
    """Return a value as it may stand in a table of Markdown: names are a user's own."""
    return " ".join(str(value).split()).replace("\\", "\\\\").replace("|", "\\|")
