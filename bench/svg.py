"""As much SVG as the README's figure needs, readable on light and on dark pages."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Mid grey is read equally well on white and on black; every other colour brings its own ground.
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #768390 }
.small { font-size: 11px }
.strong { font-weight: 600 }
.inside { fill: #ffffff; font-size: 11px }
.line { stroke: #768390; stroke-width: 1; fill: none; opacity: .45 }
.speech { fill: #2f6fde } .music { fill: #c9741c }
.speech_over_music { fill: #9a4fd0 } .other { fill: #768390 }
.song { fill: #1a7f5a; opacity: .85 }
.curve { fill: none; stroke-width: 1.6; stroke-linejoin: round }
.speech-curve { stroke: #4d8af0 } .music-curve { stroke: #d9822b }
"""


class Drawing:
    """Elements in order, and a time axis that maps seconds to x."""

    def __init__(self, width: int, height: int, left: int, right: int, length_s: float) -> None:
        self.width, self.height, self.left = width, height, left
        self._scale = (width - left - right) / length_s
        self._elements: list[str] = []

    def x(self, seconds: float) -> float:
        return round(self.left + seconds * self._scale, 1)

    def text(self, x: float, y: float, words: str, style: str = "", anchor: str = "start") -> None:
        self._elements.append(
            f'<text x="{x:g}" y="{y:g}" class="{style}" text-anchor="{anchor}">'
            f"{escape(words)}</text>"
        )

    def bar(
        self, start_s: float, end_s: float, y: float, height: float, style: str, words: str = ""
    ) -> None:
        """Draw a bar over an interval; `words` show inside if they fit, and when pointed at."""
        x, width = self.x(start_s), round((end_s - start_s) * self._scale, 1)
        title = f"<title>{escape(words)}</title>" if words else ""
        self._elements.append(
            f'<rect x="{x:g}" y="{y:g}" width="{max(width - 1, 0.5):g}" height="{height:g}" rx="2" '
            f'class="{style}">{title}</rect>'
        )
        if words and len(words) * 7 < width:
            self.text(x + width / 2, y + height / 2 + 4, words, "inside", "middle")

    def line(self, x1: float, y1: float, x2: float, y2: float) -> None:
        self._elements.append(f'<path class="line" d="M{x1:g} {y1:g}L{x2:g} {y2:g}"/>')

    def curve(self, points: Sequence[tuple[float, float]], style: str) -> None:
        path = "L".join(f"{x:g} {y:g}" for x, y in points)
        self._elements.append(f'<path class="curve {style}" d="M{path}"/>')

    def image(
        self, end_s: float, y: float, height: float, levels: NDArray[np.uint8], palette: bytes
    ) -> None:
        """Draw an image [rows, columns] of palette entries from 0 to `end_s`, first row on top."""
        data = base64.b64encode(_png(levels, palette)).decode()
        self._elements.append(
            f'<image x="{self.x(0):g}" y="{y:g}" width="{self.x(end_s) - self.x(0):g}" '
            f'height="{height:g}" preserveAspectRatio="none" '
            f'href="data:image/png;base64,{data}"/>'
        )

    def svg(self, description: str) -> str:
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
                f'width="{self.width}" height="{self.height}" role="img">',
                f"<title>{escape(description)}</title>",
                f"<style>{STYLE}</style>",
                *self._elements,
                "</svg>\n",
            ]
        )


def palette(colours: Sequence[tuple[int, int, int]], entries: int) -> bytes:
    """Return `entries` RGB triples that run evenly through `colours`."""
    places = np.linspace(0, 1, len(colours))
    wanted = np.linspace(0, 1, entries)
    channels = [np.interp(wanted, places, channel) for channel in zip(*colours, strict=True)]
    return np.stack(channels, axis=1).round().astype(np.uint8).tobytes()


def _png(levels: NDArray[np.uint8], colours: bytes) -> bytes:
    height, width = levels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in levels)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"PLTE", colours), (b"IDAT", zlib.compress(rows, 9))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*c) for c in [*chunks, (b"IEND", b"")])


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
