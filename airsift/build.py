"""From a configuration to the parts it describes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.errors import ConfigError

if TYPE_CHECKING:
    from airsift.config import Config
    from model.classifier import Classifier
    from model.frontend.base import FrontEnd
    from stream.pipeline import Pipeline
    from stream.stages.identify import Identify
    from stream.stages.smooth import SmoothSettings

log = logging.getLogger(__name__)

LABELS = ("speech", "music")
VOICE_LABELS = ("female", "male")
BOUNDARY_GRID_S = 0.1  # coarse enough that the last bits of a probability move no boundary


def model_rate(config: Config) -> int:
    """Return the samples per second of the configured network's audio, without loading it."""
    from model.classifier import DEFAULT_WEIGHTS, read_spec

    file = Path(config.model.path) if config.model.path else DEFAULT_WEIGHTS
    return read_spec(file).sample_rate


def build_model(config: Config) -> tuple[FrontEnd, Classifier, str]:
    """Load the network and the front end that its spec asks for; return them and their device."""
    import torch

    from model.classifier import DEFAULT_WEIGHTS, load
    from model.frontend.rolling_cqt import make_front_end
    from model.units import use_threads
    from model.weights import check_trusted

    device = config.model.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device != "cpu" and not torch.cuda.is_available():
        raise ConfigError(f"model.device={device!r}: there is no such device here; use auto or cpu")
    use_threads(config.model.threads)
    file = Path(config.model.path) if config.model.path else DEFAULT_WEIGHTS
    check_trusted(file, config.model.sha256, "model.sha256")
    classifier = load(file, device)
    front_end = make_front_end(config.model.front_end, classifier.spec.compression).to(device)
    return front_end, classifier, device


def build_voice(config: Config, device: str) -> Classifier | None:
    """Load the network that tells voices, unless it is switched off."""
    if not config.model.voice:
        return None
    from model.classifier import VOICE_WEIGHTS, load
    from model.weights import check_trusted

    file = Path(config.model.voice_path) if config.model.voice_path else VOICE_WEIGHTS
    check_trusted(file, config.model.voice_sha256, "model.voice_sha256")
    voice = load(file, device)
    voice.spec.check_labels(VOICE_LABELS, "model.voice_path")
    return voice


def build_identify(config: Config, rate: int) -> Identify | None:
    """Open the catalogue, if one is configured, for music at `rate`."""
    identify = config.identify
    if not identify.catalogue:
        return None
    from fingerprint.catalogue import Catalogue
    from fingerprint.matching.matcher import LandmarkMatcher
    from fingerprint.settings import SAMPLE_RATE
    from stream.stages.identify import Identify, IdentifySettings

    if rate != SAMPLE_RATE:
        raise ConfigError(
            f"identify.catalogue={identify.catalogue!r}: catalogues are of audio at {SAMPLE_RATE} "
            f"Hz, and model.path names a network for {rate} Hz; leave one of them empty"
        )
    settings = IdentifySettings(
        first=round(identify.first_s * rate),
        interval=round(identify.interval_s * rate),
        query=round(identify.query_s * rate),
        shortest=round(identify.shortest_s * rate),
        tolerance=round(identify.tolerance_s * rate),
        thorough_every=max(identify.thorough_every, 1),
        evidence=round(identify.evidence_s * rate),
    )
    catalogue = Catalogue.open(Path(identify.catalogue))
    for problem in catalogue.problems:  # the rest of it serves
        log.warning("%s", problem)
    quick = LandmarkMatcher(catalogue, threshold=identify.threshold, thorough=False)
    thorough = None
    if identify.thorough_every:
        thorough = LandmarkMatcher(catalogue, threshold=identify.threshold)
    return Identify(quick, settings, thorough)


def build_pipeline(config: Config, *, reorder: bool = False) -> Pipeline:
    """Build everything between the two edges.

    With `reorder`, it waits for late chunks as configured: for sources that may give them.
    """
    from stream.pipeline import Pipeline

    front_end, classifier, device = build_model(config)
    classifier.spec.check_labels(LABELS, "model.path")
    voice = build_voice(config, device)
    check_units(front_end, classifier, voice, device)
    rate = classifier.spec.sample_rate
    return Pipeline(
        front_end,
        classifier,
        smoothing(config, rate),
        build_identify(config, rate),
        device,
        voice,
        reorder_s=config.kafka.wire.reorder_ms / 1000 if reorder else 0.0,
    )


def check_units(
    front_end: FrontEnd, classifier: Classifier, voice: Classifier | None, device: str
) -> None:
    """Check on this machine that a station's bits do not depend on other stations or on cutting.

    Where they would, rows are computed one by one from here on, which is said once.
    """
    units = [*front_end.units, *classifier.units, *(voice.units if voice else [])]
    alone = sorted({each.name for each in units if each.sizes(device) == (1,)})
    if alone:
        log.warning(
            "on this processor the last bits of a result depend on what is computed with it: %s "
            "computed one step of one station at a time, which is slower and gives the same events",
            ", ".join(alone),
        )


def smoothing(config: Config, rate: int) -> SmoothSettings:
    """Return the smoother's settings in samples at `rate`."""
    from stream.stages.smooth import SmoothSettings

    return SmoothSettings(
        enter=config.smoothing.enter,
        leave=config.smoothing.leave,
        speech_level=config.smoothing.speech_level,
        music_level=config.smoothing.music_level,
        min_length=round(config.smoothing.min_segment_s * rate),
        update=round(config.smoothing.update_s * rate),
        grid=round(BOUNDARY_GRID_S * rate),
    )
