"""A trained network from its file. The only file of airsift that knows TorchScript."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from airsift.errors import SpecMismatch
from model.spec import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn

DEFAULT_WEIGHTS = Path(__file__).parent / "weights" / "airsift.pt"
VOICE_WEIGHTS = DEFAULT_WEIGHTS.with_name("voice.pt")
SPEC_FILE = "airsift.json"

# Below these sizes torch takes other kernels, which round otherwise: a station's events would
# depend on which others were heard with it. Smaller work is filled up with zeros. Larger work on
# columns gives the same bits in any grouping; windows, whose products are split by their size, are
# always judged so many at once.
_LEAST_COLUMNS, _LEAST_COLUMNS_ALONE = 80, 120
_WINDOWS_AT_ONCE = 16


class Classifier:
    """A network and the facts it was trained with.

    Parameters
    ----------
    module : Any
        A TorchScript module with `embed` and `decide`, and `locate` if its spec has moments.
    spec : ModelSpec
        What it was trained on.
    """

    def __init__(self, module: Any, spec: ModelSpec) -> None:
        self._module = module
        self.spec = spec

    def embed(self, columns: Tensor) -> Tensor:
        """Compute frames, once for all windows they are part of.

        Parameters
        ----------
        columns : torch.Tensor [shape=(batch, t, n_bins), float32]
            Consecutive columns; at least ``spec.context_columns``.

        Returns
        -------
        torch.Tensor [shape=(batch, (t - context) // stride + 1, frame_size)]
            Frame i is of columns ``i * stride`` to ``i * stride + context``. On one kind of
            CPU a frame has the same bits in whatever batch and block it is computed.
        """
        batch, length, _ = columns.shape
        spec = self.spec
        count = (length - spec.context_columns) // spec.stride_columns + 1
        with torch.inference_mode():
            least = _LEAST_COLUMNS_ALONE if batch == 1 else _LEAST_COLUMNS
            filled = _filled(columns, batch, max(length, least))
            frames: Tensor = self._module.embed(filled)
        return frames[:batch, :count]

    def decide(self, frames: Tensor) -> Tensor:
        """Judge windows.

        Parameters
        ----------
        frames : torch.Tensor [shape=(batch, window_frames, frame_size)]
            The frames of one window each.

        Returns
        -------
        torch.Tensor [shape=(batch, labels)]
            Independent probabilities in [0, 1], in the order of ``spec.labels``. On one kind
            of CPU a window has the same bits in whatever batch it is judged.
        """
        return _in_blocks(self._module.decide, frames)

    def locate(self, frames: Tensor) -> Tensor:
        """Judge the moments around the middle of windows.

        Parameters
        ----------
        frames : torch.Tensor [shape=(batch, window_frames, frame_size)]
            The frames of one window each.

        Returns
        -------
        torch.Tensor [shape=(batch, moments, labels)]
            Independent probabilities in [0, 1], in the order of ``spec.labels``; no moments
            where the spec has none. Bits as in `decide`.
        """
        if not self.spec.moments:
            return frames.new_zeros(len(frames), 0, len(self.spec.labels))
        return _in_blocks(self._module.locate, frames)

    def judge(self, window: Tensor) -> Tensor:
        """Judge one window alone: at once, and without what makes batches agree to the bit.

        Parameters
        ----------
        window : torch.Tensor [shape=(window_columns, n_bins), float32]
            Its columns.

        Returns
        -------
        torch.Tensor [shape=(labels,)]
            As `decide`, but for the last bits; those are the same whenever a window is judged.
        """
        with torch.inference_mode():
            probabilities: Tensor = self._module.decide(self._module.embed(window.unsqueeze(0)))
        return probabilities[0]


def load(path: Path = DEFAULT_WEIGHTS, device: str | torch.device = "cpu") -> Classifier:
    """Load a network that `save` wrote.

    Parameters
    ----------
    path : Path
        Its file.
    device : str
        Where it is to run.

    Raises
    ------
    SpecMismatch
        The file is not there, is not a model of airsift, or its spec cannot be read.
    """
    extra = {SPEC_FILE: ""}
    try:
        # Opened by Python: a path with any character works, and a missing file says so.
        with _quiet(), Path(path).open("rb") as file:
            module = torch.jit.load(file, map_location=device, _extra_files=extra)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise SpecMismatch(
            f"{path}: {error.strerror or 'it cannot be read'}: name a model file that is there"
        ) from error
    except (RuntimeError, ValueError) as error:
        raise SpecMismatch(
            f"{path} is not a TorchScript file: name one that `airsift export` wrote"
        ) from error
    text: str | bytes = extra[SPEC_FILE]
    if not text:
        raise SpecMismatch(f"{path} carries no spec: name a file that `airsift export` wrote")
    spec = ModelSpec.from_json(text.decode() if isinstance(text, bytes) else text)
    for name in ("embed", "decide", *(["locate"] if spec.moments else [])):
        if not hasattr(module, name):
            raise SpecMismatch(f"{path} has no method {name!r}: export the network again")
    return Classifier(module, spec)


def script(network: nn.Module) -> Any:
    """Compile a network in evaluation mode, its constants folded."""
    with _quiet():
        methods = ["embed", "decide", *(["locate"] if network.moments else [])]
        return torch.jit.freeze(torch.jit.script(network.eval()), preserved_attrs=methods)


def save(module: Any, spec: ModelSpec, path: Path) -> None:
    """Write a scripted module with its spec inside; the file is whole or not there."""
    partial = path.with_name(f"{path.name}.partial")
    with _quiet():
        torch.jit.save(module, str(partial), _extra_files={SPEC_FILE: spec.to_json()})
    partial.replace(path)


def _in_blocks(judge: Callable[[Tensor], Tensor], frames: Tensor) -> Tensor:
    """Judge windows, a fixed number of them at once."""
    batch, length, _ = frames.shape
    rows = max(-(-batch // _WINDOWS_AT_ONCE), 1) * _WINDOWS_AT_ONCE
    with torch.inference_mode():
        blocks = torch.split(_filled(frames, rows, length), _WINDOWS_AT_ONCE)
        return torch.cat([judge(block) for block in blocks])[:batch]


def _filled(values: Tensor, rows: int, length: int) -> Tensor:
    """Return `values` with zeros after its rows and columns, up to these sizes."""
    batch, there, width = values.shape
    if (batch, there) == (rows, length):
        return values
    out = values.new_zeros(rows, length, width)
    out[:batch, :there] = values
    return out


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the notices that TorchScript is deprecated.

    It is still the one format that loads without the network's Python code; the exporter
    also writes the successor, and this file is all that would change.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, message=".*torch.jit.*")
        warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*torch.jit.*")
        yield
