"""``airsift train`` and ``export``: from the corpus to a model file."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from airsift.cli.common import complain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Corpus = Annotated[Path, typer.Argument(help="Folder that `airsift corpus build` made.")]


def train(
    corpus: Corpus,
    folder: Annotated[Path, typer.Argument(help="Where the training keeps its state.")],
    config: Annotated[
        Path | None, typer.Option(help="TOML file: your own labels, classes and windows.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Batches of 64 windows.")] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.")] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any setting, name=value; may be repeated."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write FOLDER/tensorboard as well.")
    ] = False,
) -> None:
    """Train the network; a training that was interrupted goes on where it was.

    The state with the lowest cost on the validation windows is kept as FOLDER/network.pt.
    """
    import torch

    from airsift import files
    from model.corpus import cache
    from model.training import checkpoint as progress
    from model.training import config as task
    from model.training import loop as training
    from model.training import plan, record
    from model.training import plot as sheet

    torch.set_num_threads(threads)
    given = {**_parsed(sets or []), "steps": steps, "seed": seed, "device": device}
    given = {name: value for name, value in given.items() if value is not None}
    if config is None:
        planned = plan.shipped(corpus, task.parse_settings(Path("--set"), given))
    else:
        planned = plan.own(corpus, config, task.load_task(config, **given), complain)
    settings, labels, learnt_from = planned.settings, planned.labels, planned.learnt_from
    with cache.alone(folder):
        watch = _board(folder) if tensorboard else None
        progress.check(folder, settings, labels, learnt_from)
        used = planned.open_bank(folder)
        network = training.train(
            used.bank, used.held_out, settings, folder, complain, labels=labels, mix=planned.mix,
            watch=watch, learnt_from=learnt_from,
        )  # fmt: skip
        kept = record.of_training(used, settings, progress.load(folder / "state.pt"))
        trained = {"network": settings.network, "labels": list(labels), "record": kept}
        progress.save({**trained, "weights": network.state_dict()}, folder / "network.pt")
        files.write_whole(folder / "record.json", json.dumps(kept, indent=1).encode())
        if sheet.can_draw():
            sheet.draw(folder, folder / "sheet.png")
        else:
            complain("the training sheet is not drawn: `pip install 'airsift[training]'` brings "
                 "matplotlib")  # fmt: skip


def export(
    folder: Annotated[Path, typer.Argument(help="Folder of a training.")],
    file: Annotated[Path, typer.Argument(help="Model file to write.")],
    data: Annotated[
        str, typer.Option(help="A statement of yours about the audio, for the file and the card.")
    ] = "",
    onnx: Annotated[
        bool, typer.Option("--onnx/--no-onnx", help="Whether to write ONNX files as well.")
    ] = True,
) -> None:
    """Write the trained network for the other commands, and for onnxruntime.

    FILE is TorchScript, which the other commands load; FILE's name with .embed.onnx,
    .decide.onnx and .locate.onnx is the same for programs without torch. A model card is begun
    beside them. Both say of the training what it has recorded itself, and no more.
    Nothing is written that computes something else than the network that was trained.
    """
    from model.evaluation import model_card_template
    from model.export import onnx as onnx_files
    from model.export.torchscript import export as write
    from model.export.torchscript import trained_network
    from model.training import record

    trained = trained_network(folder / "network.pt")
    known = record.sentence(trained.record)
    told = f"Stated at the export: {data}" if data else ""
    spec = write(
        trained.network, file, training_data=f"{known} {told}".strip(), labels=trained.labels
    )
    complain(f"{file}: {file.stat().st_size} bytes, weights {spec.weights_sha256[:12]}")
    if not onnx:
        pass
    elif onnx_files.can_write():
        for each in onnx_files.write(trained.network, spec, file):
            complain(f"{each}: {each.stat().st_size} bytes")
    else:
        complain("no ONNX files: `pip install 'airsift[training]'` brings what writes them")
    card = file.with_suffix(".md")
    if model_card_template.write_card(card, file, trained, spec, data):
        complain(f"{card}: the beginning of a model card")


def _parsed(sets: list[str]) -> dict[str, Any]:
    """Read name=value, the value as TOML does and else as text."""
    from airsift.errors import ConfigError

    found: dict[str, Any] = {}
    for each in sets:
        name, equals, value = each.partition("=")
        if not equals:
            raise ConfigError(f"--set {each!r} must be name=value, such as steps=400")
        try:
            found[name.strip()] = tomllib.loads(f"x = {value}")["x"]
        except tomllib.TOMLDecodeError:
            found[name.strip()] = value.strip()
    return found


def _board(folder: Path) -> Callable[[int, Mapping[str, float]], None]:
    """Return what writes figures for TensorBoard."""
    from airsift.errors import ConfigError

    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "--tensorboard needs tensorboard: `pip install 'airsift[training]'` brings it"
        ) from error
    writer: Any = SummaryWriter(str(folder / "tensorboard"))

    def write(step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            writer.add_scalar(name.replace(" ", "_"), value, step)
        if any(name.startswith("validation") for name in figures):
            writer.flush()

    return write
