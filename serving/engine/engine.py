"""The one path from rows to answer that every door leads into.

route → look up features → validate → cache → score, down the fallback ladder where a version fails → stamp →
log and count. What only a version on trial cannot take, the champion answers. Knows no transport: refusals are
`RequestRefused`, which a door turns into its own words.
"""

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable
from random import Random
from typing import Any

from serving.contract.release import BANDITS, Release
from serving.engine.answer import Answer, AnswerPart
from serving.engine.completion import RowCompletion
from serving.engine.fallback import FallbackScorer, QueuePlaces
from serving.engine.finishing import AnswerFinisher
from serving.engine.parts import RowPart, combine_answers, divide_rows, is_divisible, row_keys
from serving.engine.refused import RefusedRequests
from serving.engine.routed import RoutedRequest, Scored
from serving.engine.scoring import RequestScorer
from serving.engine.shadow import ShadowRequest, ShadowScorer
from serving.log.prediction_log import PredictionLog
from serving.log.refusals import RefusalLog
from serving.models.loaded_model import LoadedModel
from serving.models.request_ids import RequestIds
from serving.models.router import BanditState
from serving.models.served_models import ServedArm, ServedModel, ServedModels
from serving.problems import RETRY, NotFound, RequestRefused, Unavailable
from serving.rows.row_shapes import NamedRows, RequestRows, check_keys
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
        ids: RequestIds | None = None,
        rewards: Callable[[Release], BanditState | None] = lambda release: None,
        clock: Callable[[], float] = time.perf_counter,
        now: Callable[[str], float] = lambda model: time.time(),
        ladder: Callable[..., FallbackScorer] = FallbackScorer,
        completion: Callable[..., RowCompletion] = RowCompletion,
    ) -> None:
        self.models, self.meters = models, meters
        self._ids = ids or RequestIds(secrets.token_bytes())
        self._numbers = itertools.count()
        self._prefix = f"{worker}-"
        self._places, self._deadline = QueuePlaces(queue), deadline
        self._draw, self._rewards = draw, rewards
        self._clock, self._now = clock, now
        self._ladder = ladder(places=self._places, cache=cache, threads=threads, clock=clock)
        self.completion = completion(places=self._places, deadline=deadline, clock=clock)
        self.refused = RefusedRequests(refusals, meters, self.completion, now)
        self._scoring = RequestScorer(self._ladder, self.completion, self.refused, clock)
        self._finishing = AnswerFinisher(log, meters, clock, now)
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
        served.champion.loaded.reader.check_size(given)
        if served.entity_names:
            check_keys(given.entities(served.entity_names))
        number = f"{name}-" if name else f"{self._prefix}{next(self._numbers):x}-"
        try:
            if served.only is None and key is None and version is None and is_divisible(served, given):
                answer = await self._answer_parts(served, given, number, (began, until))
                if answer is not None:
                    return answer
            arm, key, shadow = self._choose(served, given, key, version, number)
            request_id = self._ids.issue(model, number, len(given), arm.tail)
            request = RoutedRequest(served, arm, given, key, request_id, began, until, version is None)
            if shadow is not None:
                self._copy(shadow, request)
            scored = self._scoring.at_once(request) or await self._scoring.score(request)
        except RequestRefused as err:
            self.refused.count(model, err)
            raise
        return self._finishing.finish(request, scored)

    def divide(self, served: ServedModel, rows: RequestRows, key: str | None) -> list[RowPart]:
        """Which arms the rows belong to, by this key or by their own; none where nothing but chance decides."""
        if served.release.strategy in BANDITS:
            return []
        keys = [key] * len(rows) if key else row_keys(rows, served.champion.loaded.contract.entity)
        return divide_rows(served, keys, self._draw)[0]

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
        self._ladder.close()

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
    ) -> tuple[ServedArm, str | None, ServedArm | None]:
        """The arm that answers, the key that chose it, and the shadow that gets a copy."""
        if version is not None:
            asked = served.by_version(version)
            if asked is None:
                there = ", ".join(sorted({arm.version for arm in served.arms.values()}))
                raise NotFound(f"version {version[:100]} is not served; there are: {there}")
            return asked, key or number, None
        only = served.only
        if only is not None and not only.loaded.contract.entity:
            return only, key or number, None
        if only is not None and key is None and len(given) > 1 and given.entities(only.loaded.contract.entity):
            return only, None, None
        key = key or _key_of(given, served.champion.loaded) or number
        if only is not None:
            return only, key, None
        choice = served.route(key, self._rewards(served.release), self._draw)
        shadow = None if choice.shadow is None else served.arms[choice.shadow.name]
        return served.arms[choice.arm.name], key, shadow

    def _copy(self, shadow: ServedArm, request: RoutedRequest) -> None:
        """Offer a shadow the rows of a request, under its id but for the end."""
        served = request.served
        own_id = f"{request.request_id.rpartition('-')[0]}-{shadow.tail}"
        now = self._now(served.release.model)
        self._shadows.offer(ShadowRequest(served, shadow, request.rows, own_id, request.key, now, request.places))

    async def _answer_parts(
        self, served: ServedModel, given: RequestRows, number: str, times: tuple[float, float]
    ) -> Answer | None:
        """The answer to rows of several arms, each part by its own; None where they have no keys."""
        keys = row_keys(given, served.champion.loaded.contract.entity)
        parts, copies = divide_rows(served, keys, self._draw)
        if not parts:
            return None
        arm = parts[0].arm if len(parts) == 1 else None
        tail = arm.tail if arm else served.mixed_tail
        request_id = self._ids.issue(served.release.model, number, len(given), tail)
        for shadow, places in copies:
            copied = RoutedRequest(served, shadow, given.take(places), None, request_id, *times, True, places)
            self._copy(shadow, copied)
        if arm is not None:
            request = RoutedRequest(served, arm, given, None, request_id, *times, True)
            return self._finishing.finish(request, self._scoring.at_once(request) or await self._scoring.score(request))
        requests = [
            RoutedRequest(served, arm, given.take(places), None, request_id, *times, True, places)
            for arm, places in parts
        ]
        scored = await asyncio.gather(*map(self._scoring.score_part, requests))
        if lost := [reason for part in scored if part.gave is None for reason in part.why]:
            scored = [Scored(request.rows, None, None, None, tuple(lost)) for request in requests]
        answers = [self._finishing.finish(request, part) for request, part in zip(requests, scored, strict=True)]
        return combine_answers(
            request_id, [AnswerPart(part.places, answer) for part, answer in zip(parts, answers, strict=True)]
        )


def _key_of(given: RequestRows, loaded: LoadedModel) -> str | None:
    """Entity keys as the routing key: one traveller, one arm."""
    entities = given.entities(loaded.contract.entity)
    return "\x1f".join(str(values[0]) for values in entities.values() if values) if entities else None
