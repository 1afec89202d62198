"""What is asked of the model, and whether it is met: one row for each figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.evaluation import metrics as figures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from model.evaluation.metrics import Figure
    from model.evaluation.predict import Judged

# What the pooled figures are taken over: pure windows, and music under speech as on air.
POOLED = ("speech", "music", "singing", "noise", "silence and hiss", "music at -10 dB and speech")
PURE = ("speech", "music", "singing")
SILENT = ("noise", "silence and hiss")
DEGRADED = ("telephone", "MP3 32 kb/s", "GSM 06.10")
ASKED_OF_PROGRAMMES = {
    "segment-based macro F, 1 s": 0.97,
    "boundaries found within 1 s": 0.85,
}
# Another network than the one that the other rows are about.
VOICE = "voice, held-out speakers, by the shipped `voice.pt`"
MOST_BYTES = 1_000_000
MOST_WINDOW_S = 0.002
MOST_LABELLED = 0.08
MOST_LOSS = 0.01
MOST_CALIBRATION_ERROR = 0.03


@dataclass(frozen=True, slots=True)
class Row:
    """A figure that is asked for.

    Parameters
    ----------
    figure, asked, measured : str
        Its name, the bound and the value with its interval.
    behind : str
        How many windows and groups.
    met : bool or None
        Whether the value is within the bound; None where it was not measured.
    """

    figure: str
    asked: str
    measured: str
    behind: str
    met: bool | None


def rows(
    judged: Mapping[str, Judged],
    programmes: Mapping[str, Figure],
    voice: Figure | None,
    window_s: float,
    weights_bytes: int,
) -> list[Row]:
    """Return a row for each figure that was asked for.

    Parameters
    ----------
    judged : dict of str to Judged
        The conditions by name.
    programmes : dict of str to Figure
        From `model.evaluation.event_metrics`; empty where none were made.
    voice : Figure, optional
        Share of speech windows whose voice the shipped network tells right.
    window_s : float
        Cost of a window on one thread.
    weights_bytes : int
        Size of the model file.
    """
    present = [judged[name] for name in POOLED if name in judged]
    found = [
        _least("speech against music, forced choice", 0.99,
               figures.estimate(figures.forced_choice, figures.pool(_of(judged, PURE)))),
        _least("macro F of the two outputs at 0.5", 0.985,
               figures.estimate(figures.macro_f, figures.pool(present))),
    ]  # fmt: skip
    if "singing" in judged:
        found.append(_one(judged, "singing", "singing labelled music and not speech alone", 0.98,
                          figures.said(figures.MUSIC)))  # fmt: skip
    found += [
        _one(judged, "speech", "speech not labelled music", 0.98, figures.not_said(figures.MUSIC)),
        _under("noise and silence labelled speech or music", MOST_LABELLED,
               figures.estimate(figures.labelled, figures.pool(_of(judged, SILENT)))),
        _one(judged, "music at -10 dB and speech", "music 10 dB under speech: both found", 0.9,
             figures.both_right),
        _one(judged, "music at -20 dB and speech", "music 20 dB under speech: both found", 0.6,
             figures.both_right),
    ]  # fmt: skip
    for name in DEGRADED:
        lost = figures.estimate(figures.loss, _pairs(judged, name))
        found.append(_points(f"{name}: macro F lost against clean", MOST_LOSS, lost))
    for name, least in ASKED_OF_PROGRAMMES.items():
        if name in programmes:
            found.append(_least(f"programmes, {name}", least, programmes[name], "programmes"))
    if voice is None:
        found.append(Row(VOICE, "97 % or more", "not measured", "", None))
    else:
        found.append(_least(VOICE, 0.97, voice))
    found += [
        _under("expected calibration error", MOST_CALIBRATION_ERROR,
               figures.estimate(figures.calibration_error, figures.pool(present))),
        Row("size of the weights", "under 1 MB", f"{weights_bytes / 1e6:.2f} MB", "",
            weights_bytes < MOST_BYTES),
        Row("CPU time of a window of columns alone, one thread", "under 2 ms",
            f"{window_s * 1e3:.2f} ms", "", window_s < MOST_WINDOW_S),
    ]  # fmt: skip
    return found


def degraded(judged: Mapping[str, Judged], names: Sequence[str]) -> dict[str, Figure]:
    """Return what each treatment costs in macro F over speech and music, 0 to 1."""
    return {name: figures.estimate(figures.loss, _pairs(judged, name)) for name in names}


def percent(figure: Figure) -> str:
    """Return a share and its interval."""
    return f"{figure.value:.1%} ({figure.low:.1%} to {figure.high:.1%})"


def points(figure: Figure) -> str:
    """Return a difference of shares and its interval, in points."""
    return f"{figure.value * 100:+.1f} ({figure.low * 100:+.1f} to {figure.high * 100:+.1f})"


def _pairs(judged: Mapping[str, Judged], treatment: str) -> figures.Pool:
    treated = [judged[f"{name}, {treatment}"] for name in ("speech", "music")]
    return figures.paired(_of(judged, ("speech", "music")), treated)


def _of(judged: Mapping[str, Judged], names: Sequence[str]) -> list[Judged]:
    return [judged[name] for name in names if name in judged]


def _one(
    judged: Mapping[str, Judged],
    condition: str,
    name: str,
    least: float,
    figure: figures.Measure,
) -> Row:
    return _least(name, least, figures.estimate(figure, figures.pool([judged[condition]])))


def _least(name: str, least: float, figure: Figure, units: str = "") -> Row:
    asked = f"{least * 100:g} % or more"
    return Row(name, asked, percent(figure), _behind(figure, units), figure.value >= least)


def _under(name: str, most: float, figure: Figure) -> Row:
    asked = f"under {most * 100:g} %"
    return Row(name, asked, percent(figure), _behind(figure), figure.value < most)


def _points(name: str, most: float, figure: Figure) -> Row:
    asked = f"under {most * 100:g} point"
    return Row(name, asked, points(figure), _behind(figure), figure.value < most)


def _behind(figure: Figure, units: str = "") -> str:
    return f"{figure.groups} {units}" if units else f"{figure.windows} / {figure.groups}"
