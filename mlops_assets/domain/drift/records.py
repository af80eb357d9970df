"""What the drift report writes for the retraining decision: one record a day, frozen and small, JSON on disk.

A day that could not be judged has a record too: its verdict is inconclusive or error, with the reason.
"""

from dataclasses import dataclass
from datetime import datetime

from mlops_assets.domain.verdict import Verdict


@dataclass(frozen=True)
class DriftDay:
    """One day of live rows against the profile of the version that answered most of them."""

    day: str
    version: str  # semantic; empty: nobody answered
    bundle: str
    rows: int
    verdict: Verdict  # of the day: FAIL: it drifted
    alarm: Verdict  # of this day and those before it: FAIL: a shift goes on
    announced: str  # the day on which the shift that goes on began or grew last; empty: none goes on
    columns: tuple[str, ...]  # that drifted
    touched: tuple[str, ...]  # features, models and endpoints that use them
    report: str  # the address that opens Evidently's page in a browser; empty: none
    made_at: datetime
