"""Export a trained network to TorchScript, with checks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from airsift.errors import ConfigError, SpecMismatch
from airsift.files import replacing
from model import classifier
from model.networks import presets
from model.networks.inference import inference_form
from model.spec import LABELS, ModelSpec
from model.training import states

if TYPE_CHECKING:
    from pathlib import Path

    from model.network import WindowNetwork
    from model.training.record import Record

# The form that is exported adds in another order.
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Trained:
    """The result of `airsift train`.

    Parameters
    ----------
    network : WindowNetwork
        With trained weights.
    name : str
        Preset of the network, in `model.networks.presets`.
    labels : tuple of str
        Names of the outputs.
    record : Record
        Record of the training.
    """

    network: WindowNetwork
    name: str
    labels: tuple[str, ...]
    record: Record


def trained_network(file: Path) -> Trained:
    """Load the result of `airsift train`.

    Raises
    ------
    ConfigError
        The training is unfinished, or the file is something else.
    """
    if not file.exists():
        raise ConfigError(f"{file} is not there: run `airsift train` to its end first")
    facts = states.load(file)
    if not isinstance(facts, dict) or not facts.keys() >= {
        "network",
        "labels",
        "weights",
        "record",
    }:
        raise ConfigError(f"{file} was not written by `airsift train`: train again")
    network = presets.make(facts["network"], len(facts["labels"]))
    try:
        network.load_state_dict(facts["weights"])
    except RuntimeError as error:
        raise ConfigError(
            f"{file} holds other weights than the network {facts['network']!r} has: train again "
            "with this version"
        ) from error
    return Trained(network.eval(), facts["network"], tuple(facts["labels"]), facts["record"])


def spec_of(
    network: WindowNetwork, training_data: str, labels: tuple[str, ...] = LABELS
) -> ModelSpec:
    """Return the spec of a network; the front end is that of `model.spec`."""
    return ModelSpec(
        labels=labels,
        context_columns=network.context,
        stride_columns=network.stride,
        frame_size=network.frame_size,
        moments=network.moments,
        training_data=training_data,
        weights_sha256=weights_hash(network),
    )


def weights_hash(network: WindowNetwork) -> str:
    """Return a hash of all parameters and buffers, in the order of their names."""
    digest = hashlib.sha256()
    for name, values in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(values.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def export(
    network: WindowNetwork, path: Path, *, training_data: str, labels: tuple[str, ...] = LABELS
) -> ModelSpec:
    """Write a network as TorchScript with its spec inside.

    Parameters
    ----------
    network : WindowNetwork
        Trained; one of `model.networks.presets`.
    path : Path
        The file to write.
    training_data : str
        Description of the training audio; may be empty.
    labels : tuple of str
        Names of the outputs.

    Raises
    ------
    SpecMismatch
        The scripted or the reloaded network differs from the eager one; the file is not
        written.
    """
    network = network.eval()
    spec = spec_of(network, training_data, labels)
    module = classifier.script(inference_form(network))
    generator = torch.Generator().manual_seed(0)
    columns = torch.rand(3, spec.window_columns, spec.n_bins, generator=generator) * 12.0
    with torch.inference_mode():
        frames = network.embed(columns)
        expected = network.predict(frames) if network.moments else (network.decide(frames),)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as trial:
        classifier.save(module, spec, trial)
        again = classifier.load(trial)
        for name, each in (
            ("scripted", classifier.Classifier(module, spec)), ("reloaded", again),
        ):  # fmt: skip
            frames = each.embed(columns)
            found = each.predict(frames)
            error = max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=False))
            if not error <= TOLERANCE:
                raise SpecMismatch(
                    f"the {name} network differs from the eager one by {error:.2g}, at most "
                    f"{TOLERANCE:g} is right: it is not exported; report it with your torch version"
                )
        if again.spec != spec:
            raise SpecMismatch(f"{path}: the spec read back is not the one written")
    return spec
