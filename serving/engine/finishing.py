"""From scores to the answer: counts it, logs it, stamps it."""

from collections.abc import Callable

import numpy as np

from serving.engine.answer import DEFAULT, Answer
from serving.engine.routed import RoutedRequest, ScoredParts
from serving.log.prediction_log import PredictionLog, Record
from serving.telemetry.meter import Meters


class AnswerFinisher:
    """Finishes answers; what it logs is what the caller gets."""

    def __init__(
        self, log: PredictionLog | None, meters: Meters, clock: Callable[[], float], now: Callable[[str], float]
    ) -> None:
        self._log, self._meters, self._clock, self._now = log, meters, clock, now

    def finish(self, request: RoutedRequest, scored: ScoredParts) -> Answer:
        """Count, log, stamp."""
        served, arm, _, key, request_id, began, _, _, places = request
        given, packed, scores, gave, why = scored
        release = served.release
        latency = self._clock() - began
        standing = gave or served.champion
        contract = standing.loaded.contract
        rows = len(scores) if scores is not None else len(given.as_rows())
        meter = gave.meter if gave else self._meters.of(release.model, DEFAULT, DEFAULT)
        meter.answered((latency, rows, _probability(contract.kind, scores)))
        if why:
            meter.count("degraded", "model" if gave is None or _is_fallback(why) else "features")
        if self._log:
            record = Record(
                request_id, self._now(release.model), key, rows, standing, release.generation,
                given.entities(contract.entity) if contract.entity else None,
                packed, scores, latency, "; ".join(why) if why else "", arm.name, places,
            )  # fmt: skip
            self._log.add(record)
        if gave is None or packed is None:  # the declared default
            stamp = (release.model, DEFAULT, DEFAULT, "none", release.generation, True, why, ())
            return Answer(request_id, *stamp, contract, rows, None, release.default)
        return Answer(
            request_id, release.model, gave.version, gave.name, gave.loaded.provider, release.generation,
            bool(why), why, packed.notes, contract, rows, scores, None,
        )  # fmt: skip


def _is_fallback(why: tuple[str, ...]) -> bool:
    return any(not reason.startswith("features") for reason in why)


def _probability(kind: str, scores: np.ndarray | None) -> np.ndarray | None:
    if scores is None or kind == "regression":
        return None
    return scores if scores.ndim == 1 else scores.max(axis=1)
