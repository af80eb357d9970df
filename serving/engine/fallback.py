"""From packed rows to scores: the chosen version at once where it is light, in batches where that pays, and down the
ladder of versions where one fails.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakKeyDictionary

import numpy as np

from serving.engine.batching import Batcher
from serving.engine.cache import Cache
from serving.models.breaker import BreakerState
from serving.models.loaded_model import LoadedModel
from serving.models.served_models import ServedArm, ServedModel
from serving.problems import RETRY, InvalidInput, Overloaded, RequestRefused, Unavailable
from serving.rows.reader import Packed
from serving.rows.row_shapes import RequestRows

_MOST_BATCH = 1_024  # rows of one call that several requests share


class QueuePlaces:
    """The bounded queue: whoever waits for a batch or for features holds a place in it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.taken = 0

    def __enter__(self) -> None:
        if self.taken >= self._most:
            raise Overloaded(f"{self.taken} requests wait already", retry_after=RETRY)
        self.taken += 1

    def __exit__(self, *_: object) -> None:
        self.taken -= 1


class FallbackScorer:
    """Scores rows: light models inline, all others through batches, and the next version where one fails."""

    def __init__(self, *, places: QueuePlaces, cache: int, threads: int, clock: Callable[[], float]) -> None:
        self._places, self._clock = places, clock
        self._cache = Cache(cache) if cache else None
        self._batchers: WeakKeyDictionary[LoadedModel, Batcher] = WeakKeyDictionary()
        self._executor = ThreadPoolExecutor(max(2, threads), thread_name_prefix="score")

    def close(self) -> None:
        self._executor.shutdown(wait=True)

    def score_inline(self, standing: ServedArm, packed: Packed) -> np.ndarray | None:
        """The answer of a light model whose circuit is closed; None where it takes the long way or fails."""
        loaded = standing.loaded
        if loaded.batched or self._cache or standing.breaker.state != BreakerState.CLOSED:
            return None
        try:
            scores = loaded.score(packed)
            check_scores(scores, len(packed.numbers))
        except Exception:  # noqa: BLE001 - the long way meets it again and writes down what it was
            return None
        standing.breaker.succeeded()
        return scores

    async def score_with_fallback(
        self, served: ServedModel, standing: ServedArm, given: RequestRows, packed: Packed, until: float
    ) -> tuple[np.ndarray, ServedArm, tuple[str, ...]]:
        """The first answer down the ladder: the chosen arm, the champion, the champion before."""
        why: list[str] = []
        for step in served.fallbacks[standing.name]:
            if not step.breaker.allows(self._clock()):
                why.append(f"{step.name} {step.version}: circuit open")
                continue
            try:
                rows = packed if _same_rows(step, standing) else step.loaded.reader.read(given)
                scores = await self._score(step, rows, until)
            except InvalidInput:
                if not why:
                    raise
                why.append(f"{step.name} {step.version}: takes other rows")
                continue
            except RequestRefused:
                raise
            except Exception as err:  # noqa: BLE001 - whatever a graph throws, the next version is asked
                step.breaker.failed(self._clock())
                step.meter.count("errors", "model")
                why.append(f"{step.name} {step.version}: {type(err).__name__}: {err}"[:300])
                continue
            step.breaker.succeeded()
            return scores, step, tuple(why)
        raise Unavailable("; ".join(why), kind="model", retry_after=RETRY)

    async def _score(self, step: ServedArm, packed: Packed, until: float) -> np.ndarray:
        loaded = step.loaded
        cache_key = self._cache.key(loaded.digest, packed) if self._cache else None
        if cache_key and self._cache:
            found = self._cache.get(cache_key)
            step.meter.count("cache", "miss" if found is None else "hit")
            if found is not None:
                return found
        if loaded.batched:
            with self._places:
                scores = await self._batcher(step).submit(packed, until)
        else:
            scores = loaded.score(packed)
        check_scores(scores, len(packed.numbers))
        if cache_key and self._cache:
            self._cache.put(cache_key, scores)
        return scores

    def _batcher(self, step: ServedArm) -> Batcher:
        loaded = step.loaded
        batcher = self._batchers.get(loaded)
        if batcher is None:
            batcher = Batcher(
                loaded.score,
                seconds=loaded.timing.expected,
                most_rows=_MOST_BATCH,
                executor=self._executor,
                observe=step.meter.batch.observe,
                clock=self._clock,
            )
            self._batchers[loaded] = batcher
        return batcher


def _same_rows(step: ServedArm, standing: ServedArm) -> bool:
    return step is standing or step.loaded is standing.loaded or step.loaded.layout == standing.loaded.layout


def check_scores(scores: np.ndarray, rows: int) -> None:
    """An answer that is no number is no answer."""
    if len(scores) != rows:
        raise ArithmeticError(f"{len(scores)} answers for {rows} rows")
    if not (math.isfinite(scores[0]) if scores.size == 1 and scores.ndim == 1 else np.isfinite(scores).all()):
        raise ArithmeticError("the model's answer is not a finite number")
