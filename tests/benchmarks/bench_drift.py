"""The drift decision on 1,000,000 rows x 20 columns against a stored profile, and scipy's exact test beside it.

Goals: at most 1 s; agreement with the exact KS within the error that is stated; memory that does not grow with
the window (`make bench`).
"""

import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from scipy.stats import ks_2samp

from mlops_assets.domain.data.distribution import psi
from mlops_assets.domain.drift.distances import Aspect
from mlops_assets.domain.drift.reference import Reference, read_profile
from mlops_assets.domain.drift.sketch import Sketch
from mlops_assets.domain.drift.window import WindowDrift, judge_window
from mlops_assets.domain.retraining.false_alarms import expected_false_retrains
from tests.kit.watching import DRIFT, profile_of

ROWS, TRAINED, ROUNDS, GOAL, BATCH = 1_000_000, 200_000, 5, 1.0, 65_536
WORDS = np.array([f"v{number}" for number in range(200)], dtype=object)


def columns(rows: int, seed: int, categories: int, shift: float = 0.0) -> dict[str, np.ndarray]:
    """20 columns: numbers of several shapes, two of them moved by `shift`, and categories of 200 values."""
    draw = np.random.default_rng(seed)
    shapes: list[Callable[[], np.ndarray]] = [
        lambda: draw.normal(size=rows),
        lambda: draw.lognormal(0, 1, rows),
        lambda: np.where(draw.random(rows) < 0.5, 0.0, draw.exponential(1, rows)),
    ]
    found = {f"x{i}": shapes[i % 3]() for i in range(20 - categories)}
    found |= {name: found[name] + shift for name in ("x0", "x3")}
    return found | {f"c{i}": WORDS[draw.integers(0, len(WORDS), rows)] for i in range(categories)}


def decide(batches: list[pa.RecordBatch], reference: Reference) -> WindowDrift:
    sketch = sum((Sketch.of(batch, reference) for batch in batches), Sketch())
    return judge_window("bench", {Aspect.FEATURE: (reference, sketch)}, DRIFT)


def exact(live: dict[str, np.ndarray], train: dict[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """KS and PSI of the numbers, from all rows of both sides."""
    found = {}
    for name, values in live.items():
        if values.dtype != object:
            edges = np.unique(np.quantile(train[name], np.linspace(0, 1, 21), method="lower")[1:-1])
            before, now = (binned(each, edges) for each in (train[name], values))
            distance, _ = np.array(ks_2samp(train[name], values, method="asymp"), dtype=float)
            found[name] = (float(distance), float(psi(before, now)))
    return found


def binned(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.bincount(np.searchsorted(edges, values, "right"), minlength=len(edges) + 1)


def main() -> None:
    memory()  # first: the peak of a process never falls
    for categories in (0, 6):
        compare(categories)
    simulate()


def compare(categories: int) -> None:
    train, live = columns(TRAINED, 0, categories), columns(ROWS, 1, categories, shift=0.3)
    words = {name: values for name, values in train.items() if values.dtype == object}
    reference = read_profile(profile_of({n: v for n, v in train.items() if n not in words}, words)).features
    batches = pa.table(live).to_batches(max_chunksize=BATCH)
    taken, window = [], decide(batches, reference)
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        window = decide(batches, reference)
        taken.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    true = exact(live, train)
    beside, ours = time.perf_counter() - begun, statistics.median(taken)
    verdict = "ok" if ours <= GOAL else "short"
    print(f"decision, {ROWS:,} x 20 ({categories} categories): {ours:.2f} s, goal {GOAL:g} s: {verdict}")
    print(f"  scipy's KS and numpy's PSI on {20 - categories} numbers: {beside:.2f} s, ratio {beside / ours:.1f}")
    agreement(window, true)


def agreement(window: WindowDrift, true: dict[str, tuple[float, float]]) -> None:
    seen = {f.column: f.verdict.numbers for f in window.findings if f.aspect is Aspect.FEATURE and f.column in true}
    apart = max(true[name][0] - found["ks"] for name, found in seen.items())
    stated = max(found["error"] for found in seen.values())
    index = max(abs(true[name][1] - found["psi"]) for name, found in seen.items())
    same = {name for name, (ks, _) in true.items() if ks >= DRIFT.ks} == set(window.columns)
    verdict = "ok" if apart <= stated and same else "short"
    print(f"  KS below the exact one by at most {apart:.5f}, stated {stated:.5f}; PSI apart by {index:.1e}: {verdict}")
    print(f"  drifted: {', '.join(window.columns)}")


def memory() -> None:
    """Batches are made one at a time, so that what grows could only be the sketch."""
    train = columns(20_000, 0, 6)
    words = {name: values for name, values in train.items() if values.dtype == object}
    reference = read_profile(profile_of({n: v for n, v in train.items() if n not in words}, words)).features
    peaks = []
    for count in (4, 40):
        sketch = Sketch()
        for number in range(count):
            sketch = sketch + Sketch.of(pa.RecordBatch.from_pydict(columns(BATCH, number, 6)), reference)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    verdict = "ok" if peaks[1] - peaks[0] < 20 else "short"
    print(f"peak memory after {4 * BATCH:,} and {40 * BATCH:,} rows: {peaks[0]:.0f} and {peaks[1]:.0f} MB: {verdict}")


def simulate() -> None:
    train = columns(20_000, 0, 6)
    words = {name: values for name, values in train.items() if values.dtype == object}
    profile = profile_of({n: v for n, v in train.items() if n not in words}, words)
    begun = time.perf_counter()
    found = expected_false_retrains(DRIFT, profile, 2_000, 7)
    taken = time.perf_counter() - begun
    print(f"expected false retrains: {taken:.2f} s, goal 2 s: {'ok' if taken <= 2 else 'short'}\n  {found}")


if __name__ == "__main__":
    main()
