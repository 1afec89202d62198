"""Model cards: a first version from the record of a training, and where an evaluation goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airsift.errors import ConfigError
from airsift.files import write_whole
from model.evaluation.tables import table
from model.training import record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from model.export.torchscript import Trained
    from model.spec import ModelSpec

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
BEGINNING = """# Model card: {name}

*Intended use and users, in two sentences.*

| | |
|---|---|
| labels | {labels}: independent probabilities for {window_s:g} s of audio |
| input | {rate} Hz mono; {bins} bins from {fmin:g} Hz, {octave} to the \
octave, a column every {hop_ms:g} ms |
| network | {network}, {parameters} parameters |
| file | {size} bytes, weights {sha256} |
| licence | *its licence; those of the recordings may apply* |

## Training data

{data}

*Voices and music that are missing; obligations of the licences.*

## Training

{training}

## Evaluation

`airsift evaluate` writes its tables between the two marks below, for a model of speech and music:
by source, by kind of audio, and the requirements.

{begin}
{end}

## Limitations

*Known errors, and uses to avoid.*
"""


def begin_card(card: Path, file: Path, trained: Trained, spec: ModelSpec, statement: str) -> bool:
    """Write the first version of a model card, unless there is a card.

    Parameters
    ----------
    card : Path
        The card.
    file : Path
        The model file.
    trained : Trained
        The network and the record of its training.
    spec : ModelSpec
        Its spec.
    statement : str
        Statement about the audio, given at the export; may be empty.

    Returns
    -------
    bool
        Whether the card was written.
    """
    if card.exists():
        return False
    text = BEGINNING.format(
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
        data=data_section(trained.record, statement),
        training=training_section(trained.record),
        begin=BEGIN,
        end=END,
    )
    write_whole(card, text.encode())
    return True


def data_section(made: Mapping[str, Any], statement: str) -> str:
    """Return the section about the training data, from the record of a training."""
    parts = [f"Stated at the export: {statement}"] if statement else []
    parts += [record.stated(made)] if record.stated(made) else []
    facts = made["sources"]
    sources = [(name, record.named(name, facts[name])) for name in sorted(facts)]
    recordings = [
        (row["split"], row["source"], row["class"], row["groups"], row["recordings"],
         record.duration(row["seconds"]), row["licence"])
        for row in made["recordings"]
    ]  # fmt: skip
    columns = [
        (row["class"], "synthetic or mixed of the voices above" if row["synthetic"] else "recorded",
         row["groups"], row["takes"], record.duration(row["seconds"]))
        for row in made["columns"]
    ]  # fmt: skip
    parts += [
        "Recorded by the training. A group is a voice, a track or a place, as the lists name it.",
        table(("source", "origin"), sources),
        table(("split", "source", "class", "groups", "recordings", "audio", "licence"), recordings),
        "The windows were drawn from these takes, after augmentation, repetitions included:",
        table(("class", "", "groups", "takes", "columns"), columns),
    ]
    if made["filtered as mislabelled"]:
        groups = ", ".join(made["filtered as mislabelled"])
        parts.append(f"Removed as mislabelled during the training: {groups}.")
    return "\n\n".join(parts)


def training_section(made: Mapping[str, Any]) -> str:
    """Return the section about the training: settings, versions and the selected state."""
    selected, settings = made["selected"], made["settings"]
    versions = {"airsift": made["airsift"], "python": made["python"], **made["libraries"]}
    rows = [
        *(settings.items()),
        *(
            (f"configuration, {each}", made["config"][each])
            for each in ("name", "sha256")
            if made["config"]
        ),
        ("seed of the columns", made["feature seed"]),
        ("versions", ", ".join(f"{name} {value}" for name, value in versions.items())),
        *((f"key of {name}", key) for name, key in made["inputs"].items()),
    ]
    windows = sum(made["validation windows"].values())
    return (
        f"{settings['steps']} steps. The state after step {selected['step']} was selected, with a "
        f"cost of {selected['cost']:.4f} and {selected['error']:.2%} of the outputs wrong on "
        f"{windows} validation windows.\n\n{table(('setting', 'value'), rows)}"
    )


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model card with the two markers, and the files beside it.

    Parameters
    ----------
    path : Path
        The card.
    """

    path: Path

    @property
    def sources(self) -> Path:
        """The page of sources and groups."""
        return self.path.with_name(f"{self.path.stem}_sources.md")

    @property
    def plot(self) -> Path:
        """The plot."""
        return self.path.parent / "figures" / f"{self.path.stem}.svg"

    def check(self) -> None:
        """Refuse a card without markers, before the evaluation begins.

        Raises
        ------
        ConfigError
            The card is missing or has no markers.
        """
        _parts(self.path)

    def write(self, block: str, sources: str, plot: bytes) -> None:
        """Write the three files, each atomically, the card last.

        Raises
        ------
        ConfigError
            A file cannot be written.
        """
        before, after = _parts(self.path)
        image = self.plot.relative_to(self.path.parent).as_posix()
        text = (
            f"{before}{BEGIN}\n{block}\n\n![The measured metrics]({image})\n\n"
            "By source and category, and the worst groups: "
            f"[{self.sources.name}]({self.sources.name}).\n"
            f"{END}{after}"
        )
        for path, data in (
            (self.plot, plot),
            (self.sources, sources.encode()),
            (self.path, text.encode()),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, data)


def _parts(card: Path) -> tuple[str, str]:
    """Return the text before and after the tables."""
    try:
        old = card.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{card} cannot be read ({error}): name a model card") from error
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ConfigError(f"{card} must have the lines {BEGIN} and {END}: add them")
    return before, after
