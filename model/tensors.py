"""`model.units` for torch's tensors."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from model import units
from model.units import Library, Units

if TYPE_CHECKING:
    Function = Callable[..., Tensor | tuple[Tensor, ...]]


def _place(rows: Tensor) -> Hashable:
    return rows.device, rows.dtype


def _moved(rows: Tensor, place: Hashable) -> Tensor:
    device, dtype = cast("tuple[torch.device, torch.dtype]", place)
    return rows.to(device, dtype)


def _in_modes_of_caller(
    function: Callable[..., tuple[Tensor, ...]],
) -> Callable[..., tuple[Tensor, ...]]:
    """Run the function in the modes of the calling thread: torch's modes are per thread."""
    inference, grad = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def run(*unit: Tensor) -> tuple[Tensor, ...]:
        with torch.inference_mode(inference), torch.set_grad_enabled(grad):
            return function(*unit)

    return run


TORCH: Library[Tensor] = Library(
    empty=lambda like, shape: like.new_empty(shape),
    join=lambda parts: torch.cat(list(parts)),
    equal=torch.equal,
    place=_place,
    moved=_moved,
    in_threads=_in_modes_of_caller,
    in_use=torch.inference_mode(),
    settles=1,  # TorchScript optimises a function during its first calls
)


def tensor_units(
    name: str,
    function: Function,
    examples: Callable[[int], tuple[units.Array, ...]],
    sizes: tuple[int, ...] = units.SIZES,
) -> Units[Tensor]:
    """Return units of a function of tensors, which may return one of them or a tuple."""

    def run(*unit: Tensor) -> tuple[Tensor, ...]:
        result = function(*unit)
        return (result,) if isinstance(result, Tensor) else result

    def tensors(count: int) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(each) for each in examples(count))

    return Units(name, run, tensors, TORCH, sizes)


def place(device: str | torch.device) -> Hashable:
    """Return the place of tensors of the usual numbers on a device, for `Units.sizes`."""
    return torch.device(device), torch.float32


def use_threads(count: int) -> None:
    """Set the number of threads, as `model.units.use_threads`; torch's own is one."""
    torch.set_num_threads(1)
    units.use_threads(count)
