"""The logs of one worker together: answers, refusals, outcomes. Written in turn, closed at the end."""

import logging
from collections.abc import Callable
from typing import Protocol

from serving.log.feedback import Feedback
from serving.log.prediction_log import PredictionLog
from serving.log.refusals import RefusalLog
from serving.models.request_ids import RequestIds
from serving.settings.endpoint import Settings
from serving.telemetry.meter import Meters

_log = logging.getLogger("serving.log")


class SegmentLog(Protocol):
    """What every log does besides taking rows."""

    def flush(self) -> None: ...

    def adopt(self) -> object: ...

    def close(self) -> None: ...


class Logs:
    """`answers` is none where answers are not logged; then refusals are not logged either."""

    def __init__(
        self, settings: Settings, worker: str, *, ids: RequestIds, meters: Meters, now: Callable[[str], float]
    ) -> None:
        home, segment = settings.home, settings.segment
        self.answers = (
            PredictionLog(
                home / "predictions", worker, buffer=settings.buffer, segment=segment, digests=home / "digests"
            )
            if settings.log
            else None
        )
        self.refusals = RefusalLog(home / "refusals", worker, segment=segment) if settings.log else None
        self.feedback = Feedback(
            home / "feedback", worker, ids, meters, most_rows=settings.rows, segment=segment, model_now=now
        )
        self._each: list[SegmentLog] = [log for log in (self.answers, self.refusals, self.feedback) if log is not None]
        self._lost = 0  # rows of answers, when they were last written down on demand

    def start(self, seconds: float) -> None:
        """Answers are written by a thread of their own."""
        if self.answers:
            self.answers.start(seconds)

    def flush(self) -> None:
        """Write what waits, and complete what killed workers left."""
        for log in self._each:
            if log is not self.answers:
                _alone(log.flush)
            _alone(log.adopt)

    def write_down(self) -> bool:
        """Put the answers on disk now; False where some were lost since the last time."""
        if self.answers is None or self.refusals is None:
            return True
        self.answers.flush()
        self.refusals.flush()
        lost, self._lost = self._lost, sum(self.answers.lost.values())
        return self._lost == lost

    def close(self) -> None:
        for log in self._each:
            _alone(log.close)

    def count_losses(self) -> dict[str, int]:
        """Cause → rows that did not reach their log."""
        losses = {"feedback": self.feedback.lost}
        if self.refusals:
            losses["refusals"] = self.refusals.lost
        return losses | (self.answers.lost if self.answers else {})


def _alone(work: Callable[[], object]) -> None:
    """One log's trouble is not another's: each is written and completed by itself."""
    try:
        work()
    except Exception:  # noqa: BLE001 - whatever one log meets, the others are written
        _log.exception("%s failed; the other logs go on", getattr(work, "__qualname__", work))
