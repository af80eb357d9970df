"""A value outside its bounds is refused where it is declared, and all of them at once."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from mlops_assets.declaration.data import FeedSpec
from mlops_assets.declaration.evaluation import GateSpec
from mlops_assets.declaration.monitoring import DriftPolicy, QualityPolicy, RetrainPolicy
from mlops_assets.declaration.release import RolloutPolicy
from mlops_assets.declaration.validation import ExpectationSpec
from mlops_assets.declaration.values import DeclaredPart


@pytest.mark.parametrize(
    ("part", "changes", "why"),
    [
        (DriftPolicy, {"alarms_a_year": 0.0}, "alarms_a_year"),
        (DriftPolicy, {"together": 0.4}, "greater than 0.5"),
        (DriftPolicy, {"psi": 0.0}, "greater than 0"),
        (DriftPolicy, {"minimum_rows": 0}, "greater than or equal to 1"),
        (QualityPolicy, {"fall": 1.0}, "fall"),
        (QualityPolicy, {"confidence": 0.4}, "greater than 0.5"),
        (QualityPolicy, {"maturity": 0.0}, "greater than 0"),
        (QualityPolicy, {"roll_back_within": timedelta(days=-1)}, "greater than or equal to 0"),
        (RetrainPolicy, {"cooldown": timedelta(days=-1)}, "greater than or equal to 0"),
        (RetrainPolicy, {"age_warning": timedelta(0)}, "greater than 0"),
        (RetrainPolicy, {"cost_at_most": 0.0}, "greater than 0"),
        (RetrainPolicy, {"causes": ("person",)}, "'person' is not one of quality, drift"),
        (RolloutPolicy, {"steps": (1.0,)}, "must rise"),
        (RolloutPolicy, {"steps": (0.5, 0.25, 1.0)}, "must rise"),
        (RolloutPolicy, {"steps": (0.0, 1.0)}, "steps"),
        (RolloutPolicy, {"steps": (0.1, 0.5)}, "must rise"),
        (RolloutPolicy, {"alpha": 0.0}, "alpha"),
        (RolloutPolicy, {"split_alpha": 0.9}, "split_alpha"),
        (RolloutPolicy, {"error_margin": 0.0}, "error_margin"),
        (RolloutPolicy, {"minimum_requests": 0}, "minimum_requests"),
        (RolloutPolicy, {"slow_at_most": float("nan")}, "slow_at_most"),
        (GateSpec, {"anchor": "latest"}, "'latest' is not first or a version number"),
        (FeedSpec, {"time": ("a", "b", "c")}, "at most 2"),
        (FeedSpec, {"timezone": "Mars/Olympus"}, "'Mars/Olympus' is not a time zone"),
        (ExpectationSpec, {"matches": "("}, "is not a regular expression"),
    ],
)
def test_a_value_out_of_bounds_is_refused(part: type[DeclaredPart], changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        part.model_validate(changes)
    with pytest.raises(ValidationError, match=why):
        part().with_changes(**changes)


def test_all_values_of_a_part_are_refused_at_once() -> None:
    with pytest.raises(ValidationError, match=r"(?s)steps.*alpha.*metric_margin"):
        RolloutPolicy.model_validate({"steps": (), "alpha": 2, "metric_margin": -1})
