"""From a trained network to the file that airsift runs, checked on the way."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch

from airsift.errors import SpecMismatch
from model import classifier
from model.spec import ModelSpec

if TYPE_CHECKING:
    from pathlib import Path

    from model.network import Network

# Folding the normalisation into the convolutions moves the last digits only.
TOLERANCE = 1e-4


def spec_of(network: Network, training_data: str) -> ModelSpec:
    """Describe a network; the front end's facts are those of `model.frontend`."""
    return ModelSpec(
        context_columns=network.context,
        stride_columns=network.stride,
        frame_size=network.frame_size,
        training_data=training_data,
        weights_sha256=weights_hash(network),
    )


def weights_hash(network: Network) -> str:
    """Hash every number of a network, in the order of their names."""
    digest = hashlib.sha256()
    for name, values in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(values.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def export(network: Network, path: Path, *, training_data: str) -> ModelSpec:
    """Write a network as TorchScript with its spec inside.

    Parameters
    ----------
    network : Network
        Trained.
    path : Path
        The file to write.
    training_data : str
        Where the audio came from, in a sentence.

    Raises
    ------
    SpecMismatch
        The scripted and the eager network, or the file read back, disagree; nothing is written
        under the name asked for.
    """
    network = network.eval()
    spec = spec_of(network, training_data)
    module = classifier.script(network)
    generator = torch.Generator().manual_seed(0)
    columns = torch.rand(3, spec.window_columns, spec.n_bins, generator=generator) * 12.0
    with torch.inference_mode():
        wanted = network.decide(network.embed(columns))
    trial = path.with_name(f"{path.name}.trial")
    path.parent.mkdir(parents=True, exist_ok=True)
    classifier.save(module, spec, trial)
    try:
        again = classifier.load(trial)
        for name, each in (
            ("scripted", classifier.Classifier(module, spec)), ("reloaded", again),
        ):  # fmt: skip
            error = float((each.decide(each.embed(columns)) - wanted).abs().max())
            if not error <= TOLERANCE:
                raise SpecMismatch(
                    f"the {name} network differs from the eager one by {error:.2g}, at most "
                    f"{TOLERANCE:g} is right: it is not exported; report it with your torch version"
                )
        if again.spec != spec:
            raise SpecMismatch(f"{path}: the spec read back is not the one written")
        trial.replace(path)
    finally:
        trial.unlink(missing_ok=True)
    return spec
