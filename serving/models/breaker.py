"""Circuit breaker: stops asking what keeps failing, and tries again after a while with one request.

Closed lets all through; open lets none through until the pause has passed; half-open lets one through, whose
outcome decides. Time is passed in.
"""

from enum import StrEnum

_WINDOW = 100  # outcomes that are remembered
_LEAST = 5  # failures before it may open
_LONGEST = 64  # most times the first pause


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Opens when the share of failures in recent calls passes `share`."""

    __slots__ = ("_failures", "_opened", "_pause", "_pauses", "_share", "_successes", "state")

    def __init__(self, *, share: float, pause: float) -> None:
        self.state = BreakerState.CLOSED
        self._share = share
        self._pause = pause
        self._pauses = 1  # doubles with each failed trial
        self._opened = 0.0
        self._failures = 0
        self._successes = 0

    def allows(self, now: float) -> bool:
        """May this call go through? In half-open state only the first one may."""
        if self.state is BreakerState.CLOSED:
            return True
        if self.state is BreakerState.OPEN and now - self._opened >= self._pause * self._pauses:
            self.state = BreakerState.HALF_OPEN
            self._opened = now
            return True
        if self.state is BreakerState.HALF_OPEN and now - self._opened >= self._pause * self._pauses:
            self._opened = now  # the trial never came back
            return True
        return False

    def succeeded(self) -> None:
        if self.state is not BreakerState.CLOSED:
            self.state, self._failures, self._successes, self._pauses = BreakerState.CLOSED, 0, 0, 1
        elif self._failures:
            self._count(success=True)

    def failed(self, now: float) -> None:
        self._count(success=False)
        if self.state is BreakerState.HALF_OPEN:
            self._pauses = min(self._pauses * 2, _LONGEST)
            self._open(now)
        elif self._failures >= _LEAST and self._failures > self._share * (self._failures + self._successes):
            self._open(now)

    def _count(self, *, success: bool) -> None:
        """Old outcomes fade: once the window is full both counts are halved."""
        if success:
            self._successes += 1
        else:
            self._failures += 1
        if self._failures + self._successes >= _WINDOW:
            self._failures //= 2
            self._successes //= 2

    def _open(self, now: float) -> None:
        self.state, self._opened = BreakerState.OPEN, now
