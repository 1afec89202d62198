"""The beta distribution's share below a half, in plain Python: what the light install needs."""

from __future__ import annotations

from math import exp, lgamma, log

_ENOUGH = 1e-12  # relative change of the fraction
_TINY = 1e-300  # in place of a zero that would be divided by


def below_half(a: float, b: float) -> float:
    """Return the probability that a beta distributed number is at most 1/2.

    This is the regularised incomplete beta function at 1/2, by its continued fraction
    (NIST Digital Library of Mathematical Functions, 8.17.22).

    Parameters
    ----------
    a, b : float >= 1
        Parameters of the distribution; its mean is ``a / (a + b)``.

    Returns
    -------
    float
        In [0, 1], exact to about ten digits.
    """
    if a < b:  # where the mean is below a half, the fraction of the other side converges sooner
        return 1 - below_half(b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) - (a + b) * log(2)) / a
    # Lentz's method: numerator and denominator of each step by those of the step before.
    c, d = 1.0, 0.0
    value, change, step = 1.0, 0.0, 0
    while abs(change - 1) > _ENOUGH:
        step += 1
        coefficient = _coefficient(step, a, b)
        d = 1 / (1 + coefficient * d or _TINY)
        c = 1 + coefficient / c or _TINY
        change = c * d
        value *= change
    return min(max(front / value, 0.0), 1.0)


def _coefficient(n: int, a: float, b: float) -> float:
    """Return the numerator of step `n` >= 1 of the fraction at 1/2."""
    m = n // 2
    if n % 2 == 0:
        return m * (b - m) / 2 / ((a + n - 1) * (a + n))
    return -(a + m) * (a + b + m) / 2 / ((a + n - 1) * (a + n))
