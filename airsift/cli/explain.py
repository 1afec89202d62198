"""``airsift explain``: what a network has learned, to see and to hear."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli.common import inform

if TYPE_CHECKING:
    from model.explain.explanation import Explanation

PAGE = "explanation.html"
SHEET = "filters.png"


def explain(
    model: Annotated[
        Path,
        typer.Argument(
            help="A best.pt of `airsift experiment`, its folder, the folder of an experiment, an "
            "exported model, or `shipped`."
        ),
    ],
    audio: Annotated[
        Path | None, typer.Argument(help="A file of any format; without it, only the network.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")] = Path(
        "explanation"
    ),
    start: Annotated[float, typer.Option(min=0, help="Where the window begins, in seconds.")] = 0.0,
    layer: Annotated[
        list[str] | None, typer.Option(help="Only this layer; may be repeated.")
    ] = None,
    map: Annotated[  # noqa: A002 the user's word
        int | None, typer.Option(help="Only this map, counted from 0, of the one --layer.")
    ] = None,
    maps: Annotated[
        int, typer.Option(min=1, help="How many maps of a layer, strongest first.")
    ] = 4,
    corpus: Annotated[
        Path | None,
        typer.Option(help="Folder of `airsift corpus build`: find maximally activating windows."),
    ] = None,
    windows: Annotated[int, typer.Option(min=1, help="Windows of the corpus to try.")] = 500,
    experiment: Annotated[
        Path | None, typer.Option(help="TOML file of an experiment of your own.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Show what a network has learned: its filters, what each layer keeps, what decides.

    Writes OUTPUT/explanation.html, which needs no other file, OUTPUT/filters.png, and, of a network
    on a CQT, a WAV file for each map. With the folder of an experiment, such as 8 with its
    penalties, the filters of all its rows are on the sheet; its first row is explained.
    """
    import torch

    from airsift.errors import ConfigError
    from airsift.files import write_whole
    from model.corpus.recordings import read_index
    from model.experiments.optional import needed
    from model.explain import page, pictures
    from model.explain.activation import maximally_activating
    from model.explain.audio import window_of
    from model.explain.chain import check_map
    from model.explain.explanation import explain as explain_window
    from model.explain.subject import read, rows_of

    torch.set_num_threads(threads)
    if map is not None and len(layer or ()) != 1:
        raise ConfigError(f"--map {map} is a map of one layer: name it with --layer")
    rows = rows_of(model, experiment) if model.is_dir() else []
    subject = read(rows[0] if rows else model, experiment, device)
    layers = layer or subject.chain.names
    sizes = subject.sizes
    for name in layers:
        subject.chain.layer(name)
        if map is not None:
            check_map(name, map, sizes[name][0])
    if corpus is not None:
        read_index(corpus)
    samples = None
    if audio is not None:
        needed("captum.attr", "integrated gradients")
        samples = window_of(audio, start, subject)
    shown = [subject, *(read(row, experiment, device) for row in rows[1:])]
    filters = [each.filters for each in shown if each.filters is not None]
    output.mkdir(parents=True, exist_ok=True)
    if filters:
        pictures.draw_sheet(filters, output / SHEET)
    else:
        inform(f"{subject.name} begins with {subject.chain.names[0]}: no filters to draw")
    found = None
    if samples is not None:
        found = explain_window(
            subject, samples, layers=layers, number=map, count=maps, report=inform
        )
        write_sounds(found, output)
    strongest = {}
    if corpus is not None:
        chosen = [map] if map is not None else list(range(min(maps, sizes[layers[-1]][0])))
        if found is not None:  # those that are shown
            chosen = [each.number for each in found.reconstructions if each.layer == layers[-1]]
        strongest = maximally_activating(
            subject, corpus, layers[-1], chosen,
            windows=windows, each=3, report=report_windows,
        )  # fmt: skip
    title = f"{subject.name}: {audio.name}, from {start:g} s" if audio else subject.name
    made = page.render(subject, filters, found, strongest, layers[-1], title, inform)
    write_whole(output / PAGE, made.encode())
    inform(f"{output / PAGE}: {len(made) / 1e6:.1f} MB")


def write_sounds(found: Explanation, folder: Path) -> None:
    """Write the sounds of an explanation as WAV, and remove those of an earlier one."""
    from airsift.cli.evaluate import write_wav
    from airsift.files import replacing

    sounds = {"window": found.audio, "window-resynthesis": found.resynthesis}
    for each in found.reconstructions:
        sounds[f"{each.layer.replace(' ', '-')}-map-{each.number}"] = each.audio
    for old in folder.glob("*-map-*.wav"):
        old.unlink()
    for name, samples in sounds.items():
        if samples is not None:
            with replacing(folder / f"{name}.wav") as partial:
                write_wav(partial, samples)


def report_windows(done: int, total: int) -> None:
    """Report each hundred windows."""
    if done == total or done % 160 == 0:
        inform(f"{done} of {total} windows of the corpus analysed")
