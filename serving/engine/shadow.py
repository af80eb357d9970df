"""Copies of requests for a shadow version, scored by a thread of their own. The user never waits for them.

When the thread falls behind, copies are dropped and counted. A copy that fails leaves a row without an answer, so that
the judge of the rollout sees it.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import NamedTuple

import numpy as np

from serving.engine.fallback import check_scores
from serving.log.prediction_log import PredictionLog, Record
from serving.models.loaded_model import LoadedModel
from serving.models.served_models import ServedArm, ServedModel
from serving.problems import Overloaded, RequestRefused, TooLate
from serving.rows.reader import Packed
from serving.rows.row_shapes import RequestRows

_MOST = 1_000  # copies that wait
_log = logging.getLogger("serving.engine.shadow")


class ShadowRequest(NamedTuple):
    served: ServedModel
    standing: ServedArm
    given: RequestRows
    request_id: str
    key: str | None  # None: each row's own entity keys
    time: float
    places: list[int] | None = None  # of the rows in their request; None: they are all of it


class ShadowScorer:
    """Scores copies in the order they came."""

    def __init__(self, log: PredictionLog | None, complete: Callable[[RequestRows, LoadedModel], RequestRows]) -> None:
        self._log, self._complete = log, complete  # with the features that the shadow looks up
        self._waiting: queue.SimpleQueue[ShadowRequest | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def offer(self, copy: ShadowRequest) -> None:
        if self._waiting.qsize() >= _MOST:
            copy.standing.meter.count("shadow_dropped")
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
            self._thread.start()
        self._waiting.put(copy)

    def close(self) -> None:
        if self._thread:
            self._waiting.put(None)
            self._thread.join(timeout=10)

    def _work(self) -> None:
        while copy := self._waiting.get():
            began = time.perf_counter()
            try:
                self._score_or_note(copy, began)
            except Exception:  # noqa: BLE001 - a thread's border: the next copy must still be scored
                _log.exception("a copy for shadow %s could not be noted", copy.standing.version)

    def _score_or_note(self, copy: ShadowRequest, began: float) -> None:
        try:
            self._score(copy, began)
        except (CancelledError, Overloaded, TooLate):  # no fault of the version's
            copy.standing.meter.count("shadow_dropped")
        except RequestRefused as err:
            self._failed(copy, began, err, err.kind)
        except Exception as err:  # noqa: BLE001 - a thread's border: the next copy must still be scored
            self._failed(copy, began, err, "model")
            _log.exception("%s: shadow %s failed", copy.served.release.model, copy.standing.version)

    def _score(self, copy: ShadowRequest, began: float) -> None:
        standing = copy.standing
        given = self._complete(copy.given, standing.loaded)
        packed = standing.loaded.reader.read(given)
        scores = standing.loaded.score(packed)
        check_scores(scores, len(packed.numbers))
        latency = time.perf_counter() - began
        standing.meter.answered((latency, len(scores), scores if scores.ndim == 1 else scores.max(axis=1)))
        self._write(copy, len(scores), packed, scores, latency, "")

    def _failed(self, copy: ShadowRequest, began: float, err: Exception, kind: str) -> None:
        copy.standing.meter.count("errors", kind)
        rows, latency = len(copy.given.as_rows()), time.perf_counter() - began
        self._write(copy, rows, None, None, latency, f"shadow: {type(err).__name__}: {err}"[:300])

    def _write(
        self, copy: ShadowRequest, rows: int, packed: Packed | None, scores: np.ndarray | None, latency: float, why: str
    ) -> None:
        if self._log:
            entities = copy.given.entities(copy.standing.loaded.contract.entity)
            record = Record(
                copy.request_id, copy.time, copy.key, rows, copy.standing, copy.served.release.generation,
                entities, packed, scores, latency, why, copy.standing.name, copy.places,
            )  # fmt: skip
            self._log.add(record)
