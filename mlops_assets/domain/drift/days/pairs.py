"""What no column shows alone: the correlation of every two columns, against days of the training data like it. Pure.

Columns are put on the scale of a bell curve and categories are taken apart into their commonest values. A correlation
is one among the rows of a day, so that a day's own mean is none: rows of several days are centred day by day. Up to
`MOST_COLUMNS` columns are looked at, and the pair that changed is named. A pair that varies on too few training days,
as the month and the weekday do, is left out: no day says what is usual of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlops_assets.declaration.monitoring import DriftPolicy
from mlops_assets.domain.drift.days.spread import DaySpread, Likeness, fit_spread, sampling_variance
from mlops_assets.domain.drift.days.training_days import LEAST_DAYS, blocks_of
from mlops_assets.domain.drift.distances import Aspect, DriftTest
from mlops_assets.domain.drift.reference import CategoryReference, NumberReference, Reference

MOST_COLUMNS = 300  # of expanded ones
_MOST_VALUES = 5  # of a category that are taken apart
_LEAST_SPREAD = 1e-3  # of a column on a day, below which it has no correlation
_STRONGEST = 0.999


@dataclass(frozen=True, eq=False)
class PairRows:
    """Rows of one or many days, with the day of each."""

    columns: Mapping[str, np.ndarray]  # numbers as float64 with NaN, categories as text with "" for missing
    days: np.ndarray  # datetime64[D] [n]


@dataclass(frozen=True, eq=False)
class PairDays:
    """The correlations of M pairs on D days of the training data."""

    days: np.ndarray  # [D]
    names: tuple[str, ...]  # of the expanded columns
    pairs: tuple[np.ndarray, np.ndarray]  # [M] places among them
    reference: Reference
    left_out: int
    spread: DaySpread
    values: np.ndarray  # [D, M] Fisher's z
    sampling: np.ndarray  # [D, M]

    def measure_training(self, policy: DriftPolicy) -> tuple[np.ndarray, np.ndarray]:
        """([D], [D]) p and whether it matters, of each training day without its own block."""
        expected = self.values - np.nan_to_num(self.spread.left)
        p, change, _ = self._measure(self.values, expected, self.sampling)
        return p, change >= policy.correlation

    def compare(self, live: PairRows, policy: DriftPolicy) -> DriftTest:
        """The pair of a live window's rows that is least like such days, each as often as it has rows."""
        values, sampling = _correlate(_expand(live.columns, self.reference, self.names), live.days, self.pairs)
        expected = self.spread.expect(live.days)
        p, change, place = self._measure(values, expected, sampling)
        one, other = (self.names[side[int(place)]] for side in self.pairs)
        now, before = (float(np.tanh(side[int(place)])) for side in (values, expected))
        text = f"the correlation of {one} and {other} is {now:.2f} where {before:.2f} is expected of such days"
        rest = f", {self.left_out} were left out" if self.left_out else ""
        text += f" ({len(values):,} pairs of {len(self.names)} columns were looked at{rest})"
        numbers = {"p": float(p), "correlation": now, "expected": before, "change": float(change)}
        material = bool(change >= policy.correlation)
        return DriftTest(Aspect.TOGETHER, "all features", float(p), material, text, numbers)

    def _measure(
        self, values: np.ndarray, expected: np.ndarray, sampling: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """[...] p of the least likely of all pairs, how far its correlation moved, and its place."""
        chance = self.spread.chance(values - expected, sampling)
        place = chance.argmin(axis=-1)
        at = place[..., None]
        least, now, before = (np.take_along_axis(each, at, axis=-1)[..., 0] for each in (chance, values, expected))
        return np.minimum(least * values.shape[-1], 1.0), np.abs(np.tanh(now) - np.tanh(before)), place


def fit_pairs(rows: PairRows, reference: Reference, exclude: Sequence[str] = ()) -> PairDays | None:
    """None where there are too few days, or no two columns vary on enough of them."""
    known = {name: each for name, each in reference.items() if name not in exclude}
    names = [name for column, each in known.items() for name in _expanded_names(column, each)]
    kept = tuple(names[:MOST_COLUMNS])
    days = np.unique(rows.days)
    if len(days) < LEAST_DAYS or len(kept) < 2:
        return None
    pairs = _pairs_of(kept)
    if not len(pairs[0]):
        return None
    expanded = _expand(rows.columns, known, kept)
    by_day = [rows.days == day for day in days]
    found = [_correlate(expanded[day], rows.days[day], pairs) for day in by_day]
    values, sampling = (np.stack([each[side] for each in found]) for side in (0, 1))
    usual = np.isfinite(sampling).sum(axis=0) >= LEAST_DAYS
    if not usual.any():
        return None
    values, sampling, pairs = values[:, usual], sampling[:, usual], (pairs[0][usual], pairs[1][usual])
    spread = fit_spread(days, values, sampling, blocks=blocks_of(len(days)), likeness=Likeness.of(days))
    return PairDays(days, kept, pairs, known, len(names) - len(kept), spread, values, sampling)


def _expanded_names(column: str, known: NumberReference | CategoryReference) -> list[str]:
    if isinstance(known, NumberReference):
        return [column]
    return [f"{column}={known.values[place]}" for place in known.common[:_MOST_VALUES]]


def _pairs_of(names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Every two columns, but not two values of one category."""
    first, second = np.triu_indices(len(names), 1)
    column = np.array([name.rpartition("=")[0] or name for name in names])
    apart = column[first] != column[second]
    return first[apart], second[apart]


def _expand(columns: Mapping[str, np.ndarray], reference: Reference, names: Sequence[str]) -> np.ndarray:
    """[n, names] a column that is not there, or a missing value, is 0."""
    parts = {}
    for column, known in reference.items():
        found = columns.get(column)
        if found is None:
            continue
        if isinstance(known, NumberReference):
            cells = known.edges.searchsorted(found, "left") + known.edges.searchsorted(found, "right")
            parts[column] = np.where(np.isfinite(found), known.scores[np.minimum(cells, len(known.scores) - 1)], 0.0)
        else:
            values = (known.values[place] for place in known.common[:_MOST_VALUES])
            parts |= {f"{column}={value}": (found == value).astype(np.float64) for value in values}
    rows = len(next(iter(columns.values()))) if columns else 0
    return np.stack([parts.get(name, np.zeros(rows)) for name in names], axis=1)


def _correlate(
    rows: np.ndarray, days: np.ndarray, pairs: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """([M], [M]) Fisher's z of each pair within days and its sampling variance; infinite where a column is constant."""
    centred, free = _centre(rows, days)
    spread = np.sqrt(np.square(centred).mean(axis=0))
    scaled = centred / np.maximum(spread, _LEAST_SPREAD)
    whole = np.clip(scaled.T @ scaled / len(rows), -_STRONGEST, _STRONGEST)
    first, second = pairs
    varies = (spread[first] > _LEAST_SPREAD) & (spread[second] > _LEAST_SPREAD)
    noise = sampling_variance(1.0, np.full(len(first), free))
    return np.arctanh(whole[first, second]), np.where(varies, noise, np.inf)


def _centre(rows: np.ndarray, days: np.ndarray) -> tuple[np.ndarray, int]:
    """([n, names], count) rows less the mean of their day, and how many that leaves: each further day costs one."""
    there, place, counts = np.unique(days, return_inverse=True, return_counts=True)
    means = (days == there[:, None]).astype(np.float64) @ rows / counts[:, None]
    return rows - means[place], len(rows) - len(there) + 1
