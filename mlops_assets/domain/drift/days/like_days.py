"""Measures a window's columns against days of the training data that were like it. Pure.

A column has drifted when the window is further from what is expected of such days than such days are from it, and
when enough rows moved to matter. The same functions measure a live window and, in `replay`, the training days.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from mlops_assets.declaration.monitoring import DriftPolicy
from mlops_assets.domain.drift.days.contrasts import angle_of, moved_share, share_of
from mlops_assets.domain.drift.days.spread import DaySpread, Likeness, fit_spread, sampling_variance
from mlops_assets.domain.drift.days.training_days import ColumnDays, TrainingDays, blocks_of
from mlops_assets.domain.drift.distances import Aspect
from mlops_assets.domain.drift.reference import CategoryReference, NumberReference, Reference
from mlops_assets.domain.drift.sketch import CategorySketch, NumberSketch, Sketch

_Contrasted = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]  # values, sampling; on either scale


@dataclass(frozen=True, eq=False)
class MeasuredRespect:
    """One respect of a column, in one window or in many: arrays of one shape."""

    aspect: Aspect  # FEATURE: the values themselves, whatever they are values of
    p: np.ndarray
    moved: np.ndarray  # share of rows
    material: np.ndarray


@dataclass(frozen=True, eq=False)
class LikeWindow:
    """A window, or many, in the M contrasts of a `LikeDays`."""

    values: np.ndarray  # [..., M] of the first scale
    expected: np.ndarray  # [..., M]
    sampling: np.ndarray  # [..., M] variance; infinite where too few rows were there
    chance: np.ndarray  # [..., M] p of each, on both scales

    @property
    def apart(self) -> np.ndarray:
        return self.values - self.expected


@dataclass(frozen=True, eq=False)
class _Scale:
    """The contrasts of training days on one scale."""

    spread: DaySpread
    values: np.ndarray  # [D, M]
    sampling: np.ndarray  # [D, M]


@dataclass(frozen=True, eq=False)
class LikeDays:
    """The training days of one sketch. The last two contrasts of a column are its nulls and its strange rows."""

    days: np.ndarray  # datetime64[D] [D]
    reference: Reference
    scales: tuple[_Scale, _Scale]
    places: Mapping[str, slice]

    @property
    def likeness(self) -> Likeness:
        """What days are compared by."""
        return self.scales[0].spread.likeness

    def place_window(self, live: Sketch, days: np.ndarray) -> LikeWindow:
        """A live window of these days."""
        parts = [_contrast(live.columns.get(name), self.reference[name]) for name in self.places]
        placed = []
        for number, scale in enumerate(self.scales):
            values, sampling = (np.concatenate([part[side][number] for part in parts]) for side in (0, 1))
            placed.append(_place(scale, values, scale.spread.expect(days), sampling))
        return _join(*placed)

    def place_training(self) -> LikeWindow:
        """Each training day, expected without its own block."""
        return _join(*(_place(s, s.values, s.values - np.nan_to_num(s.spread.left), s.sampling) for s in self.scales))

    def measure(self, name: str, window: LikeWindow, policy: DriftPolicy) -> Iterator[MeasuredRespect]:
        """Measure the values of a column, its missing values and its strange rows."""
        place, number = self.places[name], isinstance(self.reference[name], NumberReference)
        own, nulls, strange = slice(place.start, place.stop - 2), place.stop - 2, place.stop - 1
        chance = window.chance[..., own]
        moved = moved_share(window.apart[..., own]) if number else self._moved_values(window, own)
        # half of the chance is for where values are, or the commonest value: that is what changes most often
        others = chance[..., 1:].min(axis=-1, initial=1.0) * max(chance.shape[-1] - 1, 1)
        p = np.minimum(2 * np.minimum(chance[..., 0], others), 1.0)
        yield MeasuredRespect(Aspect.FEATURE, p, moved, moved >= policy.moved)
        change = np.abs(_growth(window, nulls))
        yield MeasuredRespect(Aspect.MISSING, window.chance[..., nulls], change, change >= policy.null_share)
        growth = _growth(window, strange)
        limit = policy.out_of_range + self._explained(name, window, policy) if number else policy.unseen
        upwards = np.where(window.apart[..., strange] > 0, window.chance[..., strange] / 2, 1.0)
        yield MeasuredRespect(Aspect.RANGE if number else Aspect.UNSEEN, upwards, growth, growth >= limit)

    def deviation(self, name: str, window: LikeWindow) -> float:
        """How far the first contrast of a window of a like day is from its expectation, as a rule."""
        first = self.places[name].start
        return float(self.scales[0].spread.deviation(window.sampling)[first])

    def _explained(self, name: str, window: LikeWindow, policy: DriftPolicy) -> np.ndarray:
        """The share that is out of range where the whole column lies as far off as is not yet called drift."""
        known, first, bell = self.reference[name], self.places[name].start, self.scales[1]
        usual = bell.spread.deviation(window.sampling)[..., first]
        far = stdtrit(bell.spread.freedom[first], 1 - policy.alpha / (2 * window.values.shape[-1])) * usual
        return np.minimum(2 * ndtr(far - ndtri(1 - 1 / (known.rows + 2))), 1.0)

    def _moved_values(self, window: LikeWindow, own: slice) -> np.ndarray:
        """The share that moved between values, beyond what chance moves; at least that of the least likely one."""
        values, expected = share_of(window.values[..., own]), share_of(window.expected[..., own])
        change = np.abs(values - expected)
        sampling = np.where(np.isfinite(window.sampling), window.sampling, 0.0)[..., own]
        variance = sampling + self.scales[0].spread.between[own]
        by_chance = np.sqrt(2 / np.pi * variance * expected * (1 - expected)).sum(axis=-1) / 2
        most = np.take_along_axis(change, window.chance[..., own].argmin(axis=-1)[..., None], axis=-1)[..., 0]
        return np.maximum(most, change.sum(axis=-1) / 2 - by_chance)


def fit_like_days(training: TrainingDays, reference: Reference, *, by_weekday: bool = True) -> LikeDays:
    """`by_weekday` is false where a live day's rows are of other days, as labels are that come late."""
    parts = [_contrast_days(training.columns[name], known) for name, known in reference.items()]
    ends = np.cumsum([len(part[0][0].T) for part in parts])
    places = {name: slice(end - len(p[0][0].T), end) for name, end, p in zip(reference, ends, parts, strict=True)}
    likeness, blocks = Likeness.of(training.days, by_weekday=by_weekday), blocks_of(len(training.days))
    scales = []
    for number in (0, 1):
        values, sampling = (np.concatenate([part[side][number] for part in parts], axis=1) for side in (0, 1))
        doubt = np.concatenate([_on_both_scales(training.columns[n].doubt, np.zeros(2))[number] for n in reference])
        spread = fit_spread(training.days, values, sampling, blocks=blocks, likeness=likeness)
        spread = replace(spread, between=spread.between + doubt**2)
        scales.append(_Scale(spread, values, sampling))
    return LikeDays(training.days, reference, (scales[0], scales[1]), places)


def _place(scale: _Scale, values: np.ndarray, expected: np.ndarray, sampling: np.ndarray) -> LikeWindow:
    return LikeWindow(values, expected, sampling, scale.spread.chance(values - expected, sampling))


def _join(first: LikeWindow, second: LikeWindow) -> LikeWindow:
    """As unlikely as on the scale on which it is likelier."""
    return LikeWindow(first.values, first.expected, first.sampling, np.maximum(first.chance, second.chance))


def _contrast_days(column: ColumnDays, known: NumberReference | CategoryReference) -> _Contrasted:
    present = column.rows - column.nulls
    noise = np.stack([sampling_variance(each, column.known) for each in known.noise], axis=1)
    shares = np.stack([angle_of(column.nulls, column.rows), angle_of(column.strange, present)], axis=1)
    others = np.stack([sampling_variance(1.0, column.rows), sampling_variance(1.0, present)], axis=1)
    return _on_both_scales(column.values, shares), _on_both_scales(noise, others)


def _contrast(live: NumberSketch | CategorySketch | None, known: NumberReference | CategoryReference) -> _Contrasted:
    """Of a live column; one that is not there has no rows."""
    if isinstance(known, NumberReference) and isinstance(live, NumberSketch):
        values, rows, strange = known.contrast(live.cells), live.finite, live.outside
    elif isinstance(known, CategoryReference) and isinstance(live, CategorySketch):
        values, rows, strange = known.contrast(np.append(live.counts, live.other)), live.rows - live.nulls, live.other
    else:
        nothing, width = (np.zeros(2), np.full(2, np.inf)), len(known.noise)
        return _on_both_scales(np.zeros(width), nothing[0]), _on_both_scales(np.full(width, np.inf), nothing[1])
    present = live.rows - live.nulls
    shares = np.array([angle_of(live.nulls, live.rows), angle_of(strange, present)])
    others = sampling_variance(1.0, np.array([live.rows, present]))
    return _on_both_scales(values, shares), _on_both_scales(sampling_variance(known.noise, np.array(rows)), others)


def _on_both_scales(values: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[..., J + 2] twice: of [..., 2J] values, and of shares that have one scale."""
    half = values.shape[-1] // 2
    return np.concatenate([values[..., :half], shares], axis=-1), np.concatenate([values[..., half:], shares], axis=-1)


def _growth(window: LikeWindow, place: int) -> np.ndarray:
    return share_of(window.values[..., place]) - share_of(window.expected[..., place])
