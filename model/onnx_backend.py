"""The backend of onnxruntime: one file, on the CPU, without torch.

``NAME.onnx.zip`` lies beside a TorchScript file and holds the same model as four graphs:
``columns`` (see `model.export.columns_graph`), ``embed``, ``decide`` and, with a boundary head,
``predict``; with the spec, and the hash of the TorchScript file. Unlike that, it is no program.

One graph cannot serve all: each kind of window begins in another place of the columns, and a
network of voices judges few of them.
"""

from __future__ import annotations

import zipfile
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from airsift.errors import SpecMismatch
from model.backend import check_batch
from model.spec import STEP_COLUMNS
from model.units import NUMPY, Array, Units, overlapping, random_rows
from model.weights import onnx_file, read_manifest, read_spec

if TYPE_CHECKING:
    from pathlib import Path

# Steps of one station that are computed in one call where they are there: so many stay in the
# processor's cache.
STEPS = 5
# Steps that a front end has computed before it checks that: fewer take less time than the check.
MANY_STEPS = 80
# Rows of a unit, see `model.units`. A call costs little, and rows of padding as much as others.
SIZES = (1, 2, 4, 8)


class OnnxBackend:
    """Loads for the CPU."""

    name = "onnx"

    def front_end(self, model: Path) -> OnnxFrontEnd:
        return OnnxFrontEnd(OnnxModel(model))

    def classifier(self, model: Path) -> OnnxClassifier:
        return OnnxClassifier(OnnxModel(model))


class OnnxModel:
    """An opened file: its spec, and its graphs when they are first needed.

    Parameters
    ----------
    model : Path
        The TorchScript file beside which it lies. It need not be there.

    Raises
    ------
    SpecMismatch
        The file is missing, is no such file, or was made of another TorchScript file.
    """

    def __init__(self, model: Path) -> None:
        self.path = onnx_file(model)
        self.manifest = read_manifest(model)
        self.spec = read_spec(self.path)

    def graph(self, name: str) -> onnxruntime.InferenceSession:
        """Load a graph.

        Raises
        ------
        SpecMismatch
            There is none of this name, or onnxruntime cannot load it.
        """
        try:
            with zipfile.ZipFile(self.path) as archive:
                data = archive.read(f"{name}.onnx")
            return session(data)
        except Exception as error:  # onnxruntime's own errors have no common base
            raise SpecMismatch(
                f"{self.path}: onnxruntime {onnxruntime.__version__} does not load {name}.onnx "
                f"({type(error).__name__}): export the model again"
            ) from error


def session(data: bytes) -> onnxruntime.InferenceSession:
    """Load a graph for one thread, with little memory."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


class _Function:
    """A graph as a function of arrays, loaded at its first call."""

    def __init__(self, model: OnnxModel, name: str, inputs: tuple[str, ...]) -> None:
        self._model, self._name, self._inputs = model, name, inputs
        self._session: onnxruntime.InferenceSession | None = None
        self._lock = Lock()

    def __call__(self, *rows: Array) -> tuple[Array, ...]:
        with self._lock:
            loaded = self._session = self._session or self._model.graph(self._name)
        return tuple(loaded.run(None, dict(zip(self._inputs, rows, strict=True))))


class OnnxFrontEnd:
    """The transform of a file; see `model.backend.FrontEnd`.

    A row of a unit is one step of one station. Where `STEPS` steps of a station are there at once,
    they are one row of another unit, if a check on this machine finds the same bits. The check is
    made when there is much to compute.

    Parameters
    ----------
    model : OnnxModel
        The file.
    """

    def __init__(self, model: OnnxModel) -> None:
        spec = model.spec
        self.sample_rate, self.hop = spec.sample_rate, spec.hop
        self.n_bins, self.bins_per_octave = spec.n_bins, spec.bins_per_octave
        self.fmin_hz, self.compression = spec.fmin_hz, spec.compression
        self.latency = model.manifest.latency
        self._history = model.manifest.history
        self._step = STEP_COLUMNS * self.hop
        function = _Function(model, "columns", ("samples", "history"))

        def units(steps: int, sizes: tuple[int, ...]) -> Units[Array]:
            examples = random_rows((steps * self._step,), (self._history,))
            return Units("columns", function, examples, NUMPY, sizes, reuse=True)

        self._one, self._more = units(1, SIZES), units(STEPS, SIZES[:2])
        self._joins: bool | None = None
        self._computed = 0  # steps

    def initial_state(self, batch: int) -> Array:
        return np.zeros((batch, self._history), np.float32)

    def __call__(self, samples: Array, state: Array) -> tuple[Array, Array]:
        check_batch(samples.shape, len(state), self._step)
        columns: list[Array] = []
        length, at = samples.shape[1], 0
        while at < length:
            many = self._computed >= MANY_STEPS and length - at >= STEPS * self._step
            joined = many and self._agree()
            after = at + (STEPS if joined else 1) * self._step
            units = self._more if joined else self._one
            found, state = units(samples[:, at:after], state)
            columns.append(found)
            at = after
            self._computed += len(samples)
        if len(columns) == 1:
            return columns[0], state
        nothing = np.zeros((len(samples), 0, self.n_bins), np.float32)
        return np.concatenate([nothing, *columns], axis=1), state

    def unbatched(self) -> list[str]:
        return ["columns"] if self._one.sizes() == (1,) else []

    def _agree(self) -> bool:
        """Return whether several steps in one call have the bits of single ones."""
        if self._joins is None:
            samples, state = self._more.examples(2)
            many, last = self._more(samples, state)
            parts = []
            for at in range(0, samples.shape[1], self._step):
                part, state = self._one(samples[:, at : at + self._step], state)
                parts.append(part)
            self._joins = np.array_equal(np.concatenate(parts, axis=1), many) and np.array_equal(
                state, last
            )
        return self._joins


class OnnxClassifier:
    """A network of a file; see `model.backend.Classifier`.

    A row of a unit is one step of columns, and those before it in which its frames begin; or the
    frames of a window.

    Parameters
    ----------
    model : OnnxModel
        The file.
    """

    def __init__(self, model: OnnxModel) -> None:
        self.spec = spec = model.spec
        self._row = spec.frames_before_step * spec.stride_columns + spec.step_columns
        columns = random_rows((self._row, spec.n_bins), scale=8.0)
        embed = _Function(model, "embed", ("columns",))
        self._embed = Units("embed", embed, columns, NUMPY, SIZES, reuse=True)
        self._decide = _Function(model, "decide", ("frames",))
        whole = _Function(model, "predict", ("frames",)) if spec.moments else self._decide
        self._whole = self._windows("predict", whole, spec.window_frames)
        self._shorter: dict[int, Units[Array]] = {}  # by the number of frames

    def embed(self, columns: Array) -> Array:
        batch, length, n_bins = columns.shape
        spec = self.spec
        count = (length - spec.context_columns) // spec.stride_columns + 1
        in_step = spec.step_columns // spec.stride_columns
        steps = -(-count // in_step)
        missing = self._row + (steps - 1) * spec.step_columns - length
        if missing > 0:
            columns = np.pad(columns, ((0, 0), (0, missing), (0, 0)))
        rows = overlapping(columns, self._row, spec.step_columns, steps)
        rows = rows.reshape(batch * steps, self._row, n_bins)
        (frames,) = self._embed(rows)
        return frames.reshape(batch, steps * in_step, spec.frame_size)[:, :count]

    def decide(self, frames: Array) -> Array:
        n = frames.shape[1]
        if n == self.spec.window_frames:
            return self.predict(frames)[0]
        if n not in self._shorter:
            self._shorter[n] = self._windows("decide", self._decide, n)
        return self._shorter[n](frames)[0]

    def predict(self, frames: Array) -> tuple[Array, Array]:
        probabilities, *moments = self._whole(frames)
        if moments:
            return probabilities, moments[0]
        return probabilities, np.zeros((len(frames), 0, len(self.spec.labels)), np.float32)

    def unbatched(self) -> list[str]:
        return [each.name for each in (self._embed, self._whole) if each.sizes() == (1,)]

    def _windows(self, name: str, function: _Function, frames: int) -> Units[Array]:
        examples = random_rows((frames, self.spec.frame_size))
        return Units(name, function, examples, NUMPY, SIZES, reuse=True)
