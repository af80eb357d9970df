"""Plans by which models the test rows are scored, so that no model scores a row it has learnt. Trains nothing.

Rows with a time: walk forward. A fold learns every row whose label was known when its stretch of test rows began, and
scores that stretch. Rows without a time: cross-validation. A fold learns all rows but those that it scores.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from mlops_assets.domain.training_set.split import unit_interval


@dataclass(frozen=True, eq=False)
class Fold:
    """Positions in the rows of all parts, one part after the other; see `training_rows.every_row`."""

    learnt: np.ndarray
    scored: np.ndarray  # of test rows


def plan_walk_forward(
    times: np.ndarray,
    test: np.ndarray,
    *,
    folds: int,
    gap: timedelta,
    groups: np.ndarray | None = None,
    since: int | None = None,
) -> tuple[Fold, ...]:
    """Stretches with about as many rows each. `times`: microseconds of all rows [n]; `test`: positions of test rows.

    `since`: how far the champion has learnt. The stretches after it begin there, because a model that had learnt less
    than the champion would be no fair rival on those rows.
    """
    pause = int(gap / timedelta(microseconds=1))
    starts = _starts(times[test], folds, since)
    planned = []
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        inside = (times[test] >= start) & (True if end is None else times[test] < end)
        scored = test[inside]
        known = times < start - pause if pause else times < start
        planned.append(Fold(np.flatnonzero(known & _of_other_groups(groups, scored)), scored))
    return tuple(planned)


def plan_cross_validation(identities: np.ndarray, test: np.ndarray, *, folds: int, seed: int) -> tuple[Fold, ...]:
    """Test rows divided by a hash of their identity or group; rows of one identity are in one fold."""
    places = {each: int(unit_interval(f"fold:{seed}:{each}") * folds) for each in np.unique(identities[test])}
    fold = np.array([places[each] for each in identities[test]])
    rows = np.arange(len(identities))
    scored = (test[fold == number] for number in np.unique(fold))
    return tuple(Fold(np.setdiff1d(rows, each, assume_unique=True), each) for each in scored)


def _starts(times: np.ndarray, folds: int, since: int | None) -> list[int]:
    """The moments at which the stretches begin, the first at the first test row."""
    ordered = np.sort(times)
    newer = ordered[ordered > since] if since is not None else ordered
    if folds == 1 or not 0 < len(newer) < len(ordered):
        return _even_starts(ordered, folds)
    return [int(ordered[0]), *_even_starts(newer, folds - 1)]


def _even_starts(ordered: np.ndarray, count: int) -> list[int]:
    """Moments that divide the rows evenly; rows of one moment stay together, so there may be fewer."""
    return np.unique(ordered[np.arange(count) * len(ordered) // count]).tolist()


def _of_other_groups(groups: np.ndarray | None, scored: np.ndarray) -> np.ndarray | bool:
    """Rows of no group that is scored: equal values of the group are never learnt and scored."""
    return True if groups is None else ~np.isin(groups, np.unique(groups[scored]))
