"""The training days through the policy."""

import numpy as np
import pytest

from mlops_assets.domain.drift.days.compare import fit_past
from mlops_assets.domain.drift.days.replay import count_alarms
from mlops_assets.domain.drift.distances import Aspect
from mlops_assets.domain.drift.reference import Profile, read_profile
from mlops_assets.domain.drift.sketch import Sketch
from mlops_assets.domain.drift.window import judge_window
from mlops_assets.domain.verdict import Outcome
from tests.kit.watching import DRIFT, profile_of, table_of

FIRST = np.datetime64("2022-01-03")


@pytest.mark.parametrize(
    ("days", "alarms"),
    [("", 0), ("-d-", 0), ("dd", 1), ("d-d", 1), ("d--d", 0), ("dddddd", 1), ("dd--dd", 1), ("dd---dd", 2)],
)
def test_a_shift_is_counted_once(days, alarms):
    levels = np.array([1e-9 if day == "d" else 1.0 for day in days])
    assert count_alarms(levels, DRIFT, 0.001) == alarms


def trained(days: int, luck: np.ndarray, rows: int = 300) -> Profile:
    draw = np.random.default_rng(0)
    values = draw.normal(size=days * rows) + np.repeat(luck, rows)
    return read_profile(profile_of({"x": values}, moments=np.repeat(FIRST + np.arange(days), rows)))


def test_training_days_that_alarm_tighten_the_threshold():
    luck = np.zeros(120)
    luck[[50, 51]] = 4.0
    quiet, odd = (fit_past(trained(120, each), DRIFT) for each in (np.zeros(120), luck))
    assert quiet is not None
    assert odd is not None
    assert (quiet.replay.before, quiet.replay.alpha) == (0, DRIFT.alpha)
    assert (odd.replay.before, odd.replay.alarms) == (1, 0)
    assert odd.replay.alpha < DRIFT.alpha / 10
    assert "since the threshold was tightened" in str(odd.replay)


def test_a_weekend_drifts_from_pooled_rows_not_from_days_like_it():
    weekend = np.arange(56) % 7 >= 5
    profile = trained(56, weekend * 1.0)
    draw = np.random.default_rng(1)
    live = Sketch.of(table_of({"x": draw.normal(size=600) + 1.0}), profile.features)
    compared = {Aspect.FEATURE: (profile.features, live)}
    past = fit_past(profile, DRIFT)
    outcomes = {
        day: judge_window("w", compared, DRIFT, past=past, days=[(FIRST + 56 + day).astype(object)]).outcome
        for day in (0, 5)
    }
    assert outcomes == {0: Outcome.FAIL, 5: Outcome.PASS}
    assert judge_window("w", compared, DRIFT).outcome is Outcome.FAIL


def test_what_is_certain_and_small_is_called_so():
    profile = trained(60, np.zeros(60), rows=3_000)
    live = Sketch.of(table_of({"x": np.random.default_rng(2).normal(size=60_000) + 0.06}), profile.features)
    day = [(FIRST + 60).astype(object)]
    found = judge_window(
        "w", {Aspect.FEATURE: (profile.features, live)}, DRIFT, past=fit_past(profile, DRIFT), days=day
    )
    assert found.outcome is Outcome.PASS
    assert "real, but too small to matter" in found.findings[0].verdict.reason
