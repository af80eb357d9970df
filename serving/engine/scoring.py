"""From a routed request to its scores: features, contract, ladder; and who stands in where one version refuses."""

from collections.abc import Callable

from serving.engine.completion import RowCompletion
from serving.engine.fallback import FallbackScorer
from serving.engine.refused import RefusedRequests, is_of_version
from serving.engine.routed import RoutedRequest, Scored, ScoredParts
from serving.models.served_models import ServedArm
from serving.problems import RequestRefused, TooLate, Unavailable


class RequestScorer:
    """Scores requests by the arm that was chosen for them."""

    def __init__(
        self,
        ladder: FallbackScorer,
        completion: RowCompletion,
        refused: RefusedRequests,
        clock: Callable[[], float],
    ) -> None:
        self._ladder, self._completion, self._refused, self._clock = ladder, completion, refused, clock

    def at_once(self, request: RoutedRequest) -> ScoredParts | None:
        """The scores of a light model for whole rows, without a turn of the loop; None where it takes the long way."""
        rows, arm = request.rows, request.arm
        loaded = arm.loaded
        if loaded.batched or (loaded.contract.entity and self._completion.is_needed(rows, loaded)):
            return None
        try:
            packed = loaded.reader.read(rows)
        except RequestRefused:
            return None  # the long way meets it again, and finds out who else takes the rows
        if self._clock() > request.until:
            return None
        scores = self._ladder.score_inline(arm, packed)
        return None if scores is None else (rows, packed, scores, arm, ())

    async def score(self, request: RoutedRequest) -> Scored:
        try:
            return await self._attempt(request, request.arm)
        except RequestRefused as err:
            return await self._recover(request, err)

    async def _attempt(self, request: RoutedRequest, arm: ServedArm) -> Scored:
        """The scores by this arm, or by those that stand in where it fails."""
        rows, loaded, why = request.rows, arm.loaded, ()
        if self._completion.is_needed(rows, loaded):
            rows, why = await self._completion.look_up(rows, loaded, request.until)
        packed = loaded.reader.read(rows)
        if self._clock() > request.until:
            raise TooLate("the deadline passed before the request could be scored")
        scores, gave, more = await self._ladder.score_with_fallback(request.served, arm, rows, packed, request.until)
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
        self._refused.log_routed(request, err, await self._refused.others_take(request, err))
        raise err

    async def score_part(self, request: RoutedRequest) -> Scored:
        try:
            return Scored(*(self.at_once(request) or await self.score(request)))
        except RequestRefused as err:
            raise err.at_places(request.places or ()) from err
