"""`airsift.segment`: one recording, its segments and its music."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, SupportsIndex

from airsift.api.audio import open_recording
from airsift.api.engine import analyser_of
from airsift.api.settings import config_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airsift.api.audio import Audio
    from airsift.api.catalogue import Catalogue
    from airsift.api.results import Segments
    from airsift.api.settings import Settings


def segment(
    audio: Audio,
    rate: SupportsIndex | float | None = None,
    *,
    catalogue: str | os.PathLike[str] | Catalogue | None = None,
    config: Settings = None,
    name: str | None = None,
    track: str | None = None,
    channels_first: bool | None = None,
    progress: Callable[[float], object] | None = None,
) -> Segments:
    """Find the speech and the music of a recording, and name the music.

    The result is that of the command ``airsift segment`` for the same audio. It may be called in
    several threads at once; all calls of a process share the networks that are loaded.

    Parameters
    ----------
    audio : path or np.ndarray [shape=(n,), (n, channels) or (channels, n)]
        The path of a file of any format that FFmpeg reads, also a film; a web address of one,
        which begins with http:// or https://. Or samples: float16, float32 or float64 with full
        scale 1.0, or int16, int32, int8 or uint8 with that of their kind; also a tensor of torch,
        and whatever else `numpy.asarray` takes. Of two axes, the longer one is time.
    rate : int > 0
        Samples per second of an array, from 1000 to 768000. A file says its own.
    catalogue : path or Catalogue, optional
        Tracks that are identified in the music.
    config : path or mapping, optional
        A TOML file; or a mapping of keys of the configuration that differ from the defaults, as
        ``{"smoothing.min_segment_s": 2}``. ``AIRSIFT_`` variables count as for the command line;
        the user's own file does not.
    name : str, optional
        Name of the result; by default the path, or "array".
    track : str, optional
        Number, language or title of the audio track of a file with several.
    channels_first : bool, optional
        Whether an array is (channels, n), where the longer axis is not time.
    progress : callable, optional
        Is given the seconds of audio that were processed, now and then.

    Returns
    -------
    Segments
        A list of `Segment` with ``name``, ``duration_s`` in seconds, ``matches`` and ``warnings``.

    Raises
    ------
    AirsiftError
        The audio cannot be read, has less than 0.5 s, or holds values that are no samples; or the
        catalogue or the configuration cannot be used. A file that is damaged is no error: what is
        left of it is returned with ``warnings``.

    Examples
    --------
    >>> import airsift, numpy
    >>> seconds = numpy.arange(16_000 * 6) / 16_000
    >>> found = airsift.segment(0.1 * numpy.sin(2 * numpy.pi * 440 * seconds), 16_000)
    >>> [(segment.start_s, segment.end_s) for segment in found]
    [(0.0, 6.0)]
    """
    chosen = config_of(config, catalogue)
    recording = open_recording(
        audio, rate, chosen, name=name, track=track, channels_first=channels_first
    )

    def advance(ends: Mapping[str, float]) -> None:
        if progress is not None:
            progress(max(ends.values()))

    with closing(recording):
        found = analyser_of(chosen).segments(recording, progress=advance)
    if name is not None:
        found.name = name
    return found
