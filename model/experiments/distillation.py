"""Distillation: a network learns from a teacher's probabilities as well as from the classes.

The teacher is the tagger of `model.corpus.teacher`. It analyses the 5 s around the centre of each
training window, also where the network has 150 ms. Validation and test have the classes alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from airsift.errors import ConfigError
from airsift.files import replacing
from model.corpus import cache, teacher
from model.spec import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.experiments.config import WindowChoice
    from model.experiments.windows import Windows

CODE = "model.experiments.distillation"
# The teacher's names of the classes of an experiment.
NAMES: Mapping[str, Sequence[str]] = {
    "speech": teacher.SPEECH,
    "music": ("Music",),
    "singing": ("Singing", "Rapping"),
    "female": ("Female speech, woman speaking", "Female singing"),
    "male": ("Male speech, man speaking", "Male singing"),
}
_LENGTH = round(teacher.WINDOW_S * SAMPLE_RATE)
_BATCH = 16  # windows


def mixed(
    classes: NDArray[np.intp], teachers: NDArray[np.float32], weight: float
) -> NDArray[np.float32]:
    """Return what a network learns from.

    Parameters
    ----------
    classes : np.ndarray [shape=(n,), int]
        0 or 1.
    teachers : np.ndarray [shape=(n,), float32]
        The teacher's probability of class 1.
    weight : float in [0, 1]
        Of the teacher; 0 leaves the classes.

    Returns
    -------
    np.ndarray [shape=(n,), float32]
        Probability of class 1.
    """
    return ((1 - weight) * classes + weight * teachers).astype(np.float32)


def probabilities(
    windows: Windows,
    choice: WindowChoice,
    folder: Path,
    progress: Callable[[int, int], None],
) -> NDArray[np.float32]:
    """Return the teacher's probability of the positive class of each window.

    Parameters
    ----------
    windows : Windows
        The windows.
    choice : WindowChoice
        What is negative and positive. Of each, the likeliest of its names counts.
    folder : Path
        The teacher's files.
    progress : callable
        Receives how many windows are analysed, and of how many.

    Returns
    -------
    np.ndarray [shape=(n,), float32]
        That of the positive class in the sum of both.

    Raises
    ------
    ConfigError
        The teacher has no name for a class, or its files are not the published ones.
    """
    loaded = teacher.load_teacher(folder)
    negative, positive = (
        [loaded.names.index(name) for name in _names(kinds)]
        for kinds in (choice.negative, choice.positive)
    )
    found = np.empty(len(windows), np.float32)
    with torch.inference_mode():
        for first in range(0, len(windows), _BATCH):
            last = min(first + _BATCH, len(windows))
            samples = torch.from_numpy(windows.surroundings(first, last, _LENGTH))
            tags = loaded(teacher.upsampled(samples)).sigmoid()
            yes, no = (tags[:, places].amax(1) for places in (positive, negative))
            found[first:last] = (yes / (yes + no)).numpy()
            progress(last, len(windows))
    return found


def stored(
    windows: Windows,
    choice: WindowChoice,
    folder: Path,
    features: Path,
    report: Callable[[str], None],
) -> NDArray[np.float32]:
    """Return `probabilities`, computed once and stored in the folder of the features."""
    key = cache.key_of(
        windows.key, choice.negative, choice.positive, teacher.SHA256, cache.code_version(CODE)
    )
    file = features / f"teacher-{key[:16]}.npy"

    def progress(done: int, total: int) -> None:
        if done == total or done % (_BATCH * 64) == 0:
            report(f"teacher: {done} of {total} windows analysed")

    if not file.exists():
        computed = probabilities(windows, choice, folder, progress)
        with replacing(file) as partial, partial.open("wb") as out:
            np.save(out, computed)
    try:
        read: NDArray[np.float32] = np.load(file)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"{file} is damaged ({error}): remove it and start again") from error
    return read


def _names(kinds: Sequence[str]) -> list[str]:
    unknown = next((kind for kind in kinds if kind not in NAMES), None)
    if unknown is not None:
        raise ConfigError(
            f"the teacher has no name for the class {unknown!r}: use {', '.join(NAMES)}, or rows "
            "without a teacher"
        )
    return [name for kind in kinds for name in NAMES[kind]]
