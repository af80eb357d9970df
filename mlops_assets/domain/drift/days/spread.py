"""How much days of the training data differ from what is expected of such days. Pure.

Each contrast is expected to be what it is on such days: by weekday where there are four weeks, by season where there is
a year. What is left is the days' own luck: its variance is learnt from blocks of days that the expectation did not see,
less what sampling explains, and the number of days behind it is discounted for days that follow their neighbours.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

_LEAST_KNOWN = 20  # rows of a day below which its contrast does not count
_WEEKS = 28  # days from which weekdays are told apart
_WAVES = (1, 2)  # a year
_YEAR, _NEAR_A_YEAR = 365.25, 350
_RIDGE = 1e-6
_PASSES = 3  # between the weights of days and the variance that they rest on
_MOST_LIKE, _MOST_SHARED = 0.97, 0.6
_LEAST_DIFFER = 0.01  # variance between contrasts of how like neighbours are
_SURE = 2.0  # standard errors by which that likeness is taken for larger


@dataclass(frozen=True)
class Likeness:
    """What days are compared by."""

    weekday: bool
    season: bool

    @classmethod
    def of(cls, days: np.ndarray, *, by_weekday: bool = True) -> "Likeness":
        """What so many days can tell apart."""
        per_weekday = np.bincount(_weekdays(days), minlength=7)
        weekday = by_weekday and len(days) >= _WEEKS and bool(per_weekday.min() >= _WEEKS // 7 - 1)
        return cls(weekday, bool((days[-1] - days[0]).astype(int) >= _NEAR_A_YEAR))

    def describe(self, days: np.ndarray) -> np.ndarray:
        """[D, q] of each day."""
        columns = [np.ones(len(days))]
        if self.weekday:
            columns += [(_weekdays(days) == each) - 1 / 7 for each in range(6)]
        if self.season:
            phase = 2 * np.pi * days.astype(int) / _YEAR
            columns += [wave(times * phase) for times in _WAVES for wave in (np.sin, np.cos)]
        return np.stack(columns, axis=1).astype(float)

    def __str__(self) -> str:
        parts = ["weekday"] * self.weekday + ["season"] * self.season
        return " and ".join(parts) or "neither weekday nor season: there are too few days"


@dataclass(frozen=True, eq=False)
class DaySpread:
    """The expectation of M contrasts, and how far days are from it."""

    likeness: Likeness
    weights: np.ndarray  # [q, M] of what a day is described by
    between: np.ndarray  # [M] variance between days
    doubt: np.ndarray  # [M] how much larger it may be, where a window has so many rows that nothing hides it
    usual: np.ndarray  # [M] sampling variance of the training days
    freedom: np.ndarray  # [M] days behind it
    left: np.ndarray  # [D, M] days less their expectation without their own block; NaN: too few rows

    def expect(self, days: np.ndarray) -> np.ndarray:
        """[M] what is expected of a window of these days."""
        return self.likeness.describe(days).mean(axis=0) @ self.weights

    def deviation(self, sampling: np.ndarray) -> np.ndarray:
        """[..., M] the standard deviation between like days, beside the sampling variance."""
        bare = np.clip(1 - sampling / self.usual, 0, 1)
        return np.sqrt(self.between + sampling + bare * self.doubt)

    def chance(self, apart: np.ndarray, sampling: np.ndarray) -> np.ndarray:
        """[..., M] p that a day like those of training is as far apart."""
        z = np.abs(apart) / np.maximum(self.deviation(sampling), 1e-12)
        return np.where(np.isfinite(z), 2 * stdtr(self.freedom, -np.nan_to_num(z)), 1.0)


def fit_spread(
    days: np.ndarray, values: np.ndarray, sampling: np.ndarray, *, blocks: np.ndarray, likeness: Likeness
) -> DaySpread:
    """`values` [D, M] with their sampling variances, infinite where too few rows were there."""
    described = likeness.describe(days)
    there = np.isfinite(sampling) & np.isfinite(values)
    clean, noise = np.where(there, values, 0.0), np.where(there, sampling, 1.0)
    between = np.zeros(values.shape[1])
    weights = left = shares = np.empty(0)
    for _ in range(_PASSES):
        shares = np.where(there, 1 / (noise + between + 1e-12), 0.0)
        weights, left = _regress(described, clean, shares, blocks)
        between = np.maximum(_mean(left**2 - noise, shares), 0.0)
    like = _likeness_of_neighbours(days, left, there)
    count = np.maximum(there.sum(axis=0), 2)
    slow = 1 + len(_WAVES) * 2 * likeness.season  # what is learnt from days far apart, so from few that differ
    shared = np.minimum(slow * (1 + like) / (1 - like) / count, _MOST_SHARED)
    freedom = np.maximum(count * (1 - like**2) / (1 + like**2) - 1, 1.0)
    total = _mean(left**2, shares)
    return DaySpread(
        likeness,
        weights,
        between=between * (1 + shared) / (1 - shared),
        doubt=total * np.sqrt(2 / freedom),
        usual=np.maximum(_mean(noise, shares), 1e-300),
        freedom=freedom,
        left=np.where(there, left, np.nan),
    )


def sampling_variance(noise: np.ndarray | float, rows: np.ndarray) -> np.ndarray:
    """The variance of a contrast of so many rows; infinite where they are too few to count."""
    return np.where(rows >= _LEAST_KNOWN, noise / np.maximum(rows, 1), np.inf)


def _regress(
    described: np.ndarray, values: np.ndarray, shares: np.ndarray, blocks: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """([q, M], [D, M]) weights on all days, and what is left of each day by the weights without its block."""
    squares = np.einsum("dq,dr->dqr", described, described)
    ridge = _RIDGE * np.eye(described.shape[1])

    def solve(chosen: np.ndarray) -> np.ndarray:
        normal = np.einsum("dm,dqr->mqr", shares[chosen], squares[chosen], optimize=True)
        scale = np.maximum(np.einsum("mqq->m", normal), 1e-12)[:, None, None]
        right = np.einsum("dq,dm->mq", described[chosen], shares[chosen] * values[chosen])
        return np.linalg.solve(normal / scale + ridge, (right / scale[:, :, 0])[:, :, None])[:, :, 0].T

    left = np.empty_like(values)
    for block in np.unique(blocks):
        inside = blocks == block
        left[inside] = values[inside] - described[inside] @ solve(~inside)
    return solve(np.ones(len(values), dtype=bool)), left


def _mean(values: np.ndarray, shares: np.ndarray) -> np.ndarray:
    return (values * shares).sum(axis=0) / np.maximum(shares.sum(axis=0), 1e-300)


def _likeness_of_neighbours(days: np.ndarray, left: np.ndarray, there: np.ndarray) -> np.ndarray:
    """[M] the correlation of a day with the next, rather too high: few days tell it badly, and too low.

    Each is drawn to the mean of all contrasts, the more so the less the contrasts differ.
    """
    follows = (np.diff(days).astype(int) == 1)[:, None] & there[1:] & there[:-1]
    centred = np.where(there, left - _mean(left, there.astype(float)), 0.0)
    both = (centred[1:] * centred[:-1] * follows).sum(axis=0)
    size = (centred**2).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    count = np.maximum(follows.sum(axis=0), 4)
    like = np.clip(both / np.maximum(size * count, 1e-300), -1, 1)
    like = like + (1 + 3 * np.maximum(like, 0)) / count
    error, moving = 1 / count, size > 0
    middle = float(like[moving].mean()) if moving.any() else 0.0
    differ = max(float((np.square(like - middle) - error)[moving].mean()) if moving.any() else 0.0, _LEAST_DIFFER)
    own = differ / (differ + error)
    return np.clip(middle + own * (like - middle) + _SURE * np.sqrt(own * error), 0, _MOST_LIKE)


def _weekdays(days: np.ndarray) -> np.ndarray:
    return (days.astype(int) + 3) % 7  # 1970-01-01 was a Thursday
