"""Copies of requests for a shadow version, scored by a thread of their own. The user never waits for them.

When the thread falls behind, copies are dropped and counted.
"""

import logging
import queue
import threading
import time
from typing import NamedTuple

from serving.given import Given
from serving.log import PredictionLog, Record
from serving.models import Served, Standing
from serving.problems import RequestRefused

_MOST = 1_000  # copies that wait
_log = logging.getLogger("serving.shadow")


class Copy(NamedTuple):
    served: Served
    standing: Standing
    given: Given
    request_id: str
    key: str
    time: float


class Shadows:
    """Scores copies in the order they came."""

    def __init__(self, log: PredictionLog | None) -> None:
        self._log = log
        self._waiting: queue.SimpleQueue[Copy | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def offer(self, copy: Copy) -> None:
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
            try:
                self._score(copy)
            except RequestRefused as err:
                copy.standing.meter.count("errors", err.kind)
            except Exception:  # noqa: BLE001 - a thread's border: the next copy must still be scored
                copy.standing.meter.count("errors", "model")
                _log.exception("%s: shadow %s failed", copy.served.release.model, copy.standing.version)

    def _score(self, copy: Copy) -> None:
        began = time.perf_counter()
        standing = copy.standing
        packed = copy.given.pack(standing.loaded.reader)
        scores = standing.loaded.score(packed)
        latency = time.perf_counter() - began
        standing.meter.answered((latency, len(scores), scores if scores.ndim == 1 else scores.max(axis=1)))
        if self._log:
            entities = copy.given.entities(standing.loaded.contract.entity)
            record = Record(
                copy.request_id, copy.time, copy.key, len(scores), standing, copy.served.release.generation,
                entities, packed, scores, latency, "",
            )  # fmt: skip
            self._log.add(record)
