"""The standard policies of watching and retraining, and references made of arrays, for tests."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from mlops_assets.declaration.monitoring import DriftPolicy, QualityPolicy, RetrainPolicy
from mlops_assets.domain.drift.reference import FORMAT, Profile, read_features, read_profile
from mlops_assets.domain.evaluation.evidence import Interval
from mlops_assets.domain.retraining.records import RetrainEvidence
from mlops_assets.domain.verdict import Outcome, Verdict
from mlops_assets.training.day_profile import describe_days
from mlops_assets.training.profile import describe_category, describe_number

DRIFT = DriftPolicy()
QUALITY = QualityPolicy()
RETRAIN = RetrainPolicy()
NOW = datetime(2013, 7, 2, tzinfo=UTC)


def profile_of(
    numbers: Mapping[str, np.ndarray],
    categories: Mapping[str, np.ndarray] | None = None,
    *,
    moments: np.ndarray | None = None,
    **other: Any,
) -> dict[str, Any]:
    """What `training.profile` writes, of columns given as arrays; with `moments`, each row's time."""
    columns = {**numbers, **(categories or {})}
    rows = len(next(iter(columns.values())))
    described: dict[str, Any] = {
        "format": FORMAT,
        "rows": rows,
        "numbers": {name: describe_number(values) for name, values in numbers.items()},
        "categories": {name: describe_category(values) for name, values in (categories or {}).items()},
        "label": {"rows": rows, "counts": {"no": rows - rows // 4, "yes": rows // 4}},
        "scores": {"rows": rows, **describe_number(np.linspace(0.01, 0.99, rows))},
        **other,
    }
    days = describe_days(moments, read_features(described), columns)
    return {**described, "days": {"features": days, "scores": None, "label": None}}


def reference_of(numbers: Mapping[str, np.ndarray], categories: Mapping[str, np.ndarray] | None = None) -> Profile:
    return read_profile(profile_of(numbers, categories))


def table_of(columns: Mapping[str, np.ndarray]) -> pa.Table:
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def verdict(outcome: Outcome, name: str = "drift", reason: str = "as seen.", **numbers: float) -> Verdict:
    return Verdict(name, outcome, reason, numbers)


def interval(estimate: float, reach: float) -> Interval:
    return Interval(estimate, estimate - reach, estimate + reach, 0.95, "delta")


CALM = RetrainEvidence(
    model="shop",
    champion="7",
    window="2013-07-01",
    trained_at=NOW - timedelta(days=10),
    drift=verdict(Outcome.PASS),
    realised=verdict(Outcome.PASS, "realised"),
    estimated=verdict(Outcome.PASS, "estimated"),
    trust=verdict(Outcome.PASS, "trust"),
    new_rows=4_000,
    due=False,
    person=None,
    paused=False,
    running=False,
    on_trial=None,
    runs=(NOW - timedelta(days=10),),
    spent=0.5,
    cost=0.5,
    problems=(),
)


def evidence(**changes: Any) -> RetrainEvidence:
    """Nothing is the matter but what is named."""
    return replace(CALM, **changes)
