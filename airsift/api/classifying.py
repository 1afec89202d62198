"""`airsift.classify`: the probabilities of windows that do not overlap."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, SupportsIndex

from airsift.api.audio import open_recording
from airsift.api.engine import clip_classifier_of, too_short
from airsift.api.results import needs
from airsift.api.settings import config_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pandas

    from airsift.api.audio import Audio
    from airsift.api.settings import Settings
    from airsift.config import Config
    from stream.runner import Stop
    from stream.sources.base import Recording


@dataclass(frozen=True, slots=True)
class Window:
    """A window, classified without its surroundings.

    Parameters
    ----------
    start_s, end_s : float >= 0
        Seconds from the recording's begin. It has 5 s; the last one, and one before a gap, less.
    probabilities : dict of str to float
        In [0, 1] by label, independent of each other: speech and music may both be sure.

    Examples
    --------
    >>> import airsift
    >>> window = airsift.Window(0.0, 5.0, {"speech": 0.98, "music": 0.03})
    >>> window.probabilities["speech"]
    0.98
    """

    start_s: float
    end_s: float
    probabilities: dict[str, float]


class Windows(list[Window]):
    """The windows of one recording, in order of time, with what else is known of it.

    Parameters
    ----------
    windows : iterable of Window
        In order of time.
    name : str
        What the recording is called.
    labels : iterable of str
        The labels of the network, in its order.
    warnings : iterable of str
        What was wrong with the audio, one line each.

    Examples
    --------
    >>> import airsift
    >>> airsift.Windows([airsift.Window(0.0, 5.0, {"speech": 0.98})], labels=["speech"])[0].end_s
    5.0
    """

    def __init__(
        self,
        windows: Iterable[Window] = (),
        *,
        name: str = "",
        labels: Iterable[str] = (),
        warnings: Iterable[str] = (),
    ) -> None:
        super().__init__(windows)
        self.name = name
        self.labels = [*labels]
        self.warnings = [*warnings]

    def to_frame(self) -> pandas.DataFrame:
        """Return a table of pandas with the columns start_s, end_s and ``p_LABEL`` of each label.

        Raises
        ------
        AirsiftError
            pandas is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise needs("to_frame", "pandas", error) from None
        rows = [
            (each.start_s, each.end_s, *(each.probabilities[label] for label in self.labels))
            for each in self
        ]
        columns = ["start_s", "end_s", *(f"p_{label}" for label in self.labels)]
        return pandas.DataFrame(rows, columns=columns)


def classify(
    audio: Audio,
    rate: SupportsIndex | float | None = None,
    *,
    config: Settings = None,
    name: str | None = None,
    track: str | None = None,
    channels_first: bool | None = None,
) -> Windows:
    """Classify the windows of 5 s of a recording one by one, without their surroundings.

    The result is that of the command ``airsift classify``. What is left at the end is a window too,
    if it has 0.5 s. The network may be one of any labels: ``config={"model.path": "mine.pt"}``.

    Parameters
    ----------
    audio, rate, config, name, track, channels_first
        As for `airsift.segment`.

    Returns
    -------
    Windows
        A list of `Window`, with ``labels``, ``name`` and ``warnings``.

    Raises
    ------
    AirsiftError
        As for `airsift.segment`.

    Examples
    --------
    >>> import airsift, numpy
    >>> windows = airsift.classify(numpy.zeros(16_000 * 7), 16_000)
    >>> [(window.start_s, window.end_s) for window in windows]
    [(0.0, 5.0), (5.0, 7.0)]
    >>> sorted(windows[0].probabilities)
    ['music', 'speech']
    """
    chosen = config_of(config)
    recording = open_recording(
        audio, rate, chosen, name=name, track=track, channels_first=channels_first
    )
    with closing(recording):
        found = [*each_window(recording, chosen)]
        labels = clip_classifier_of(chosen).labels
        return Windows(
            found, name=name or recording.station, labels=labels, warnings=recording.warnings
        )


def each_window(
    recording: Recording, config: Config, *, stop: Stop | None = None
) -> Iterator[Window]:
    """Yield each window of a recording as soon as it is classified, until `stop` is requested.

    Raises
    ------
    AirsiftError
        Less than 0.5 s of it is audio, or it cannot be read any further.
    """
    found = False
    for window in clip_classifier_of(config).windows(recording):
        found = True
        if stop is not None and stop.requested:
            return
        yield Window(
            round(window.start / window.rate, 3),
            round(window.end / window.rate, 3),
            {label: round(p, 4) for label, p in window.probabilities.items()},
        )
    if not found and not (stop is not None and stop.requested):
        raise too_short(recording.station, recording.decoded_s)
