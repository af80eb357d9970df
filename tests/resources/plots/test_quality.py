"""Pictures of quality over days, whatever is missing."""

import numpy as np
import pytest

from mlops_assets.domain.traffic.label_delay import DelayCurve, learn
from mlops_assets.resources.plots.quality import estimate_and_realised, label_maturity, quality_over_days
from tests.kit.watched_days import DAY, NOBODY, UNRIPE


@pytest.mark.parametrize("days", [[DAY, UNRIPE, NOBODY], [DAY] * 40, [NOBODY], [UNRIPE]])
def test_days_are_drawn_as_far_as_they_are_known(days):
    for png in (quality_over_days(days, 0.05), estimate_and_realised(days)):
        assert png.startswith(b"\x89PNG")
        assert len(png) < 60_000


def test_the_age_of_ripe_labels_is_drawn():
    start = np.datetime64("2013-07-01")
    answered = start + np.arange(100).astype("timedelta64[m]")
    curve = learn(answered, answered + np.timedelta64(2, "h"), np.datetime64("2013-07-03"))
    assert label_maturity(curve, 0.9).startswith(b"\x89PNG")
    assert label_maturity(DelayCurve(np.empty(0), np.empty(0), 0, 0), 0.9).startswith(b"\x89PNG")
