"""The one path from rows to answer that every door leads into.

route → look up features → validate → cache → score, down the fallback ladder where a version fails → stamp →
log and count. Knows no transport: refusals are `RequestRefused`, which a door turns into its own words.
"""

import asyncio
import itertools
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from random import Random
from typing import Any, Protocol

import numpy as np

from serving.contract.release import Release
from serving.engine.answer import DEFAULT, Answer
from serving.engine.fallback import FallbackScorer, QueuePlaces
from serving.engine.shadow import ShadowRequest, ShadowScorer
from serving.log.prediction_log import PredictionLog, Record
from serving.models.loaded_model import LoadedModel
from serving.models.router import BanditState
from serving.models.served_models import ServedArm, ServedModel, ServedModels
from serving.problems import RETRY, NotFound, RequestRefused, TooLate, Unavailable
from serving.rows.reader import Packed
from serving.rows.row_shapes import NamedRows, RequestRows
from serving.telemetry.meter import Meters


class Features(Protocol):
    """The online store as the engine sees it."""

    async def complete(self, given: RequestRows, loaded: LoadedModel) -> tuple[RequestRows, tuple[str, ...]]:
        """The rows with looked-up features, and why they are not what they should be; Unavailable if there are none."""
        ...


class Engine:
    """Answers requests for every model that this worker serves."""

    def __init__(
        self,
        models: ServedModels,
        *,
        worker: str,
        meters: Meters,
        log: PredictionLog | None,
        draw: Random,
        queue: int,
        deadline: float,
        cache: int,
        threads: int,
        rewards: Callable[[Release], BanditState | None] = lambda release: None,
        clock: Callable[[], float] = time.perf_counter,
        now: Callable[[str], float] = lambda model: time.time(),
        ladder: Callable[..., FallbackScorer] = FallbackScorer,
    ) -> None:
        self.models, self.meters, self._log = models, meters, log
        self.features: Features | None = None  # none: rows bring their features
        self._numbers = itertools.count()
        self._prefix = f"{worker}-"
        self._places, self._deadline = QueuePlaces(queue), deadline
        self._draw, self._rewards = draw, rewards
        self._clock, self._now = clock, now
        self._scorer = ladder(places=self._places, cache=cache, threads=threads, clock=clock)
        self._shadows = ShadowScorer(log, self._completed_from_thread)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looking_up: Future[RequestRows] | None = None  # of the shadows' thread
        self._closing = False

    @property
    def waiting(self) -> int:
        """Requests that wait for a batch or for features."""
        return self._places.taken

    async def infer(
        self,
        model: str,
        rows: RequestRows | list[dict[str, Any]],
        *,
        key: str | None = None,
        deadline: float | None = None,
        version: str | None = None,
        began: float | None = None,
        name: str | None = None,
    ) -> Answer:
        """The answer for these rows.

        `key` decides the arm (without one: the entity keys, without those each request for itself); `version` asks for
        one version instead. `deadline` and `began` are seconds, on this engine's clock. `name` is for a request that
        may come twice: its id begins with it, and is the same each time.
        """
        if self._closing:
            raise Unavailable("this worker stops", retry_after=RETRY)
        began = self._clock() if began is None else began
        until = began + (self._deadline if deadline is None else deadline)
        served = self.served(model)
        given = NamedRows(rows) if isinstance(rows, list) else rows
        number = f"{name}-" if name else f"{self._prefix}{next(self._numbers):x}-"
        try:
            standing, key = self._choose(served, given, key, version, number)
            return await self._answer(served, standing, given, key, number + standing.tail, began, until)
        except RequestRefused as err:
            self.meters.of(model, "", "").count("errors", err.kind)
            raise

    def infer_from_thread(self, model: str, rows: RequestRows | list[dict[str, Any]], **asked: Any) -> Answer:
        """`infer` for callers on other threads than the event loop's."""
        if self._loop is None:
            raise RuntimeError("the engine runs on no event loop yet: call `attach` on it first")
        return asyncio.run_coroutine_threadsafe(self.infer(model, rows, **asked), self._loop).result()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    async def leave(self) -> None:
        """Refuse what comes now, wait for what is under way: whoever gets an answer stands in the log."""
        self._closing = True
        until = self._clock() + self._deadline
        while self.waiting and self._clock() < until:
            await asyncio.sleep(0.01)

    def close(self) -> None:
        self._closing = True
        if self._looking_up:
            self._looking_up.cancel()
        self._shadows.close()
        self._scorer.close()

    def served(self, model: str) -> ServedModel:
        served = self.models.served.get(model)
        if served is not None:
            return served
        if trouble := self.models.troubles.get(model):
            raise Unavailable(f"model {model} cannot be served: {trouble.reason}", retry_after=RETRY)
        known = ", ".join(sorted(self.models.served)) or "none"
        raise NotFound(f"there is no model {model[:100]}; served are: {known}")

    def _choose(
        self, served: ServedModel, given: RequestRows, key: str | None, version: str | None, number: str
    ) -> tuple[ServedArm, str]:
        if version is not None:
            asked = served.by_version(version)
            if asked is None:
                there = ", ".join(sorted({arm.version for arm in served.arms.values()}))
                raise NotFound(f"version {version[:100]} is not served; there are: {there}")
            return asked, key or number
        only = served.only
        if only is not None and not only.loaded.contract.entity:
            return only, key or number
        key = key or _key_of(given, served.champion.loaded) or number
        if only is not None:
            return only, key
        choice = served.route(key, self._rewards(served.release), self._draw)
        if choice.shadow is not None:
            shadow = served.arms[choice.shadow.name]
            self._shadows.offer(
                ShadowRequest(served, shadow, given, number + shadow.tail, key, self._now(served.release.model))
            )
        return served.arms[choice.arm.name], key

    async def _answer(
        self,
        served: ServedModel,
        standing: ServedArm,
        given: RequestRows,
        key: str,
        request_id: str,
        began: float,
        until: float,
    ) -> Answer:
        why: tuple[str, ...] = ()
        loaded = standing.loaded
        try:
            if loaded.contract.entity and self.features and given.lacks_any(loaded.reader.fields.keys()):
                given, why = await self._looked_up(given, loaded, until)
            packed = loaded.reader.read(given)
            if self._clock() > until:
                raise TooLate("the deadline passed before the request could be scored")
            scores, gave, more = self._scorer.score_inline(standing, packed), standing, ()
            if scores is None:
                scores, gave, more = await self._scorer.score_with_fallback(served, standing, given, packed, until)
        except Unavailable as err:
            if served.release.default is None:
                raise
            packed, scores, gave, more = None, None, None, (str(err),)
        return self._finish(served, gave, given, key, request_id, began, packed, scores, why + more)

    async def completed(self, given: RequestRows, loaded: LoadedModel) -> RequestRows:
        """The rows with what the store of features adds to them."""
        if loaded.contract.entity and self.features and given.lacks_any(loaded.reader.fields.keys()):
            return (await self._looked_up(given, loaded, self._clock() + self._deadline))[0]
        return given

    def _completed_from_thread(self, given: RequestRows, loaded: LoadedModel) -> RequestRows:
        """`completed` for the shadows' thread; CancelledError once the engine closes, as its loop may wait for it."""
        if self._loop is None or not given.lacks_any(loaded.reader.fields.keys()):
            return given
        if self._closing:
            raise CancelledError
        self._looking_up = asyncio.run_coroutine_threadsafe(self.completed(given, loaded), self._loop)
        return self._looking_up.result()

    async def _looked_up(
        self, given: RequestRows, loaded: LoadedModel, until: float
    ) -> tuple[RequestRows, tuple[str, ...]]:
        assert self.features is not None
        try:
            with self._places:
                async with asyncio.timeout(max(until - self._clock(), 0)):
                    return await self.features.complete(given, loaded)
        except TimeoutError as err:
            raise TooLate("the deadline passed while features were looked up") from err

    def _finish(
        self,
        served: ServedModel,
        gave: ServedArm | None,
        given: RequestRows,
        key: str,
        request_id: str,
        began: float,
        packed: Packed | None,
        scores: np.ndarray | None,
        why: tuple[str, ...],
    ) -> Answer:
        """Count, log, stamp."""
        release = served.release
        latency = self._clock() - began
        standing = gave or served.champion
        contract = standing.loaded.contract
        rows = len(scores) if scores is not None else len(given.as_rows())
        meter = gave.meter if gave else self.meters.of(release.model, DEFAULT, DEFAULT)
        meter.answered((latency, rows, _probability(contract.kind, scores)))
        if why:
            meter.count("degraded", "model" if gave is None or _is_fallback(why) else "features")
        if self._log:
            record = Record(
                request_id, self._now(release.model), key, rows, standing, release.generation,
                given.entities(contract.entity) if contract.entity else None,
                packed, scores, latency, "; ".join(why) if why else "",
            )  # fmt: skip
            self._log.add(record)
        if gave is None or packed is None:
            stamp = (release.model, DEFAULT, DEFAULT, "none", release.generation, True, why, ())
            return Answer(request_id, *stamp, contract, rows, None, release.default)
        return Answer(
            request_id, release.model, gave.version, gave.name, gave.loaded.provider, release.generation,
            bool(why), why, packed.notes, contract, rows, scores, None,
        )  # fmt: skip


def _key_of(given: RequestRows, loaded: LoadedModel) -> str | None:
    """Entity keys as the routing key: one traveller, one arm."""
    entities = given.entities(loaded.contract.entity)
    return "\x1f".join(str(values[0]) for values in entities.values() if values) if entities else None


def _is_fallback(why: tuple[str, ...]) -> bool:
    return any(not reason.startswith("features") for reason in why)


def _probability(kind: str, scores: np.ndarray | None) -> np.ndarray | None:
    if scores is None or kind == "regression":
        return None
    return scores if scores.ndim == 1 else scores.max(axis=1)
