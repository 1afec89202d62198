"""The rolling constant-Q transform of `model.frontend.rolling_cqt` as an ONNX graph.

``columns.onnx`` takes the next whole steps of every station and what it kept of those before, and
returns columns and what to keep::

    samples (batch, m * hop)   history (batch, h)
         └──────────┬──────────────┘
     octave 0  ─> 24 bins, and every second sample of its low-pass ─> octave 1 ─> … octave 5
         └───────────────── columns (batch, m, 144), history ─────────────────────┘

Kernels and decimators are convolutions with large strides, which onnxruntime computes without
copying each frame. The numbers are those of `model.frontend.kernels`.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from model.frontend import kernels as design
from model.frontend.base import ROW_COLUMNS
from model.spec import BINS_PER_OCTAVE, N_BINS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

OPSET = 18
IR_VERSION = 9
# Outputs of one block of a decimator: few, so that little is multiplied by zero, and a multiple of
# the processor's vectors where the samples of a step divide.
BLOCKS = (20, 16)


class _Graph:
    """Operations and constants of a graph, in the order in which they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: ArrayLike, kind: type = np.float32) -> str:
        name = f"constant {len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def add(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add an operation; return the name of its output."""
        name = name or f"value {len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def cut(self, values: str, first: int, last: int | None, axis: int) -> str:
        """Add a slice; a negative `last` counts from the end."""
        ends = np.iinfo(np.int64).max if last is None else last
        bounds = [self.constant([each], np.int64) for each in (first, ends, axis)]
        return self.add("Slice", values, *bounds)


def history_size() -> int:
    """Return the numbers that are kept of a station between two calls."""
    octaves = design.octaves()
    latency = design.latency(octaves)
    return sum(_tail(octave, latency) for octave in octaves)


def columns_graph(compression: float) -> onnx.ModelProto:
    """Build the graph.

    Parameters
    ----------
    compression : float >= 0
        C in ``log2(1 + C * magnitude)``; 0 leaves the magnitude as it is.

    Returns
    -------
    onnx.ModelProto
        Inputs ``samples`` and ``history``, outputs ``columns`` and ``next_history``. The samples
        of a call are whole steps of 50 columns.
    """
    octaves = design.octaves()
    latency = design.latency(octaves)
    graph = _Graph()
    new, kept = "samples", 0
    spectra: list[str] = []
    tails: list[str] = []
    for octave in octaves:
        tail = _tail(octave, latency)
        before = graph.cut("history", kept, kept + tail, 1)
        kept += tail
        signal = graph.add("Concat", before, new, axis=1)
        tails.append(graph.cut(signal, -tail, None, 1))
        maps = graph.add("Unsqueeze", signal, graph.constant([1, 2], np.int64))
        spectra.append(_spectrum(graph, maps, octave, latency, compression or 1.0))
        if octave is not octaves[-1]:
            new = _halved(graph, maps, octave, latency)
    joined = graph.add("Concat", *spectra[::-1], axis=3)
    squares = graph.add("Mul", joined, joined)
    shape = [0, -1, len(octaves), 2, BINS_PER_OCTAVE]
    parts = graph.add("Reshape", squares, graph.constant(shape, np.int64))
    graph.nodes.append(
        helper.make_node("Split", [parts], ["cosines", "sines"], axis=3, num_outputs=2)
    )
    values = graph.add("Sqrt", graph.add("Add", "cosines", "sines"))
    if compression:
        values = graph.add("Log", graph.add("Add", values, graph.constant(1.0)))
        values = graph.add("Mul", values, graph.constant(1.0 / log(2.0)))
    graph.add("Reshape", values, graph.constant([0, -1, N_BINS], np.int64), name="columns")
    graph.add("Concat", *tails, axis=1, name="next_history")
    numbers = TensorProto.FLOAT
    made = helper.make_graph(
        graph.nodes,
        "columns",
        [
            helper.make_tensor_value_info("samples", numbers, ["batch", "samples"]),
            helper.make_tensor_value_info("history", numbers, ["batch", kept]),
        ],
        [
            helper.make_tensor_value_info("columns", numbers, ["batch", "columns", N_BINS]),
            helper.make_tensor_value_info("next_history", numbers, ["batch", kept]),
        ],
        graph.constants,
    )
    model = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(model)
    return model


def _framed(octave: design.Octave, latency: int) -> int:
    """Return the samples from the start of the oldest frame to the first new sample."""
    return ((latency - octave.delay) >> octave.level) + octave.before


def _filtered(octave: design.Octave) -> int:
    """Return the samples from the start of the oldest filter to the first new sample."""
    return 2 * design.DECIMATOR_HALF - 1 + octave.shift


def _tail(octave: design.Octave, latency: int) -> int:
    return max(_framed(octave, latency), _filtered(octave))


def _spectrum(graph: _Graph, signal: str, octave: design.Octave, latency: int, scale: float) -> str:
    """Add the cosine and sine parts of the new columns, (batch, 1, columns, 2 * bins)."""
    framed, width = _framed(octave, latency), len(octave.kernels)
    first = _tail(octave, latency) - framed
    frames = graph.cut(signal, first, width - octave.hop - framed, 3)
    kernels = graph.constant((octave.kernels.T * scale)[:, None, None])
    spectrum = graph.add("Conv", frames, kernels, strides=[1, octave.hop], kernel_shape=[1, width])
    return graph.add("Transpose", spectrum, perm=[0, 2, 3, 1])


def _halved(graph: _Graph, signal: str, octave: design.Octave, latency: int) -> str:
    """Add a low-pass filter over the new samples, of which every second remains, (batch, n)."""
    per_step = ROW_COLUMNS * octave.hop // 2
    outputs = next(each for each in reversed(BLOCKS) if per_step % each == 0)
    filtered = _filtered(octave)
    matrix = design.decimator_matrix(outputs)
    first = _tail(octave, latency) - filtered
    last = len(matrix) - 2 * outputs - filtered
    rows = graph.cut(signal, first, last or None, 3)
    halved = graph.add(
        "Conv", rows, graph.constant(matrix.T[:, None, None]),
        strides=[1, 2 * outputs], kernel_shape=[1, len(matrix)],
    )  # fmt: skip
    in_order = graph.add("Transpose", halved, perm=[0, 2, 3, 1])
    return graph.add("Reshape", in_order, graph.constant([0, -1], np.int64))
