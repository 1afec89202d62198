"""The backend of torch: TorchScript files, on CPU or GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from model import classifier, tensors
from model.backend import check_batch
from model.frontend.rolling_cqt import make_front_end
from model.spec import STEP_COLUMNS
from model.weights import read_spec

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from model.frontend.base import TensorFrontEnd
    from model.spec import ModelSpec
    from model.units import Array, Units


@dataclass(frozen=True, slots=True)
class TorchBackend:
    """Loads for one device.

    Parameters
    ----------
    device : str
        In torch's words.
    kind : str
        ``"rolling"`` or ``"nnaudio"``, see `model.frontend.rolling_cqt.make_front_end`.
    """

    device: str = "cpu"
    kind: str = "rolling"
    name: str = "torch"

    def front_end(self, model: Path) -> TorchFrontEnd:
        made = make_front_end(self.kind, read_spec(model).compression)
        return TorchFrontEnd(made.to(self.device), self.device)

    def classifier(self, model: Path) -> TorchClassifier:
        return TorchClassifier(classifier.load(model, self.device), self.device)


class TorchFrontEnd:
    """A front end of tensors, for arrays; see `model.backend.FrontEnd`.

    Parameters
    ----------
    front_end : TensorFrontEnd
        On the device.
    device : str
        In torch's words.
    """

    def __init__(self, front_end: TensorFrontEnd, device: str = "cpu") -> None:
        self._front_end, self._device = front_end, device
        self.sample_rate, self.hop = front_end.sample_rate, front_end.hop
        self.n_bins, self.bins_per_octave = front_end.n_bins, front_end.bins_per_octave
        self.fmin_hz, self.compression = front_end.fmin_hz, front_end.compression
        self.latency = front_end.latency

    def initial_state(self, batch: int) -> Array:
        (history,) = self._front_end.initial_state(batch).values()
        return np.zeros(history.shape, np.float32)

    def __call__(self, samples: Array, state: Array) -> tuple[Array, Array]:
        check_batch(samples.shape, len(state), STEP_COLUMNS * self.hop)
        with torch.inference_mode():
            columns, after = self._front_end(
                _tensor(samples, self._device), {"history": _tensor(state, self._device)}
            )
        return _array(columns), _array(after["history"])

    def unbatched(self) -> list[str]:
        return _unbatched(self._front_end.units, self._device)


class TorchClassifier:
    """A network of tensors, for arrays; see `model.backend.Classifier`.

    Parameters
    ----------
    network : model.classifier.Classifier
        On the device.
    device : str
        In torch's words.
    """

    def __init__(self, network: classifier.Classifier, device: str = "cpu") -> None:
        self._network, self._device = network, device
        self.spec: ModelSpec = network.spec

    def embed(self, columns: Array) -> Array:
        return _array(self._network.embed(_tensor(columns, self._device)))

    def decide(self, frames: Array) -> Array:
        return _array(self._network.decide(_tensor(frames, self._device)))

    def predict(self, frames: Array) -> tuple[Array, Array]:
        probabilities, moments = self._network.predict(_tensor(frames, self._device))
        return _array(probabilities), _array(moments)

    def unbatched(self) -> list[str]:
        return _unbatched(self._network.units, self._device)


def _tensor(values: Array, device: str) -> Tensor:
    # torch takes no array that may only be read, as views of windows are.
    return torch.from_numpy(np.require(values, requirements="W")).to(device)


def _array(values: Tensor) -> Array:
    found: Array = values.cpu().numpy()
    return found


def _unbatched(units: list[Units[Tensor]], device: str) -> list[str]:
    place = tensors.place(device)
    return [each.name for each in units if each.sizes(place) == (1,)]
