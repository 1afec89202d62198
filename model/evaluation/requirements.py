"""The requirements on the model, and whether they are passed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from model.evaluation import by_source, kinds, metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from model.evaluation.metrics import Estimate, Thresholds
    from model.evaluation.predict import ConditionPredictions, Predictions

# Conditions of the pooled metrics: clean windows, and music under speech as on air.
POOLED = ("speech", "music", "singing", "noise", "silence and hiss", "music at -10 dB and speech")
DEGRADED = ("telephone", "MP3 32 kb/s", "GSM 06.10", "Opus 16 kb/s")
SPEECH_OVER_MUSIC = {-5: 0.95, -10: 0.93, -15: 0.85, -20: 0.72}
PROGRAMME_MINIMUM = {
    "segment-based macro F, 1 s": 0.97,
    "boundaries found within 1 s": 0.88,
    "detected boundaries that are true": 0.75,
}
VOICE = "voice, held-out speakers, by the shipped `voice.pt`"
NO_SOURCE = "not measured: no source of this kind"
RAP = "rap as music"
MAX_BYTES = 2_000_000  # 400 000 parameters and the code
MAX_WINDOW_S = 0.002
MIN_MACRO_F = 0.992
MIN_WORST = 0.92
MAX_SUNG_SPEECH = 0.04
MAX_LOSS = 0.005
MAX_CALIBRATION_ERROR = 0.02


@dataclass(frozen=True, slots=True)
class Requirement:
    """A required metric and its measured value.

    Parameters
    ----------
    metric, threshold, measured : str
        Name, bound, and value with its interval.
    support : str
        Number of windows, groups and sources.
    passed : bool or None
        Whether the value is within the bound; None if it was not measured.
    """

    metric: str
    threshold: str
    measured: str
    support: str
    passed: bool | None


def check_requirements(
    predictions: Predictions,
    programmes: Mapping[str, Estimate],
    voice: Estimate | None,
    window_s: float,
    weights_bytes: int,
    thresholds: Thresholds = metrics.THRESHOLDS,
) -> list[Requirement]:
    """Compare all required metrics with their thresholds.

    Parameters
    ----------
    predictions : dict of str to ConditionPredictions
        The conditions by name.
    programmes : dict of str to Estimate
        From `model.evaluation.event_metrics`; may be empty.
    voice : Estimate, optional
        Share of speech windows with the right voice, by the shipped network of voices.
    window_s : float
        CPU seconds of a window on one thread.
    weights_bytes : int
        Size of the model file.
    thresholds : (float, float)
        Of speech and music, for one label a window.
    """
    found = [
        _at_least(
            "macro F of speech, music and singing, mean over sources",
            MIN_MACRO_F,
            by_source.macro_f(predictions, thresholds),
        ),
        _worst(predictions, thresholds),
        *_kinds(predictions, thresholds),
        _sung_speech(predictions),
    ]
    for level, minimum in SPEECH_OVER_MUSIC.items():
        both = metrics.pool([predictions[f"music at {level:+d} dB and speech"]])
        measured = metrics.estimate(metrics.both_right, both)
        found.append(_at_least(f"music {-level} dB under speech: both found", minimum, measured))
    for name, lost in degradation_losses(predictions, DEGRADED).items():
        found.append(_loss_below(f"{name}: macro F lost against clean", MAX_LOSS, lost))
    for name, minimum in PROGRAMME_MINIMUM.items():
        metric = f"programmes, {name}"
        if name in programmes:
            found.append(_at_least(metric, minimum, programmes[name], "programmes"))
        else:
            found.append(_unknown(metric, _or_more(minimum)))
    found.append(
        _unknown(VOICE, _or_more(0.97)) if voice is None else _at_least(VOICE, 0.97, voice)
    )
    calibrated = metrics.pool(pooled(predictions), equal_sources=True)
    found += [
        _below(
            "expected calibration error, each source with the same weight",
            MAX_CALIBRATION_ERROR,
            metrics.estimate(metrics.calibration_error, calibrated),
        ),
        Requirement("size of the weights", "under 2 MB", f"{weights_bytes / 1e6:.2f} MB", "",
                    weights_bytes < MAX_BYTES),
        Requirement("CPU time of a window of columns alone, one thread", "under 2 ms",
                    f"{window_s * 1e3:.2f} ms", "", window_s < MAX_WINDOW_S),
    ]  # fmt: skip
    return found


def pooled(predictions: Predictions) -> list[ConditionPredictions]:
    """Return the conditions of the pooled metrics."""
    return [predictions[name] for name in POOLED if name in predictions]


def _worst(predictions: Predictions, thresholds: Thresholds) -> Requirement:
    worst = by_source.worst(by_source.figures(predictions, thresholds))
    assert worst is not None  # speech always has a source
    name = f"worst source of these, recall: {worst.kind} of {worst.source or 'no name'}"
    return _at_least(name, MIN_WORST, worst.one_label)


def _kinds(predictions: Predictions, thresholds: Thresholds) -> Iterator[Requirement]:
    for line, windows in kinds.by_line(predictions):
        if line.required is None:
            continue
        if windows is None:
            yield _unknown(line.name, _or_more(line.required), NO_SOURCE)
            continue
        measured = metrics.estimate(metrics.one_label_right(thresholds), metrics.pool([windows]))
        yield _at_least(line.name, line.required, measured)


def _sung_speech(predictions: Predictions) -> Requirement:
    """Share of singing also labelled speech; rap is excluded, because it is both."""
    name = "singing, without rap, also called speech"
    sung = [each for line, each in kinds.by_line(predictions)
            if each is not None and line.kind == "singing" and line.name != RAP]  # fmt: skip
    if not sung:
        return _unknown(name, f"under {MAX_SUNG_SPEECH * 100:g} %", NO_SOURCE)
    spoken = metrics.estimate(metrics.predicted(metrics.SPEECH), metrics.pool(sung))
    return _below(name, MAX_SUNG_SPEECH, spoken)


def degradation_losses(predictions: Predictions, names: Sequence[str]) -> dict[str, Estimate]:
    """Return the loss of macro F over speech and music by each degradation, 0 to 1."""
    clean = [predictions["speech"], predictions["music"]]
    pairs = {
        name: [predictions[f"speech, {name}"], predictions[f"music, {name}"]] for name in names
    }
    return {
        name: metrics.estimate(metrics.loss, metrics.paired(clean, degraded))
        for name, degraded in pairs.items()
    }


def percent(estimate: Estimate) -> str:
    """Return a share and its interval; one group has none."""
    if estimate.groups < 2:
        return f"{estimate.value:.1%}"
    return f"{estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%})"


def points(estimate: Estimate) -> str:
    """Return a difference of shares and its interval, in percentage points."""
    value, low, high = (100 * each for each in (estimate.value, estimate.low, estimate.high))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def support(found: Estimate) -> str:
    """Return the number of windows, groups and sources, as far as known."""
    numbers = (found.windows, found.groups, *([found.sources] if found.sources else []))
    return " / ".join(map(str, numbers))


def _or_more(minimum: float) -> str:
    return f"{np.round(minimum * 100, 4):g} % or more"


def _unknown(name: str, threshold: str, why: str = "not measured") -> Requirement:
    return Requirement(name, threshold, why, "", None)


def _at_least(name: str, minimum: float, found: Estimate, units: str = "") -> Requirement:
    counted = f"{found.groups} {units}" if units else support(found)
    return Requirement(name, _or_more(minimum), percent(found), counted, found.value >= minimum)


def _below(name: str, maximum: float, found: Estimate) -> Requirement:
    threshold = f"under {maximum * 100:g} %"
    return Requirement(name, threshold, percent(found), support(found), found.value < maximum)


def _loss_below(name: str, maximum: float, found: Estimate) -> Requirement:
    threshold = f"under {maximum * 100:g} point"
    return Requirement(name, threshold, points(found), support(found), found.value < maximum)
