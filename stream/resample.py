"""One stream of samples from one rate to another.

soxr's streaming resampler is exact in both senses a stream needs: the samples that come out
are bit for bit the same however the input is cut, and equal to resampling all of it at once;
and their number is that of the input times the ratio of rates, with no drift. It keeps what
lies below 0.9 times the lower half rate (7.3 kHz at 16 kHz) unchanged, and has no delay: sample
k of the output is at k / rate_out seconds of the input, though up to about 640 output samples
(40 ms) are held back until the input they also depend on has come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import soxr

from airsift.errors import DecodeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Quality = Literal["LQ", "MQ", "HQ", "VHQ"]


class Resampler:
    """Mono float32 at `rate_in` to mono float32 at `rate_out`.

    Parameters
    ----------
    rate_in, rate_out : int > 0
        Samples per second of what is pushed and of what is returned. Equal rates pass the
        samples through.
    quality : {"LQ", "MQ", "HQ", "VHQ"}
        soxr's quality. LQ is hardly faster than HQ.

    Raises
    ------
    DecodeError
        A rate is not positive.
    """

    def __init__(self, rate_in: int, rate_out: int, quality: Quality = "HQ") -> None:
        if rate_in <= 0 or rate_out <= 0:
            raise DecodeError(f"rates of {rate_in} and {rate_out} Hz: both must be positive")
        self.rate_in = rate_in
        self.rate_out = rate_out
        self._soxr = None
        if rate_in != rate_out:
            self._soxr = soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32", quality=quality)

    def push(self, samples: NDArray[np.float32], *, last: bool = False) -> NDArray[np.float32]:
        """Take the next samples; return those at `rate_out` that they complete.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,), float32]
            May be empty. One value that is not finite spoils what comes after it.
        last : bool
            Whether the stream ends here: what was held back is returned, and the resampler is
            as new. All pushes up to here then have returned n * rate_out / rate_in samples for
            n taken, rounded to the nearest, halves up.

        Returns
        -------
        np.ndarray [shape=(m,), float32]
            May be empty.
        """
        if self._soxr is None:
            return samples
        out: NDArray[np.float32] = self._soxr.resample_chunk(
            np.ascontiguousarray(samples, dtype=np.float32), last=last
        )
        if last:
            self._soxr.clear()
        return out
