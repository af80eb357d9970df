"""A small `ModelSpec` for tests: one daily feed, one label. Keywords replace what a test is about."""

from datetime import UTC, datetime, timedelta
from typing import Any

from mlops_assets.declaration.data import Every, FeedSpec, Kind, PartitionSpec, SourceSpec, TargetSpec
from mlops_assets.declaration.evaluation import FairnessSpec, GateSpec
from mlops_assets.declaration.features import FeatureSpec
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.declaration.monitoring import MonitoringSpec, RetrainPolicy
from mlops_assets.declaration.release import Precision, Promotion, RolloutPolicy, ServingSpec
from mlops_assets.declaration.training import NetworkSpec, SearchSpec, TrainingSpec
from mlops_assets.declaration.validation import ExpectationSpec, ValidationSpec

START = datetime(2024, 1, 1, tzinfo=UTC)
ROLLOUT = RolloutPolicy()  # what a declaration without `rollout` gets
MONITORING = MonitoringSpec()
RETRAINING = RetrainPolicy()


def feed_spec(name: str = "events", **changes: Any) -> FeedSpec:
    return FeedSpec(**{"name": name, "path": f"{name}.parquet", "time": ("at",), "key": ("id",), **changes})


def expectation(column: str | tuple[str, ...], feed: str = "events", **changes: Any) -> ExpectationSpec:
    columns = (column,) if isinstance(column, str) else column
    return ExpectationSpec(feed=feed, columns=columns, **changes)


def validation_spec(*expectations: ExpectationSpec, **changes: Any) -> ValidationSpec:
    plain = {"quarantine_at_most": 0.5, "volume": (0.0, 100.0), "recent": 7}
    return ValidationSpec(expectations=expectations, **{**plain, **changes})


def source_spec(*feeds: FeedSpec, python: str | None = None) -> SourceSpec:
    feeds = feeds or (feed_spec(),)
    return SourceSpec(python=python, examples=feeds[0].name, feeds={feed.name: feed for feed in feeds})


def model_spec(**changes: Any) -> ModelSpec:
    """A tiny daily binary model; keyword arguments replace whole parts."""
    spec = ModelSpec(
        name="tiny",
        owner="team@example.com",
        purpose="tests",
        limits="tests only",
        ethics="none",
        replay=None,
        source=source_spec(),
        partitions=PartitionSpec(every=Every.DAY, start=START, end=None),
        target=TargetSpec(
            column="label",
            kind=Kind.BINARY,
            feed="events",
            positive="1",
            known_after=timedelta(0),
            transform="none",
        ),
        validation=validation_spec(),
        features=FeatureSpec(
            service=None, version=1, columns=("x", "c"), exclude=(), categories=(), entity=(), ttl=None
        ),
        network=NetworkSpec(type="tabular", width=16, depth=1, dropout=0.0, embedding=4, bins=8, options={}),
        training=TrainingSpec(
            window=None,
            validation=0.2,
            test=0.2,
            gap=timedelta(0),
            group=None,
            epochs=2,
            batch_size=64,
            learning_rate=0.01,
            weight_decay=0.0,
            patience=2,
            class_weights=False,
            calibrate=False,
            device="cpu",
            precision="fp32",
            compile=False,
            seed=0,
        ),
        search=SearchSpec(trials=0, sample=1.0, epochs=1, timeout=None, space={}),
        slices=(),
        fairness=FairnessSpec(attributes=(), demographic_parity=None, equalised_odds=None, minimum=100),
        gates=GateSpec(
            metric="auc",
            confidence=0.95,
            guard_loss=0.02,
            baselines=(),
            baseline_margin=0.0,
            anchor="first",
            anchor_loss=0.02,
            floor=None,
            ceiling=None,
            calibration=None,
            robustness=None,
            minimum_rows=10,
        ),
        serving=ServingSpec(
            precisions=(Precision.FP32,),
            parity=1e-4,
            latency_ms=50.0,
            provider="cpu",
            out_of_range="flag",
            since=datetime(2026, 1, 1, tzinfo=UTC),
            log_retention=timedelta(days=30),
        ),
        promotion=Promotion.AUTOMATIC,
        rollout=ROLLOUT,
        monitoring=MONITORING,
        retraining=RETRAINING,
        declared="0" * 12,
    )
    return spec.with_changes(**changes)
