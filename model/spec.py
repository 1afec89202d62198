"""What a network and its users must agree on: the audio, the columns, the windows, the labels.

A model file carries these facts as JSON. All code of `model` takes them from here.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from airsift.errors import SpecMismatch

SCHEMA = "airsift.model/1"

SAMPLE_RATE = 16_000  # Hz
HOP = 320  # samples between columns: 20 ms
BINS_PER_OCTAVE = 24
N_BINS = 6 * BINS_PER_OCTAVE
FMIN_HZ = 80.0
COMPRESSION = 10_000.0  # C in log2(1 + C * magnitude)
WINDOW_COLUMNS = 250  # 5 s
STEP_COLUMNS = 50  # 1 s
LABELS = ("speech", "music")  # of the default model
COLUMNS_PER_HOUR = 3600 * SAMPLE_RATE // HOP

# Fields that a front end has as attributes of the same names.
COLUMN_FIELDS = ("sample_rate", "hop", "n_bins", "bins_per_octave", "fmin_hz", "compression")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The input that a network was trained on, and its outputs.

    Parameters
    ----------
    sample_rate : int > 0
        Samples per second.
    hop : int > 0
        Samples between columns.
    n_bins, bins_per_octave : int > 0
        Bins of a column.
    fmin_hz : float > 0
        Frequency of the lowest bin.
    compression : float >= 0
        C in ``log2(1 + C * magnitude)``.
    window_columns, step_columns : int > 0
        Length of a window, and distance between windows.
    context_columns, stride_columns : int > 0
        Columns that a frame depends on, and distance between frames.
    frame_size : int > 0
        Features of a frame.
    moments : int >= 0
        Frames around a window's centre with predictions of their own, together one step;
        0 for a network without a boundary head.
    labels : tuple of str
        Names of the outputs.
    training_data : str
        Description of the training audio; may be empty.
    weights_sha256 : str
        Hash of the weights.

    Raises
    ------
    SpecMismatch
        The values are inconsistent.
    """

    sample_rate: int = SAMPLE_RATE
    hop: int = HOP
    n_bins: int = N_BINS
    bins_per_octave: int = BINS_PER_OCTAVE
    fmin_hz: float = FMIN_HZ
    compression: float = COMPRESSION
    window_columns: int = WINDOW_COLUMNS
    step_columns: int = STEP_COLUMNS
    context_columns: int = 40
    stride_columns: int = 10
    frame_size: int = 160
    moments: int = 0
    labels: tuple[str, ...] = LABELS
    training_data: str = ""
    weights_sha256: str = ""

    def __post_init__(self) -> None:
        for name in ("window_columns", "step_columns"):
            size = getattr(self, name) - (self.context_columns if name == "window_columns" else 0)
            if size < 0 or size % self.stride_columns:
                raise SpecMismatch(
                    f"{name}={getattr(self, name)} does not fit stride_columns="
                    f"{self.stride_columns} and context_columns={self.context_columns}: "
                    "frames must fall on the windows' grid"
                )
        if self.moments and self.moments * self.stride_columns != self.step_columns:
            raise SpecMismatch(
                f"moments={self.moments} of stride_columns={self.stride_columns} do not make up "
                f"step_columns={self.step_columns}: the moments of consecutive windows must meet"
            )

    @property
    def window_frames(self) -> int:
        """Frames of a window."""
        return (self.window_columns - self.context_columns) // self.stride_columns + 1

    @property
    def frames_before_step(self) -> int:
        """Number of frames that end within a step and begin before it."""
        overlap = max(self.context_columns - self.stride_columns, 0)
        return -(-overlap // self.stride_columns)

    def moment_centre(self, moment: int) -> int:
        """Return the centre of a moment, in samples from the start of its window."""
        frame = (self.window_frames - self.moments) // 2 + moment
        # Column c is centred on sample c * hop; a frame's middle lies between two of them.
        return (2 * frame * self.stride_columns + self.context_columns - 1) * self.hop // 2

    def to_json(self) -> str:
        """Return the spec as one line of JSON."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Parse the output of `to_json`.

        Raises
        ------
        SpecMismatch
            The text is not JSON of this schema, or a field is missing, unknown or of the wrong
            type. `moments` may be missing: it is then 0.
        """
        try:
            found: Any = json.loads(text)
        except json.JSONDecodeError as error:
            raise SpecMismatch(
                f"the model's spec is not JSON ({error}): export it again"
            ) from error
        schema = found.pop("schema", None) if isinstance(found, dict) else None
        if schema != SCHEMA:
            raise SpecMismatch(
                f"the model's spec has schema {schema!r}, airsift reads {SCHEMA!r}: "
                "export the model with this version"
            )
        found.setdefault("moments", 0)
        known = {field.name for field in fields(cls)}
        if set(found) != known:
            odd = ", ".join(sorted(set(found) ^ known))
            raise SpecMismatch(f"the model's spec differs in the fields {odd}: export it again")
        found["labels"] = tuple(found["labels"])
        for field in fields(cls):
            if type(found[field.name]) is not type(field.default):
                raise SpecMismatch(
                    f"the model's spec has {field.name}={found[field.name]!r}, which should be "
                    f"of type {type(field.default).__name__}: export it again"
                )
        return cls(**found)

    def check_labels(
        self,
        labels: tuple[str, ...],
        where: str,
        remedy: str = "name one that was trained on these labels",
    ) -> None:
        """Refuse a network with other labels.

        Parameters
        ----------
        labels : tuple of str
            The required labels.
        where : str
            The configuration key that names the network, for the error.
        remedy : str
            What to do instead, for the error.

        Raises
        ------
        SpecMismatch
            The labels differ.
        """
        if self.labels != labels:
            raise SpecMismatch(
                f"{where} names a model of {', '.join(self.labels)}, not of "
                f"{', '.join(labels)}: {remedy}"
            )

    def check_front_end(self, front_end: object) -> None:
        """Refuse a front end that does not compute the columns that the network was trained on.

        Raises
        ------
        SpecMismatch
            Some fields differ; the message names all of them.
        """
        wrong = [
            f"{name}={getattr(front_end, name)} (the model has {getattr(self, name)})"
            for name in COLUMN_FIELDS
            if getattr(front_end, name) != getattr(self, name)
        ]
        if wrong:
            raise SpecMismatch(
                f"the front end has {', '.join(wrong)}: use the model's front end, or a model "
                "trained on this one"
            )
