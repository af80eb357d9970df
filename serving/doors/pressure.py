"""Measures how far a worker is behind and refuses requests that have waited too long.

The event loop takes requests in turns. Under more load than it can serve, a turn grows with the number of callers,
and each request waits for all the others. A beat records when the present turn began. A request whose turn comes too
late is refused at once, which costs next to nothing: turns stay short, and the requests that are served are in time.
"""

import asyncio
import resource
import time
from collections.abc import Callable

from serving.problems import RETRY, Overloaded

_BEAT = 0.02  # seconds
_SPARE_FILES = 256  # for bundles, the log, the stores


class Pressure:
    """`most`: seconds that a request may have waited for its turn."""

    def __init__(self, most: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._most, self._clock = most, clock
        self._beaten: float | None = None  # none: no beat has run, so no delay is known

    def beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beaten = self._clock()
        loop.call_later(_BEAT, self.beat, loop)

    def arrived(self, now: float) -> float:
        """The time since which this request has been waiting; Overloaded where that is too long ago."""
        if self._beaten is None or now - self._beaten <= _BEAT * 2:
            return now
        if now - self._beaten > self._most:
            raise Overloaded(f"the worker is {now - self._beaten:.1f} s behind", retry_after=RETRY)
        return self._beaten


def most_connections() -> int:
    """Of each of the two ports: together as many as this process may have files open, but for some of its own."""
    return max((resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _SPARE_FILES) // 2, _SPARE_FILES // 2)
