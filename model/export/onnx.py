"""Export a network to ONNX, for programs without torch.

``NAME.embed.onnx`` turns columns (batch, t, bins) of any batch and length into frames,
``NAME.decide.onnx`` predicts from the frames of windows; with a boundary head it is
``NAME.predict.onnx``, which predicts moments as well. All carry the spec as metadata under
`SPEC_KEY`. onnxruntime loads them without code of airsift.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from airsift.errors import ConfigError, SpecMismatch
from airsift.files import replacing
from model.spec import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from model.network import WindowNetwork

SPEC_KEY = "airsift.json"
INPUTS = {"embed": "columns", "decide": "frames", "predict": "frames"}
OUTPUTS = {
    "embed": ["frames"], "decide": ["probabilities"], "predict": ["probabilities", "moments"],
}  # fmt: skip
# onnxruntime adds in another order than torch.
TOLERANCE = 1e-4


def can_write() -> bool:
    """Return whether the packages that write and check ONNX are installed."""
    return all(find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))


def parts(spec: ModelSpec) -> tuple[str, ...]:
    """Return the methods of a network that are exported, each to a file."""
    return ("embed", "predict" if spec.moments else "decide")


def part_file(file: Path, part: str) -> Path:
    """Return the name of an ONNX file that belongs to a model file."""
    return file.with_name(f"{file.stem}.{part}.onnx")


def write(network: WindowNetwork, spec: ModelSpec, file: Path) -> list[Path]:
    """Write the files beside a model file, and check them.

    Parameters
    ----------
    network : WindowNetwork
        In evaluation mode.
    spec : ModelSpec
        Its spec.
    file : Path
        The TorchScript file, whose name they share.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    ConfigError
        onnx, onnxscript or onnxruntime is not installed, or a file cannot be written.
    SpecMismatch
        onnxruntime and the network disagree; that file is not written.
    """
    if not can_write():
        raise ConfigError("ONNX files need `pip install 'airsift[training]'`: it brings onnx")
    files = [part_file(file, part) for part in parts(spec)]
    for part, path in zip(parts(spec), files, strict=True):
        with replacing(path) as partial:
            _write_part(network, part, spec, partial)
            check(network, part, spec, partial)
    return files


def check(network: WindowNetwork, part: str, spec: ModelSpec, file: Path) -> None:
    """Refuse a file with another spec, or with other results than the network.

    Parameters
    ----------
    network : WindowNetwork
        In evaluation mode.
    part : str
        One of `parts`.
    spec : ModelSpec
        The expected spec.
    file : Path
        The file.

    Raises
    ------
    SpecMismatch
        The file is not ONNX, the specs differ, or a result differs by more than `TOLERANCE`.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            file.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's own errors have no common base
        raise SpecMismatch(
            f"{file.name} is not an ONNX file that onnxruntime loads ({type(error).__name__}): "
            "export the network again"
        ) from error
    text = session.get_modelmeta().custom_metadata_map.get(SPEC_KEY, "")
    if not text or ModelSpec.from_json(text) != spec:
        raise SpecMismatch(f"{file.name} carries another spec than the network: export it again")
    for trial in _trials(network, part, spec):
        with torch.inference_mode():
            expected = _run(network, part, trial)
        outputs = session.run(None, {INPUTS[part]: trial.numpy()})
        for found, wanted in zip(map(torch.from_numpy, outputs), expected, strict=True):
            same = found.shape == wanted.shape
            distance = float((found - wanted).abs().max()) if same else torch.inf
            scale = max(1.0, float(wanted.abs().max()))
            if not distance <= TOLERANCE * scale:
                raise SpecMismatch(
                    f"{file.name} differs from the eager network by {distance:.2g} for the shape "
                    f"{tuple(trial.shape)}, at most {TOLERANCE * scale:g} is right: it is not "
                    "exported; report it with your torch and onnxruntime versions"
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


def _write_part(network: WindowNetwork, part: str, spec: ModelSpec, file: Path) -> None:
    batch = torch.export.Dim("batch", min=1)
    dynamic: dict[int, torch.export.Dim] = {0: batch}
    if part == "embed":
        dynamic[1] = torch.export.Dim("t", min=spec.context_columns)
    example = _trials(network, part, spec)[-1]
    with _quiet():
        program = torch.onnx.export(
            _Part(network, part).eval(),
            (example,),
            dynamo=True,
            dynamic_shapes={"values": dynamic},
            input_names=[INPUTS[part]],
            output_names=OUTPUTS[part],
            verbose=False,
        )
    assert program is not None  # it is, with `dynamo`
    proto = program.model_proto
    entry = proto.metadata_props.add()
    entry.key, entry.value = SPEC_KEY, spec.to_json()
    file.write_bytes(proto.SerializeToString())


def _trials(network: WindowNetwork, part: str, spec: ModelSpec) -> list[Tensor]:
    """Return inputs of several shapes: loud and quiet columns, or their frames."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, spec.window_columns), (3, spec.window_columns + 7 * spec.stride_columns)]
    if part != "embed":
        shapes = [(1, spec.window_columns), (3, spec.window_columns)]
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
