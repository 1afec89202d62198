"""``airsift train``, ``evaluate`` and ``export``: from the corpus to a model file and its card."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

Corpus = Annotated[Path, typer.Argument(help="Folder that `airsift corpus build` made.")]
DATA = (
    "Recordings of 51 Debian packages (games, telephone prompts, children's programs), "
    "LibriSpeech and songs under Creative Commons licences; see docs/model_card.md"
)


def train(
    corpus: Corpus,
    folder: Annotated[Path, typer.Argument(help="Where the training keeps its state.")],
    steps: Annotated[int, typer.Option(min=1, help="Batches of 64 windows.")] = 1600,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Train the network; a training that was interrupted goes on where it was.

    The state with the smallest error on the validation windows is kept as FOLDER/network.pt.
    """
    import torch

    from model import bank, conditions, selection, sheet
    from model import train as training

    torch.set_num_threads(threads)
    held_out = selection.validation_set(conditions.conditions(corpus, "validation", most=120))
    settings = training.Settings(steps=steps, seed=seed, device=device)
    network = training.train(
        bank.open_bank(corpus, "train"), held_out, settings, folder, report=_say
    )
    torch.save(network.state_dict(), folder / "network.pt")
    (folder / "sheet.svg").write_text(sheet.draw(folder / "sheet.csv"), encoding="utf-8")


def export(
    folder: Annotated[Path, typer.Argument(help="Folder of a training.")],
    file: Annotated[Path, typer.Argument(help="Model file to write.")],
    data: Annotated[str, typer.Option(help="Where the audio came from.")] = DATA,
) -> None:
    """Write the trained network as a file for the other commands."""
    import torch

    from airsift.errors import ConfigError
    from model.export import export as write
    from model.network import Network

    trained = folder / "network.pt"
    if not trained.exists():
        raise ConfigError(f"{trained} is not there: run `airsift train` to its end first")
    network = Network()
    network.load_state_dict(torch.load(trained, weights_only=True))
    spec = write(network, file, training_data=data)
    _say(f"{file}: {file.stat().st_size} bytes, weights {spec.weights_sha256[:12]}")


def evaluate(
    corpus: Corpus,
    model: Annotated[Path | None, typer.Option(help="Model file; by default the shipped.")] = None,
    card: Annotated[Path | None, typer.Option(help="Model card to write the table into.")] = None,
    split: Annotated[str, typer.Option(help="test, or validation while developing.")] = "test",
    most: Annotated[int, typer.Option(min=1, help="Windows of a condition.")] = 400,
) -> None:
    """Measure a model on recordings it was not trained on, and print the tables."""
    from airsift.errors import ConfigError
    from model import classifier, conditions
    from model import evaluate as evaluation

    if split not in ("test", "validation"):
        raise ConfigError(
            f"split={split!r} must be test or validation: training data proves nothing"
        )
    made = conditions.conditions(corpus, "test" if split == "test" else "validation", most=most)
    loaded = classifier.load(model or classifier.DEFAULT_WEIGHTS)
    text = evaluation.table(evaluation.measure(loaded, made), split)
    print(text)
    if card is not None:
        evaluation.write_into(card, text)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
