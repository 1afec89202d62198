"""What computes: the two functions that the engine needs of a library, and the choice of one.

A `Backend` turns *columns of audio* (`FrontEnd`) into *judged columns* (`Classifier`), for a batch
of stations, with numpy's arrays on both sides. There are two: `model.torch_backend`, which loads
TorchScript and runs on CPU and GPU, and `model.onnx_backend`, which runs on CPU and needs no torch.
Nothing else of the engine knows either library.

The laws, of both (tests/model/test_backends.py): a result has the same bits in any batch and for
any division of the audio into calls of whole steps; and the two differ by less than 1e-4 of the
largest column, and by less than 0.002 of a probability.
"""

from __future__ import annotations

import ctypes
import logging
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from airsift.errors import ConfigError
from model.spec import STEP_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model.spec import ModelSpec
    from model.units import Array

log = logging.getLogger(__name__)

# What a driver of a GPU leaves behind: without one of these, torch need not be asked, and so need
# not be imported.
_DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


class FrontEnd(Protocol):
    """From samples to columns, for a batch of stations."""

    sample_rate: int
    hop: int
    n_bins: int
    bins_per_octave: int
    fmin_hz: float
    compression: float

    @property
    def latency(self) -> int:
        """Samples by which the columns of a call lie before its samples."""

    def initial_state(self, batch: int) -> Array:
        """Return the state of `batch` stations after silence [shape=(batch, size)]."""

    def __call__(self, samples: Array, state: Array) -> tuple[Array, Array]:
        """Push the next samples of every station.

        Parameters
        ----------
        samples : np.ndarray [shape=(batch, m * STEP_COLUMNS * hop), float32]
            Mono audio, full scale is +-1, of whole steps.
        state : np.ndarray [shape=(batch, size)]
            From `initial_state` or the previous call. It is not changed.

        Returns
        -------
        columns : np.ndarray [shape=(batch, m * STEP_COLUMNS, n_bins)]
            Column j is centred `latency` samples before sample ``j * hop`` of this call.
        state : np.ndarray [shape=(batch, size)]
            For the next call.

        Raises
        ------
        ValueError
            The samples are not a batch of whole steps, or the state is of another batch.
        """

    def unbatched(self) -> list[str]:
        """Return what is computed one step of one station at a time on this machine.

        It is what a check found: its last bits depend on the rest of a batch.
        """


class Classifier(Protocol):
    """From columns to probabilities: a network and its spec."""

    spec: ModelSpec

    def embed(self, columns: Array) -> Array:
        """Compute frames, which overlapping windows share.

        Parameters
        ----------
        columns : np.ndarray [shape=(batch, t, n_bins), float32]
            Consecutive columns; at least ``spec.context_columns``.

        Returns
        -------
        np.ndarray [shape=(batch, (t - context) // stride + 1, frame_size)]
            Frame i depends on columns ``i * stride`` to ``i * stride + context``. It has the
            same bits in any batch, and in any block that starts a whole number of steps away.
        """

    def decide(self, frames: Array) -> Array:
        """Predict the labels of windows.

        Parameters
        ----------
        frames : np.ndarray [shape=(batch, n, frame_size)]
            The frames of each window; n is at most ``spec.window_frames``, and less for windows
            that are cut short.

        Returns
        -------
        np.ndarray [shape=(batch, labels)]
            Independent probabilities in [0, 1], in the order of ``spec.labels``.
        """

    def predict(self, frames: Array) -> tuple[Array, Array]:
        """Predict the labels of whole windows, and of the moments around their centre.

        Returns
        -------
        probabilities : np.ndarray [shape=(batch, labels)]
            As `decide` returns them.
        moments : np.ndarray [shape=(batch, moments, labels)]
            Independent probabilities in [0, 1], in the order of ``spec.labels``.
        """

    def unbatched(self) -> list[str]:
        """Return what is computed one window at a time on this machine; see `FrontEnd`."""


class Backend(Protocol):
    """A library that computes."""

    @property
    def name(self) -> str:
        """Name of the library in the configuration."""

    def front_end(self, model: Path) -> FrontEnd:
        """Return the front end of a model file."""

    def classifier(self, model: Path) -> Classifier:
        """Load the network of a model file.

        Raises
        ------
        SpecMismatch
            The file is missing, is not a model of airsift, or has an invalid spec.
        """


def columns_of(samples: Array, front_end: FrontEnd) -> Array:
    """Compute all columns of complete recordings, in one call.

    Parameters
    ----------
    samples : np.ndarray [shape=(batch, n), float32]
        Mono, full scale is +-1. Silence is assumed before and after.
    front_end : FrontEnd
        What computes them.

    Returns
    -------
    np.ndarray [shape=(batch, ceil(n / hop), n_bins)]
        Column c is centred on sample ``c * hop``.
    """
    count = -(-samples.shape[1] // front_end.hop)
    first = front_end.latency // front_end.hop
    steps = -(-(first + count) // STEP_COLUMNS)
    after = steps * STEP_COLUMNS * front_end.hop - samples.shape[1]
    padded = np.pad(samples, ((0, 0), (0, after)))
    columns, _ = front_end(padded, front_end.initial_state(len(samples)))
    return columns[:, first : first + count]


def check_batch(shape: Sequence[int], stations: int, step: int, unit: str = "one step") -> None:
    """Refuse what a front end cannot take.

    Parameters
    ----------
    shape : sequence of int
        That of the samples.
    stations : int
        Of how many stations the state is.
    step : int > 0
        Samples that a call takes a multiple of.
    unit : str
        What `step` is, for the message.

    Raises
    ------
    ValueError
        The samples are not a batch of whole steps, or the state is of another batch.
    """
    if len(shape) != 2:
        raise ValueError(f"samples.shape={tuple(shape)} must be (batch, n): add a batch")
    if shape[1] % step:
        raise ValueError(
            f"samples.shape[1]={shape[1]} must be a multiple of {step}, {unit}: keep the "
            "rest for the next call"
        )
    if stations != shape[0]:
        raise ValueError(
            f"samples of {shape[0]} stations and a state of {stations} must be one batch: "
            "start with initial_state(batch)"
        )


def open_backend(
    name: str,
    *,
    device: str = "auto",
    front_end: str = "rolling",
    threads: int = 1,
    models: Sequence[Path] = (),
) -> Backend:
    """Return the backend of a configuration.

    Parameters
    ----------
    name : str
        ``"torch"``, ``"onnx"``, or ``"auto"``: torch where it is installed and has a GPU, or where
        only torch can do what is asked for; otherwise onnx, which is faster on a CPU.
    device : str
        ``"auto"``, ``"cpu"``, or a GPU in torch's words.
    front_end : str
        ``"rolling"`` or ``"nnaudio"``; the second needs torch.
    threads : int > 0
        Threads of the process for front end and networks.
    models : sequence of Path
        The model files that will be loaded.

    Raises
    ------
    ConfigError
        The backend cannot do what is asked for, or its library is not installed.
    """
    if name == "auto":
        name = _best(device, front_end, models)
    if name == "onnx":
        if device not in ("auto", "cpu"):
            raise ConfigError(
                f"model.backend='onnx' runs on the CPU, and model.device={device!r}: use "
                "model.backend='torch', or model.device='cpu'"
            )
        if front_end != "rolling":
            raise ConfigError(
                f"model.front_end={front_end!r} needs torch: use model.backend='torch', or "
                "model.front_end='rolling'"
            )
        _need("onnxruntime", "onnx", "torch")
        from model.onnx_backend import OnnxBackend
        from model.units import use_threads

        use_threads(threads)
        return OnnxBackend()
    _need("torch", "torch", "onnx")
    import torch

    from model import tensors
    from model.torch_backend import TorchBackend

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device != "cpu" and not torch.cuda.is_available():
        raise ConfigError(f"model.device={device!r}: there is no such device here; use auto or cpu")
    tensors.use_threads(threads)
    return TorchBackend(device, front_end)


def _best(device: str, front_end: str, models: Sequence[Path]) -> str:
    """Return the backend that ``"auto"`` means."""
    from model.weights import onnx_file

    if device not in ("auto", "cpu") or front_end != "rolling" or not find_spec("onnxruntime"):
        return "torch"
    if not find_spec("torch"):
        return "onnx"
    lacking = [onnx_file(model) for model in models if not onnx_file(model).exists()]
    if lacking:
        log.info("%s is not there: torch computes, which is slower on a CPU", lacking[0])
        return "torch"
    if device == "auto" and has_driver():
        import torch

        return "torch" if torch.cuda.is_available() else "onnx"
    return "onnx"


def has_driver() -> bool:
    """Return whether there may be a GPU."""
    if sys.platform == "win32":
        try:
            ctypes.WinDLL("nvcuda.dll")
        except OSError:
            return False
        return True
    return any(Path(each).exists() for each in _DRIVERS)


def _need(package: str, name: str, other: str) -> None:
    if not find_spec(package):
        raise ConfigError(
            f"model.backend={name!r} needs {package}, which is not installed: `pip install "
            f"{package}`, or use model.backend={other!r}"
        )
