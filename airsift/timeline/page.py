"""A timeline as one HTML page that needs no network: it zooms, scrolls and plays the file."""

from __future__ import annotations

import base64
import html
import io
import json
import mimetypes
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from airsift.files import write_whole
from airsift.timeline import picture

if TYPE_CHECKING:
    from airsift.json_types import JsonObject
    from airsift.timeline.recorder import Span, Timeline

MAX_AUDIO_BYTES = 16_000_000  # of a file that becomes part of the page
# What Chromium, Firefox and Safari play.
PLAYED = {".wav", ".mp3", ".ogg", ".oga", ".opus", ".flac", ".m4a", ".mp4", ".webm"}
_TEMPLATE = Path(__file__).with_name("page.html")
_TYPES = {".opus": "audio/ogg", ".oga": "audio/ogg", ".flac": "audio/flac", ".m4a": "audio/mp4"}


def write(timeline: Timeline, truth: Sequence[Span], path: Path, audio: Path | None) -> None:
    """Write the page.

    Parameters
    ----------
    timeline : Timeline
        What was computed.
    truth : sequence of Span
        True labels, or none.
    path : Path
        The page.
    audio : Path, optional
        The file. It becomes part of the page if browsers play it and it has at most
        `MAX_AUDIO_BYTES`.

    Raises
    ------
    ConfigError
        The page cannot be written.
    """
    title = picture.title(timeline, truth)
    # A "<" in a name must not end the script.
    data = json.dumps(_data(timeline, truth, audio), separators=(",", ":")).replace("<", "\\u003c")
    text = _TEMPLATE.read_text(encoding="utf-8")
    for mark, value in (("@TITLE@", html.escape(title)), ("@DATA@", data)):
        text = text.replace(mark, value)
    write_whole(path, text.encode())


def _data(timeline: Timeline, truth: Sequence[Span], audio: Path | None) -> JsonObject:
    columns = timeline.columns
    unit_s = timeline.columns_unit_s
    source, note = _player(audio)
    octaves = range(0, columns.low.shape[1], timeline.bins_per_octave)
    songs = [span for span in truth if span.label == "song"]
    labels = [span for span in truth if span.label != "song"]
    rows = (
        ("truth", labels), ("airsift", timeline.segments), ("songs, truth", songs),
        ("songs", timeline.songs),
    )  # fmt: skip
    return {
        "length": timeline.length_s,
        "wave": _wave(timeline),
        "cqt": {
            "image": _data_address("image/png", _image(timeline)),
            "start": -unit_s / 2,
            "end": (columns.used * columns.width - 0.5) * unit_s,
            "bins": columns.low.shape[1],
            "ticks": [
                [b, picture.hertz(timeline.fmin_hz * 2 ** (b / timeline.bins_per_octave))]
                for b in octaves
            ],
        },
        "posteriors": _posteriors(timeline),
        "rows": [
            {"name": name, "spans": [[s.start_s, s.end_s, s.label, s.name] for s in spans]}
            for name, spans in rows
            if spans or name == "airsift"
        ],
        "gaps": [[gap.start_s, gap.end_s] for gap in timeline.gaps],
        "colours": dict(picture.COLOURS),
        "audio": source,
        "note": note,
    }


def _wave(timeline: Timeline) -> JsonObject:
    """Return lowest and highest samples as whole numbers, 1000 for the loudest."""
    cells = timeline.wave
    low, high = (
        np.where(cells.count > 0, values[:, 0], 0.0)[: cells.used]
        for values in (cells.low, cells.high)
    )
    loudest = max(float(np.abs([low, high]).max()) if len(low) else 0.0, 1e-3)
    whole = [np.round(values / loudest * 1000).astype(int).tolist() for values in (low, high)]
    return {"cell": cells.width * timeline.wave_unit_s, "low": whole[0], "high": whole[1]}


def _posteriors(timeline: Timeline) -> list[list[float]]:
    """Return time, speech and music of each cell of decisions."""
    cells = timeline.posteriors
    mean = np.round(cells.mean, 3)
    rows = []
    for n in np.flatnonzero(cells.count).tolist():
        middle = n + 0.5 if cells.width > 1 else n
        time_s = middle * cells.width * timeline.posteriors_unit_s
        rows.append([time_s, *mean[n].tolist()])
    return rows


def _image(timeline: Timeline) -> bytes:
    """Return the columns as a PNG, high frequencies above."""
    from matplotlib import colormaps
    from matplotlib.image import imsave

    values, brightest = picture.coloured(timeline.columns.mean[: timeline.columns.used])
    pixels = colormaps[picture.COLOUR_MAP](np.clip(values.T[::-1] / brightest, 0, 1), bytes=True)
    out = io.BytesIO()
    imsave(out, np.ascontiguousarray(pixels[..., :3]), format="png")
    return out.getvalue()


def _player(audio: Path | None) -> tuple[str | None, str]:
    """Return the address of the audio for the player, or why there is none."""
    if audio is None or not audio.is_file():
        return None, "No player: the audio is no file on this machine."
    suffix = audio.suffix.lower()
    if suffix not in PLAYED:
        return None, f"No player: browsers do not play files that end with {suffix or 'nothing'}."
    size = audio.stat().st_size
    if size > MAX_AUDIO_BYTES:
        return None, (
            f"No player: the file has {size / 1e6:.0f} MB, and a page takes "
            f"{MAX_AUDIO_BYTES / 1e6:.0f} MB."
        )
    kind = _TYPES.get(suffix) or mimetypes.guess_type(audio.name)[0] or "audio/mpeg"
    return _data_address(kind, audio.read_bytes()), ""


def _data_address(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
