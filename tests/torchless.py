"""An environment without torch and scipy, as where only `requirements-edge.lock` is."""

from __future__ import annotations

import os
from pathlib import Path

ABSENT = ("torch", "torchaudio", "nnAudio", "onnx", "onnxscript", "scipy")

# Python runs a module of this name when it starts.
_HOOK = f"""
from importlib.machinery import PathFinder
found = PathFinder.find_spec
PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: None if name.split(".")[0] in {ABSENT!r} else found(name, *rest)
)
"""


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return the environment of a process that finds none of `ABSENT`.

    Parameters
    ----------
    folder : Path
        For the hook.
    **more : str
        Variables of the environment.
    """
    (folder / "sitecustomize.py").write_text(_HOOK)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AIRSIFT_")}
    root = Path(__file__).parents[1]
    return clean | {"PYTHONPATH": os.pathsep.join([str(folder), str(root)])} | more
