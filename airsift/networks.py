"""The networks of a configuration: which files they are, and what loads them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airsift.config import Config
    from model.backend import Backend, Classifier, FrontEnd

log = logging.getLogger(__name__)

LABELS = ("speech", "music")
VOICE_LABELS = ("female", "male")


def parts_in_words(config: Config) -> str:
    """Return what a pipeline is made of, in one line."""
    model = config.model.path or "the shipped one"
    voice = (config.model.voice_path or "the shipped one") if config.model.voice else "none"
    labels = f"network of labels {config.model.labels_path}, " if config.model.labels_path else ""
    return (
        f"network {model}, network of voices {voice}, {labels}catalogue "
        f"{config.identify.catalogue or 'none'}, repeats {config.repeats.folder or 'none'}"
    )


def model_rate(config: Config) -> int:
    """Return the sample rate of the configured network, in Hz, without loading it."""
    from model.weights import read_spec

    return read_spec(model_file(config)).sample_rate


def model_file(config: Config) -> Path:
    """Return the file of the configured network."""
    from model.weights import DEFAULT_WEIGHTS

    return Path(config.model.path) if config.model.path else DEFAULT_WEIGHTS


def voice_file(config: Config) -> Path:
    """Return the file of the configured network of voices."""
    from model.weights import VOICE_WEIGHTS

    return Path(config.model.voice_path) if config.model.voice_path else VOICE_WEIGHTS


def build_backend(config: Config) -> Backend:
    """Choose the library that computes; import it, and no other."""
    from model.backend import open_backend

    chosen = config.model
    return open_backend(
        chosen.backend,
        device=chosen.device,
        front_end=chosen.front_end,
        threads=chosen.threads,
        models=[
            model_file(config),
            *([voice_file(config)] if chosen.voice else []),
            *([Path(chosen.labels_path)] if chosen.labels_path else []),
        ],
    )


def build_model(config: Config, backend: Backend | None = None) -> tuple[FrontEnd, Classifier]:
    """Load the network and its front end."""
    backend = backend or build_backend(config)
    file = model_file(config)
    check_model(backend, file, config.model.sha256, "model.sha256")
    return backend.front_end(file), backend.classifier(file)


@dataclass(frozen=True, slots=True)
class Models:
    """The networks of a pipeline. Several pipelines may use them at the same time, in any threads.

    Parameters
    ----------
    front_end, classifier
        See `stream.pipeline.Pipeline`.
    voice : Classifier, optional
        The network of voices.
    labels : Classifier, optional
        The network with labels of your own.
    """

    front_end: FrontEnd
    classifier: Classifier
    voice: Classifier | None
    labels: Classifier | None = None


def load_models(config: Config) -> Models:
    """Load the networks of a pipeline.

    Raises
    ------
    AirsiftError
        A file is missing, is not trusted, or is a network with other labels.
    """
    backend = build_backend(config)
    log.debug("computes with %s: %s", backend.name, parts_in_words(config))
    front_end, classifier = build_model(config, backend)
    classifier.spec.check_labels(
        LABELS, "model.path", "name this one in model.labels_path, which adds its labels"
    )
    voice, labels = build_voice(config, backend), build_labels(config, backend)
    return Models(front_end, classifier, voice, labels)


def build_voice(config: Config, backend: Backend) -> Classifier | None:
    """Load the network of voices, unless it is switched off."""
    if not config.model.voice:
        return None
    file = voice_file(config)
    check_model(backend, file, config.model.voice_sha256, "model.voice_sha256")
    voice = backend.classifier(file)
    voice.spec.check_labels(VOICE_LABELS, "model.voice_path")
    return voice


def build_labels(config: Config, backend: Backend) -> Classifier | None:
    """Load the network with labels of your own, if one is configured."""
    if not config.model.labels_path:
        return None
    file = Path(config.model.labels_path)
    check_model(backend, file, config.model.labels_sha256, "model.labels_sha256")
    return backend.classifier(file)


def check_model(backend: Backend, file: Path, sha256: str, key: str) -> None:
    """Refuse a model file whose hash is not configured.

    A TorchScript file is a program, and only known ones are loaded. A file for onnxruntime is none:
    it must be made of the file whose hash is configured, if one is.
    """
    from model.weights import check_source, check_trusted

    if backend.name == "torch":
        check_trusted(file, sha256, key)
    elif sha256:
        check_source(file, sha256, key)
