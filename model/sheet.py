"""The training sheet: cost and validation error over the steps, drawn as SVG."""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

WIDTH, HEIGHT, MARGIN = 720, 320, 48
COLOURS = {
    "train_cost": "#7f7f7f", "validation_cost": "#2ca02c", "validation_error": "#1f77b4",
    "best": "#d62728",
}  # fmt: skip
LOWEST = 1e-3


def draw(sheet: Path) -> str:
    """Draw the figures that training noted.

    Parameters
    ----------
    sheet : Path
        ``sheet.csv`` of a training.

    Returns
    -------
    str
        An SVG image, the vertical axis logarithmic.
    """
    with sheet.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    steps = [int(row["step"]) for row in rows]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for value in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0):
        y = _height(value)
        parts.append(
            f'<path d="M{MARGIN} {y:.1f}H{WIDTH - MARGIN}" stroke="#ddd"/>'
            f'<text x="4" y="{y + 4:.1f}">{value:g}</text>'
        )
    for number, (name, colour) in enumerate(COLOURS.items()):
        last = max(steps, default=1)
        points = " ".join(
            f"{MARGIN + (WIDTH - 2 * MARGIN) * step / last:.1f},{_height(float(row[name])):.1f}"
            for step, row in zip(steps, rows, strict=True)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
        parts.append(
            f'<text x="{MARGIN + 140 * number}" y="16" fill="{colour}">'
            f"{name.replace('_', ' ')}</text>"
        )
    parts.append(
        f'<text x="{WIDTH // 2}" y="{HEIGHT - 8}">step {max(steps, default=0)}</text></svg>'
    )
    return "\n".join(parts) + "\n"


def _height(value: float) -> float:
    share = math.log(max(value, LOWEST) / LOWEST) / math.log(1.0 / LOWEST)
    return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * min(share, 1.0)
