"""Split requirements.lock for the image: torch with what belongs to it, and the rest.

python image_requirements.py LOCK DEVICE [INDEX]

DEVICE is ``cpu`` or ``cuda``. The usual torch for Linux is built for CUDA and does not load without
NVIDIA's libraries. For the CPU a build without them comes from INDEX, PyTorch's own index of
packages, if that is given. torchaudio is for training alone and is left out.

Writes rest.txt and torch.txt to the working directory.
"""

import re
import sys
from pathlib import Path

# What only torch's build for CUDA needs.
CUDA = re.compile(r"(nvidia-|cuda-|triton==)")


def split(lock: str, device: str, index: str) -> tuple[list[str], list[str]]:
    """Return the lines of rest.txt and of torch.txt."""
    if device not in ("cpu", "cuda"):
        raise SystemExit(f"DEVICE={device}: must be cpu or cuda")
    pins = [line for line in lock.splitlines() if line and not line.startswith("#")]
    cuda = [pin for pin in pins if CUDA.match(pin)]
    torch = [pin for pin in pins if pin.startswith("torch==")]
    rest = [pin for pin in pins if pin not in (*cuda, *torch) and not pin.startswith("torchaudio")]
    small = device == "cpu" and index
    return rest, [f"--index-url {index}", *torch] if small else [*torch, *cuda]


if __name__ == "__main__":
    lock, device, index = [*sys.argv[1:], ""][:3]
    for name, lines in zip(
        ("rest.txt", "torch.txt"), split(Path(lock).read_text(), device, index), strict=True
    ):
        Path(name).write_text("".join(f"{line}\n" for line in lines))
