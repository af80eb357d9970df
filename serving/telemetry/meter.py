"""Counts what the endpoint does, cheaply: the request path appends, a thread adds up.

One `Meter` for each model, version and arm. Numbers only ever rise (histograms, counters) or are set (gauges);
`metrics.py` shares them between workers and writes them out for Prometheus.
"""

import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384)
SHARES = tuple(i / 20 for i in range(1, 21))
_KEPT = 100_000  # observations that may wait to be added up


class Labels(NamedTuple):
    model: str
    version: str
    arm: str


class Histogram:
    """Counts of observations at or below each bound, the last one without bound."""

    __slots__ = ("_bounds", "_edges", "_waiting", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._edges = np.asarray(bounds, dtype=np.float64)
        self._waiting: deque[float | np.ndarray] = deque(maxlen=_KEPT)
        self.counts = np.zeros(len(bounds) + 1, dtype=np.int64)
        self.total = 0.0

    @property
    def bounds(self) -> tuple[float, ...]:
        return self._bounds

    def observe(self, value: float | np.ndarray) -> None:
        self._waiting.append(value)

    def add(self, values: np.ndarray) -> None:
        """Count these at once. Only one thread may do it."""
        places = np.searchsorted(self._edges, values, side="left")
        self.counts += np.bincount(places, minlength=len(self.counts))
        self.total += float(values.sum())

    def fold(self) -> None:
        """Add up what waits. Only one thread may do it."""
        take = self._waiting.popleft
        taken = [take() for _ in range(len(self._waiting))]
        if taken:
            self.add(np.concatenate([np.ravel(value) for value in taken]) if _has_arrays(taken) else np.array(taken))


def _has_arrays(values: Sequence[float | np.ndarray]) -> bool:
    return any(isinstance(value, np.ndarray) for value in values)


class Meter:
    """What one arm of one model did in this process."""

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.latency = Histogram(SECONDS)
        self.rows = Histogram(ROWS)
        self.batch = Histogram(ROWS)
        self.confidence = Histogram(SHARES)
        self.staleness = Histogram((1, 10, 60, 600, 3_600, 21_600, 86_400, 604_800))
        self.counts: Counter[tuple[str, str]] = Counter()  # (name, reason) → how often
        self._answers: deque[tuple[float, int, np.ndarray | None]] = deque(maxlen=_KEPT)
        self._folding = threading.Lock()
        self.answered = self._answers.append  # (seconds, rows, probabilities or None), on the request path

    def count(self, name: str, reason: str = "", by: int = 1) -> None:
        self.counts[name, reason] += by

    @property
    def histograms(self) -> dict[str, Histogram]:
        return {
            "latency": self.latency,
            "rows": self.rows,
            "batch": self.batch,
            "confidence": self.confidence,
            "staleness": self.staleness,
        }

    def fold(self) -> None:
        """Add up what was observed since the last time."""
        with self._folding:
            take = self._answers.popleft
            taken = [take() for _ in range(len(self._answers))]
            if taken:
                seconds, rows, scores = (list(map(itemgetter(place), taken)) for place in range(3))
                self.latency.add(np.array(seconds))
                self.rows.add(np.array(rows))
                if sure := [probability for probability in scores if probability is not None]:
                    self.confidence.add(np.concatenate(sure))
            for histogram in self.histograms.values():
                histogram.fold()


class Meters:
    """All meters of this process."""

    def __init__(self) -> None:
        self._meters: dict[Labels, Meter] = {}

    def of(self, model: str, version: str, arm: str) -> Meter:
        labels = Labels(model, version, arm)
        return self._meters.get(labels) or self._meters.setdefault(labels, Meter(labels))

    def __iter__(self) -> Iterator[Meter]:
        return iter(tuple(self._meters.values()))
