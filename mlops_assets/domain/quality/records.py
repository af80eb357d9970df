"""What `performance` writes for the retraining decision: one record a day, frozen and small, JSON on disk.

A day that could not be judged has a record too: its verdicts are inconclusive, with the reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mlops_assets.domain.verdict import Verdict


@dataclass(frozen=True)
class Estimated:
    """A number with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ClassPart:
    """What one class adds to a day's score at the shares of the evaluation, so that days can be taken together."""

    rows: int
    mean: float  # those of all classes add up to the score
    squares: float  # of the rows' differences from the mean, added up


@dataclass(frozen=True)
class Recent:
    """The days up to this one that the same version answered, taken together: a day alone is moved by its weather."""

    days: int
    rows: int  # with a ripe label
    realised: Estimated | None
    estimated: Estimated | None


@dataclass(frozen=True)
class SincePromotion:
    """The ripe days since this version began to answer: what they add up to, and whether they show a fall."""

    first: str  # day
    days: int
    rows: int  # with a label
    value: Estimated  # of all of them
    latest: Estimated  # of the last two weeks of them
    falls_since: str | None  # the first day of the stretch that looks worse; None: none does
    fall: float  # by how much that stretch is worse than the evaluation promised
    evidence: float  # 1 proves a fall, however often it was looked at
    spread: float  # standard deviation that a day has beyond what its rows explain
    days_needed: float | None  # until a fall of twice the size that matters is proven; None: it never is


@dataclass(frozen=True)
class PerformanceDay:
    """One day of answers, with the labels that are there by now."""

    day: str
    version: str
    bundle: str
    rows: int
    labelled: int
    expected: int  # labels that should be there by now, going by the days before
    maturity: float  # share of the labels that will come and are there
    metric: str
    baseline: float | None  # the version's score at evaluation; none: not known
    realised: Estimated | None  # of the day
    estimated: Estimated | None
    recent: Recent | None  # what estimates are judged on; none: there is nothing to judge
    fall: Verdict  # realised since promotion against the baseline: FAIL: it fell
    estimated_fall: Verdict
    trust: Verdict  # in the estimate: PASS: it is believed
    odd: Mapping[str, int]  # labels twice, contradicting, for unknown requests ...
    business: float | None  # mean worth of an answer
    made_at: datetime
    comparable: Estimated | None = None  # `realised` at the class shares of the evaluation: falls are judged by it
    parts: tuple[ClassPart, ...] = ()  # of `comparable`, a class each; none: it does not depend on shares
    since_promotion: SincePromotion | None = None  # what `fall` rests on; None: no ripe day can be judged
