"""Files of a training: states of networks and tables of metrics, written atomically."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import torch

from airsift.errors import ConfigError
from airsift.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

VALIDATIONS = ("step", "train_cost", "validation_cost", "validation_error", "best")
BATCHES = ("step", "cost", "error")


def save(values: object, path: Path) -> None:
    """Write tensors and plain values atomically."""
    buffer = io.BytesIO()
    torch.save(values, buffer)
    write_whole(path, buffer.getvalue())


def load(path: Path) -> Any:
    """Read a file that `save` wrote.

    Raises
    ------
    ConfigError
        The file is something else, or damaged.
    """
    try:
        return torch.load(path, weights_only=True)
    except (RuntimeError, ValueError, EOFError, KeyError, OSError) as error:
        raise ConfigError(
            f"{path} is no state of a training ({type(error).__name__}): train in another folder"
        ) from error


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[float]]) -> None:
    """Write a CSV table; the first number of a row is a whole one."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for step, *values in rows:
        writer.writerow((step, *(f"{value:.5f}" for value in values)))
    write_whole(path, text.getvalue().encode())
