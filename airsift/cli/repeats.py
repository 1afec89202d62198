"""``airsift repeats``: what is played several times, in recordings or on a station."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli.common import (
    ConfigOption,
    SetOption,
    complain,
    inform,
    load_config,
    put,
    say,
    write_for_machines,
)
from airsift.cli.series import LatestOption, SeriesOption
from stream.lines import iso_time, to_json
from stream.sinks.format import clock, utc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airsift.config import Config
    from airsift.json_types import JsonObject
    from airsift.podcasts.series import Returning
    from fingerprint.repeats.clusters import Cluster, Occurrence
    from fingerprint.repeats.recordings import Recording
    from fingerprint.repeats.store import Store

StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store", metavar="FOLDER", help="Where repeats are stored; else repeats.folder."
    ),
]


def repeats(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILES]", help="Recordings, and folders of them."),
    ] = None,
    station: Annotated[
        str | None, typer.Option(help="A station that `airsift run` has stored, instead.")
    ] = None,
    day: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="Of the station: what this day has.")
    ] = None,
    series: SeriesOption = None,
    latest: LatestOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Print the pieces that are played several times; no catalogue is needed.

    With --store FOLDER, `airsift catalogue name` can name what was found. A running station is
    searched if repeats.folder is set. With --series only episodes are read that are new.
    """
    from airsift.errors import ConfigError

    settings = load_config(config, sets)
    if as_json:
        write_for_machines()
    root = store or (Path(settings.repeats.folder) if settings.repeats.folder else None)
    if bool(paths) + (station is not None) + (series is not None) != 1:
        raise ConfigError(
            "repeats: name recordings, a station with --station, or a podcast with --series; one "
            "of them"
        )
    if latest is not None and series is None:
        raise ConfigError(f"--latest {latest}: is for the feed of --series; leave it out")
    if series is not None:
        _print_series(series, latest, store, settings, as_json=as_json)
        return
    if station is not None:
        _print_station(station, _day(day), _root(root), settings, as_json=as_json)
        return
    if day is not None:
        raise ConfigError(f"--day {day}: recordings have no days; leave it out")

    from airsift.cli.inputs import local_path

    files = [local_path(each) for each in paths or []]
    with ExitStack() as stack:
        if root is None:
            root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="airsift-")))
            inform(
                "airsift: nothing is stored, so clusters cannot be named later; --store FOLDER "
                "stores them"
            )
        failed = _search(files, root, settings, as_json=as_json)
    if failed:
        raise typer.Exit(1)


def name(
    cluster: Annotated[str, typer.Argument(help="Id, as `airsift repeats` prints it.")],
    title: Annotated[str, typer.Argument(help="Title under which it is found from now on.")],
    kind: Annotated[str, typer.Option(help="What it is: advert, jingle, song, ...")] = "",
    artist: Annotated[str, typer.Option(help="Who made it.")] = "",
    store: StoreOption = None,
    catalogue: Annotated[
        str | None,
        typer.Option("--catalogue", help="Folder of the catalogue; else identify.catalogue."),
    ] = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Add what is played several times to the catalogue; no recording of it is needed."""
    from airsift.errors import ConfigError
    from fingerprint.catalogue import Catalogue
    from fingerprint.repeats.naming import add_to, find_cluster

    settings = load_config(config, sets)
    root = store or (Path(settings.repeats.folder) if settings.repeats.folder else None)
    if not title.strip():
        raise ConfigError("the title is empty; give one")
    folder = catalogue or settings.identify.catalogue
    if not folder:
        raise ConfigError(
            "identify.catalogue is empty, so no catalogue is named: give --catalogue FOLDER, or "
            "set the key"
        )
    found = find_cluster(_root(root), cluster)
    opened = Catalogue.create(Path(folder))
    track = add_to(opened, found, title, artist, kind)
    say(f"{track.key}  {track.title}: {len(opened.tracks())} tracks in {opened.folder}")


def _search(paths: list[Path], root: Path, settings: Config, *, as_json: bool) -> bool:
    """Search recordings and print their repeats; return whether a file failed."""
    from airsift.build import build_pipeline
    from airsift.cli.folders import find_files
    from airsift.cli.progress import files_bar
    from airsift.errors import AirsiftError, SourceError
    from fingerprint.repeats.store import Store, folder_of
    from stream.repeats_of_files import RecordingSearch

    found = find_files(paths)
    for problem in found.problems:
        complain(f"airsift: {problem}")
    failed = bool(found.failed)
    if not found.files:
        raise SourceError("there are no recordings to search; name some")
    pipeline = build_pipeline(
        settings.model_copy(
            update={
                "repeats": settings.repeats.model_copy(update={"folder": ""}),
                "identify": settings.identify.model_copy(update={"catalogue": ""}),
            }
        )
    )
    name_ = str(paths[0].absolute())
    search = RecordingSearch(name_, Store(folder_of(root, name_)), pipeline)
    with files_bar(len(found.files)) as advance:
        for path in found.files:
            advance(path.name)
            warnings: list[str] = []
            try:
                search.add(path, warnings)
            except (AirsiftError, OSError) as error:
                from airsift.cli.common import in_words

                message = in_words(error)
                warnings.append(message if str(path) in message else f"{path}: {message}")
            for warning in warnings:
                complain(f"airsift: {warning}")
            failed |= bool(warnings)
        advance("")
        search.finish(settings.repeats.clip_s)
    _print(name_, search.store, search.clusters(), search.recordings, None, settings, as_json)
    return failed


def _print_series(
    name_: str, latest: int | None, store: Path | None, settings: Config, *, as_json: bool
) -> None:
    """Read the new episodes of a series, and print what comes back in it."""
    from airsift.cli.series import catalogue_of, episodes_of, read_episodes, store_of
    from airsift.podcasts.series import Series
    from stream.runner import stop_on_signals

    with stop_on_signals() as stop, store_of(store, settings, in_cache=True) as root:
        found, paths, failed = episodes_of(name_, settings, latest, stop)
        series = Series(found, root)
        failed |= bool(read_episodes(series, paths, settings, stop, clip_s=settings.repeats.clip_s))
        if stop.requested:
            raise typer.Exit(130)
        kinds = {each.cluster.id: each for each in series.returning(catalogue_of(settings))}
        clusters = [each.cluster for each in kinds.values()]
        _print(found, series.store, clusters, series.recordings, None, settings, as_json, kinds)
    if failed:
        raise typer.Exit(1)


def _print_station(
    station: str, day: date | None, root: Path, settings: Config, *, as_json: bool
) -> None:
    from airsift.errors import ConfigError, SourceError
    from fingerprint.repeats.clusters import clusters_of
    from fingerprint.repeats.recordings import read_recordings
    from fingerprint.repeats.store import Store, folder_of, stations_in

    folder = folder_of(root, station)
    if not folder.is_dir():
        known = ", ".join(name for name, _ in stations_in(root)) or "none"
        raise SourceError(f"{station}: {root} has no such station; it has {known}")
    store = Store(folder)
    clusters = clusters_of(station, store.runs()).all()
    for problem in store.problems:
        complain(f"airsift: {problem}")
    if day is not None and any(_time(each.occurrences[0].start) is None for each in clusters):
        raise ConfigError(
            f"--day {day}: the samples of {station} do not count from 1970, so it has no days; "
            "leave it out"
        )
    _print(station, store, clusters, read_recordings(folder), day, settings, as_json)


def _print(
    station: str,
    store: Store,
    clusters: list[Cluster],
    recordings: list[Recording],
    day: date | None,
    settings: Config,
    as_json: bool,
    returning: Mapping[str, Returning] | None = None,
) -> None:
    from fingerprint.settings import HOP, SAMPLE_RATE

    title_of = _titles(settings)
    shown = 0
    for cluster in clusters:
        some = [each for each in cluster.occurrences if day is None or _is_on(each, day)]
        if not some:
            continue
        shown += 1
        fields = _fields(station, store, cluster, some, recordings, title_of(cluster.id))
        if returning is not None:
            fields["guess"] = returning[cluster.id].kind
            fields["episodes"] = returning[cluster.id].episodes
        if as_json:
            put(to_json(fields))
            continue
        length = clock(cluster.length * HOP / SAMPLE_RATE)
        label = cluster.label.replace("_", " ")
        times = f"{len(cluster.occurrences)} times"
        if returning is not None:
            times += f" in {fields['episodes']} of {len(recordings)} episodes"
        head = f"{cluster.id}  {fields['guess']}, {times}, {length}, {label}".rstrip(", ")
        say(f"{head}  {fields['title']}".rstrip())
        for each in some:
            say(f"  {_place(each, recordings)}")
    if not shown and not as_json:
        on = "" if day is None else f" that has an occurrence on {day} (UTC)"
        say(f"nothing is played several times{on}")


def _fields(
    station: str,
    store: Store,
    cluster: Cluster,
    occurrences: list[Occurrence],
    recordings: list[Recording],
    title: str,
) -> JsonObject:
    from fingerprint.repeats.kinds import guess
    from fingerprint.repeats.recordings import place_of
    from fingerprint.settings import HOP, SAMPLE_RATE

    listed: list[JsonObject] = []
    for each in occurrences:
        start, end = each.start, each.end
        place = place_of(recordings, start)
        fields: JsonObject = {}
        if place is not None:
            fields["file"] = place.path
            start, end = start - place.start, end - place.start
        fields["start_s"] = round(max(start, 0) * HOP / SAMPLE_RATE, 2)
        fields["end_s"] = round(end * HOP / SAMPLE_RATE, 2)
        fields["time"] = None if place is not None else _time(each.start)
        fields["label"] = each.label
        listed.append(fields)
    clip = store.clip(cluster.id)
    return {
        "cluster": cluster.id,
        "station": station,
        "guess": guess(cluster),
        "title": title,
        "label": cluster.label,
        "count": len(cluster.occurrences),
        "length_s": round(cluster.length * HOP / SAMPLE_RATE, 2),
        "share": round(cluster.share, 3),
        "clip": str(clip) if clip.exists() else None,
        "occurrences": [*listed],
    }


def _place(each: Occurrence, recordings: list[Recording]) -> str:
    from fingerprint.repeats.recordings import place_of
    from fingerprint.settings import HOP, SAMPLE_RATE

    place = place_of(recordings, each.start)
    start = each.start if place is None else max(each.start - place.start, 0)
    begin_s, length_s = start * HOP / SAMPLE_RATE, (each.end - each.start) * HOP / SAMPLE_RATE
    if place is None and _time(each.start) is not None:
        return f"{utc(begin_s)} - {utc(begin_s + length_s)[11:]}"
    where = f"{clock(begin_s)} - {clock(begin_s + length_s)}"
    return where if place is None else f"{where}  {place.path}"


def _time(frame: int) -> str | None:
    """Return the date of a frame that counts from 1970, as those of live stations do."""
    from fingerprint.repeats.kinds import LIVE_S
    from fingerprint.settings import HOP, SAMPLE_RATE
    from stream.ranges import is_time

    seconds = frame * HOP / SAMPLE_RATE
    return iso_time(seconds) if seconds >= LIVE_S and is_time(seconds) else None


def _is_on(each: Occurrence, day: date) -> bool:
    from fingerprint.settings import HOP, SAMPLE_RATE

    begin = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    end = begin + timedelta(days=1).total_seconds()
    return begin <= each.start * HOP / SAMPLE_RATE < end


def _titles(settings: Config) -> Callable[[str], str]:
    if not settings.identify.catalogue:
        return lambda _: ""
    from fingerprint.catalogue import Catalogue
    from fingerprint.repeats.naming import title_in

    return title_in(Catalogue.open(Path(settings.identify.catalogue)))


def _day(text: str | None) -> date | None:
    from airsift.errors import ConfigError

    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--day {text}: must be a date in UTC, as 2026-09-21") from None


def _root(root: Path | None) -> Path:
    from airsift.errors import ConfigError

    if root is None:
        raise ConfigError(
            "repeats.folder is empty, so nothing says where repeats are stored: give --store "
            "FOLDER, or set the key"
        )
    return root
