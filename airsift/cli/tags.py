"""``airsift tags``: whether the tags of a catalogue agree with its audio."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli.common import ConfigOption, SetOption, complain, in_words, inform, load_config, say
from airsift.cli.inputs import ending_on_request
from airsift.cli.rows import Format, Rows
from airsift.errors import AirsiftError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airsift.cli.processes import Run
    from airsift.config import Config
    from airsift.tags.analysis import Content
    from airsift.tags.catalogue import Entry
    from airsift.tags.judging import Sorted, Verdict
    from airsift.tags.mapping import Claim
    from airsift.tags.store import Store
    from stream.pipeline import Pipeline
    from stream.runner import Stop

    Analysed = tuple[Content | None, list[str]]

app = typer.Typer(no_args_is_help=True, help="Whether tags of files agree with their audio.")
FIELDS = (
    "path",
    "tags",
    "claim",
    "contains",
    "confidence",
    "speech",
    "music",
    "analysed_s",
    "duration_s",
)
_FILES_PER_PROCESS = 4  # at least; a process takes a second to start
_UNCLEAR = 3  # tags that are listed


class Output(enum.StrEnum):
    """How disagreements are printed."""

    table = "table"
    csv = "csv"
    jsonl = "jsonl"


@app.callback()
def _root() -> None:
    """Keep `check` a command of its own: typer would drop the name of the only one."""


@app.command()
def check(
    catalogue: Annotated[
        Path,
        typer.Argument(
            metavar="CATALOGUE.csv|FOLDER",
            help="Table with the columns path, and genre or tags; or a folder of files that have "
            "tags themselves.",
        ),
    ],
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Least confidence that is listed; 0.5 unless given."),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(
            min=0,
            help="Seconds of a longer file that are analysed, in pieces of 10 s spread over it; 0: "
            "all of it.",
        ),
    ] = 60.0,
    format: Annotated[Output, typer.Option(help="For people, or for machines.")] = (  # noqa: A002 the user's word
        Output.table
    ),
    top: Annotated[
        int, typer.Option(min=0, help="Rows of the table for people; 0: all of them.")
    ] = 18,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Write a page to listen and decide."),
    ] = None,
    decisions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv", help="What was decided on that page; these files are left out."
        ),
    ] = None,
    map: Annotated[  # noqa: A002 the user's word
        Path | None,
        typer.Option(metavar="FILE.toml", help="Further tags that say speech or music."),
    ] = None,
    store: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="Where results are kept: an interrupted check resumes there."
        ),
    ] = Path("airsift-tags.jsonl"),
    jobs: Annotated[
        int, typer.Option(min=1, help="Processes; with 2 or more, several files at a time.")
    ] = 1,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """List the files whose tags say speech and whose audio is music, and the reverse.

    Files that were analysed before, with the same settings, are not analysed again. A file that
    cannot be read costs one line, and exit code 1.
    """
    settings = load_config(config, sets)

    from airsift.tags.catalogue import read_entries
    from airsift.tags.decisions import read_decisions
    from airsift.tags.judging import THRESHOLD, Sorted, claims_of, judge
    from airsift.tags.mapping import load_map
    from airsift.tags.page import write_page
    from airsift.tags.store import Store, settings_key
    from stream.runner import stop_on_signals

    terms = load_map(map)
    decided = read_decisions(decisions) if decisions is not None else {}
    entries, found = read_entries(catalogue)
    for problem in found.problems:
        complain(f"airsift: {problem}")
    failed = found.failed > 0
    result = Sorted()
    left = [entry for entry in entries if entry.name not in decided]
    claimed = claims_of(left, terms, result)
    rows = None if format is Output.table else Rows(Format(format.value), FIELDS)
    verdicts: list[Verdict] = []
    with (
        Store(store, settings_key(settings, seconds)) as kept,
        stop_on_signals() as stop,
        ending_on_request(stop),
    ):
        for verdict in _verdicts(claimed, kept, settings, seconds, jobs, stop):
            if verdict is None:
                failed = True
            else:
                verdicts.append(verdict)
    if stop.requested:
        inform(f"airsift: stopped; {store} has what was analysed, run it again to go on")
        raise typer.Exit(130)
    judge(verdicts, THRESHOLD if threshold is None else threshold, result)
    if page is not None:
        write_page(page, catalogue, result.disagreements)
    if rows is None:
        _print(result, len(entries) - len(left), top)
    else:
        for verdict in result.disagreements:
            rows.write(verdict.to_dict())
        _complain_of_unclear(result)
    if failed:
        raise typer.Exit(1)


def _verdicts(
    claimed: list[tuple[Entry, Claim]],
    store: Store,
    settings: Config,
    seconds: float,
    jobs: int,
    stop: Stop,
) -> Iterator[Verdict | None]:
    """Yield the verdict on each file; None for one that cannot be read, or is damaged.

    A damaged file that has some sound audio has a verdict besides.
    """
    from airsift.cli.progress import files_bar
    from airsift.tags.judging import Verdict

    missing = []
    for entry, claim in claimed:
        content = store.get(entry.path)
        if content is None:
            missing.append((entry, claim))
        else:
            yield Verdict(entry, claim, content)
    jobs = min(jobs, len(missing) // _FILES_PER_PROCESS)
    analysed = _in_processes if jobs >= 2 else _here
    with files_bar(len(missing)) as advance:
        for (entry, claim), (content, problems) in analysed(missing, settings, seconds, jobs, stop):
            if stop.requested:
                return
            advance(entry.path.name)
            for problem in problems:
                complain(f"airsift: {problem}")
            if problems or content is None:
                yield None
            if content is not None:
                if not problems:  # a damaged file is reported at each run
                    store.add(entry.path, content)
                yield Verdict(entry, claim, content)


def _here(
    files: list[tuple[Entry, Claim]], settings: Config, seconds: float, jobs: int, stop: Stop
) -> Iterator[tuple[tuple[Entry, Claim], Analysed]]:
    """Analyse files one by one."""
    for file in files:
        if stop.requested:
            return
        yield file, _analyse(file[0].path, settings, seconds)


def _in_processes(
    files: list[tuple[Entry, Claim]], settings: Config, seconds: float, jobs: int, stop: Stop
) -> Iterator[tuple[tuple[Entry, Claim], Analysed]]:
    """Analyse several files at a time."""
    from airsift.cli.processes import each_in_processes

    def work(file: tuple[Entry, Claim], run: Run) -> Analysed:
        try:
            return run(_analyse, file[0].path, settings, seconds)
        except AirsiftError as error:  # the process died
            return None, [str(error)]

    yield from each_in_processes(work, files, jobs)


_pipeline: Pipeline | None = None  # of this process


def _analyse(path: Path, settings: Config, seconds: float) -> Analysed:
    """Return the content of a file, and a line for each thing that is wrong with it."""
    global _pipeline
    from airsift.tags.analysis import analyse, build_analysis

    if _pipeline is None:
        _pipeline = build_analysis(settings)
    problems: list[str] = []
    try:
        return analyse(path, seconds, _pipeline, problems), problems
    except (AirsiftError, OSError) as error:
        message = in_words(error)
        return None, [message if str(path) in message else f"{path}: {message}"]


def _print(result: Sorted, decided: int, top: int) -> None:
    """Print a table in the width of the terminal, and one line with the counts."""
    from airsift.tags.listing import lines_of

    shown = result.disagreements[:top] if top else result.disagreements
    for line in lines_of(shown):
        say(line)
    more = len(result.disagreements) - len(shown)
    if more:
        say(f"and {more} more: --top 0, --format csv or --page lists all")
    done = f", {decided} decided before" if decided else ""
    say(
        f"{len(result.disagreements)} disagree, {result.agreeing} agree, "
        f"{result.unclear.total()} have no tag that says speech or music{done}"
    )
    _complain_of_unclear(result)


def _complain_of_unclear(result: Sorted) -> None:
    unclear = [(tags, count) for tags, count in result.unclear.most_common() if tags]
    if unclear:
        listed = ", ".join(f"{tags!r} ({count})" for tags, count in unclear[:_UNCLEAR])
        more = len(unclear) - _UNCLEAR
        listed += f" and {more} more" if more > 0 else ""
        inform(f"airsift: tags that say neither speech nor music, or both: {listed}; see --map")
