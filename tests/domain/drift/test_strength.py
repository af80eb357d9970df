"""How strong a change is."""

import pytest

from mlops_assets.domain.drift.distances import Aspect
from mlops_assets.domain.drift.strength import describe_column, measure_strengths
from mlops_assets.domain.drift.window import DriftFinding, WindowDrift
from mlops_assets.domain.verdict import Outcome, Verdict
from tests.kit.watching import DRIFT

F, P = Outcome.FAIL, Outcome.PASS


def finding(outcome: Outcome, aspect: Aspect = Aspect.FEATURE, column: str = "price", **numbers: float) -> DriftFinding:
    return DriftFinding(aspect, column, Verdict(column, outcome, "as found.", numbers))


def window(name: str, outcome: Outcome, *findings: DriftFinding) -> WindowDrift:
    return WindowDrift(name, 900, outcome, "as found.", findings)


@pytest.mark.parametrize(
    ("aspect", "numbers", "expected"),
    [
        (Aspect.FEATURE, {"ks": 0.2, "rows": 900.0, "psi_beyond_chance": 9.0}, 2.0),
        (Aspect.FEATURE, {"ks": 0.0, "rows": 1_000.0, "psi_beyond_chance": 0.6}, 3.0),
        (Aspect.FEATURE, {"cramers_v": 0.05, "rows": 900.0}, 0.5),
        (Aspect.FEATURE, {"moved": 0.06, "rows": 900.0}, 1.5),
        (Aspect.TOGETHER, {"auc": 0.7}, 2.0),
        (Aspect.TOGETHER, {"auc": 0.4}, 0.0),
        (Aspect.MISSING, {"share": 0.0, "share_in_training": 0.1}, 2.0),
        (Aspect.RANGE, {"share": 0.04, "share_in_training": 0.02}, 1.0),
        (Aspect.UNSEEN, {"share": 0.0, "share_in_training": 0.02}, 0.0),
    ],
)
def test_a_change_is_a_multiple_of_the_material_effect(aspect, numbers, expected):
    found = measure_strengths(window("w", P, finding(P, aspect, **numbers)), DRIFT)
    assert found == {"price": pytest.approx(expected)}


def test_a_missing_column_has_the_greatest_strength():
    assert measure_strengths(window("w", F, finding(F, Aspect.SCHEMA)), DRIFT)["price"] > 1
    assert describe_column(finding(P, Aspect.PREDICTION, "price")) == "answer: price"
    assert describe_column(finding(P, Aspect.LABEL, "label")) == "outcome: label"
