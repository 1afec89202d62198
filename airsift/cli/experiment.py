"""``airsift experiment``: the experiments of the 2015 report, on any audio."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli.common import complain, inform, say
from airsift.cli.tensorboard import writer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model.experiments.kinds import Study
    from model.experiments.runner import Place

ALL, REPORT = "all", "report"
PIECE, PIECE_S = "palace", 3.0  # of the demo: what layers are shown on, and where its window begins


def experiment(
    name: Annotated[
        str,
        typer.Argument(
            help="Its number, 1 to 10; its name, as invariances; a TOML file of yours; all; or "
            "report."
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
    docs: Annotated[
        Path | None,
        typer.Option(help="With all or report: a folder to copy the page to, with all it links."),
    ] = None,
) -> None:
    """Run an experiment of the 2015 report, and write its table beside the report's figures.

    An interrupted experiment resumes. Results are in FOLDER/SCALE/NAME: table.md, table.json,
    curves.png, and a folder for each row and seed with the initial, the best and the last network
    and the curves of the training. `invariances` trains nothing of its own: it changes the test
    windows of experiment 5 in pitch, tempo, level and equalisation, and compares what its networks
    on the CQT and on the STFT lose.

    `all` runs one after the other and writes FOLDER/SCALE/report2015.md, with pictures and sounds
    beside it; without --teacher, experiments with distillation are left out. `report` writes that
    page of what is there, and runs nothing.
    """
    import torch

    from airsift.errors import AirsiftError, ConfigError
    from model.experiments import config, kinds, runner, windows
    from model.experiments.report.page import TRIAL

    torch.set_num_threads(threads)
    size = next((each for each in config.SCALES if each == scale), None)
    if size is None:
        raise ConfigError(f"scale={scale!r} is unknown: use one of {', '.join(config.SCALES)}")
    of_all = name in (ALL, REPORT)
    if docs is not None and not of_all:
        raise ConfigError(f"--docs {docs} is for the page of `all` and `report`, not for {name}")
    wanted = config.names() if of_all else [name]
    studies = [kinds.read(config.find(each), size) for each in wanted]
    # One folder for each manifest, so that another one does not remove its audio.
    audio = corpus if data is None else folder / "audio" / data.stem
    place = runner.Place(audio, folder / size, size, device, teacher)
    if name == REPORT:
        _write_page(studies, place, docs)
        return
    running = studies
    if name == ALL and teacher is None:
        running = [each for each in studies if not each.trained.has_teacher]
        for each in studies:
            if each.trained.has_teacher:
                inform(
                    f"{each.name} is left out: its teacher is not part of airsift; see --teacher"
                )
    if data is not None:
        windows.decode_manifest(data, audio, inform)
    failed = []
    for each in running:
        try:
            outcome = each.run(place, inform, writer if tensorboard else None)
        except AirsiftError as error:
            if name != ALL:
                raise
            failed.append(each.name)
            complain(f"airsift: experiment {each.name}: {error}")
            continue
        for line in kinds.write(each, outcome, place, inform).splitlines():
            say(line)
        if size == "tiny":
            inform(TRIAL)
    if name == ALL and len(failed) < len(running):
        _write_page(studies, place, docs)
    if failed:
        raise ConfigError(
            f"{len(failed)} of {len(running)} experiments could not be run ({', '.join(failed)}): "
            "see the lines above; the others are complete"
        )


def _write_page(studies: Sequence[Study], place: Place, docs: Path | None) -> None:
    """Write the page of all experiments, shown on a piece of the demo, and copy it."""
    from model.experiments.report import page
    from model.experiments.report.inside import Piece
    from stream.demo import clips

    part = clips.parts()[PIECE]
    credit = f"*{part.title}* by {part.artist} ({part.licence}, as are the sounds made of it)"
    piece = Piece(part.file, f"stream/demo/audio/{part.file.name}", credit, PIECE_S)
    written = page.write(studies, place, piece, inform)
    inform(f"{written}: written")
    if docs is not None:
        inform(f"{page.copy(written, docs)}: written")
