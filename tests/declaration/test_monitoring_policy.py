"""Settings that contradict themselves are refused, all problems at once."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.kit.watching import DRIFT, QUALITY, RETRAIN


@pytest.mark.parametrize(
    ("policy", "changes", "said"),
    [
        (DRIFT, {"alpha": 0.0}, "monitoring.drift.alpha 0.0"),
        (DRIFT, {"together": 0.4}, "between 0.5 and 1"),
        (DRIFT, {"psi": 0.0}, "above 0"),
        (DRIFT, {"needed": 4}, "cannot be more than of_last 3"),
        (DRIFT, {"minimum_rows": 0}, "at least 1"),
        (QUALITY, {"fall": 1.0}, "monitoring.quality.fall"),
        (QUALITY, {"confidence": 0.4}, "between 0.5 and 1"),
        (QUALITY, {"maturity": 0.0}, "above 0"),
        (RETRAIN, {"least_rows": 20_000}, "cannot be more than new_rows"),
        (RETRAIN, {"age_warning": timedelta(days=90)}, "at most age_critical"),
        (RETRAIN, {"cooldown": timedelta(days=-1)}, "cannot be negative"),
        (RETRAIN, {"cost_at_most": 0.0}, "no limit"),
    ],
)
def test_a_setting_that_makes_no_sense(policy, changes, said):
    with pytest.raises(ValueError, match=said):
        replace(policy, **changes)


def test_all_problems_are_told_at_once():
    with pytest.raises(ValueError, match=r"alpha.*ks.*minimum_rows"):
        replace(DRIFT, alpha=0.0, ks=1.0, minimum_rows=0)
