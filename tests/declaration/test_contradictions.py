"""Contradictions in a declaration, one line each."""

from datetime import timedelta
from typing import Any

import pytest

from mlops_assets.declaration.contradictions import contradictions
from mlops_assets.declaration.data import Every, Kind, PartitionSpec
from mlops_assets.declaration.evaluation import METRICS
from mlops_assets.domain.evaluation.metrics import metric_named
from tests.kit.specs import START, expectation, feed_spec, model_spec, source_spec, validation_spec

SPEC = model_spec()


def part(name: str, **changes: Any) -> dict[str, Any]:
    return {name: getattr(SPEC, name).with_changes(**changes)}


def drift(**changes: Any) -> dict[str, Any]:
    return part("monitoring", drift=SPEC.monitoring.drift.with_changes(**changes))


def feed(**changes: Any) -> dict[str, Any]:
    return {"source": source_spec(feed_spec(**changes))}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (part("source", examples="nothing"), "source.examples: 'nothing' is no feed; name the feed that is predicted"),
        (feed(path=None), "source.feeds.events: write either path or query (or source.python)"),
        (feed(query="select 1", connection="db"), "source.feeds.events: write either path or query"),
        (feed(path=None, query="select 1"), "source.feeds.events.connection: name the database"),
        ({"source": source_spec(python="a.B")}, "source.feeds.events: path and source.python exclude each other"),
        (feed(order="n"), "source.feeds.events: time and order exclude each other"),
        (part("target", feed="other"), "target.feed: 'other' is none of the feeds: events"),
        (
            {**part("target", feed="late"), "source": source_spec(feed_spec(), feed_spec("late", key=()))},
            "source.feeds.late.key: the key is needed to join the target",
        ),
        ({"partitions": PartitionSpec(every=Every.DAY)}, "partitions.start: the moment at which the first"),
        ({"partitions": PartitionSpec(every=Every.DAY, start=START, end=START)}, "partitions.end: "),
        (feed(time=()), "partitions.every: feed events has no time to cut it by; use none"),
        (part("target", known_after=timedelta(hours=1)), "training.gap: 0:00:00 is shorter than target.known_after"),
        (
            part("target", absent="negative after 1h"),
            "training.gap: 0:00:00 is shorter than",
        ),
        (
            part("target", absent="no after 1h"),
            "target.absent: 'no' is not understood for binary; write negative after",
        ),
        (part("target", positive=None), "target.positive: write the value that counts as 1"),
        (part("target", kind=Kind.MULTICLASS), "target.positive: '1' means nothing for multiclass"),
        (part("target", transform="log1p"), "target.transform: log1p means nothing for binary"),
        (part("gates", metric="r2"), "gates.metric: 'r2' does not fit binary; use one of auc, "),
        (part("gates", metric="mae", guard_loss=None), "gates.guard_loss: mae is in the target's own unit"),
        (part("features", service="s"), "features: a service already defines the columns"),
        (part("features", exclude=("x",)), "features: both used and excluded: x"),
        (part("features", columns=("label",)), "features.columns: label is the target"),
        ({"validation": validation_spec(expectation("x", feed="fax"))}, "validation.expectations.0.feed: 'fax' is no"),
        ({"validation": validation_spec(expectation(()))}, "an expectation needs column or columns"),
        (drift(needed=4), "monitoring.drift.needed: 4 cannot be more than of_last 3"),
        (part("retraining", least_rows=20_000), "retraining.least_rows: 20000 cannot be more than new_rows 10000"),
        (part("retraining", age_warning=timedelta(days=90)), "retraining.age_warning: 90 days, 0:00:00 has to be at"),
    ],
)
def test_each_contradiction_is_reported(changes: dict[str, Any], problem: str) -> None:
    assert problem in "\n".join(problems(**changes))


def problems(**changes: Any) -> list[str]:
    found = contradictions(SPEC.with_changes(**changes))
    return [f"{'.'.join(map(str, path))}: {message}" for path, message in found]


def test_a_sound_declaration_has_none() -> None:
    assert problems() == []
    assert problems(**feed(time=()), partitions=PartitionSpec(every=Every.NONE)) == []


def test_all_of_them_are_reported_at_once() -> None:
    assert len(problems(**part("gates", metric="r2"), **part("target", positive=None), **drift(needed=4))) == 3


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_metrics_that_are_measured(kind: Kind) -> None:
    assert [metric_named(name, kind).name for name in METRICS[kind]] == list(METRICS[kind])


def test_class_weights_need_classes() -> None:
    target = SPEC.target.with_changes(kind=Kind.REGRESSION, positive=None)
    wrong = {"target": target, **part("gates", metric="r2"), **part("training", class_weights=True)}
    assert problems(**wrong) == ["training.class_weights: a regression has no classes; leave it out"]
