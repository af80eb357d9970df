"""How far a worker is behind, and who is sent away for it.

The event loop takes requests in turns. Under more load than it can serve, a turn grows with the number of callers,
and everybody waits for all the others. A beat tells when the present turn began; who comes up too late in it is
refused at once, which costs next to nothing, so that a turn ends and those who are served are served in time.
"""

import asyncio
import time
from collections.abc import Callable

from serving.problems import RETRY, Overloaded

_BEAT = 0.02  # seconds


class Pressure:
    """`most`: seconds that a request may have waited for its turn."""

    def __init__(self, most: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._most, self._clock = most, clock
        self._beaten: float | None = None  # none: nothing beats, nothing is known

    def beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beaten = self._clock()
        loop.call_later(_BEAT, self.beat, loop)

    def arrived(self, now: float) -> float:
        """When the request that comes up now was there already; Overloaded where that is too long ago."""
        if self._beaten is None or now - self._beaten <= _BEAT * 2:
            return now
        if now - self._beaten > self._most:
            raise Overloaded(f"the worker is {now - self._beaten:.1f} s behind", retry_after=RETRY)
        return self._beaten
