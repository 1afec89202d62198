"""Facts of a trained network that its users must agree with, kept inside its file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from airsift.errors import SpecMismatch

if TYPE_CHECKING:
    from model.frontend.rolling_cqt import FrontEnd

SCHEMA = "airsift.model/1"
# Facts about columns, which a front end has under the same names.
COLUMNS = ("sample_rate", "hop", "n_bins", "bins_per_octave", "fmin_hz", "compression")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a network was trained on and how it is to be fed.

    Parameters
    ----------
    sample_rate : int > 0
        Samples per second of its audio.
    hop : int > 0
        Samples between columns.
    n_bins, bins_per_octave : int > 0
        Bins of a column.
    fmin_hz : float > 0
        Frequency of the lowest bin.
    compression : float >= 0
        C in ``log2(1 + C * magnitude)``.
    window_columns, step_columns : int > 0
        Columns of a decision's window, and between decisions.
    context_columns, stride_columns : int > 0
        Columns a frame sees, and between frames.
    frame_size : int > 0
        Numbers in a frame.
    moments : int >= 0
        Frames around a window's middle that are judged one by one, which then make up a step;
        0 if the network does not tell where in a window something begins.
    labels : tuple of str
        Names of the outputs.
    training_data : str
        What is known of the audio that it was trained on; empty where nothing is.
    weights_sha256 : str
        Hash of the weights, so that two files can be told apart.

    Raises
    ------
    SpecMismatch
        The numbers do not fit each other.
    """

    sample_rate: int = 16_000
    hop: int = 320
    n_bins: int = 144
    bins_per_octave: int = 24
    fmin_hz: float = 80.0
    compression: float = 10_000.0
    window_columns: int = 250
    step_columns: int = 50
    context_columns: int = 40
    stride_columns: int = 10
    frame_size: int = 96
    moments: int = 0
    labels: tuple[str, ...] = ("speech", "music")
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
                f"step_columns={self.step_columns}: every moment must be judged once"
            )

    @property
    def window_frames(self) -> int:
        """Frames that one decision pools over."""
        return (self.window_columns - self.context_columns) // self.stride_columns + 1

    @property
    def frames_before_step(self) -> int:
        """Frames, of those that end in a step, that begin in columns before it."""
        overlap = max(self.context_columns - self.stride_columns, 0)
        return -(-overlap // self.stride_columns)

    def moment_centre(self, moment: int) -> int:
        """Return the sample, from a window's first on, in the middle of one of its moments."""
        frame = (self.window_frames - self.moments) // 2 + moment
        # Column c is centred on sample c * hop; a frame's middle lies between two of them.
        return (2 * frame * self.stride_columns + self.context_columns - 1) * self.hop // 2

    def to_json(self) -> str:
        """Return the spec as one line of JSON."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Read what `to_json` wrote.

        Raises
        ------
        SpecMismatch
            It is not a spec of this version, or a field is missing, unknown or of another type.
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
        found.setdefault("moments", 0)  # files from before there were any
        known = {field.name for field in fields(cls)}
        if set(found) != known:
            odd = ", ".join(sorted(set(found) ^ known))
            raise SpecMismatch(f"the model's spec differs in the fields {odd}: export it again")
        found["labels"] = tuple(found["labels"])
        for field in fields(cls):
            if type(found[field.name]) is not type(field.default):
                raise SpecMismatch(
                    f"the model's spec says {field.name}={found[field.name]!r}, which should be "
                    f"of type {type(field.default).__name__}: export it again"
                )
        return cls(**found)

    def check_labels(self, labels: tuple[str, ...], where: str) -> None:
        """Refuse a network that judges something else.

        Parameters
        ----------
        labels : tuple of str
            What is wanted.
        where : str
            What named the network, for the error.

        Raises
        ------
        SpecMismatch
            The labels differ.
        """
        if self.labels != labels:
            raise SpecMismatch(
                f"{where} names a model of {', '.join(self.labels)}, not of "
                f"{', '.join(labels)}: name one that was trained on these labels"
            )

    def check_front_end(self, front_end: FrontEnd) -> None:
        """Refuse a front end that computes other columns than the network was trained on.

        Raises
        ------
        SpecMismatch
            A fact differs; all that differ are named.
        """
        wrong = [
            f"{name}={getattr(front_end, name)} (the model has {getattr(self, name)})"
            for name in COLUMNS
            if getattr(front_end, name) != getattr(self, name)
        ]
        if wrong:
            raise SpecMismatch(
                f"the front end has {', '.join(wrong)}: use the model's front end, or a model "
                "trained on this one"
            )
