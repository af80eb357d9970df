"""What evaluation costs: bootstrap by weights against a plain loop, DeLong's influence, a whole report.

Ratios are of one run, medians of three interleaved rounds; seconds are told, not demanded.
"""

import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np
from sklearn.metrics import roc_auc_score

from mlops_assets.domain.evaluation.intervals import bootstrap, gain
from mlops_assets.domain.evaluation.metrics import METRICS

ROWS, RESAMPLES, LOOPED = 50_000, 1000, 20
GOAL = 5.0  # the bootstrap by weights against a loop over scikit-learn


def scored() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = (rng.random(ROWS) < 0.22).astype(int)
    common = rng.normal(size=ROWS)
    first, second = (1 / (1 + np.exp(-(0.7 * labels + common + rng.normal(size=ROWS)))) for _ in range(2))
    return labels, first, second


def seconds(work: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median of three rounds of each, interleaved."""
    found: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(3):
        for name, run in work.items():
            start = time.perf_counter()
            run()
            found[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in found.items()}


def main() -> None:
    labels, candidate, champion = scored()
    blocks = np.arange(ROWS) // 800
    auc = METRICS["auc"]

    def looped() -> None:
        rng = np.random.default_rng(0)
        for _ in range(LOOPED):
            taken = rng.integers(ROWS, size=ROWS)
            roc_auc_score(labels[taken], candidate[taken])

    def weighted(by: np.ndarray | None) -> Callable[[], object]:
        rng = np.random.default_rng(0)
        estimator = auc.prepare(labels, candidate)
        return lambda: bootstrap([estimator], rows=ROWS, level=0.95, rng=rng, resamples=RESAMPLES, blocks=by)

    took = seconds(
        {
            "loop": looped,
            "weights, by row": weighted(None),
            "weights, by block": weighted(blocks),
            "gain, by influence": lambda: gain(auc, labels, candidate, champion, level=0.95, blocks=blocks),
        }
    )
    took["loop"] *= RESAMPLES / LOOPED
    print(f"AUC of {ROWS:,} rows, {RESAMPLES:,} resamples")
    for name, each in took.items():
        print(f"  {name:20} {each:8.3f} s")
    for name in ("weights, by row", "weights, by block"):
        ratio = took["loop"] / took[name]
        print(f"  {name}: {ratio:.1f} x the loop's speed, goal {GOAL:g}{'' if ratio >= GOAL else ' - short'}")


if __name__ == "__main__":
    main()
