"""What airsift needs of a network that it exports, whatever its layers are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor
    from torch.nn import Parameter


class WindowNetwork(Protocol):
    """A network of frames and windows, as `model.networks.presets.make` returns it.

    Attributes
    ----------
    context, stride : int
        Columns before a frame that it depends on, and from one frame to the next.
    frame_size : int
        Numbers of a frame.
    moments : int
        Outputs of the boundary head for each label; 0 for a network without `predict`.
    """

    context: int
    stride: int
    frame_size: int
    moments: int

    def embed(self, columns: Tensor) -> Tensor:
        """Compute frames [shape=(batch, n, frame_size)] of columns."""
        ...

    def decide(self, frames: Tensor) -> Tensor:
        """Compute the probabilities of windows [shape=(batch, labels)]."""
        ...

    def predict(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Compute what `decide` does, and probabilities [shape=(batch, moments, labels)]."""
        ...

    def eval(self) -> Self:
        """Switch to evaluation mode."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Return all parameters and buffers by name."""
        ...

    def parameters(self) -> Iterator[Parameter]:
        """Return what is trained."""
        ...
