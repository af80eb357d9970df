"""What answers were worth, by declared costs: `<answer>/<outcome>` → worth of one such row. Pure."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def mean_business_value(
    costs: Mapping[str, float], classes: Sequence[str], labels: Array, scores: Array, threshold: float | None
) -> float | None:
    """The mean over rows with known labels; a pair that is not declared is worth 0. None without labels or costs."""
    if not costs or not classes or not len(labels):
        return None
    chosen = scores.argmax(axis=1) if scores.ndim == 2 else (scores >= (threshold or 0.5)).astype(int)
    worth = np.array([[costs.get(f"{answer}/{outcome}", 0.0) for outcome in classes] for answer in classes])
    return float(worth[chosen, labels.astype(int)].mean())


def find_unknown_pairs(costs: Mapping[str, float], classes: Sequence[str]) -> tuple[str, ...]:
    """Declared pairs that no answer and outcome can make."""
    known = {f"{answer}/{outcome}" for answer in classes for outcome in classes}
    return tuple(sorted(set(costs) - known))
