"""The command ``airsift`` and its subcommands."""

from __future__ import annotations

import logging
import shutil
import sys
from typing import Annotated

import typer

from airsift import __version__
from airsift.cli import (
    broker,
    catalogue,
    classify,
    config,
    corpus,
    deadletter,
    demo,
    evaluate,
    experiment,
    explain,
    history,
    plot,
    publish,
    repeats,
    run,
    segment,
    stations,
    tags,
    tail,
    train,
    worker,
)
from airsift.cli.common import DEBUG, Complaints, complete_streams, drop_output, report
from airsift.errors import AirsiftError
from airsift.shutdown import exit_fast

# In fewer columns, the boxes of the help would cut the names of options.
_BOXES = 60

app = typer.Typer(
    name="airsift",
    rich_markup_mode="markdown" if shutil.get_terminal_size().columns >= _BOXES else None,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="--debug anywhere shows the traceback of an error.",
)
app.command()(segment.segment)
app.command()(classify.classify)
app.command()(plot.plot)
app.command()(repeats.repeats)
app.command()(run.run)
app.command()(worker.worker)
app.command()(broker.broker)
app.command()(publish.publish)
app.command()(tail.tail)
app.command()(history.history)
app.add_typer(deadletter.app, name="deadletter", help="Messages that could not be decoded.")
catalogue.app.command()(repeats.name)
app.add_typer(catalogue.app, name="catalogue", help="The tracks that airsift can identify.")
app.add_typer(stations.app, name="stations", help="Many stations in one process.")
app.add_typer(tags.app, name="tags", help="Whether tags of files agree with their audio.")
app.add_typer(corpus.app, name="corpus", help="The recordings that networks are trained on.")
app.command()(train.train)
app.command()(evaluate.evaluate)
app.command()(train.export)
app.command()(experiment.experiment)
app.command()(explain.explain)
app.command()(demo.demo)
app.command(name="config")(config.show)


def _print_version(*, wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda wanted: _print_version(wanted=wanted),
            is_eager=True,
            help="Print the version.",
        ),
    ] = False,
) -> None:
    """Find speech and music in live radio, podcasts and files, and identify the music."""


def main() -> None:
    """Run the command line; an error is one line, and exit code 1."""
    complete_streams()
    logging.lastResort = Complaints(logging.WARNING)
    try:
        app([argument for argument in sys.argv[1:] if argument != DEBUG])
    except (AirsiftError, OSError) as error:
        report(error)
        drop_output()
        code = 1
    except Exception as error:  # a bug of airsift, still reported in one line
        report(RuntimeError(f"{type(error).__name__}: {error}; --debug shows where this happened"))
        drop_output()
        code = 70
    except SystemExit as end:  # the end of every command
        if not isinstance(end.code, int | None):
            raise
        code = end.code or 0
    exit_fast(code)
    sys.exit(code)
