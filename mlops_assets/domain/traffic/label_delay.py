"""How long labels take, and so which windows are ripe to be judged. Times in, shares out.

An answer whose label is not there yet is not an answer without one: the product limit (Kaplan and Meier 1958)
counts it as waiting. Where only labelled answers are known, quick labels are seen too often among the young
ones: the product limit in reversed time (Lagakos, Barraj and De Gruttola 1988) makes up for that.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

_KNOTS = 1_000  # points of a curve that are kept


@dataclass(frozen=True, eq=False)
class DelayCurve:
    """The share of all answers that have a label after so many seconds; constant between the points."""

    seconds: np.ndarray  # [k] rising
    arrived: np.ndarray  # [k] rising
    rows: int  # learnt from
    labelled: int

    @property
    def ever(self) -> float:
        """The share that gets a label at all, as far as was waited."""
        return float(self.arrived[-1]) if len(self.arrived) else 0.0

    def share(self, age: np.ndarray) -> np.ndarray:
        """Of the labels that come, the part that is there at an age in seconds [n]."""
        if not len(self.seconds):
            return np.zeros(len(age))
        place = np.searchsorted(self.seconds, age, side="right")
        return np.concatenate([[0.0], self.arrived])[place] / self.ever

    def after(self, share: float) -> timedelta | None:
        """The age at which so much of the labels that come is there; None: nothing ever came."""
        reached = np.flatnonzero(self.arrived >= share * self.ever * (1 - 1e-12))
        return timedelta(seconds=float(self.seconds[reached[0]])) if len(reached) else None


def fit_delay_curve(answered: np.ndarray, labelled: np.ndarray, now: np.datetime64) -> DelayCurve:
    """From all answers [n] datetime64 and the time each one's label became known; NaT: not yet.

    A label that is older than its answer counts as there at once; one from after `now` as not there yet.
    """
    known = ~np.isnat(labelled) & (labelled <= now)
    until = np.where(known, labelled, now)
    waited = np.maximum(_seconds(until - answered), 0.0)
    used = answered <= now
    moments, place = np.unique(waited[used], return_inverse=True)
    events = np.bincount(place, weights=known[used], minlength=len(moments))
    left = np.bincount(place, minlength=len(moments))
    at_risk = left[::-1].cumsum()[::-1]
    remaining = np.cumprod(1 - events / np.maximum(at_risk, 1))
    return _thinned(moments[events > 0], (1 - remaining)[events > 0], int(used.sum()), int(known[used].sum()))


def fit_from_labelled(answered: np.ndarray, labelled: np.ndarray, now: np.datetime64) -> DelayCurve:
    """Measure labelled answers only, which do not show how many answers never get a label."""
    delay, most = np.maximum(_seconds(labelled - answered), 0.0), _seconds(now - answered)
    used = delay <= most
    delay, most = np.sort(delay[used]), np.sort(most[used])
    moments, events = np.unique(delay, return_counts=True)
    # rows that are old enough to show this delay, and whose delay is no longer
    at_risk = np.searchsorted(delay, moments, "right") - np.searchsorted(most, moments, "left")
    factors = 1 - events / np.maximum(at_risk, events)
    arrived = np.append(np.cumprod(factors[::-1])[::-1][1:], 1.0)[: len(moments)]
    return _thinned(moments, arrived, int(used.sum()), int(used.sum()))


def measure_maturity(curve: DelayCurve, answered: np.ndarray, now: np.datetime64) -> float:
    """The part of a window's labels that should be there by now; NaN of a window without answers."""
    return float(curve.share(_seconds(now - answered)).mean()) if len(answered) else float("nan")


def _thinned(seconds: np.ndarray, arrived: np.ndarray, rows: int, labelled: int) -> DelayCurve:
    kept = np.unique(np.linspace(0, len(seconds) - 1, min(_KNOTS, len(seconds))).astype(int))
    return DelayCurve(seconds[kept], arrived[kept], rows, labelled)


def _seconds(length: np.ndarray) -> np.ndarray:
    return length / np.timedelta64(1, "s")
