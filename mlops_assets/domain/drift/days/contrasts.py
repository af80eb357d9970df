"""A few numbers that describe how a column is distributed, on two scales. Pure.

A number is ranked among the training rows. The means of four polynomials of the rank tell where values are, how they
spread, lean and peak (Neyman's smooth test). On the scale of a bell curve each is less what those before it explain,
so that a mean that moves from day to day is no change of spread. A share is an angle, 2 asin(sqrt(share)), whose
variance is 1/n, and a quantile of the bell curve, on which a day's luck is even. Only what is unlikely on both scales
is unlikely.
"""

import numpy as np
from numpy.polynomial import legendre
from scipy.special import ndtr, ndtri

DEGREES = 4  # polynomials of the rank
_ROOT = np.sqrt(2 * np.pi)
_FURTHEST, _LEAST_SPREAD = 3.5, 0.02  # on the bell curve
_RAREST = 0.001
_GRID = 41  # ranks at which a moved share is looked for


def _polynomial(degree: int) -> np.ndarray:
    """Coefficients of the orthonormal polynomial of a rank between 0 and 1."""
    return np.eye(DEGREES + 1)[degree] * np.sqrt(2 * degree + 1)


def _values(ranks: np.ndarray) -> np.ndarray:
    """[n, DEGREES]"""
    columns = [legendre.legval(2 * ranks - 1, _polynomial(degree)) for degree in range(1, DEGREES + 1)]
    return np.stack(columns, axis=-1)


def _integrals(ranks: np.ndarray) -> np.ndarray:
    """[n, DEGREES] from rank 0 up to each rank."""
    columns = [
        legendre.legval(2 * ranks - 1, legendre.legint(_polynomial(degree), lbnd=-1)) / 2
        for degree in range(1, DEGREES + 1)
    ]
    return np.stack(columns, axis=-1)


_CUMULATED = _integrals(np.linspace(0, 1, _GRID))  # [grid, DEGREES]
_MIDDLES = (np.arange(10_000) + 0.5) / 10_000
_NORMAL = ndtri(_MIDDLES) @ _values(_MIDDLES) / len(_MIDDLES)  # what a shift in standard deviations is made of


def rank_basis(cells: np.ndarray) -> np.ndarray:
    """[cells, DEGREES] the mean of each polynomial over the ranks that a cell of the training rows covers."""
    shares = cells / max(cells.sum(), 1)
    high = np.minimum(shares.cumsum(), 1.0)
    low = np.maximum(high - shares, 0.0)
    width = np.where(shares > 0, high - low, 1.0)[:, None]
    means = (_integrals(high) - _integrals(low)) / width
    return np.where(shares[:, None] > 0, means, _values(high))


def normal_scores(cells: np.ndarray) -> np.ndarray:
    """[cells] the mean place of a cell of the training rows on a bell curve."""
    shares = cells / max(cells.sum(), 1)
    high = np.minimum(shares.cumsum(), 1.0)
    low = np.maximum(high - shares, 0.0)
    heights = [np.exp(-np.square(ndtri(np.clip(each, 1e-12, 1 - 1e-12))) / 2) / _ROOT for each in (low, high)]
    means = (heights[0] - heights[1]) / np.where(shares > 0, shares, 1.0)
    return np.clip(np.where(shares > 0, means, ndtri(high)), -_FURTHEST, _FURTHEST)


def bell_contrasts(cells: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """[..., DEGREES] of values counted in [..., cells]: mean, log of the spread, lean and peak of what is left."""
    shares = cells / np.maximum(cells.sum(axis=-1, keepdims=True), 1)
    mean = shares @ scores
    spread = np.sqrt(np.maximum(shares @ scores**2 - mean**2, 0.0) + _LEAST_SPREAD)
    left = _values(ndtr((scores - mean[..., None]) / spread[..., None]))[..., 2:]
    return np.concatenate(
        [np.stack([mean, np.log(spread)], axis=-1), np.einsum("...c,...cj->...j", shares, left)], axis=-1
    )


def bell_noise(cells: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """[DEGREES] the variance of the bell contrasts of one row."""
    shares = cells / max(cells.sum(), 1)
    mean = shares @ scores
    variance = shares @ scores**2 - mean**2 + _LEAST_SPREAD
    squares = np.square((scores - mean) ** 2 / variance) @ shares - 1
    left = _values(ndtr((scores - mean) / np.sqrt(variance)))[:, 2:]
    others = shares @ left**2 - (shares @ left) ** 2
    return np.maximum(np.concatenate([[variance, squares / 4], others]), 0.01)


def moved_share(apart: np.ndarray) -> np.ndarray:
    """[...] the largest share of rows that crossed one value, of contrasts apart by [..., DEGREES]."""
    return np.abs(apart @ _CUMULATED.T).max(axis=-1)


def normal_shift(apart: np.ndarray) -> np.ndarray:
    """[...] of contrasts apart by [..., DEGREES], the shift in standard deviations of a bell-shaped column."""
    return apart @ _NORMAL


def angle_of(hits: np.ndarray | float, of: np.ndarray | float) -> np.ndarray:
    """The angle of a share of so many rows; 0 where there are none."""
    return 2 * np.arcsin(np.sqrt(np.clip(np.asarray(hits) / np.maximum(of, 1), 0, 1)))


def share_of(angle: np.ndarray) -> np.ndarray:
    """The share that an angle stands for."""
    return np.square(np.sin(np.clip(angle, 0, np.pi) / 2))


def quantile_of(angle: np.ndarray, of: np.ndarray | float) -> np.ndarray:
    """The quantile of the bell curve for a share of so many rows."""
    return ndtri((share_of(angle) * of + 0.5) / (np.asarray(of) + 1))


def quantile_noise(share: np.ndarray) -> np.ndarray:
    """The variance of that quantile for one row, where so large a share is expected."""
    rare = np.clip(share, _RAREST, 1 - _RAREST)
    return rare * (1 - rare) * _ROOT**2 * np.exp(np.square(ndtri(rare)))
