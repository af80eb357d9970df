"""Meters of all workers → the text that Prometheus reads.

Each worker leaves its numbers in a file beside those of the others; whoever is asked adds them up. What a dead
worker counted stays (a counter never falls), what it measured right then goes with it.
"""

import json
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.telemetry.meter import Histogram, Labels, Meters

_HISTOGRAMS = {
    "latency": ("endpoint_request_seconds", "Time from a request's arrival to its answer."),
    "rows": ("endpoint_rows", "Rows of a request."),
    "batch": ("endpoint_batch_rows", "Rows scored in one call, where batching is on."),
    "confidence": ("endpoint_confidence", "Probability of the answer: the positive class, or the largest."),
    "staleness": ("endpoint_feature_age_seconds", "Age of the features that were looked up."),
}
_COUNTERS = {
    "errors": ("endpoint_errors", "Requests without a prediction, and versions that failed, by kind."),
    "refused": ("endpoint_refused", "Requests that one version refused and another takes, by reason."),
    "degraded": ("endpoint_degraded", "Answers that are not what they should be, by cause."),
    "cache": ("endpoint_cache", "Looks into the prediction cache."),
    "shadow_dropped": ("endpoint_shadow_dropped", "Copies for a shadow that were not scored."),
    "feedback": ("endpoint_feedback", "Outcomes that were reported."),
    "stream": ("endpoint_stream_messages", "Messages of a stream, by what became of them."),
    "log_lost": ("endpoint_log_lost_rows", "Rows that did not reach the logs, by cause."),
}
_GAUGES = {
    "generation": "Generation of the release that is served.",
    "waiting": "Requests that wait for features or for their batch.",
    "ready": "1 where the worker takes traffic.",
    "behind": "1 where the newest release of a model could not be taken up.",
    "loaded_unixtime": "When the served generation was taken up.",
    "circuit_open": "1 where a version is not asked because it failed.",
    "gpu_utilisation": "Share of the time that the GPU computes.",
    "gpu_memory_bytes": "Memory in use on the GPU.",
    "gpu_memory_total_bytes": "Memory that the GPU has.",
    "workers": "Workers that answer.",
}
_LABELS = Labels._fields

Gauges = Mapping[str, Mapping[Labels, float]]


def claim_metrics_folder(root: Path) -> Path:
    """The folder of this service's workers, named by the process they all come from; those of services gone disappear.

    BentoML's own folder is one for all services of a user: two endpoints on one machine would count as one.
    """
    for other in root.glob("[0-9]*"):
        if not _alive(int(other.name)):
            shutil.rmtree(other, ignore_errors=True)
    return root / str(os.getppid())


class SharedMetrics:
    """The numbers of this worker, and those of the others as they last wrote them."""

    def __init__(
        self, meters: Meters, gauges: Callable[[], Gauges], folder: Path | None, worker: str, pid: int
    ) -> None:
        self._meters, self._gauges, self._folder = meters, gauges, folder
        self._name = f"endpoint-{pid}-{worker}.json"

    def write(self) -> None:
        """Add up what was observed and leave it for the other workers."""
        for meter in self._meters:
            meter.fold()
        if self._folder:
            aside = self._folder / f".{self._name}"
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                aside.write_text(json.dumps(self._own()), encoding="utf-8")
                aside.replace(self._folder / self._name)
            except OSError:
                aside.unlink(missing_ok=True)  # a full disk: this worker's last numbers stand

    def text(self) -> bytes:
        """Everything, in Prometheus' format."""
        registry = CollectorRegistry()
        registry.register(_Once(list(_families([self._own(), *self._others()]))))
        return generate_latest(registry)

    def _own(self) -> dict[str, Any]:
        gauges = self._gauges()
        return {
            "meters": [
                {
                    "labels": meter.labels,
                    "counts": [[*key, n] for key, n in sorted(meter.counts.items())],
                    "histograms": {name: _plain_histogram(h) for name, h in meter.histograms.items() if h.counts.any()},
                }
                for meter in self._meters
            ],
            "gauges": [[name, *labels, value] for name, by in gauges.items() for labels, value in by.items()],
        }

    def _others(self) -> Iterator[dict[str, Any]]:
        for path in sorted(self._folder.glob("endpoint-*.json")) if self._folder else []:
            if path.name == self._name:
                continue
            try:
                content = json.loads(path.read_bytes())
            except (OSError, ValueError):
                continue  # of another worker that is just leaving
            alive = _alive(int(path.name.split("-")[1]))
            yield content if alive else {**content, "gauges": []}


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _plain_histogram(histogram: Histogram) -> dict[str, Any]:
    return {"bounds": histogram.bounds, "counts": histogram.counts.tolist(), "total": histogram.total}


class _Once(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _families(workers: list[dict[str, Any]]) -> Iterator[Metric]:
    yield from _counter_families(workers)
    yield from _histogram_families(workers)
    yield from _gauge_families(workers)


def _counter_families(workers: list[dict[str, Any]]) -> Iterator[Metric]:
    sums: Counter[tuple[str, ...]] = Counter()
    for worker in workers:
        for meter in worker["meters"]:
            for name, reason, count in meter["counts"]:
                sums[name, *meter["labels"], reason] += count
    for name, (metric, told) in _COUNTERS.items():
        family = CounterMetricFamily(metric, told, labels=[*_LABELS, "kind"])
        for key, count in sums.items():
            if key[0] == name:
                family.add_metric(key[1:], count)
        yield family


def _histogram_families(workers: list[dict[str, Any]]) -> Iterator[Metric]:
    for name, (metric, told) in _HISTOGRAMS.items():
        family = HistogramMetricFamily(metric, told, labels=_LABELS)
        counts: dict[tuple[str, ...], list[int]] = {}
        totals: dict[tuple[str, ...], float] = defaultdict(float)
        bounds: list[float] = []
        for worker in workers:
            for meter in worker["meters"]:
                if found := meter["histograms"].get(name):
                    labels, bounds = tuple(meter["labels"]), found["bounds"]
                    before = counts.get(labels, [0] * len(found["counts"]))
                    counts[labels] = [a + b for a, b in zip(before, found["counts"], strict=True)]
                    totals[labels] += found["total"]
        for labels, each in counts.items():
            family.add_metric(labels, _cumulated(bounds, each), totals[labels])
        yield family


def _cumulated(bounds: Iterable[float], counts: list[int]) -> list[tuple[str, float]]:
    total, buckets = 0, []
    for bound, count in zip([*map(str, bounds), "+Inf"], counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets


def _gauge_families(workers: list[dict[str, Any]]) -> Iterator[Metric]:
    """The queue and the workers add up; of a generation the lowest counts, of everything else the highest."""
    values: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for worker in workers:
        for name, *labels, value in worker["gauges"]:
            values[name, *labels].append(value)
    how = {"waiting": sum, "workers": sum, "generation": min, "ready": min}
    for name, told in _GAUGES.items():
        family = GaugeMetricFamily(f"endpoint_{name}", told, labels=_LABELS)
        for key, found in values.items():
            if key[0] == name:
                family.add_metric(key[1:], how.get(name, max)(found))
        yield family
