"""The options ``--series`` and ``--store``: the episodes of a series, and what is known of them."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli.common import complain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airsift.config import Config
    from airsift.podcasts.series import Series
    from fingerprint.catalogue import Catalogue
    from stream.pipeline import Pipeline
    from stream.runner import Stop

SeriesOption = Annotated[
    str | None,
    typer.Option(
        "--series",
        metavar="FOLDER|FEED",
        help="All episodes: a folder, or the address of a podcast's feed. What comes back in them "
        "is found, and a later run reads only the new ones.",
    ),
]
LatestOption = Annotated[
    int | None,
    typer.Option(
        "--latest", metavar="N", min=1, help="How many episodes of a feed, the newest; else 10."
    ),
]


@contextmanager
def store_of(given: Path | None, settings: Config, *, in_cache: bool) -> Iterator[Path]:
    """Give the folder of all series: the given one, that of the configuration, or the cache.

    With `in_cache` False, a temporary folder takes the place of the cache.
    """
    if given is not None:
        yield given
    elif settings.repeats.folder:
        yield Path(settings.repeats.folder)
    elif in_cache:
        from airsift.xdg import cache_folder

        yield cache_folder("series")
    else:
        with TemporaryDirectory(prefix="airsift-") as folder:
            yield Path(folder)


def episodes_of(
    series: str, settings: Config, latest: int | None, stop: Stop
) -> tuple[str, list[Path], bool]:
    """Return the name of a series, its episodes on this machine, and whether some are missing.

    Raises
    ------
    AirsiftError
        The folder has no audio, or the feed cannot be fetched.
    """
    from airsift.cli.progress import files_bar
    from airsift.errors import ConfigError, SourceError
    from airsift.inputs import is_address, label_of

    if is_address(series):
        from airsift.podcasts.feed import LATEST, local_episodes

        with files_bar(latest or LATEST) as advance:
            found = local_episodes(
                series,
                settings,
                latest=latest,
                stop=stop,
                complain=lambda line: complain(f"airsift: {line}"),
                advance=advance,
            )
        if found is None:
            raise SourceError(
                f"{label_of(series)}: is no feed (RSS or Atom); give the address of the podcast's "
                "feed"
            )
        return found.name, found.files, found.failed > 0
    from airsift.cli.folders import find_files

    folder = Path(series)
    if latest is not None:
        raise ConfigError(f"--latest {latest}: a folder is taken as a whole; leave it out")
    if not folder.is_dir():
        raise SourceError(f"{series}: is neither a folder nor an address; name one with episodes")
    listed = find_files([folder])
    for problem in listed.problems:
        complain(f"airsift: {problem}")
    if not listed.files:
        raise SourceError(f"{series}: has no audio files; name the folder of the episodes")
    return str(folder.absolute()), listed.files, listed.failed > 0


def read_episodes(
    series: Series,
    paths: list[Path],
    settings: Config,
    stop: Stop,
    *,
    clip_s: float = 0.0,
) -> list[Path]:
    """Read the episodes that the series does not know yet; return those that failed."""
    from airsift.cli.progress import files_bar

    with files_bar(len(paths)) as advance:
        return series.add(
            paths,
            lambda: pipeline_of(settings),
            clip_s=clip_s,
            stop=stop,
            complain=lambda line: complain(f"airsift: {line}"),
            advance=advance,
        )


def pipeline_of(settings: Config) -> Pipeline:
    """Return what labels and identifies; repeats are not found by it."""
    from airsift.build import build_pipeline

    repeats = settings.repeats.model_copy(update={"folder": ""})
    return build_pipeline(settings.model_copy(update={"repeats": repeats}))


def catalogue_of(settings: Config) -> Catalogue | None:
    """Return the catalogue of the configuration, if there is one."""
    if not settings.identify.catalogue:
        return None
    from fingerprint.catalogue import Catalogue

    return Catalogue.open(Path(settings.identify.catalogue))


def with_episodes(names: list[str], settings: Config, latest: int | None) -> tuple[list[str], bool]:
    """Return inputs with each feed replaced by its episodes' files, and whether some are missing.

    With `latest`, every address is asked for that does not end like a file of audio. Without it
    only those that look like the address of a feed: a live stream would be opened twice.

    Raises
    ------
    ConfigError
        `latest` is given, and nothing is a feed.
    """
    from airsift.errors import AirsiftError, ConfigError

    if not any(_may_be_feed(name, latest) for name in names):
        if latest is not None:
            raise ConfigError(f"--latest {latest}: is for a podcast's feed, and none is named")
        return names, False
    from airsift.podcasts.feed import local_episodes
    from stream.runner import stop_on_signals
    from stream.sources.web_errors import WebError

    found: list[str] = []
    is_missing = False
    with stop_on_signals() as stop:
        for name in names:
            fetched = None
            if _may_be_feed(name, latest) and not stop.requested:
                try:
                    fetched = local_episodes(
                        name,
                        settings,
                        latest=latest,
                        stop=stop,
                        complain=lambda line: complain(f"airsift: {line}"),
                    )
                except WebError:
                    pass  # whoever opens it says why it cannot be opened
                except AirsiftError as error:
                    complain(f"airsift: {error}")
                    is_missing = True
                    continue
            found += [name] if fetched is None else map(str, fetched.files)
            is_missing |= fetched is not None and fetched.failed > 0
    if stop.requested:
        raise typer.Exit(130)
    return found, is_missing


_FEED = re.compile(r"\b(feeds?|rss|atom|podcasts?)\b|\.(xml|rss|atom|rdf)$", re.IGNORECASE)


def _may_be_feed(name: str, latest: int | None) -> bool:
    from airsift.cli.folders import SUFFIXES
    from airsift.inputs import is_address
    from stream.sources.web_address import public_name

    if not is_address(name):
        return False
    address = public_name(name)
    if Path(address).suffix.lower() in SUFFIXES:
        return False
    return latest is not None or bool(_FEED.search(address))
