"""The quantile function of the beta distribution, which the "beta" schedule spaces its steps by.

The regularised incomplete beta function by its continued fraction (Lentz's method), inverted by bisection.
Own code in place of scipy: the step indices that follow from it are the same.
"""

import math

_TINY = 1e-300
_BISECTIONS = 80


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > _TINY else _TINY)
    value = d
    for m in range(1, 400):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        before = value
        for term in (even, odd):
            d = 1.0 + term * d
            c = 1.0 + term / c
            d = 1.0 / (d if abs(d) > _TINY else _TINY)
            c = c if abs(c) > _TINY else _TINY
            value *= c * d
        if abs(value - before) < 1e-16 * abs(value):
            break
    return value


def cumulative(x: float, a: float, b: float) -> float:
    """P(X <= x) of Beta(a, b)."""
    if x <= 0.0 or x >= 1.0:
        return min(max(x, 0.0), 1.0)
    logs = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    front = math.exp(logs)
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _fraction(a, b, x) / a
    return 1.0 - front * _fraction(b, a, 1.0 - x) / b


def quantile(p: float, a: float, b: float) -> float:
    """The x with ``cumulative(x, a, b) == p``."""
    if p <= 0.0 or p >= 1.0:
        return min(max(p, 0.0), 1.0)
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if cumulative(middle, a, b) < p:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)
