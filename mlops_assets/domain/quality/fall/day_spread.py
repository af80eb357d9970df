"""How much a version's days differ by more than their rows explain. Pure; reads scores, judges nothing.

Rows of one day have its weather in common, and a bad day is likely to follow a bad one. So the sum of many days varies
by more than their rows say: by the long-run variance of what days have in common (Newey and West 1987). With few days
it is hardly known. It therefore begins at what is expected of days, and days move it as they come.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_LAGS = 5  # days over which one day's weather is felt
_WEIGHTS = 2 * (1 - np.arange(1, _LAGS + 1) / (_LAGS + 1))  # Bartlett's, for both directions
_EXPECTED_DAYS = 20  # that the expectation counts for
_CARRIED = 3.0  # (1 + r) / (1 - r) of days of which each resembles the one before it by r = 0.5
_OUTLYING = 4.0  # standard deviations beyond which a day is an accident and counts as that far out


def measure_spread(stretches: list[Array], noise: float, expected: float) -> float:
    """The long-run variance of days beyond what their rows explain.

    `stretches`: values of consecutive days of one level each; `noise`: the mean variance of a day that its rows
    explain; `expected`: the variance of days that is expected beforehand.
    """
    together, freedom = np.zeros(_LAGS + 1), 0
    for values in stretches:
        if len(values) > 1:
            apart = _without_accidents(values, noise)
            later = np.pad(apart, (0, _LAGS))
            together += [float(apart @ later[lag : lag + len(apart)]) for lag in range(_LAGS + 1)]
            freedom += len(values) - 1
    own = together[0] - noise * freedom
    weight = freedom + _EXPECTED_DAYS
    alike = (own + float(_WEIGHTS @ together[1:]) + _EXPECTED_DAYS * _CARRIED * expected) / weight
    return max(alike, (max(own, 0.0) + _EXPECTED_DAYS * expected) / weight)


def _without_accidents(values: Array, noise: float) -> Array:
    """Differences from the mean; one absurd day must not hide a fall for months."""
    apart = values - np.median(values)
    usual = max(1.4826 * float(np.median(np.abs(apart))), float(np.sqrt(noise)))
    cut = np.clip(apart, -_OUTLYING * usual, _OUTLYING * usual)
    return cut - cut.mean()
