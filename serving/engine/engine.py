"""The one path from rows to answer that every door leads into.

route → look up features → validate → cache → score, down the fallback ladder where a version fails → stamp →
log and count. What only a version on trial cannot take, the champion answers. Knows no transport: refusals are
`RequestRefused`, which a door turns into its own words.
"""

import asyncio
import itertools
import time
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

from serving.contract.release import Release
from serving.engine.answer import DEFAULT, Answer
from serving.engine.completion import RowCompletion
from serving.engine.fallback import FallbackScorer, QueuePlaces
from serving.engine.refused import RefusedRequests, is_of_version
from serving.engine.routed import RoutedRequest, Scored
from serving.engine.shadow import ShadowRequest, ShadowScorer
from serving.log.prediction_log import PredictionLog, Record
from serving.log.refusals import RefusalLog
from serving.models.loaded_model import LoadedModel
from serving.models.router import BanditState
from serving.models.served_models import ServedArm, ServedModel, ServedModels
from serving.problems import RETRY, NotFound, RequestRefused, TooLate, Unavailable
from serving.rows.row_shapes import NamedRows, RequestRows
from serving.telemetry.meter import Meters


class Engine:
    """Answers requests for every model that this worker serves."""

    def __init__(
        self,
        models: ServedModels,
        *,
        worker: str,
        meters: Meters,
        log: PredictionLog | None,
        refusals: RefusalLog | None = None,
        draw: Random,
        queue: int,
        deadline: float,
        cache: int,
        threads: int,
        rewards: Callable[[Release], BanditState | None] = lambda release: None,
        clock: Callable[[], float] = time.perf_counter,
        now: Callable[[str], float] = lambda model: time.time(),
        ladder: Callable[..., FallbackScorer] = FallbackScorer,
        completion: Callable[..., RowCompletion] = RowCompletion,
    ) -> None:
        self.models, self.meters, self._log = models, meters, log
        self._numbers = itertools.count()
        self._prefix = f"{worker}-"
        self._places, self._deadline = QueuePlaces(queue), deadline
        self._draw, self._rewards = draw, rewards
        self._clock, self._now = clock, now
        self._scorer = ladder(places=self._places, cache=cache, threads=threads, clock=clock)
        self.completion = completion(places=self._places, deadline=deadline, clock=clock)
        self.refused = RefusedRequests(refusals, meters, self.completion, now)
        self._shadows = ShadowScorer(log, self.completion.complete_from_thread)
        self._loop: asyncio.AbstractEventLoop | None = None
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
            arm, key = self._choose(served, given, key, version, number)
            request = RoutedRequest(served, arm, given, key, number + arm.tail, began, until, version is None)
            scored = self._score_at_once(request) or await self._score(request)
        except RequestRefused as err:
            self.refused.count(model, err)
            raise
        return self._finish(request, scored)

    def note_refusal(self, model: str, err: RequestRefused) -> None:
        """Count and log what a door refused before the engine saw it."""
        if not err.is_counted and model in self.models.served:
            self.refused.count(model, err)
            self.refused.log_unrouted(model, f"{self._prefix}{next(self._numbers):x}", err)

    def infer_from_thread(self, model: str, rows: RequestRows | list[dict[str, Any]], **asked: Any) -> Answer:
        """`infer` for callers on other threads than the event loop's."""
        if self._loop is None:
            raise RuntimeError("the engine runs on no event loop yet: call `attach` on it first")
        return asyncio.run_coroutine_threadsafe(self.infer(model, rows, **asked), self._loop).result()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.completion.attach(loop)

    async def leave(self) -> None:
        """Refuse what comes now, wait for what is under way: whoever gets an answer stands in the log."""
        self._closing = True
        until = self._clock() + self._deadline
        while self.waiting and self._clock() < until:
            await asyncio.sleep(0.01)

    def close(self) -> None:
        self._closing = True
        self.completion.close()
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

    def _score_at_once(self, request: RoutedRequest) -> Scored | None:
        """The scores of a light model for whole rows, without a turn of the loop; None where it takes the long way."""
        rows, arm = request.rows, request.arm
        loaded = arm.loaded
        if loaded.batched or self.completion.is_needed(rows, loaded):
            return None
        try:
            packed = loaded.reader.read(rows)
        except RequestRefused:
            return None  # the long way meets it again, and finds out who else takes the rows
        if self._clock() > request.until:
            return None
        scores = self._scorer.score_inline(arm, packed)
        return None if scores is None else Scored(rows, packed, scores, arm, ())

    async def _score(self, request: RoutedRequest) -> Scored:
        try:
            return await self._attempt(request, request.arm)
        except RequestRefused as err:
            return await self._recover(request, err)

    async def _attempt(self, request: RoutedRequest, arm: ServedArm) -> Scored:
        """The scores by this arm, or by those that stand in where it fails."""
        rows, loaded, why = request.rows, arm.loaded, ()
        if self.completion.is_needed(rows, loaded):
            rows, why = await self.completion.look_up(rows, loaded, request.until)
        packed = loaded.reader.read(rows)
        if self._clock() > request.until:
            raise TooLate("the deadline passed before the request could be scored")
        scores, gave, more = await self._scorer.score_with_fallback(request.served, arm, rows, packed, request.until)
        return Scored(rows, packed, scores, gave, why + more)

    async def _recover(self, request: RoutedRequest, err: RequestRefused) -> Scored:
        """The champion's scores for what only the version on trial refuses, or the declared default, or the refusal."""
        arm, served = request.arm, request.served
        if request.is_routed and arm is not served.champion and is_of_version(err):
            try:
                scored = await self._attempt(request, served.champion)
            except RequestRefused as refused_too:
                err = refused_too
            else:
                arm.meter.count("refused", err.kind)
                reason = f"{arm.name} {arm.version} refuses the request: {err}"[:300]
                return scored._replace(why=(reason, *scored.why))
        if isinstance(err, Unavailable) and served.release.default is not None:
            return Scored(request.rows, None, None, None, (str(err),))
        self.refused.log_routed(request, err, await self.refused.others_take(request, err))
        raise err

    def _finish(self, request: RoutedRequest, scored: Scored) -> Answer:
        """Count, log, stamp."""
        served, request_id = request.served, request.request_id
        given, packed, scores, gave, why = scored
        release = served.release
        latency = self._clock() - request.began
        standing = gave or served.champion
        contract = standing.loaded.contract
        rows = len(scores) if scores is not None else len(given.as_rows())
        meter = gave.meter if gave else self.meters.of(release.model, DEFAULT, DEFAULT)
        meter.answered((latency, rows, _probability(contract.kind, scores)))
        if why:
            meter.count("degraded", "model" if gave is None or _is_fallback(why) else "features")
        if self._log:
            record = Record(
                request_id, self._now(release.model), request.key, rows, standing, release.generation,
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
