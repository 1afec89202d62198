"""Explain one window: what each layer keeps of it, and what the outputs depend on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from model.explain import sound
from model.explain.attribution import Gradients, integrated_gradients, occlusion
from model.explain.deconvolution import only, project

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from model.explain.subject import Subject

    Floats = NDArray[np.float32]

_BLOCKS = 20  # occluded blocks along each axis


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """What one map of a layer keeps of the window.

    Parameters
    ----------
    layer : str
        The layer.
    number : int
        The map.
    strength : float
        Norm of the projection, in units of the standardised input.
    values : np.ndarray [shape=(frames, bins)]
        The map; a unit of a dense layer has one value.
    input : np.ndarray [shape=(channels, frames, bins)]
        The projection, as an input: see `as_input`.
    audio : np.ndarray [shape=(n,)], optional
        What it sounds like, if the input is a constant-Q transform.
    """

    layer: str
    number: int
    strength: float
    values: Floats
    input: Floats
    audio: Floats | None


@dataclass(frozen=True, slots=True)
class Attribution:
    """What one output depends on.

    Parameters
    ----------
    label : str
        The output.
    gradients : Gradients
        Integrated gradients.
    occlusion : np.ndarray [shape=(blocks, blocks)]
        What the log odds lose where a block is hidden.
    """

    label: str
    gradients: Gradients
    occlusion: Floats


@dataclass(frozen=True, slots=True)
class Explanation:
    """All of one window.

    Parameters
    ----------
    audio : np.ndarray [shape=(n,)]
        The window.
    input : np.ndarray [shape=(channels, frames, bins)]
        Its feature.
    resynthesis : np.ndarray, optional
        Audio of the feature itself, made in the same way as that of the reconstructions.
    convergence : float, optional
        Spectral convergence of `resynthesis`.
    probabilities : dict of str to float
        By label.
    reconstructions : list of Reconstruction
        By layer, strongest first.
    attributions : list of Attribution
        By label.
    """

    audio: Floats
    input: Floats
    resynthesis: Floats | None
    convergence: float | None
    probabilities: dict[str, float]
    reconstructions: list[Reconstruction]
    attributions: list[Attribution]


def explain(
    subject: Subject,
    audio: Floats,
    *,
    layers: Sequence[str],
    number: int | None,
    count: int,
    report: Callable[[str], None],
) -> Explanation:
    """Explain a window.

    Parameters
    ----------
    subject : Subject
        The network.
    audio : np.ndarray [shape=(n,)]
        A window of its length.
    layers : sequence of str
        The layers to project.
    number : int, optional
        The only map to project; default: the strongest ones.
    count : int > 0
        How many maps of a layer.
    report : callable
        Receives a line for each step that takes time.

    Raises
    ------
    ConfigError
        A layer or a map is unknown, or captum is missing.
    """
    inputs = input_of(subject, audio)
    with torch.no_grad():
        p = torch.sigmoid(subject.log_odds(inputs))[0].tolist()
    found = reconstruct(subject, audio, layers=layers, number=number, count=count, report=report)
    resynthesis = audio_of(subject, inputs[0].cpu())
    return Explanation(
        audio, inputs[0].cpu().numpy(), resynthesis,
        None if resynthesis is None else _converged(subject, inputs[0].cpu(), resynthesis),
        dict(zip(subject.labels, p, strict=True)),
        found, _attributions(subject, inputs[0], report),
    )  # fmt: skip


def reconstruct(
    subject: Subject,
    audio: Floats,
    *,
    layers: Sequence[str],
    number: int | None,
    count: int,
    report: Callable[[str], None],
) -> list[Reconstruction]:
    """Return what maps of layers keep of a window: by layer, strongest first.

    Parameters
    ----------
    subject, audio, layers, number, count, report
        As for `explain`.

    Raises
    ------
    ConfigError
        A layer or a map is unknown.
    """
    inputs = input_of(subject, audio)
    with torch.no_grad():
        trace = subject.chain.trace(inputs)
    found = []
    for name in layers:
        maps = trace.maps[name]
        projected = []
        for each in range(maps.shape[1]) if number is None else [number]:
            back = project(subject.chain, trace, name, only(maps, each))[0].detach()
            projected.append((float(torch.linalg.vector_norm(back)), each, back))
        projected.sort(key=lambda one: (-one[0], one[1]))
        for strength, each, back in projected[:count]:
            shown = as_input(subject, inputs[0], back).cpu()
            values = maps[0, each]
            found.append(Reconstruction(
                name, each, strength,
                (values if values.dim() else values.view(1, 1)).cpu().numpy(), shown.numpy(),
                audio_of(subject, shown) if strength > 0 else None,
            ))  # fmt: skip
        report(f"{name}: {min(count, len(projected))} of {maps.shape[1]} maps")
    return found


def input_of(subject: Subject, audio: Floats) -> Tensor:
    """Return the feature of a window [shape=(1, channels, frames, bins)]."""
    with torch.no_grad():
        return subject.features(torch.from_numpy(audio)[None])


def audio_of(subject: Subject, values: Tensor) -> Floats | None:
    """Return the audio of an input [shape=(1, frames, bins)], if it is a constant-Q transform."""
    if not subject.cqt_hop:
        return None
    transform = _transform(subject.cqt_hop, subject.chain.shape[1])
    magnitudes = (torch.exp2(values[0]) - 1) / subject.compression
    made = sound.griffin_lim(transform, magnitudes)[: subject.samples]
    made = torch.nn.functional.pad(made, (0, subject.samples - len(made)))
    found: Floats = (made / made.abs().max().clamp_min(1.0)).numpy()
    return found


@lru_cache(maxsize=1)
def _transform(hop: int, columns: int) -> sound.ConstantQ:
    return sound.ConstantQ(hop, columns)


def as_input(subject: Subject, inputs: Tensor, projected: Tensor) -> Tensor:
    """Return a projection in units of the input.

    Of compressed magnitudes, the positive part is scaled to be as near to the input as it can be
    (least squares), so that its picture and its loudness can be compared with the input's. Cells
    that the map does not see are silent.

    Parameters
    ----------
    inputs, projected : torch.Tensor [shape=(channels, frames, bins)]
        The window, and a projection in units of the standardised input.
    """
    values = projected * subject.chain.deviation
    if not subject.compression:
        return values
    values = values.clamp_min(0)
    power = float(values.square().sum())
    if power == 0:
        return values
    return values * (float((values * inputs).sum()) / power)


def _attributions(
    subject: Subject, inputs: Tensor, report: Callable[[str], None]
) -> list[Attribution]:
    baseline = subject.chain.mean.expand(inputs.shape)
    _, frames, bins = subject.chain.shape
    stride = -(-frames // _BLOCKS), -(-bins // _BLOCKS)
    size = 2 * stride[0], 2 * stride[1]
    found = []
    for target, label in enumerate(subject.labels):
        gradients = integrated_gradients(subject.log_odds, inputs, baseline, target)
        lost = occlusion(subject.log_odds, inputs, baseline, target, size, stride)
        found.append(Attribution(label, gradients, lost.cpu().numpy()))
        report(
            f"{label}: log odds {gradients.output:.2f}, and {gradients.baseline:.2f} of the mean "
            f"input; the attributions miss the difference by {abs(gradients.gap):.3f}"
        )
    return found


def _converged(subject: Subject, inputs: Tensor, audio: Floats) -> float:
    again = subject.features(torch.from_numpy(audio)[None])[0].cpu()
    return sound.convergence(torch.exp2(inputs) - 1, torch.exp2(again) - 1)
