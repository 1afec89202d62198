"""From a configuration to the pipeline it describes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.errors import ConfigError
from airsift.networks import load_models

if TYPE_CHECKING:
    from collections.abc import Callable

    from airsift.config import Config
    from airsift.networks import Models
    from model.backend import Classifier, FrontEnd
    from stream.alarms.rules import AlarmPlan
    from stream.load import Load
    from stream.pipeline import Pipeline
    from stream.stages.alarms import WatchAlarms
    from stream.stages.identify import Identify
    from stream.stages.labels import OwnLabels
    from stream.stages.levels import Levels
    from stream.stages.matchers import Matchers, MatchersOf
    from stream.stages.query_times import IdentifySettings
    from stream.stages.repeats import FindRepeats
    from stream.stages.smooth import SmoothSettings
    from stream.stages.work_budget import WorkBudget
    from stream.stations.source import StationsSource

log = logging.getLogger(__name__)

BOUNDARY_GRID_S = 0.2  # as far apart as the frames that date boundaries


def build_identify(
    config: Config,
    rate: int,
    load: Load | None = None,
    stations: StationsSource | None = None,
) -> Identify | None:
    """Open the configured catalogue, if any, for music at `rate`.

    With `load`, the stage leaves out what that says. With `stations`, the source of a list, each of
    them may name a catalogue of its own, which is opened when it is needed.
    """
    from stream.stages.identify import Identify
    from stream.stages.matchers import for_all

    folder = config.identify.catalogue
    default = open_matchers(config, rate, folder, "identify.catalogue") if folder else None
    if stations is not None:
        from stream.stations.catalogues import StationCatalogues

        matchers_of: MatchersOf = StationCatalogues(
            default,
            lambda: stations.entries,
            lambda named: open_matchers(config, rate, named, "catalogue"),
        )
    elif default is not None:
        matchers_of = for_all(default.plain, default.warping)
    else:
        return None
    return Identify(
        matchers_of,
        query_times(config, rate),
        share_landmarks=True,
        load=load,
        budget=work_budget(config, rate),
    )


def open_matchers(config: Config, rate: int, folder: str, key: str) -> Matchers:
    """Open the catalogue that a key names, for music at `rate`.

    Raises
    ------
    AirsiftError
        It cannot be opened, or `rate` is another than that of catalogues.
    """
    from fingerprint.catalogue import Catalogue
    from fingerprint.matching.matcher import LandmarkMatcher
    from fingerprint.settings import SAMPLE_RATE
    from stream.stages.matchers import Matchers

    if rate != SAMPLE_RATE:
        raise ConfigError(
            f"{key}={folder!r}: catalogues are of audio at {SAMPLE_RATE} "
            f"Hz, and model.path names a network for {rate} Hz; leave one of them empty"
        )
    catalogue = Catalogue.open(Path(folder))
    for problem in catalogue.problems:  # the rest of it is searched
        log.warning("%s", problem)
    threshold = config.identify.threshold
    plain = LandmarkMatcher(catalogue, threshold=threshold, warp_search=False)
    if not config.identify.warp_every_n_queries:
        return Matchers(plain)
    return Matchers(plain, LandmarkMatcher(catalogue, threshold=threshold))


def work_budget(config: Config, rate: int) -> WorkBudget | None:
    """Return what the queries of a station may cost; None for anything.

    At once it is what the longest query's audio is worth, of each kind.
    """
    from stream.stages.work_budget import WorkBudget

    identify = config.identify
    if not identify.max_work:
        return None
    burst = max(round(identify.max_work * identify.max_query_s), 1)
    return WorkBudget(identify.max_work, burst, rate)


def query_times(config: Config, rate: int) -> IdentifySettings:
    """Return when the matcher is queried, in samples at `rate`."""
    from stream.stages.query_times import IdentifySettings

    identify = config.identify
    return IdentifySettings(
        first=round(identify.first_s * rate),
        interval=round(identify.interval_s * rate),
        query=round(identify.query_s * rate),
        shortest=round(identify.shortest_s * rate),
        tolerance=round(identify.tolerance_s * rate),
        warp_every_n_queries=max(identify.warp_every_n_queries, 1),
        max_query=round(identify.max_query_s * rate),
        other_interval=round(identify.other_interval_s * rate),
        short_interval=round(identify.short_interval_s * rate),
        short_query=round(identify.short_query_s * rate),
        warp_first=round(identify.warp_first_s * rate),
    )


def build_repeats(config: Config, rate: int) -> FindRepeats | None:
    """Return the stage that finds repeats, if a folder is configured for them."""
    if not config.repeats.folder:
        return None
    from fingerprint.settings import SAMPLE_RATE
    from stream.stages.repeats import FindRepeats, RepeatSettings

    if rate != SAMPLE_RATE:
        raise ConfigError(
            f"repeats.folder={config.repeats.folder!r}: repeats are found in audio at "
            f"{SAMPLE_RATE} Hz, and model.path names a network for {rate} Hz; leave one of them "
            "empty"
        )
    settings = RepeatSettings(
        Path(config.repeats.folder), config.repeats.days, config.repeats.clip_s
    )
    if config.identify.catalogue:
        from fingerprint.catalogue import Catalogue
        from fingerprint.repeats.naming import title_in

        settings.title_of = title_in(Catalogue.open(Path(config.identify.catalogue)))
    return FindRepeats(settings)


def build_levels(config: Config, rate: int) -> Levels | None:
    """Return the stage that measures levels, if that is configured; events count at `rate`."""
    if not config.levels.enabled:
        return None
    from stream.stages.levels import Levels

    levels = config.levels
    return Levels(rate, levels.interval_s, levels.integrated_s, each_second=config.alarms.enabled)


def build_alarms(
    config: Config, rate: int, source: StationsSource | None = None
) -> WatchAlarms | None:
    """Return the stage that opens and closes alarms, if that is configured.

    The stations are those of `source`, or those of ``alarms.stations``, which is read again when it
    changes.

    Raises
    ------
    ConfigError
        ``alarms.stations`` cannot be read, or levels are not measured.
    """
    if not config.alarms.enabled:
        return None
    if not config.levels.enabled:
        raise ConfigError(
            "alarms.enabled=true needs levels.enabled=true, which alarms look at: set both"
        )
    from stream.alarms.plans import FixedPlan, PlanOfFile, PlanOfSource
    from stream.stages.alarms import WatchAlarms

    plan_of: Callable[[], AlarmPlan]
    if source is not None:
        plan_of = PlanOfSource(config.alarms, rate, lambda: source.entries)
    elif config.alarms.stations:
        path = Path(config.alarms.stations)
        plan_of = PlanOfFile(config.alarms, rate, path, config.http, config.kafka)
    else:
        plan_of = FixedPlan(config.alarms, rate)
    return WatchAlarms(plan_of, rate)


def build_pipeline(
    config: Config,
    *,
    reorder: bool = False,
    with_levels: bool = False,
    with_alarms: bool = False,
    ready: bool = False,
    stations: StationsSource | None = None,
    models: Models | None = None,
) -> Pipeline:
    """Build everything between source and sinks.

    With `reorder` it waits for late chunks, as configured: for sources that may send them late.
    With `with_levels` it measures levels, if configured: for commands that publish them.
    With `with_alarms` it opens alarms, if configured: for commands that go on with a station where
    they stopped, or follow it live; `stations` is the source of a list of them.
    With `ready` what is checked on this machine before its first use is checked now, so that it
    delays no audio of a service; a short file is done sooner than all checks.
    With `models` it loads none: they are those of `load_models` with the same configuration.
    """
    from stream.load import Load
    from stream.pipeline import Pipeline

    models = models or load_models(config)
    front_end, classifier, voice = models.front_end, models.classifier, models.voice
    if ready:
        parts: list[FrontEnd | Classifier] = [front_end, classifier, *([voice] if voice else [])]
        parts += [models.labels] if models.labels else []
        for part in parts:
            part.unbatched()
    rate, load = classifier.spec.sample_rate, Load(config.run.overload_s)
    return Pipeline(
        front_end,
        classifier,
        smoothing(config, rate),
        build_identify(config, rate, load, stations),
        voice,
        reorder_s=config.kafka.wire.reorder_ms / 1000 if reorder else 0.0,
        repeats=build_repeats(config, rate),
        levels=build_levels(config, rate) if with_levels else None,
        alarms=build_alarms(config, rate, stations) if with_alarms else None,
        labels=own_labels(config, models),
        load=load,
    )


def own_labels(config: Config, models: Models) -> OwnLabels | None:
    """Return the stage for labels of your own, if there is a network of them."""
    if models.labels is None:
        return None
    from stream.stages.labels import OwnLabels

    spec = models.classifier.spec
    return OwnLabels(models.labels, spec, smoothing(config, spec.sample_rate))


def smoothing(config: Config, rate: int) -> SmoothSettings:
    """Return the settings of the smoother, in samples at `rate`."""
    from stream.stages.smooth import SmoothSettings

    return SmoothSettings(
        change_cost=config.smoothing.change_cost,
        max_delay=round(config.smoothing.max_delay_s * rate),
        speech_level=config.smoothing.speech_level,
        music_level=config.smoothing.music_level,
        min_length=round(config.smoothing.min_segment_s * rate),
        update=round(config.smoothing.update_s * rate),
        grid=round(BOUNDARY_GRID_S * rate),
    )
