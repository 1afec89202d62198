"""The settings of landmarks. An index made with other settings is useless.

They are written into the header of every index; :func:`check` refuses a header that differs and
names the setting. Raise :data:`FORMAT` when the meaning of a stored number changes although no
setting does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airsift.errors import CatalogueError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airsift.json_types import Json

FORMAT = 4

SAMPLE_RATE = 16_000  # Hz
HOP = 256  # samples, 16 ms: the time unit of the index, called a frame
TAPER = 2048  # samples of audio one column sees, 128 ms
BINS_PER_OCTAVE = 36  # one third of a semitone
F_MIN_HZ = 130.0  # centre of bin 0
N_BINS = 208  # up to 7 kHz

# Peaks are ranked in a neighbourhood of +-RANK_FRAMES and +-RANK_BINS, so that the choice does not
# depend on audio further away.
RANK_FRAMES = 31
RANK_BINS = 24
STORED_RANK = 7
FAN_OUT_STORED = 6  # pairs that start at one stored peak

# Landmarks nearer than this to either end of the audio may change with audio beyond it.
EDGE = 75 * HOP  # samples, 1.2 s

MIN_TRACK_S = 3.0  # a shorter track has too few landmarks to tell it from others


def analysis() -> dict[str, float]:
    """Return the settings of an index, ready for JSON."""
    return {
        "format": FORMAT,
        "sample_rate": SAMPLE_RATE,
        "hop": HOP,
        "taper": TAPER,
        "bins_per_octave": BINS_PER_OCTAVE,
        "f_min_hz": F_MIN_HZ,
        "n_bins": N_BINS,
        "rank_frames": RANK_FRAMES,
        "rank_bins": RANK_BINS,
        "stored_rank": STORED_RANK,
        "fan_out_stored": FAN_OUT_STORED,
    }


def check(found: Mapping[str, Json], what: str) -> None:
    """Refuse an index with other analysis settings than this version's.

    Parameters
    ----------
    found : mapping
        Settings written by :func:`analysis`.
    what : str
        The index, for the message.

    Raises
    ------
    CatalogueError
        With the first setting that differs.
    """
    for name, value in analysis().items():
        if found.get(name) != value:
            raise CatalogueError(
                f"{what}: made with {name}={found.get(name)}, this version of airsift reads "
                f"{name}={value}; make a new catalogue from the audio with `airsift catalogue add`"
            )
