"""``airsift experiment``: the experiments of the 2015 report, on any audio."""

from __future__ import annotations

import json
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli.common import complain, say
from airsift.cli.tensorboard import writer

if TYPE_CHECKING:
    from airsift.json_types import JsonObject
    from model.experiments.config import Experiment
    from model.experiments.runner import Place, Watcher

ALL = "all"
INVARIANT = "5-features"  # the experiment whose networks `invariances` compares
PAGE = "report2015.md"
TRIAL = "A trial of the commands: with so few windows, neither figures nor findings mean anything."


def experiment(
    name: Annotated[
        str,
        typer.Argument(
            help="Its number, 1 to 10; its name; a TOML file of yours; invariances; or all."
        ),
    ],
    scale: Annotated[
        str, typer.Option(help="tiny (minutes), small (hours), or full: the report's sizes.")
    ] = "small",
    data: Annotated[
        Path | None,
        typer.Option(help="Your own audio: a CSV of path,class,group and, optionally, split."),
    ] = None,
    corpus: Annotated[
        Path, typer.Option(help="Folder that `airsift corpus build` made, without --data.")
    ] = Path("corpus"),
    folder: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("experiments"),
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    teacher: Annotated[
        Path | None,
        typer.Option(help="Folder of the teacher's files, for experiments with distillation."),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write the curves for TensorBoard as well.")
    ] = False,
) -> None:
    """Run an experiment of the 2015 report, and write its table beside the report's figures.

    An interrupted experiment resumes. Results are in FOLDER/SCALE/NAME: table.md, table.json, and a
    folder for each row and seed with the initial, the best and the last network and the curves of
    the training. `all` runs one after the other and writes FOLDER/SCALE/report2015.md; without
    --teacher, experiments with distillation are left out. `invariances` changes the test windows of
    experiment 5 in pitch, tempo, level and equalisation, and compares what its networks on the CQT
    and on the STFT lose.
    """
    import torch

    from airsift.errors import AirsiftError, ConfigError
    from model.experiments import config, runner, windows

    torch.set_num_threads(threads)
    size = next((each for each in config.SCALES if each == scale), None)
    if size is None:
        raise ConfigError(f"scale={scale!r} is unknown: use one of {', '.join(config.SCALES)}")
    wanted = [] if _is_invariances(name) else config.names() if name == ALL else [name]
    loaded = [config.load(config.find(each)) for each in wanted]
    if name == ALL and teacher is None:
        for each in filter(attrgetter("has_teacher"), loaded):
            complain(f"{each.name} is left out: its teacher is not part of airsift; see --teacher")
        loaded = [each for each in loaded if not each.has_teacher]
    results = folder / size
    if data is not None:
        # One folder for each manifest, so that another one does not remove its audio.
        corpus = folder / "audio" / data.stem
        windows.decode_manifest(data, corpus, complain)
    place = runner.Place(corpus, results, size, device, teacher)
    if _is_invariances(name):
        _compare_invariances(name, place)
        return
    failed = []
    for each in loaded:
        try:
            _run(each, place, writer if tensorboard else None)
        except AirsiftError as error:
            if name != ALL:
                raise
            failed.append(each.name)
            complain(f"airsift: experiment {each.name}: {error}")
    if name == ALL and INVARIANT in {each.name for each in loaded} - set(failed):
        try:
            _compare_invariances("invariances", place)
        except AirsiftError as error:
            failed.append("invariances")
            complain(f"airsift: experiment invariances: {error}")
    if name == ALL:
        _write_page([each for each in loaded if each.name not in failed], results)
    if failed:
        raise ConfigError(
            f"{len(failed)} of {len(loaded)} experiments could not be run ({', '.join(failed)}): "
            "see the lines above; the others are complete"
        )


def _run(experiment: Experiment, place: Place, watcher: Watcher | None) -> None:
    from model.experiments import runner, table

    rows = runner.run(experiment, place, complain, watcher)
    text, values = table.markdown(experiment, rows), table.as_json(experiment, rows)
    _write_table(place, place.folder / experiment.name, text, values)


def _write_table(place: Place, home: Path, text: str, values: JsonObject) -> None:
    """Write a table as text and as values into a folder, and print it."""
    from airsift.files import write_whole

    write_whole(home / "table.json", json.dumps(values, indent=1).encode())
    write_whole(home / "table.md", text.encode())
    for line in text.splitlines():
        say(line)
    if place.scale == "tiny":
        complain(TRIAL)


def _is_invariances(name: str) -> bool:
    """Return whether a name is that of the invariances, or of a file of their form."""
    return name == "invariances" or (
        name.endswith(".toml") and Path(name).name.startswith("invariances")
    )


def _compare_invariances(name: str, place: Place) -> None:
    from model.experiments import config, invariances, invariances_table
    from model.training import plot

    own = Path(name)
    path = own if own.suffix == ".toml" else config.folder() / config.INVARIANCES
    of = invariances.load(path, place.scale)
    measured = invariances.run(of, place, complain)
    home = place.folder / invariances.NAME
    text = invariances_table.markdown(of, measured)
    if plot.can_draw():
        invariances_table.draw(measured, home / "curves.png")
        text += "\n![Accuracy over the amount of each change](curves.png)\n"
    _write_table(place, home, text, invariances_table.as_json(measured))


def _write_page(experiments: list[Experiment], folder: Path) -> None:
    """Write the tables of all experiments and the curves of their first seeds as one page."""
    from airsift.files import write_whole
    from model.experiments import runner

    parts = [f"# The experiments of the 2015 report, at the scale {folder.name}\n"]
    if folder.name == "tiny":
        parts.append(f"{TRIAL}\n")
    for each in experiments:
        parts.append((folder / each.name / "table.md").read_text(encoding="utf-8"))
        for row in each.rows:
            image = runner.row_folder(each, row, folder) / "seed-1" / "training_curves.png"
            if image.exists():
                parts.append(f"![{row.name}]({image.relative_to(folder).as_posix()})\n")
    changes = folder / "invariances" / "table.md"
    if INVARIANT in {each.name for each in experiments} and changes.exists():
        text = changes.read_text(encoding="utf-8")
        parts.append(text.replace("](curves.png)", "](invariances/curves.png)"))
    if experiments:
        write_whole(folder / PAGE, "\n".join(parts).encode())
        complain(f"{folder / PAGE}: {len(experiments)} experiments")
