"""Export a model for onnxruntime: front end and network, for programs without torch.

``NAME.onnx.zip`` lies beside the TorchScript file ``NAME.pt``; `model.onnx_backend` says what is in
it, and loads it. Each graph in it is a common ONNX file: ``columns.onnx`` turns samples into
columns, ``embed.onnx`` columns (batch, t, bins) of any batch and length into frames,
``decide.onnx`` predicts from the frames of windows of any length, and ``predict.onnx`` from those
of whole ones, with moments. onnxruntime runs them without code of airsift.
"""

from __future__ import annotations

import json
import warnings
import zipfile
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from airsift.errors import ConfigError, SpecMismatch
from airsift.files import replacing
from model.frontend.rolling_cqt import RollingCQT
from model.networks.onnx_form import onnx_form
from model.weights import MANIFEST, SCHEMA, SPEC_FILE, Manifest, onnx_file, sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from onnxruntime import InferenceSession

    from model.network import WindowNetwork
    from model.spec import ModelSpec
    from model.units import Array

INPUTS = {"columns": ("samples", "history"), "embed": ("columns",), "decide": ("frames",),
          "predict": ("frames",)}  # fmt: skip
OUTPUTS = {
    "columns": ["columns", "next_history"], "embed": ["frames"], "decide": ["probabilities"],
    "predict": ["probabilities", "moments"],
}  # fmt: skip
# onnxruntime adds in another order than torch. Of the largest number of a result.
TOLERANCE = 1e-4


def can_write() -> bool:
    """Return whether the packages that write and check ONNX are installed."""
    return all(find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))


def parts(spec: ModelSpec) -> tuple[str, ...]:
    """Return the names of the graphs of a model."""
    return ("columns", "embed", "decide", *(["predict"] if spec.moments else []))


def write(network: WindowNetwork, spec: ModelSpec, model: Path) -> Path:
    """Write the file beside a model file, and check it.

    Parameters
    ----------
    network : WindowNetwork
        Trained, in evaluation mode.
    spec : ModelSpec
        Its spec.
    model : Path
        The TorchScript file, whose name it shares and whose hash it carries.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ConfigError
        onnx, onnxscript or onnxruntime is not installed, or the file cannot be written.
    SpecMismatch
        onnxruntime and the network disagree; the file is not written.
    """
    if not can_write():
        raise ConfigError(
            "a file for onnxruntime needs `pip install 'airsift[training]'`: it brings onnx"
        )
    from model.export import columns_graph

    front_end = RollingCQT(spec.compression)
    quick = onnx_form(network)
    graphs = {"columns": columns_graph.columns_graph(spec.compression).SerializeToString()}
    for part in parts(spec)[1:]:
        graphs[part] = _network_graph(quick, part, spec)
    check_columns(graphs["columns"], front_end)
    for part in parts(spec)[1:]:
        check(network, part, spec, graphs[part])
    manifest = Manifest(SCHEMA, sha256_of(model), front_end.latency, columns_graph.history_size())
    path = onnx_file(model)
    with replacing(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (
            (SPEC_FILE, spec.to_json().encode()),
            (MANIFEST, json.dumps(asdict(manifest)).encode()),
            *((f"{part}.onnx", graph) for part, graph in graphs.items()),
        ):
            # Without the time, so that the same model is the same file.
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return path


def check_columns(graph: bytes, front_end: RollingCQT) -> None:
    """Refuse a graph with other columns than the front end of torch.

    Raises
    ------
    SpecMismatch
        onnxruntime cannot load it, or a column differs by more than `TOLERANCE` of the largest.
    """
    loaded = _loaded(graph, "columns")
    generator = torch.Generator().manual_seed(0)
    state = front_end.initial_state(3)
    history = state["history"].numpy()
    for seconds in (1, 3):
        samples = torch.randn(3, seconds * front_end.sample_rate, generator=generator)
        samples *= torch.tensor([0.3, 0.03, 0.0]).unsqueeze(1)
        with torch.inference_mode():
            wanted, state = front_end(samples, state)
        feeds = {"samples": samples.numpy(), "history": history}
        found, history = loaded.run(OUTPUTS["columns"], feeds)
        _compare("columns", found, wanted, tuple(samples.shape))


def check(network: WindowNetwork, part: str, spec: ModelSpec, graph: bytes) -> None:
    """Refuse a graph with other results than the network.

    Parameters
    ----------
    network : WindowNetwork
        In evaluation mode.
    part : str
        One of `parts`, but not the columns.
    spec : ModelSpec
        Its spec.
    graph : bytes
        An ONNX model.

    Raises
    ------
    SpecMismatch
        onnxruntime cannot load it, or a result differs by more than `TOLERANCE` of the largest,
        or of 1.
    """
    loaded = _loaded(graph, part)
    for trial in _trials(network, part, spec):
        with torch.inference_mode():
            expected = _run(network, part, trial)
        outputs = loaded.run(OUTPUTS[part], {INPUTS[part][0]: trial.numpy()})
        for found, wanted in zip(outputs, expected, strict=True):
            _compare(part, found, wanted, tuple(trial.shape))


def _loaded(graph: bytes, part: str) -> InferenceSession:
    from model.onnx_backend import session

    try:
        return session(graph)
    except Exception as error:  # onnxruntime's own errors have no common base
        raise SpecMismatch(
            f"{part}.onnx is not a graph that onnxruntime loads ({type(error).__name__}): "
            "export the network again"
        ) from error


def _compare(part: str, found: Array, wanted: Tensor, shape: tuple[int, ...]) -> None:
    expected = wanted.numpy()
    same = found.shape == expected.shape
    distance = float(np.abs(found - expected).max()) if same else float("inf")
    limit = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    if not distance <= limit:
        raise SpecMismatch(
            f"{part}.onnx differs from torch by {distance:.2g} for the shape {shape}, at most "
            f"{limit:g} is right: it is not exported; report it with your torch and onnxruntime "
            "versions"
        )


class _Part(nn.Module):
    """One method of a network as a module of its own."""

    def __init__(self, network: WindowNetwork, part: str) -> None:
        super().__init__()
        self.network = network
        self.part = part

    def forward(self, values: Tensor) -> tuple[Tensor, ...]:
        return _run(self.network, self.part, values)


def _run(network: WindowNetwork, part: str, values: Tensor) -> tuple[Tensor, ...]:
    result: Tensor | tuple[Tensor, ...] = getattr(network, part)(values)
    return (result,) if isinstance(result, Tensor) else result


def _network_graph(network: WindowNetwork, part: str, spec: ModelSpec) -> bytes:
    dynamic = {0: torch.export.Dim("batch", min=1)}
    if part == "embed":
        dynamic[1] = torch.export.Dim("t", min=spec.context_columns)
    elif part == "decide" and spec.window_frames > 1:
        dynamic[1] = torch.export.Dim("n", min=1, max=spec.window_frames)
    example = _trials(network, part, spec)[-1]
    with _quiet():
        program = torch.onnx.export(
            _Part(network, part).eval(),
            (example,),
            dynamo=True,
            dynamic_shapes={"values": dynamic},
            input_names=list(INPUTS[part]),
            output_names=OUTPUTS[part],
            verbose=False,
        )
    assert program is not None  # it is, with `dynamo`
    graph: bytes = program.model_proto.SerializeToString()
    return graph


def _trials(network: WindowNetwork, part: str, spec: ModelSpec) -> list[Tensor]:
    """Return inputs of several shapes: loud and quiet columns, or their frames."""
    generator = torch.Generator().manual_seed(0)
    longer = spec.window_columns + 7 * spec.stride_columns
    shapes = [(1, spec.window_columns), (3, longer if part == "embed" else spec.window_columns)]
    if part == "decide" and spec.window_frames > 2:
        shapes[1:1] = [(2, spec.context_columns), (3, spec.context_columns + spec.stride_columns)]
    found = []
    for batch, length in shapes:
        level = torch.rand(batch, 1, 1, generator=generator)
        columns = torch.rand(batch, length, spec.n_bins, generator=generator) * 12.0 * level
        with torch.inference_mode():
            found.append((columns if part == "embed" else network.embed(columns)).clone())
    return [values.detach().clone() for values in found]


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's messages about optional packages."""
    import logging

    exporter = logging.getLogger("torch.onnx")
    before = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        exporter.setLevel(before)
