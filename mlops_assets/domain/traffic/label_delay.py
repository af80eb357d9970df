"""How long labels take, and so which windows are ripe to be judged. Times in, shares out.

An answer whose label is not there yet is not an answer without one: the product limit (Kaplan and Meier 1958)
counts it as waiting. Where only labelled answers are known, quick labels are seen too often among the young
ones: the product limit in reversed time (Lagakos, Barraj and De Gruttola 1988) makes up for that.

Outcomes may differ in how long they take: who buys does so soon, who does not is known at the end. So each outcome has
its own curve, as they compete for the answers (Aalen and Johansen 1978), and an age is ripe when it is for all of them.
Where an outcome still comes at the highest age that was watched, nobody knows how many are to come: nothing is ripe.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np

from mlops_assets.declaration.data import TargetSpec

_REACH = timedelta(days=30)  # how long after its answer an outcome may come, where nothing longer is declared
_DAY = timedelta(days=1)
_KNOTS = 1_000  # points of a curve that are kept
_LEVEL, _WATCHED = 0.9, 0.8  # so much of an outcome has to be there at so much of the highest age
_LEAST = 20  # labels below which an outcome has no curve of its own


@dataclass(frozen=True, eq=False)
class DelayCurve:
    """The share of all answers that have a label after so many seconds; constant between the points."""

    seconds: np.ndarray  # [k] rising
    arrived: np.ndarray  # [k] rising
    rows: int  # learnt from
    labelled: int
    watched: timedelta = _REACH  # the highest age of an answer
    reach: timedelta = _REACH  # the age after which no outcome counts
    least: timedelta = timedelta(0)  # no label counts before this age
    outcomes: Mapping[int, "DelayCurve"] = field(default_factory=dict)  # of each by itself, in shares of all answers

    @property
    def ever(self) -> float:
        """The share that gets a label at all, as far as was waited."""
        return float(self.arrived[-1]) if len(self.arrived) else 0.0

    @property
    def levelled(self) -> bool:
        """Whether the longest delays have been watched."""
        if self.watched >= self.reach:
            return True
        earlier = np.array([_WATCHED * self.watched.total_seconds()])
        return all(float(each.arrived_at(earlier)[0]) >= _LEVEL for each in self._curves)

    def share(self, age: np.ndarray) -> np.ndarray:
        """Of the labels that come, the part that is there at an age in seconds [n]: of the outcome that lags most."""
        if not self.levelled:
            return np.zeros(len(age))
        lagging = np.min([each.arrived_at(age) for each in self._curves], axis=0)
        return np.where(age >= self.least.total_seconds(), lagging, 0.0)

    def arrived_at(self, age: np.ndarray) -> np.ndarray:
        """The same of all outcomes together, however long was watched."""
        if not len(self.seconds):
            return np.zeros(len(age))
        place = np.searchsorted(self.seconds, age, side="right")
        return np.concatenate([[0.0], self.arrived])[place] / self.ever

    def after(self, share: float) -> timedelta | None:
        """The age at which so much of each outcome that comes is there; None: nothing ever came, or more may come."""
        if not len(self.seconds) or not self.levelled:
            return None
        reached = [each.seconds[each.arrived >= share * each.ever * (1 - 1e-12)][0] for each in self._curves]
        return max(timedelta(seconds=float(max(reached))), self.least)

    @property
    def _curves(self) -> Sequence["DelayCurve"]:
        return [each for each in self.outcomes.values() if each.labelled >= _LEAST] or [self]


def reach_of(target: TargetSpec) -> timedelta:
    """How long after its answer an outcome counts; a whole day has to become ripe within it."""
    return max(_REACH, target.ripe_after + 2 * _DAY)


def fit_delay_curve(
    answered: np.ndarray,
    labelled: np.ndarray,
    now: np.datetime64,
    *,
    outcomes: np.ndarray | None = None,
    least: timedelta = timedelta(0),
    reach: timedelta = _REACH,
) -> DelayCurve:
    """From all answers [n] datetime64 and the time each one's label became known; NaT: not yet.

    A label that is older than its answer counts as there at once; one from after `now` as not there yet.
    `outcomes` [n]: which one each label is, from 0 up; others have no curve of their own.
    """
    used = answered <= now
    answered, labelled = answered[used], labelled[used]
    known = ~np.isnat(labelled) & (labelled <= now)
    waited = np.maximum(_seconds(np.where(known, labelled, now) - answered), 0.0)
    moments, place = np.unique(waited, return_inverse=True)
    at_risk = np.bincount(place, minlength=len(moments))[::-1].cumsum()[::-1]
    waiting = np.cumprod(1 - np.bincount(place, weights=known, minlength=len(moments)) / np.maximum(at_risk, 1))
    before = np.concatenate([[1.0], waiting])[:-1]

    def curve_of(mine: np.ndarray) -> DelayCurve:
        events = np.bincount(place, weights=mine, minlength=len(moments))
        arrived = np.cumsum(before * events / np.maximum(at_risk, 1))
        return _thinned(moments[events > 0], arrived[events > 0], len(answered), int(mine.sum()))

    codes = np.full(len(answered), -1) if outcomes is None else outcomes[used]
    own = {int(code): curve_of(known & (codes == code)) for code in np.unique(codes[known]) if code >= 0}
    longest = float(_seconds(now - answered).max()) if len(answered) else 0.0
    return replace(curve_of(known), watched=timedelta(seconds=longest), least=least, reach=reach, outcomes=own)


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
