"""Load, run and save a trained network. The only file that uses TorchScript.

TorchScript is deprecated since torch 2.9. It is still the only format that torch loads without the
Python code of the network. What follows it is ONNX, see `model.export.onnx`.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from airsift.errors import SpecMismatch
from airsift.files import replacing
from model.spec import ModelSpec
from model.tensors import tensor_units
from model.units import Units, random_rows
from model.weights import DEFAULT_WEIGHTS, NO_MODEL, NO_SPEC, SPEC_FILE, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from model.network import WindowNetwork


class Classifier:
    """A network and its spec.

    Parameters
    ----------
    module : torch.jit.ScriptModule
        A TorchScript module with `embed` and `decide`, and `predict` if its spec has moments.
    spec : ModelSpec
        Its input and outputs.
    """

    def __init__(self, module: torch.jit.ScriptModule, spec: ModelSpec) -> None:
        self._module = module
        self.spec = spec
        # Columns of a row: one step, and the columns before it in which its frames begin. Rows of
        # five or ten steps would share those; with their first layers, that is a tenth of the time.
        self._row = spec.frames_before_step * spec.stride_columns + spec.step_columns
        columns = random_rows((self._row, spec.n_bins), scale=8.0)
        frames = random_rows((spec.window_frames, spec.frame_size))
        self._embed = tensor_units("embed", module.embed, columns)
        self._whole = (
            tensor_units("predict", module.predict, frames)
            if spec.moments
            else tensor_units("decide", module.decide, frames)
        )
        self._shorter: dict[int, Units[Tensor]] = {}  # by the number of frames
        self.units = [self._embed, self._whole]

    def embed(self, columns: Tensor) -> Tensor:
        """Compute frames, which overlapping windows share.

        Parameters
        ----------
        columns : torch.Tensor [shape=(batch, t, n_bins), float32]
            Consecutive columns; at least ``spec.context_columns``.

        Returns
        -------
        torch.Tensor [shape=(batch, (t - context) // stride + 1, frame_size)]
            Frame i depends on columns ``i * stride`` to ``i * stride + context``. It has the
            same bits in any batch, and in any block that starts a whole number of steps away.
        """
        batch, length, n_bins = columns.shape
        spec = self.spec
        count = (length - spec.context_columns) // spec.stride_columns + 1
        in_step = spec.step_columns // spec.stride_columns
        steps = -(-count // in_step)
        whole = self._row + (steps - 1) * spec.step_columns
        if whole > length:
            columns = torch.cat([columns, columns.new_zeros(batch, whole - length, n_bins)], dim=1)
        with torch.inference_mode():
            rows = columns.unfold(1, self._row, spec.step_columns)[:, :steps].transpose(2, 3)
            (frames,) = self._embed(rows.reshape(batch * steps, self._row, n_bins))
        return frames.view(batch, steps * in_step, spec.frame_size)[:, :count]

    def decide(self, frames: Tensor) -> Tensor:
        """Predict the labels of windows.

        Parameters
        ----------
        frames : torch.Tensor [shape=(batch, n, frame_size)]
            The frames of each window; n is at most ``spec.window_frames``, and less for windows
            that are cut short.

        Returns
        -------
        torch.Tensor [shape=(batch, labels)]
            Independent probabilities in [0, 1], in the order of ``spec.labels``; the same bits
            in any batch.
        """
        n = frames.shape[1]
        if n == self.spec.window_frames:
            return self.predict(frames)[0]
        if n not in self._shorter:
            examples = random_rows((n, self.spec.frame_size))
            self._shorter[n] = tensor_units("decide", self._module.decide, examples)
        with torch.inference_mode():
            return self._shorter[n](frames)[0]

    def predict(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Predict the labels of windows, and of the moments around their centre.

        Parameters
        ----------
        frames : torch.Tensor [shape=(batch, window_frames, frame_size)]
            The frames of each window.

        Returns
        -------
        probabilities : torch.Tensor [shape=(batch, labels)]
            As `decide` returns them.
        moments : torch.Tensor [shape=(batch, moments, labels)]
            Independent probabilities in [0, 1], in the order of ``spec.labels``; the same bits
            in any batch.
        """
        with torch.inference_mode():
            probabilities, *moments = self._whole(frames)
        if moments:
            return probabilities, moments[0]
        return probabilities, probabilities.new_zeros(len(frames), 0, len(self.spec.labels))


def load(path: Path = DEFAULT_WEIGHTS, device: str | torch.device = "cpu") -> Classifier:
    """Load a file that `save` wrote.

    Parameters
    ----------
    path : Path
        The model file.
    device : str
        Device to run on.

    Raises
    ------
    SpecMismatch
        The file is missing, is not a model of airsift, or has an invalid spec.
    """
    extra = {SPEC_FILE: ""}
    try:
        # Opened by Python, for paths of any characters and a clear error for a missing file.
        with _quiet(), Path(path).open("rb") as file:
            module = torch.jit.load(file, map_location=device, _extra_files=extra)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise unreadable(path, error) from error
    except (RuntimeError, ValueError) as error:
        raise SpecMismatch(f"{path} {NO_MODEL}") from error
    text: str | bytes = extra[SPEC_FILE]
    if not text:
        raise SpecMismatch(f"{path} {NO_SPEC}")
    spec = ModelSpec.from_json(text.decode() if isinstance(text, bytes) else text)
    for name in ("embed", "decide", *(["predict"] if spec.moments else [])):
        if not hasattr(module, name):
            raise SpecMismatch(
                f"{path} has no method {name!r}: export the network again with this version"
            )
    return Classifier(module, spec)


def script(network: WindowNetwork) -> torch.jit.ScriptModule:
    """Compile a network in evaluation mode, with constants folded."""
    with _quiet():
        methods = ["embed", "decide", *(["predict"] if network.moments else [])]
        frozen: torch.jit.ScriptModule = torch.jit.freeze(
            torch.jit.script(network.eval()), preserved_attrs=methods
        )
    return frozen


def save(module: torch.jit.ScriptModule, spec: ModelSpec, path: Path) -> None:
    """Write a scripted module with its spec, atomically."""
    with _quiet(), replacing(path) as partial:
        torch.jit.save(module, str(partial), _extra_files={SPEC_FILE: spec.to_json()})


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the warnings that TorchScript is deprecated."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, message=".*torch.jit.*")
        warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*torch.jit.*")
        yield
