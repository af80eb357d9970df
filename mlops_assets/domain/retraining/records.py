"""What the watching stages hand to the decision, one record a day and stage. Frozen, small, JSON on disk.

A day that could not be judged has a record too: its verdict is inconclusive or error, with the reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mlops_assets.domain.retraining.decision import RetrainDecision, RetrainEvidence
from mlops_assets.domain.verdict import Verdict


@dataclass(frozen=True)
class DriftDay:
    """One day of live rows against the profile of the version that answered most of them."""

    day: str
    version: str  # semantic; empty: nobody answered
    bundle: str
    rows: int
    verdict: Verdict  # of the day: FAIL: it drifted
    alarm: Verdict  # of this day and those before it: FAIL: the alarm
    columns: tuple[str, ...]  # that drifted
    touched: tuple[str, ...]  # features, models and endpoints that stand on them
    report: str  # the address that opens Evidently's page in a browser; empty: none
    made_at: datetime


@dataclass(frozen=True)
class Estimated:
    """A number with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Recent:
    """The days up to this one that the same version answered, taken together: a day alone is moved by its weather."""

    days: int
    rows: int  # with a ripe label
    realised: Estimated | None
    estimated: Estimated | None


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
    recent: Recent | None  # what the verdicts stand on; none: there is nothing to judge
    fall: Verdict  # realised against the baseline: FAIL: it fell
    estimated_fall: Verdict
    trust: Verdict  # in the estimate: PASS: it is believed
    odd: Mapping[str, int]  # labels twice, contradicting, for unknown requests ...
    business: float | None  # mean worth of an answer
    made_at: datetime


@dataclass(frozen=True)
class Weighed:
    """One look at whether a model is trained again: the evidence, and what was made of it."""

    decision: RetrainDecision
    evidence: RetrainEvidence
    switched_off: tuple[str, ...]  # sensors that a person stopped: their causes start nothing
    touched: tuple[str, ...]  # features, models and endpoints that stand on what drifted
    false_retrains: str  # how many the policy starts in a year in which nothing changes
    made_at: datetime


@dataclass(frozen=True)
class Pause:
    """A person's word on whether a model may be trained again by itself."""

    paused: bool
    who: str
    why: str
    since: datetime
