"""Records of days as `performance` writes them: a good one, one whose labels are not ripe, one without traffic."""

from dataclasses import replace
from datetime import UTC, datetime

from mlops_assets.domain.quality.records import Estimated, PerformanceDay, Recent
from mlops_assets.domain.verdict import Outcome
from tests.kit.watching import verdict

AT = datetime(2013, 7, 2, tzinfo=UTC)
GOOD = Estimated(0.7, 0.68, 0.72)
DAY = PerformanceDay(
    day="2013-07-01",
    version="1.0.0",
    bundle="b",
    rows=900,
    labelled=880,
    expected=890,
    maturity=1.0,
    metric="auc",
    baseline=0.71,
    realised=GOOD,
    estimated=GOOD,
    recent=Recent(3, 2_600, GOOD, GOOD),
    fall=verdict(Outcome.PASS, "realised"),
    estimated_fall=verdict(Outcome.PASS, "estimated"),
    trust=verdict(Outcome.PASS, "trust"),
    odd={},
    business=None,
    made_at=AT,
)
UNRIPE = replace(DAY, day="2013-07-02", realised=None, recent=Recent(3, 0, None, GOOD))
NOBODY = replace(DAY, day="2013-07-03", realised=None, estimated=None, recent=None, baseline=None)
