"""Valid ranges of times and sample indices; values outside are refused at the input.

Messages, record timestamps and values computed from them are checked against these limits. A time
is Unix time from 1970 to the end of 2199. A sample index may be larger, because a station whose
producer restarts its count continues behind its own end; it stays below 2^53 at 16 kHz, so JSON and
floating point hold it exactly.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import AfterValidator, Field, Strict

MAX_TIME_S = 7_258_118_400  # 2200-01-01T00:00Z
MAX_TIME_MS = MAX_TIME_S * 1000
MAX_INDEX_S = 2**36  # seconds, two thousand years
MAX_RATE = 10**6  # samples per second that a header may give


def _is_unicode(text: str) -> str:
    text.encode()  # fails for half of a surrogate pair, which JSON can hold
    return text


# Types of what a snapshot holds, checked by pydantic when one is read.
Sample = Annotated[int, Strict(), Field(ge=0, le=2**60)]
Rate = Annotated[int, Strict(), Field(gt=0, le=MAX_RATE)]
Number = Annotated[float, Strict(), Field(ge=-1e15, le=1e15, allow_inf_nan=False)]
Probability = Annotated[float, Strict(), Field(ge=0, le=1, allow_inf_nan=False)]
Whole = Annotated[int, Strict()]
Finite = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Flag = Annotated[bool, Strict()]
Text = Annotated[str, Strict(), Field(max_length=10_000), AfterValidator(_is_unicode)]


def is_time(seconds: float | None) -> bool:
    """Whether `seconds` is a Unix time from 1970 to 2199; None and NaN are not."""
    return seconds is not None and math.isfinite(seconds) and 0 <= seconds < MAX_TIME_S


def is_time_ms(milliseconds: float | None) -> bool:
    """Whether `milliseconds` is a Unix time from 1970 to 2199; None and NaN are not."""
    return milliseconds is not None and is_time(milliseconds / 1000)


def is_index(sample: int, rate: int) -> bool:
    """Whether a station may have a sample `sample` at `rate` samples per second."""
    return 0 <= sample <= MAX_INDEX_S * rate
