"""The features by name, as files of experiments write them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from airsift.errors import ConfigError
from model.experiments.features.chroma import Chroma
from model.experiments.features.cqt import CQT
from model.experiments.features.mfcc import MFCC
from model.experiments.features.separation import HarmonicPercussive
from model.experiments.features.stack import Delta, Stack
from model.experiments.features.stft import RESOLUTIONS_MS, STFT, Resolutions

if TYPE_CHECKING:
    from collections.abc import Callable

    from model.experiments.features.base import Feature

FEATURES: dict[str, Callable[[], Feature]] = {
    "cqt": CQT,
    "cqt-separated": HarmonicPercussive,
    **{f"stft-{each}": partial(STFT, each) for each in RESOLUTIONS_MS},
    "mfcc": MFCC,
    "chroma": Chroma,
    "chroma+mfcc": lambda: Stack([Chroma(), MFCC()]),
    "chroma+mfcc+delta-mfcc": lambda: Stack([Chroma(), MFCC(), Delta(MFCC())]),
    "resolutions": Resolutions,
}


def make(name: str) -> Feature:
    """Make a feature.

    Parameters
    ----------
    name : str
        One of `FEATURES`.

    Raises
    ------
    ConfigError
        The name is unknown, or a package is missing.
    """
    if name not in FEATURES:
        raise ConfigError(f"feature={name!r} is unknown: use one of {', '.join(FEATURES)}")
    return FEATURES[name]()
