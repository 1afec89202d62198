"""The GPUs that torch can use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gpus:
    """What torch finds.

    Parameters
    ----------
    names : tuple of str
        One for each GPU, with its memory.
    version : str
        Torch's.
    cuda : str
        The version of CUDA that torch is built for; "" if for none.
    """

    names: tuple[str, ...]
    version: str
    cuda: str


def find_gpus() -> Gpus:
    """Return the GPUs that torch can use; this loads torch.

    Raises
    ------
    ModuleNotFoundError
        Torch is not installed.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    found = (torch.cuda.get_device_properties(each) for each in range(count))
    names = tuple(f"{each.name}, {each.total_memory / 2**30:.0f} GB" for each in found)
    return Gpus(names, str(torch.__version__), torch.version.cuda or "")
