"""The interface of a front end, and the checks that all front ends share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from model.backend import check_batch
from model.spec import STEP_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from model.units import Units

State = dict[str, Tensor]

# Columns of one row of a unit (see `model.units`): 1 s, the step between two decisions, so that
# live audio never waits longer.
ROW_COLUMNS = STEP_COLUMNS


class TensorFrontEnd(Protocol):
    """From samples to columns, for a batch of stations, in tensors."""

    sample_rate: int
    hop: int
    n_bins: int
    bins_per_octave: int
    fmin_hz: float
    compression: float
    units: list[Units[Tensor]]

    @property
    def latency(self) -> int:
        """Samples by which the columns of a call lie before its samples."""

    def initial_state(self, batch: int) -> State:
        """Return the state of `batch` stations after silence."""

    def __call__(self, samples: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """Push samples [shape=(batch, m * hop)]; return m columns and the next state."""


def columns_in(samples: Tensor, history: Tensor, hop: int) -> int:
    """Return the number of columns that a call completes.

    Raises
    ------
    ValueError
        The samples are not a batch of whole hops, or the history is of another batch.
    """
    check_batch(samples.shape, len(history), hop, "one hop")
    return samples.shape[1] // hop
