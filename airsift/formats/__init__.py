"""Formats of results: each is a function from the segments of a recording to a text or bytes.

::

    from airsift.formats import FORMATS

    Path("talk.TextGrid").write_text(FORMATS["textgrid"].write(airsift.segment("talk.mp3")))

docs/formats.md says for whom each is, and what it carries.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from airsift.errors import AirsiftError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airsift.api.results import Segments

    Write = Callable[[Segments], str | bytes]


@dataclass(frozen=True, slots=True)
class Format:
    """A format by its name.

    Parameters
    ----------
    name : str
        What ``--format`` calls it.
    suffix : str
        Of its files.
    where : str
        The function that writes it, as ``module:function`` in this package. Loaded when it is
        used: the command line needs the names alone.
    purpose : str
        For whom it is, in a few words.
    precision_s : float
        Distance of the times it can hold, in seconds.
    many : {"joined", "headed", "apart"}
        Whether several recordings may stand one after the other in one file: as they are, without
        the first line of the later ones, or not at all.
    names_audio : bool
        Whether it holds a path to the audio, as seen from its own folder.
    """

    name: str
    suffix: str
    where: str
    purpose: str
    precision_s: float
    many: Literal["joined", "headed", "apart"] = "apart"
    names_audio: bool = False

    def write(self, segments: Segments) -> str | bytes:
        """Return a recording in this format.

        Raises
        ------
        AirsiftError
            A library of the extra ``formats`` is not installed, or the format cannot hold it.
        """
        module, _, function = self.where.partition(":")
        write: Write = getattr(import_module(f"{__name__}.{module}"), function)
        try:
            return write(segments)
        except ModuleNotFoundError as error:
            raise AirsiftError(
                f"--format {self.name} needs {error.name}, which is not installed: install "
                "airsift[formats], as with pip install 'airsift[formats]'"
            ) from None

    def to_bytes(self, segments: Segments) -> bytes:
        """Return a recording as the bytes of a file; see `write`."""
        found = self.write(segments)
        return found if isinstance(found, bytes) else found.encode("utf-8", "replace")


FORMATS = {
    each.name: each
    for each in (
        Format("table", ".txt", "table:table", "people, in a terminal", 0.1, "joined"),
        Format(
            "jsonl", ".jsonl", "rows:jsonl", "programs: the events, one a line", 0.001, "joined"
        ),
        Format("csv", ".csv", "rows:csv_table", "spreadsheets, R, pandas", 0.001, "headed"),
        Format("json", ".json", "document:document", "programs: one document", 0.001),
        Format("audacity", ".txt", "audacity:audacity", "Audacity's label tracks", 1e-6),
        Format("textgrid", ".TextGrid", "textgrid:textgrid", "Praat", 0.001),
        Format("elan", ".eaf", "elan:elan", "ELAN", 0.001, names_audio=True),
        Format("rttm", ".rttm", "rttm:rttm", "pyannote, dscore", 0.001, "joined"),
        Format("vtt", ".vtt", "subtitles:vtt", "players in browsers", 0.001),
        Format("srt", ".srt", "subtitles:srt", "all players", 0.001),
        Format("cue", ".cue", "cue:cue", "players of albums", 1 / 75, names_audio=True),
        Format("m3u", ".m3u8", "m3u:m3u", "VLC: each part by itself", 0.001, names_audio=True),
        Format("jams", ".jams", "jams:jams", "music information retrieval", 0.001),
        Format("ebucore", ".xml", "ebucore:ebucore", "broadcasters' archives", 0.001),
    )
}
