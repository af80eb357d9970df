"""Pictures of quality over days, whatever is missing."""

import numpy as np
import pytest

from mlops_assets.domain.traffic.label_delay import DelayCurve, fit_delay_curve
from mlops_assets.resources.plots.quality import draw_estimate_and_realised, draw_label_delay, draw_quality_by_day
from tests.kit.watched_days import DAY, FALLEN, NOBODY, UNRIPE


@pytest.mark.parametrize("days", [[DAY, UNRIPE, NOBODY], [DAY] * 40, [DAY, FALLEN], [NOBODY], [UNRIPE]])
def test_days_are_drawn_as_far_as_they_are_known(days):
    for png in (draw_quality_by_day(days, 0.05), draw_estimate_and_realised(days)):
        assert png.startswith(b"\x89PNG")
        assert len(png) < 60_000


def test_the_age_of_ripe_labels_is_drawn():
    start = np.datetime64("2013-07-01")
    answered = start + np.arange(100).astype("timedelta64[m]")
    curve = fit_delay_curve(answered, answered + np.timedelta64(2, "h"), np.datetime64("2013-07-03"))
    assert draw_label_delay(curve, 0.9).startswith(b"\x89PNG")
    assert draw_label_delay(DelayCurve(np.empty(0), np.empty(0), 0, 0), 0.9).startswith(b"\x89PNG")
