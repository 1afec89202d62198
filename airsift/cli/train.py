"""``airsift train`` and ``export``: from the corpus to a model file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from airsift.cli.common import inform
from airsift.cli.tensorboard import writer

Corpus = Annotated[Path, typer.Argument(help="Folder that `airsift corpus build` made.")]


def train(
    corpus: Corpus,
    folder: Annotated[Path, typer.Argument(help="Folder of the training.")],
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file: your own labels, classes and windows; or voice, or singer, of ours."
        ),
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
    """Train a network; an interrupted training resumes.

    The state with the lowest cost on the validation windows is written to FOLDER/network.pt.
    """
    import torch

    from airsift import files
    from airsift.config import parse_assignment
    from model.corpus import cache
    from model.training import checkpoint, loop, plan, plot, record, states
    from model.training import config as tasks

    torch.set_num_threads(threads)
    given = dict(parse_assignment(each, "name=value, such as steps=400") for each in sets or [])
    given |= {"steps": steps, "seed": seed, "device": device}
    given = {name: value for name, value in given.items() if value is not None}
    if config is None:
        planned = plan.shipped(corpus, tasks.parse_settings(Path("--set"), given))
    else:
        config = tasks.find_task(config)
        planned = plan.custom(corpus, config, tasks.load_task(config, **given), inform)
    settings, labels, input_keys = planned.settings, planned.labels, planned.input_keys
    with cache.exclusive(folder):
        watch = writer(folder) if tensorboard else None
        checkpoint.check(folder, settings, labels, input_keys)
        data = planned.prepare(folder)
        network = loop.train(
            data.store, data.held_out, settings, folder, inform, labels=labels,
            mix=planned.mix, watch=watch, input_keys=input_keys,
        )  # fmt: skip
        made = record.of_training(data, settings, states.load(folder / "state.pt"))
        trained = {"network": settings.network, "labels": list(labels), "record": made}
        states.save({**trained, "weights": network.state_dict()}, folder / "network.pt")
        files.write_whole(folder / "record.json", json.dumps(made, indent=1).encode())
        if plot.can_draw():
            plot.draw(folder, folder / "training_curves.png")
        else:
            inform("training_curves.png is not drawn: `pip install 'airsift[training]'` brings "
                 "matplotlib")  # fmt: skip


def export(
    folder: Annotated[Path, typer.Argument(help="Folder of a training.")],
    file: Annotated[Path, typer.Argument(help="Model file to write.")],
    data: Annotated[
        str, typer.Option(help="A statement of yours about the audio, for the file and the card.")
    ] = "",
    onnx: Annotated[
        bool, typer.Option("--onnx/--no-onnx", help="Whether to write it for onnxruntime as well.")
    ] = True,
) -> None:
    """Write the trained network for the other commands.

    FILE is TorchScript; FILE's name with .onnx.zip instead of its ending is the same model for
    onnxruntime, which is faster on a CPU and needs no torch. A model card is begun beside them,
    from the record of the training. Both are compared with the trained network before they are
    written.
    """
    from model.evaluation import model_card
    from model.export import onnx as onnx_files
    from model.export.torchscript import export as write
    from model.export.torchscript import trained_network
    from model.training import record

    trained = trained_network(folder / "network.pt")
    statement = f"Stated at the export: {data}" if data else ""
    training_data = f"{record.sentence(trained.record)} {statement}".strip()
    spec = write(trained.network, file, training_data=training_data, labels=trained.labels)
    inform(f"{file}: {file.stat().st_size} bytes, weights {spec.weights_sha256[:12]}")
    if onnx and onnx_files.can_write():
        written = onnx_files.write(trained.network, spec, file)
        inform(f"{written}: {written.stat().st_size} bytes")
    elif onnx:
        inform("no file for onnxruntime: `pip install 'airsift[training]'` brings what writes it")
    card = file.with_suffix(".md")
    if model_card.begin_card(card, file, trained, spec, data):
        inform(f"{card}: the beginning of a model card")
