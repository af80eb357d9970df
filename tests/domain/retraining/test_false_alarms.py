"""What a policy would do though nothing changed."""

import time

import numpy as np
import pytest

from mlops_assets.domain.drift.reference import read_profile
from mlops_assets.domain.retraining.false_alarms import alarm_rate, draw_sketch, expected_false_retrains
from tests.kit.watching import DRIFT, profile_of


def profile(columns: int = 20) -> dict:
    draw = np.random.default_rng(0)
    words = np.array(["a", "b", "c"], dtype=object)
    numbers = {f"x{i}": draw.normal(size=5_000) for i in range(columns - 2)}
    return profile_of(numbers, {f"c{i}": draw.choice(words, 5_000) for i in range(2)})


def test_the_default_policy_rarely_retrains_without_cause():
    begun = time.perf_counter()
    found = expected_false_retrains(DRIFT, profile(), 1_000, 7)
    assert time.perf_counter() - begun < 10  # about one second; this only catches a change of its order
    assert found.windows == 200
    assert found.retrains <= found.alarms_at_most < 1
    assert "windows of 1,000 rows" in str(found)
    assert found == expected_false_retrains(DRIFT, profile(), 1_000, 7)


def test_a_policy_that_alarms_at_anything_is_found_out():
    hasty = DRIFT.with_changes(alarms_a_year=100, ks=0.001, psi=0.001, psi_rows=1, cramers_v=0.001, needed=1, of_last=1)
    assert expected_false_retrains(hasty, profile(), 500, 7).retrains > 5


def test_windows_that_are_too_small_never_alarm():
    found = expected_false_retrains(DRIFT, profile(), 499, 7)
    assert found.retrains == 0
    assert "inconclusive" in str(found)


def test_what_windows_add_up_to():
    assert alarm_rate(0.1, DRIFT) == pytest.approx(0.1 * (1 - 0.9**2))
    assert alarm_rate(0.1, DRIFT.with_changes(needed=1, of_last=1)) == 0.1
    assert alarm_rate(0.1, DRIFT.with_changes(needed=3)) == pytest.approx(0.001)
    draw = np.random.default_rng(1)
    drifted = draw.random((2_000, 365)) < 0.1
    alarms = drifted[:, 2:] & (drifted[:, 1:-1] | drifted[:, :-2])
    assert alarms.mean() == pytest.approx(alarm_rate(0.1, DRIFT), rel=0.05)


def test_a_watched_quality_may_fall_by_chance():
    both = expected_false_retrains(DRIFT, profile(3), 500, 1, watches_quality=True)
    assert both.falls == pytest.approx(0.25)
    assert both.retrains >= both.falls


def test_drawn_windows_look_like_the_reference():
    reference = read_profile(profile(3)).features
    found = draw_sketch(reference, 40_000, np.random.default_rng(3))
    assert found.rows == 40_000
    assert {name: column.rows for name, column in found.columns.items()} == {"x0": 40_000, "c0": 40_000, "c1": 40_000}
