"""Vital signs of partitions and the checks on them."""

from datetime import timedelta

import numpy as np
import pytest

from mlops_assets.declaration.data import Every
from mlops_assets.domain.data.checks import vital_checks
from mlops_assets.domain.data.vitals import FeedVitals, judge_vitals, limits_of, nulls_name, vitals_frame
from mlops_assets.domain.partitions import window, windows
from tests.kit.specs import START, expectation, validation_spec

NOW = START + timedelta(days=60)
DAYS = windows(Every.DAY, ["2024-01-11", "2024-01-12"])


def vitals(
    rows=(100, 100),
    quarantined=(0, 0),
    before=(100,) * 5,
    latest=None,
    *,
    latest_before=None,
    shares=None,
    of=DAYS,
):
    fresh = [day.end and day.end - timedelta(hours=1) for day in of]
    return FeedVitals("events", of, rows, quarantined, latest or fresh, before, latest_before, True, shares or {})


def judged(measured, validation=None):
    validation = validation or validation_spec(volume=(0.5, 2.0), freshness=timedelta(hours=24), quarantine_at_most=0.1)
    frame = vitals_frame([measured], validation, NOW)
    limits = limits_of(validation, frame)
    outside = {
        name: np.flatnonzero((frame[name] < (low or -np.inf)) | (frame[name] > high)).tolist()
        for name, (low, high) in limits.items()
    }
    return {verdict.name: verdict for verdict in judge_vitals(frame, limits, outside, validation)}


def test_ordinary_partitions_pass():
    verdicts = judged(vitals())
    assert set(verdicts) == {"volume", "freshness", "quarantine"}
    assert all(verdict.passed for verdict in verdicts.values())


@pytest.mark.parametrize(("rows", "told"), [((100, 40), "40 rows, 0.40 times"), ((210, 100), "210 rows, 2.10 times")])
def test_too_few_or_too_many_rows_fail_with_numbers(rows, told):
    verdict = judged(vitals(rows))["volume"]
    assert not verdict.passed
    assert told in verdict.reason
    assert "the usual 100 (allowed 0.5 to 2)" in verdict.reason


def test_the_usual_volume_is_the_median_of_three_or_more():
    frame = vitals_frame([vitals((9, 9), before=(100, 100))], validation_spec(recent=3), NOW)
    assert np.isnan(frame["usual"][0])
    assert frame["usual"][1] == 100


def test_an_empty_partition_is_legal_and_the_volume_says_so():
    allowed = judged(vitals((100, 0)), validation_spec(volume=(0.0, 2.0)))["volume"]
    assert allowed.passed
    assert "no rows at all: events 2024-01-12" in allowed.reason
    assert not judged(vitals((100, 0)))["volume"].passed


def test_freshness_counts_from_the_latest_event_so_far():
    old = START + timedelta(days=10) - timedelta(hours=30)
    stale = judged(vitals(latest=[None, None], latest_before=old))["freshness"]
    assert "events 2024-01-11: last event 54.0 h before (allowed 24 h)" in stale.reason
    assert "2024-01-12: last event 78.0 h" in stale.reason
    assert "no event at all" in judged(vitals(latest=[None, None]))["freshness"].reason


def test_one_snapshot_is_fresh_by_now_and_has_no_usual_volume():
    snapshot = [window(Every.NONE, "all")]
    verdicts = judged(vitals((5,), (0,), (), [NOW - timedelta(hours=30)], of=snapshot))
    assert verdicts["volume"].passed
    assert "30.0 h" in verdicts["freshness"].reason


def test_too_many_quarantined_rows_fail():
    verdict = judged(vitals(quarantined=(10, 11)))["quarantine"]
    assert "events 2024-01-12: 11 of 100 rows quarantined, 11.0% (allowed 10.0%)" in verdict.reason
    assert "2024-01-11" not in verdict.reason


def test_shares_of_nulls_and_distances_are_judged_where_declared():
    asked = expectation("x", nulls=0.2, drift=0.1)
    validation = validation_spec(asked, expectation("y", nulls=0.2, severity="warning"))
    shares = {
        nulls_name(asked, "x"): [0.1, 0.3],
        "drift of events.x": [np.nan, 0.5],
        "nulls of events.y": [0.9, 0.9],
    }
    verdicts = judged(vitals(shares=shares), validation)
    assert vital_checks(validation) == ["volume", "quarantine", "nulls", "distribution"]
    assert "events 2024-01-12: 30.0% of x is null (allowed 20.0%)" in verdicts["nulls"].reason
    assert "y" not in verdicts["nulls"].reason.split(".")[0]
    assert "x has PSI 0.50 (allowed 0.1)" in verdicts["distribution"].reason
