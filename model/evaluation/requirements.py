"""The requirements on the model, and whether they are passed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.evaluation import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from model.evaluation.metrics import Estimate
    from model.evaluation.predict import Predictions

# Conditions of the pooled metrics: pure windows, and music under speech as on air.
POOLED = ("speech", "music", "singing", "noise", "silence and hiss", "music at -10 dB and speech")
PURE = ("speech", "music", "singing")
SILENT = ("noise", "silence and hiss")
DEGRADED = ("telephone", "MP3 32 kb/s", "GSM 06.10")
PROGRAMME_MINIMUM = {
    "segment-based macro F, 1 s": 0.97,
    "boundaries found within 1 s": 0.85,
}
VOICE = "voice, held-out speakers, by the shipped `voice.pt`"
MAX_BYTES = 1_000_000
MAX_WINDOW_S = 0.002
MAX_LABELLED = 0.08
MAX_LOSS = 0.01
MAX_CALIBRATION_ERROR = 0.03


@dataclass(frozen=True, slots=True)
class Requirement:
    """A required metric and its measured value.

    Parameters
    ----------
    metric, threshold, measured : str
        Name, bound, and value with its interval.
    support : str
        Number of windows and groups.
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
    """

    def measured(metric: metrics.Metric, *names: str) -> Estimate:
        present = [predictions[name] for name in names if name in predictions]
        return metrics.estimate(metric, metrics.pool(present))

    music, both = metrics.predicted(metrics.MUSIC), metrics.both_right
    found = [
        _at_least("speech against music, forced choice", 0.99,
                  measured(metrics.forced_choice, *PURE)),
        _at_least("macro F of the two outputs at 0.5", 0.985, measured(metrics.macro_f, *POOLED)),
    ]  # fmt: skip
    if "singing" in predictions:
        found.append(_at_least("singing labelled music and not speech alone", 0.98,
                               measured(music, "singing")))  # fmt: skip
    found += [
        _at_least("speech not labelled music", 0.98,
                  measured(metrics.not_predicted(metrics.MUSIC), "speech")),
        _below("noise and silence labelled speech or music", MAX_LABELLED,
               measured(metrics.labelled, *SILENT)),
        _at_least("music 10 dB under speech: both found", 0.9,
                  measured(both, "music at -10 dB and speech")),
        _at_least("music 20 dB under speech: both found", 0.6,
                  measured(both, "music at -20 dB and speech")),
    ]  # fmt: skip
    for name, lost in degradation_losses(predictions, DEGRADED).items():
        found.append(_loss_below(f"{name}: macro F lost against clean", MAX_LOSS, lost))
    for name, minimum in PROGRAMME_MINIMUM.items():
        if name in programmes:
            found.append(_at_least(f"programmes, {name}", minimum, programmes[name], "programmes"))
    if voice is None:
        found.append(Requirement(VOICE, "97 % or more", "not measured", "", None))
    else:
        found.append(_at_least(VOICE, 0.97, voice))
    found += [
        _below("expected calibration error", MAX_CALIBRATION_ERROR,
               measured(metrics.calibration_error, *POOLED)),
        Requirement("size of the weights", "under 1 MB", f"{weights_bytes / 1e6:.2f} MB", "",
                    weights_bytes < MAX_BYTES),
        Requirement("CPU time of a window of columns alone, one thread", "under 2 ms",
                    f"{window_s * 1e3:.2f} ms", "", window_s < MAX_WINDOW_S),
    ]  # fmt: skip
    return found


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
    """Return a share and its interval."""
    return f"{estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%})"


def points(estimate: Estimate) -> str:
    """Return a difference of shares and its interval, in percentage points."""
    value, low, high = (100 * each for each in (estimate.value, estimate.low, estimate.high))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def _at_least(name: str, minimum: float, found: Estimate, units: str = "") -> Requirement:
    threshold = f"{minimum * 100:g} % or more"
    support = f"{found.groups} {units}" if units else _support(found)
    return Requirement(name, threshold, percent(found), support, found.value >= minimum)


def _below(name: str, maximum: float, found: Estimate) -> Requirement:
    threshold = f"under {maximum * 100:g} %"
    return Requirement(name, threshold, percent(found), _support(found), found.value < maximum)


def _loss_below(name: str, maximum: float, found: Estimate) -> Requirement:
    threshold = f"under {maximum * 100:g} point"
    return Requirement(name, threshold, points(found), _support(found), found.value < maximum)


def _support(found: Estimate) -> str:
    return f"{found.windows} / {found.groups}"
