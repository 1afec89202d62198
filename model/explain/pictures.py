"""Pictures: arrays as PNG, and sheets of filters."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from airsift.errors import ConfigError
from airsift.files import replacing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

ZERO = 128  # the grey of 0 in a picture with both signs
_GAP = 1  # cells between two filters of a sheet
_ACROSS = 20  # filters
_COLOURS = 64


def png(values: NDArray[np.uint8]) -> bytes:
    """Encode grey values [shape=(height, width)] as PNG."""
    height, width = values.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), values], axis=1)

    def chunk(name: bytes, data: bytes) -> bytes:
        check = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"".join([
        b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header),
        chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)), chunk(b"IEND", b""),
    ])  # fmt: skip


def upright(values: Floats) -> Floats:
    """Return (channels, frames, bins) as one picture: low bins below, channels above each other."""
    return np.concatenate([channel.T[::-1] for channel in values])


def positive(values: Floats, largest: float) -> NDArray[np.uint8]:
    """Return values as grey from 0 to 255, which is `largest`."""
    scaled = np.clip(values / largest, 0, 1) if largest > 0 else np.zeros_like(values)
    return np.rint(scaled * 255).astype(np.uint8)


def signed(values: Floats, largest: float) -> NDArray[np.uint8]:
    """Return values as grey around `ZERO`, which is 0; `largest` and more is 127 from it."""
    scaled = np.clip(values / largest, -1, 1) if largest > 0 else np.zeros_like(values)
    return (ZERO + np.rint(scaled * 127)).astype(np.uint8)


def mosaic(filters: Floats, limit: int = 2 * _ACROSS) -> Floats:
    """Lay out filters side by side, each in units of its greatest magnitude.

    Parameters
    ----------
    filters : np.ndarray [shape=(filters, channels, frames, bins)]
        The weights.
    limit : int > 0
        Filters to show: those of the greatest norm, in their order.

    Returns
    -------
    np.ndarray
        In [-1, 1]; NaN between filters.
    """
    norms = np.sqrt(np.square(filters).sum((1, 2, 3)))
    shown = np.sort(np.argsort(-norms, kind="stable")[:limit])
    tiles = []
    for number in shown:
        tile = upright(filters[number])
        largest = float(np.abs(tile).max())
        tiles.append(np.pad(tile / largest if largest else tile, _GAP, constant_values=np.nan))
    empty = np.full_like(tiles[0], np.nan)
    across = min(_ACROSS, len(tiles))
    tiles += [empty] * (-len(tiles) % across)
    rows = [
        np.concatenate(tiles[first : first + across], axis=1)
        for first in range(0, len(tiles), across)
    ]
    made: Floats = np.concatenate(rows)
    return made


def structure(filters: Floats) -> float:
    """Return the mean share of a filter's energy that one time course of one spectrum has.

    It is 1 for a filter that is a product of both. For a filter of random numbers it depends on
    its size alone, so it is compared with that of the network before its training.

    Parameters
    ----------
    filters : np.ndarray [shape=(filters, channels, frames, bins)]
        The weights; those that are all 0 do not count.
    """
    channels = filters.reshape(-1, *filters.shape[2:]).astype(np.float64)
    energies = np.square(np.linalg.svd(channels, compute_uv=False))
    sums = energies.sum(1)
    return float((energies[sums > 0, 0] / sums[sums > 0]).mean()) if (sums > 0).any() else 0.0


def draw_sheet(groups: Sequence[tuple[str, Floats]], path: Path) -> None:
    """Draw the filters of the first layer of one or more networks as one PNG.

    Parameters
    ----------
    groups : sequence of (str, np.ndarray)
        Title and filters of each network.
    path : Path
        The file.

    Raises
    ------
    ConfigError
        matplotlib is not installed, or the file cannot be written.
    """
    try:
        from matplotlib import colormaps
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(
            "the sheet of filters needs matplotlib: `pip install 'airsift[training]'` brings it"
        ) from error
    made = [(title, mosaic(filters)) for title, filters in groups]
    heights = [max(0.5, 8.0 * each.shape[0] / each.shape[1]) for _, each in made]
    heights = [min(each, 4.0) + 0.3 for each in heights]
    figure = Figure(figsize=(8, sum(heights) + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(made), 1, squeeze=False, height_ratios=heights)[:, 0]
    colours = colormaps["RdBu_r"].with_extremes(bad="#ffffff")
    for axis, (title, picture) in zip(axes, made, strict=True):
        axis.imshow(picture, cmap=colours, vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
        axis.set_title(title, fontsize=9, loc="left")
        axis.set_xticks([])
        axis.set_yticks([])
    figure.suptitle("Filters of the first layer", fontsize=10)
    save(figure, path, dpi=110)


def save(figure: Any, path: Path, *, dpi: int) -> None:
    """Write a figure of matplotlib's Agg canvas as a PNG with a palette: a third of the size."""
    from PIL import Image  # comes with matplotlib

    figure.set_dpi(dpi)
    figure.canvas.draw()
    picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    with replacing(path) as partial, partial.open("wb") as out:
        picture.quantize(_COLOURS).save(out, format="png", optimize=True)
