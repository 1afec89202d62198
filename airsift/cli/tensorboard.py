"""Metrics of a training for TensorBoard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airsift.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def writer(folder: Path) -> Callable[[int, Mapping[str, float]], None]:
    """Return a function that writes metrics of a step to FOLDER/tensorboard.

    Raises
    ------
    ConfigError
        TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "--tensorboard needs tensorboard: `pip install 'airsift[training]'` brings it"
        ) from error
    events = SummaryWriter(str(folder / "tensorboard"))

    def write(step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            events.add_scalar(name.replace(" ", "_"), value, step)
        if any(name.startswith("validation") for name in metrics):
            events.flush()

    return write
