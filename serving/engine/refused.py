"""What becomes of a request that the chosen version cannot take: who else would take it, and what is written down.

Every refusal counts in the metrics and stands in the log of refusals. Those after routing name the version, so that
the judge of a rollout sees what only one version refuses.
"""

from collections.abc import Callable

from serving.engine.completion import RowCompletion
from serving.engine.parts import row_keys
from serving.engine.routed import RoutedRequest
from serving.log.refusals import Refusal, RefusalLog
from serving.models.served_models import ServedArm
from serving.problems import InvalidInput, RequestRefused
from serving.telemetry.meter import Meters

_FEATURES = "features"  # kind of a refusal whose cause is the store
_NOT_LOGGED = frozenset({"unauthorised", "not_found", "method"})  # nobody is known to have wanted a prediction


class RefusedRequests:
    """Counts and logs refusals."""

    def __init__(
        self, log: RefusalLog | None, meters: Meters, completion: RowCompletion, now: Callable[[str], float]
    ) -> None:
        self._log, self._meters, self._completion, self._now = log, meters, completion, now

    def count(self, model: str, err: RequestRefused) -> None:
        """Count a refusal once, whoever meets it."""
        if not err.is_counted:
            err.is_counted = True
            self._meters.of(model, "", "").count("errors", err.kind)

    def log_unrouted(self, model: str, request_id: str, err: RequestRefused) -> None:
        """Log a refusal from before routing, of a body that cannot be read, say."""
        if self._log and err.kind not in _NOT_LOGGED:
            refusal = Refusal(request_id, self._now(model), "", "", "", "", "", 0, err.kind, str(err), 0, False)
            self._log.add(model, refusal)

    def log_routed(self, request: RoutedRequest, err: RequestRefused, others_take: bool) -> None:
        """Log a refusal of the arm that was to answer."""
        arm, release = request.arm, request.served.release
        if others_take:
            arm.meter.count("refused", err.kind)
        if self._log:
            refusal = Refusal(
                request.request_id, self._now(release.model), _key_of(request), arm.version, arm.name, arm.role,
                arm.digest, release.generation, err.kind, str(err), len(request.rows), others_take,
            )  # fmt: skip
            self._log.add(release.model, refusal)

    async def others_take(self, request: RoutedRequest, err: RequestRefused) -> bool:
        """Whether the rows break the contract of this version, and another that answers beside it takes them.

        The champion is not asked: where the version on trial refuses, it was asked already.
        """
        if not (isinstance(err, InvalidInput) and request.is_routed) or request.served.only is not None:
            return False
        for name in (arm.name for arm in request.served.release.answering):
            arm = request.served.arms[name]
            if arm in (request.arm, request.served.champion) or arm.loaded.layout == request.arm.loaded.layout:
                continue
            if await self._takes(arm, request):
                return True
        return False

    async def _takes(self, arm: ServedArm, request: RoutedRequest) -> bool:
        rows, loaded = request.rows, arm.loaded
        try:
            if self._completion.is_needed(rows, loaded):
                rows, _ = await self._completion.look_up(rows, loaded, request.until)
            loaded.reader.read(rows)
        except RequestRefused:
            return False
        return True


def _key_of(request: RoutedRequest) -> str:
    if request.key is not None:
        return request.key
    return next(iter(row_keys(request.rows, request.served.champion.loaded.contract.entity)), "")


def is_of_version(err: RequestRefused) -> bool:
    """Whether another version may take what this one refuses: its fields and its features are its own."""
    return isinstance(err, InvalidInput) or err.kind == _FEATURES
