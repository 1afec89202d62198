"""Files of networks without training, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from model.experiments import config
from model.experiments.architecture import ConvolutionalNetwork
from model.experiments.features import catalogue
from model.experiments.runner import row_folder
from model.networks import presets
from model.training import states

if TYPE_CHECKING:
    from pathlib import Path


def write_rows(folder: Path, name: str, feature: str = "") -> list[Path]:
    """Write a state for each row of an experiment with a network (on a feature): random weights."""
    described = config.load(config.find(name))
    files = []
    for seed, row in enumerate(described.rows):
        if row.layers is None or (feature and row.feature != feature):
            continue
        torch.manual_seed(seed)
        network = ConvolutionalNetwork(catalogue.make(row.feature).shape, row.layers)
        network.standardise(
            torch.full_like(network.mean, 3.0), torch.full_like(network.deviation, 2.0)
        )
        file = row_folder(described, row, folder) / "seed-1" / "best.pt"
        file.parent.mkdir(parents=True)
        states.save(network.state_dict(), file)
        files.append(file)
    return files


def write_training(folder: Path, preset: str) -> Path:
    """Write the network.pt of a training: random weights, and statistics that are not 0 and 1."""
    torch.manual_seed(5)
    labels = ["speech", "music"]
    network = presets.make(preset, len(labels))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    facts = {"network": preset, "labels": labels, "record": {}, "weights": network.state_dict()}
    file = folder / "network.pt"
    states.save(facts, file)
    return file
